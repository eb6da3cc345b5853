"""`nnbackend evaluate`: how good a saved model is on data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from .answers import kind_of
from .files import check_picture
from .options import AsJson, BackendName, DtypeName, HasHeader, ModelFile, load
from .output import backend_line
from .pictures import draw
from .result import figures, sentence
from .samples import samples_for
from .tasks import DATA_SETS


@dataclass
class Evaluate:
    """Measure a saved model: loss and accuracy on data that it was not trained on.

    DATA is one of the data sets that train knows, of which the fresh points or the test images are taken, the same as
    after training; or a file of your own: a .npz file with arrays X and y, or a .csv file whose last column is the target. A
    model of a table takes any table, and knows the columns by their names.
    """

    model: ModelFile
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help=f"{'|'.join(DATA_SETS)}, or a table such as a .csv file.", show_default=False
        ),
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
    targets: Annotated[Path | None, typer.Option(metavar="y.npy", help="The targets of a .npy file.")] = None
    header: HasHeader = None
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
        data = samples_for(
            model,
            self.data,
            path=self.path,
            samples=self.samples,
            seed=self.seed,
            targets=self.targets,
            header=self.header,
        )
        X, y = data.X, data.y
        kind = kind_of(model)
        found = figures(model, model.evaluate(X, y, batch_size=self.batch_size), kind, X, y)
        if self.plot is not None:
            draw(self.plot, model, X, y, class_names=model.class_names)
        if self.json:
            head = {"nnbackend": __version__, "model": str(self.model), "data": self.data, "task": kind}
            print(json.dumps({**head, "backend": {"name": xp.name, "reason": reason}, **found}, indent=2))
        else:
            print(backend_line(xp, reason), f"{self.data}, {sentence(found, data.name)}", sep="\n")
        return 0
