"""`nnbackend evaluate`: how good a saved model is on data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from .. import __version__
from ..errors import ArgumentError, did_you_mean
from ..model import Model
from .answers import BINARY, kind_of
from .files import check_picture
from .options import AsJson, BackendName, DtypeName, ModelFile, load
from .output import backend_line
from .pictures import draw
from .result import figures, sentence
from .rows import SAMPLES, numbers_only, read_samples
from .tasks import DATA_SETS, IMAGES, load_task


@dataclass
class Evaluate:
    """Measure a saved model: loss and accuracy on data that it was not trained on.

    DATA is one of the data sets that train knows, of which the fresh points or the test images are taken, the same as
    after training; or a file of your own: a .npz file with arrays X and y, or a .csv file whose last column is the target.
    """

    model: ModelFile
    data: Annotated[
        str, typer.Argument(metavar="DATA", help=f"{'|'.join(DATA_SETS)}, or a .npz or .csv file.", show_default=False)
    ]
    path: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="PATH", help="Your copy of Fashion-MNIST: PNG folders, their zip, or IDX files."
        ),
    ] = None
    samples: Annotated[
        int | None, typer.Option(metavar="N", help="Points a class to draw (default: as many as in training).")
    ] = None
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Decides which points are drawn (default: that of training).")
    ] = None
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Samples to compute at a time (default: all of them).")
    ] = None
    backend: BackendName = None
    dtype: DtypeName = None
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw regions, the fitted curve or a confusion matrix (extra plot)."),
    ] = None
    json: AsJson = False

    def __call__(self) -> int:
        """Do it."""
        model, xp, reason = load(self.model, self.backend, self.dtype)
        if self.plot is not None:
            check_picture("--plot", self.plot)
        X, y, samples = self._samples(model)
        kind = kind_of(model)
        found = figures(model, model.evaluate(X, y, batch_size=self.batch_size), kind, X, y)
        if self.plot is not None:
            draw(self.plot, model, kind, X, y, class_names=model.class_names)
        if self.json:
            head = {"nnbackend": __version__, "model": str(self.model), "data": self.data, "task": kind}
            print(json.dumps({**head, "backend": {"name": xp.name, "reason": reason}, **found}, indent=2))
        else:
            print(backend_line(xp, reason), f"{self.data}, {sentence(found, samples)}", sep="\n")
        return 0

    def _samples(self, model: Model) -> tuple[np.ndarray, np.ndarray, str]:
        """Inputs, targets, and what they are: fresh, or the test set."""
        file = Path(self.data)
        if file.suffix.lower() in SAMPLES:
            if self.path is not None or self.samples is not None or self.seed is not None:
                raise ArgumentError(f"--data, --samples and --seed are for data sets: {file} is a file, leave them out")
            X, y = read_samples(file)
            return numbers_only(X, file), numbers_only(y, file), ""
        if self.data not in DATA_SETS:
            raise ArgumentError(
                f"unknown data {self.data!r}: {did_you_mean(self.data, DATA_SETS)}, or a file that ends in .npz or .csv"
            )
        task = load_task(self.data, **self._settings(model), path=self.path)
        return *task.fresh, task.fresh_name

    def _settings(self, model: Model) -> dict[str, Any]:
        """What to draw: by default what training drew, where it was this data set."""
        record = model.training_record if model.training_record.get("data") == self.data else {}
        points = self.data not in (*IMAGES, "sine")
        binary = points and kind_of(model) == BINARY
        return {
            "samples": _whole(record.get("samples")) if self.samples is None else self.samples,
            "seed": _whole(record.get("seed")) or 0 if self.seed is None else self.seed,
            "classes": model.n_outputs if points and not binary else None,
            "binary": binary,
        }


def _whole(value: Any) -> int | None:
    """A number of a record, which may say anything."""
    return value if type(value) is int and value >= 0 else None
