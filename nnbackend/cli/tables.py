"""A table of the user's own as a task: what it asks of a network, and settings that suit its size."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from ..datasets import Table, load_table
from ..errors import ArgumentError, DataError, FileError
from .answers import BINARY
from .tasks import Defaults, Task

# Tried on scikit-learn's iris, wine, breast cancer, diabetes and digits (docs/own-data.md): about this many steps with Adam
# at 0.001 learn them, more or larger networks begin to learn their noise; large tables get more.
STEPS, FEWEST_EPOCHS = 1000, 10
BATCH_SIZE, LARGE_BATCH_SIZE, LARGE = 32, 128, 10_000


# An argument of `load_table` in a sentence: `impute='median'`, `drop=['id']`, `standardize=False`, `target=`.
_ARGUMENT = re.compile(
    r"\b(targets?|task|drop|categorical|impute|standardize|validation_split|header)=(\['.*?'\]|'.*?'|[\w.-]*)"
)


def as_options(text: str) -> str:
    """A sentence of the library about its arguments in the words of the command line.

    >>> as_options("leave it out with drop=['id'], or say standardize=False (see validation_split=)")
    "leave it out with --drop 'id', or say --no-standardize (see --validation-split)"
    """

    def option(match: re.Match[str]) -> str:
        name, value = match[1].replace("_", "-"), match[2].strip("[]")
        if value in ("True", "False"):
            return f"--{name}" if value == "True" else f"--no-{name}"
        return f"--{name} {value}".rstrip()

    return _ARGUMENT.sub(option, text)


@contextlib.contextmanager
def in_options() -> Iterator[None]:
    """A block whose errors speak of options instead of arguments in Python."""
    try:
        yield
    except (ArgumentError, DataError, FileError) as error:
        raise type(error)(as_options(str(error))) from error


def table_task(path: str, *, binary: bool, **settings: Any) -> Task:
    """The task of a table, read with these arguments of `load_table`."""
    with in_options():
        table = load_table(path, **settings)
    if binary and (table.class_names is None or len(table.class_names) != 2):
        there = "a regression" if table.class_names is None else f"{len(table.class_names)} classes"
        raise ArgumentError(f"--binary tells two classes apart: the target {table.target!r} is {there}, leave it out")
    classes = len(table.class_names or ())
    scale = (lambda y: y) if table.target_scaling is None else table.target_scaling.scale
    fresh = (table.X, table.y) if table.validation is None else table.validation
    return Task(
        table.name,
        BINARY if binary else table.task,
        (table.X, scale(table.y)),
        fresh,
        1 if binary or not classes else classes,
        defaults_for(table),
        fresh_name="training" if table.validation is None else "validation",
        class_names=table.class_names,
        preprocessing=table.preprocessing,
        validation=None if table.validation is None else (fresh[0], scale(fresh[1])),
        notes=tuple(_notes(table)),
        target_scaling=table.target_scaling,
    )


def defaults_for(table: Table) -> Defaults:
    """Settings by the number of rows."""
    rows = len(table.X)
    batch_size = BATCH_SIZE if rows < LARGE else LARGE_BATCH_SIZE
    steps = -(-rows // batch_size)
    epochs = max(FEWEST_EPOCHS, STEPS // steps)
    return Defaults(
        learning_rate=0.001,
        decay=0.0,
        initial_weights=0.1,
        epochs=epochs,
        batch_size=batch_size,
        print_every=max(1, epochs // 10),
    )


def _notes(table: Table) -> list[str]:
    notes = list(map(as_options, table.notes))
    if (scaling := table.target_scaling) is not None:
        notes.append(
            f"scale: losses while training are those of (target - {scaling.mean:.6g}) / {scaling.standard_deviation:.6g}; the "
            "validation below and all predictions are in the target's own unit"
        )
    return notes
