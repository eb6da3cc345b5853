"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..backend import Backend
from ..datasets.tables import from_document, has_table
from ..errors import DataError, FileError
from ..model import Model
from ..storage import read_contents
from .output import settle_backend

ModelFile = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A model file, as train --save writes it.", show_default=False)
]
BackendName = Annotated[
    str | None,
    typer.Option(
        metavar="cpu|gpu|gpu:N|auto|strict",
        help="Where to compute (default: what the environment variable NNBACKEND says, else cpu).",
    ),
]
DtypeName = Annotated[
    str | None, typer.Option(metavar="float32|float64", help="The precision of every array (default: the file's).")
]
HasHeader = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header",
        help="Whether the first line of a .csv file has names (default: found out).",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def load(path: Path, backend: str | None, dtype: str | None) -> tuple[Model, Backend, str]:
    """The model of a file on the backend that was asked for, and why it is that one."""
    contents = read_contents(path)
    if "model" not in contents.document:
        raise FileError(f"{path} holds parameters alone: only a whole model can be used, as train --save writes it")
    xp, reason = settle_backend(backend, dtype or contents.document["dtype"])
    model = Model.load(path, backend=xp)
    if has_table(model.preprocessing):
        try:
            from_document(model.preprocessing)
        except DataError as error:
            raise FileError(f"{path} cannot be used: {error}") from None
    return model, xp, reason
