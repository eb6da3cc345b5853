"""`nnbackend predict`: what a saved model says of a picture or of rows of numbers (book, chapter 22)."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..datasets import apply_preprocessing, load_image
from ..datasets.tables import has_table, is_table
from ..errors import ArgumentError, DataError, printable, shown
from ..files import write_file
from ..model import Model
from .answers import Answers
from .files import check_writable
from .options import AsJson, BackendName, DtypeName, HasHeader, ModelFile, load
from .output import on_terminal
from .rows import ROWS, numbers_only, read_rows, to_csv
from .tables import in_options


@dataclass
class Predict:
    """Print what a saved model says of a picture, or of rows of numbers.

    A picture (.png, .jpg, ...) is turned to grey, resized, inverted and scaled as in the book's chapter 22, and its label is
    printed. For the rows of a .npy or .csv file a table is printed: the class and all probabilities, or the outputs. A model of a
    table finds the columns that it knows by their names, and leaves others aside.
    """

    model: ModelFile
    inputs: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="A picture, or a .csv, .parquet, .npy or .npz file with a row a sample.",
            show_default=False,
        ),
    ]
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write the table here instead of printing it.")
    ] = None
    invert: Annotated[
        bool,
        typer.Option(
            "--invert/--no-invert", help="Whether the picture is dark on light, unlike those it learned from."
        ),
    ] = True
    header: HasHeader = None
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Rows to compute at a time (default: all of them).")
    ] = None
    backend: BackendName = None
    dtype: DtypeName = None
    json: AsJson = False

    def __call__(self) -> int:
        """Do it."""
        model, _, _ = load(self.model, self.backend, self.dtype)
        check_writable("--output", self.output)
        rows = is_table(self.inputs) if has_table(model.preprocessing) else self.inputs.suffix.lower() in ROWS
        X = self._rows(model) if rows else self._picture(model)
        answers = Answers(model, model.predict(X, batch_size=self.batch_size))
        table = to_csv(answers.columns, answers.rows())
        if self.output is not None:
            write_file(self.output, table.encode())
        if self.json:
            print(json.dumps(self._document(answers), indent=2))
        elif not rows:
            print(printable(answers.sentence()))
        elif self.output is None:
            _print_table(table)
        return 0

    def _rows(self, model: Model) -> np.ndarray:
        if has_table(model.preprocessing):
            with in_options():
                return apply_preprocessing(model.preprocessing, self.inputs, header=self.header, dtype=model.xp.dtype)
        if self.header is not None:
            raise ArgumentError("--header and --no-header go with a model of a table: leave them out")
        return numbers_only(read_rows(self.inputs), self.inputs)

    def _picture(self, model: Model) -> np.ndarray:
        return load_image(self.inputs, shape=image_shape(model, self.model), invert=self.invert)

    def _document(self, answers: Answers) -> dict[str, Any]:
        predictions = [dict(zip(answers.columns, row, strict=True)) for row in answers.rows()]
        return {"model": str(self.model), "input": str(self.inputs), "task": answers.kind, "predictions": predictions}


def _print_table(table: str) -> None:
    """For eyes on a terminal; else as --output writes it, in UTF-8 whatever the encoding of the environment."""
    if on_terminal(sys.stdout):
        table = "\n".join(map(printable, table.split("\n")))
    else:
        with contextlib.suppress(AttributeError):  # stdout may be something else
            sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    print(table, end="")


def image_shape(model: Model, path: Path) -> tuple[int, int]:
    """Height and width of the images that a model takes: those its file names, else a square of its inputs."""
    named, n_inputs = model.preprocessing.get("image_shape"), model.n_inputs or 0
    if named is not None:
        if not (isinstance(named, list) and len(named) == 2 and all(type(size) is int and size > 0 for size in named)):
            raise DataError(f"{path} names an image_shape of {shown(named)}: expected [height, width]")
        if named[0] * named[1] != n_inputs:
            raise DataError(
                f"{path} names an image_shape of {shown(named)}: expected {n_inputs} pixels, as many as it takes"
            )
        return named[0], named[1]
    side = math.isqrt(n_inputs)
    if side < 2 or side * side != n_inputs:
        raise ArgumentError(
            f"{path} takes {n_inputs or 'any number of'} inputs, which are no square image: give it a .npy or .csv file of rows"
        )
    return side, side
