"""`nnbackend train`: a table of the user's own, and what its columns are."""

from dataclasses import dataclass, fields
from functools import partial
from typing import Annotated

import typer

from ...datasets.tables import ENDINGS, is_table
from ...errors import ArgumentError
from ..tables import table_task
from ..tasks import Task
from .data import DataOptions

# The group of these options in the help.
_own = partial(typer.Option, rich_help_panel="Your own data")

VALIDATION_SPLIT = 0.2


@dataclass
class TableOptions(DataOptions):
    """The columns of a file. None is what nobody asked for."""

    target: Annotated[
        str | None,
        _own(metavar="COLUMN", help="The column to be found out, by name or number (default: the last)."),
    ] = None
    targets: Annotated[str | None, _own(metavar="y.npy", help="The targets of a .npy file.")] = None
    task: Annotated[
        str | None,
        _own(metavar="classification|regression|auto", help="What to do (default: auto, by the target's values)."),
    ] = None
    drop: Annotated[
        list[str] | None, _own(metavar="COLUMN", help="Leave a column out, such as an id; once for each.")
    ] = None
    categorical: Annotated[
        list[str] | None, _own(metavar="COLUMN", help="The numbers of this column are categories; once for each.")
    ] = None
    impute: Annotated[
        str | None,
        _own(metavar="mean|median|most-frequent", help="Fill missing values in (default: they are refused)."),
    ] = None
    standardize: Annotated[
        bool | None,
        _own(
            "--standardize/--no-standardize",
            help="Whether numbers become (x - mean) / deviation, here and at prediction (default: yes).",
            show_default=False,
        ),
    ] = None
    validation_split: Annotated[
        float | None, _own(metavar="SHARE", help=f"Rows put aside for validation (default: {VALIDATION_SPLIT}).")
    ] = None
    header: Annotated[
        bool | None,
        _own(
            "--header/--no-header",
            help="Whether the first line of a .csv file has names (default: found out).",
            show_default=False,
        ),
    ] = None

    def load(self) -> Task:
        """The data, and what they ask for."""
        given = {field.name: getattr(self, field.name) for field in fields(TableOptions)[len(fields(DataOptions)) :]}
        given = {name: value for name, value in given.items() if value is not None}
        if not is_table(self.data):
            for name in given:
                option = "--" + name.replace("_", "-")
                raise ArgumentError(
                    f"{option} is for a table of your own: expected a file that ends in {', '.join(ENDINGS)}, not {self.data!r}"
                )
            return super().load()
        for option, value in (("--samples", self.samples), ("--classes", self.classes), ("--data", self.path)):
            if value is not None:
                raise ArgumentError(f"{option} is for data sets: {self.data} is a file of your own, leave it out")
        settings = {"validation_split": VALIDATION_SPLIT, **given}
        return table_task(self.data, binary=self.binary, seed=self.seed, dtype=self.dtype, **settings)
