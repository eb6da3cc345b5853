"""`nnbackend plot`: pictures of a saved model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ArgumentError
from ..history import History
from ..model import Model
from ..storage import history_of, read_contents
from .files import check_picture
from .options import BackendName, DtypeName, ModelFile, load
from .pictures import KINDS, NEED_DATA, Subject, best_kind, check_kinds, draw_kinds
from .samples import samples_for
from .tasks import DATA_SETS


@dataclass
class Plot:
    """Draw a saved model: what it has learned, what it gets wrong, what is inside (extra plot).

    Without --kind it is the picture that fits the model: regions of the plane for two inputs, the fitted curve or predicted
    against true values for a regression, and a confusion matrix for everything else. Several kinds stand beside each other.
    Without --data, a data set that train knows is drawn again, with fresh points.
    """

    model: ModelFile
    output: Annotated[Path, typer.Option(metavar="FILE.png", help="Where to: .png, .svg, .pdf.", show_default=False)]
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="|".join(KINDS), help="What to draw; once for each picture (default: what fits)."),
    ] = None
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help=f"{'|'.join(DATA_SETS)}, or a file, as for evaluate (default: what it learned from)."
        ),
    ] = None
    path: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Your copy of Fashion-MNIST: PNG folders, their zip, or IDX files."),
    ] = None
    targets: Annotated[Path | None, typer.Option(metavar="y.npy", help="The targets of a .npy file.")] = None
    samples: Annotated[
        int | None, typer.Option(metavar="N", help="Points a class to draw (default: as many as in training).")
    ] = None
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Decides which points are drawn (default: that of training).")
    ] = None
    history: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="For curves: losses and accuracies, as train --history writes them."),
    ] = None
    backend: BackendName = None
    dtype: DtypeName = None

    def __call__(self) -> int:
        """Do it."""
        check_kinds(self.kind or ())
        check_picture("--output", self.output)
        model, _, _ = load(self.model, self.backend, self.dtype)
        kinds = self.kind or [best_kind(model)]
        subject = Subject(model, class_names=model.class_names)
        if set(kinds) & set(NEED_DATA):
            data = self._data(model, kinds)
            subject.X, subject.y = data.X, data.y
        if "curves" in kinds:
            subject.history = self._history()
        draw_kinds(self.output, subject, kinds)
        return 0

    def _data(self, model: Model, kinds: Sequence[str]) -> Any:
        name = self.data
        if name is None:
            recorded = model.training_record.get("data")
            if recorded not in DATA_SETS:
                wanted = next(kind for kind in kinds if kind in NEED_DATA)
                raise ArgumentError(
                    f"{self.model} does not name a data set to draw the {wanted} of: give --data spiral, or a file"
                )
            name = str(recorded)
        return samples_for(model, name, path=self.path, samples=self.samples, seed=self.seed, targets=self.targets)

    def _history(self) -> History:
        """That of the file named, or of a checkpoint; a model file has none."""
        if self.history is not None:
            return History.from_csv(self.history)
        contents = read_contents(self.model)
        if "run" not in contents.document:
            raise ArgumentError(
                f"{self.model} keeps no history of its training: give --history FILE.csv, as train --history writes it"
            )
        return history_of(contents)
