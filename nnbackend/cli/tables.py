"""A table of the user's own as a task: what it asks of a network, and settings that suit its size."""

from __future__ import annotations

from typing import Any

from ..datasets import Table, load_table
from ..errors import ArgumentError
from .tasks import Defaults, Task

# Tried on scikit-learn's iris, wine, breast cancer, diabetes and digits (docs/own-data.md): about this many steps with Adam
# at 0.001 learn them, more or larger networks begin to learn their noise; large tables get more.
STEPS, FEWEST_EPOCHS = 1000, 10
BATCH_SIZE, LARGE_BATCH_SIZE, LARGE = 32, 128, 10_000


def table_task(path: str, *, binary: bool, **settings: Any) -> Task:
    """The task of a table, read with these arguments of `load_table`."""
    table = load_table(path, **settings)
    if binary and (table.class_names is None or len(table.class_names) != 2):
        there = "a regression" if table.class_names is None else f"{len(table.class_names)} classes"
        raise ArgumentError(f"--binary tells two classes apart: the target {table.target!r} is {there}, leave it out")
    classes = len(table.class_names or ())
    scale = (lambda y: y) if table.target_scaling is None else table.target_scaling.scale
    fresh = (table.X, table.y) if table.validation is None else table.validation
    return Task(
        table.name,
        "binary classification" if binary else table.task,
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
    notes = list(table.notes)
    if (scaling := table.target_scaling) is not None:
        notes.append(
            f"scale: losses while training are those of (target - {scaling.mean:.6g}) / {scaling.standard_deviation:.6g}; the "
            "validation below and all predictions are in the target's own unit"
        )
    return notes
