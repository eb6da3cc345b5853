"""The column to be found out: whether it holds classes or numbers, and its values as a loss takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...activations import Linear
from ...checks import positive
from ...errors import ArgumentError, DataError, shown
from ...layers import Dense
from ...metrics import RegressionAccuracy
from .columns import NO_VALUE, UNKNOWN, Column, Columns, listed
from .plan import MOST_CATEGORIES, Found, is_numeric

TASKS = ("classification", "regression")
# Whole numbers are classes where there are no more different ones than these, each of them twice on average.
MOST_CLASSES = 20


@dataclass(frozen=True)
class Decision:
    """Whether a target holds classes, and why."""

    task: str
    classes: tuple[str, ...] | None
    why: str


def decide(columns: Columns, name: str, found: Found, task: str) -> Decision:
    """Classes or numbers, as `task` says or by the values. Raises `DataError` where that cannot be."""
    column = columns.columns[name]
    if found.missing:
        _refuse_missing(columns, name, found)
    numeric = task != "classification" and is_numeric(columns, name, found, target=True)
    if task == "regression" and not numeric:
        word = shown(column.name_at(found.first_word), 40)
        raise DataError(f"{columns.cell(found.first_word, name)}: {word} is no number, and a regression needs numbers")
    distinct = column.distinct()
    if len(distinct) == 1:
        raise DataError(
            f"{columns.source}, column {shown(name)} is {shown(distinct[0], 40)} in every row: a target needs two "
            "different values; choose another column with target="
        )
    if task != "auto":
        return _decided(columns, name, task, distinct, "as task= says")
    if not numeric:
        return _decided(columns, name, "classification", distinct, f"it holds {len(distinct)} different words")
    whole = all("." not in value and "e" not in value for value in distinct)
    if whole and len(distinct) <= min(MOST_CLASSES, len(columns) // 2):
        why = f"it holds {len(distinct)} different whole numbers"
        return _decided(columns, name, "classification", distinct, why)
    why = f"it holds {len(distinct):,} different numbers"
    return _decided(columns, name, "regression", distinct, why if whole else f"{why}, not all whole")


def _decided(columns: Columns, name: str, task: str, distinct: list[str], why: str) -> Decision:
    if task == "regression":
        return Decision(task, None, why)
    if len(distinct) > MOST_CATEGORIES:
        raise DataError(
            f"{columns.source}, column {shown(name)} has {len(distinct):,} different values, too many for classes: choose "
            "another column with target=, or say task='regression' for numbers"
        )
    return Decision(task, tuple(distinct), why)


def _refuse_missing(columns: Columns, name: str, found: Found) -> None:
    count = f", and {found.missing - 1:,} more rows neither" if found.missing > 1 else ""
    raise DataError(
        f"{columns.cell(found.first_missing, name)} has no value{count}: it is the target, which is never filled in; leave such "
        "rows out"
    )


def target_values(columns: Columns, name: str, column: Column, classes: tuple[str, ...] | None) -> np.ndarray:
    """Class indices, or float64 numbers. Raises `DataError` for an unknown class, a word, or no value."""
    if classes is None:
        for bad, what in (
            (column.is_word(), "no number"),
            (column.missing(), "no value"),
            (_infinite(column), "infinite"),
        ):
            if bad.any():
                row = int(np.argmax(bad))
                cell = f"{columns.cell(row, name)}, the target"
                raise DataError(
                    f"{cell}, has no value" if what == "no value" else f"{cell}: {column.name_at(row)} is {what}"
                )
        return np.asarray(column.numbers, np.float64)
    positions = column.positions(classes)
    for code, what in ((NO_VALUE, "has no value"), (UNKNOWN, "")):
        if (bad := positions == code).any():
            row = int(np.argmax(bad))
            cell = f"{columns.cell(row, name)}, the target,"
            what = what or f"is {shown(column.name_at(row))}, a class that the model does not know"
            raise DataError(f"{cell} {what}: expected one of {listed(classes)}")
    return positions.astype(np.int64)


def _infinite(column: Column) -> np.ndarray:
    return np.isinf(column.numbers)


class TargetScaling:
    """Mean and standard deviation of a regression's targets, and the two things that are done with them.

    A network learns numbers of order 1 best, and its user wants predictions in the target's own unit. So it is trained on
    `scale(y)`, and `fold_into(model)` then multiplies the scale into its last `Dense` layer.

    >>> import numpy as np
    >>> import nnbackend as nn
    >>> scaling = nn.datasets.TargetScaling(mean=100.0, standard_deviation=20.0)
    >>> scaling.scale(np.array([100.0, 140.0])).tolist()
    [0.0, 2.0]
    >>> model = nn.Model([nn.Dense(1, 1, weight_initializer=nn.Zeros())])
    >>> scaling.fold_into(model)
    >>> model.predict([[5.0]]).tolist()
    [[100.0]]
    """

    def __init__(self, mean: float, standard_deviation: float) -> None:
        self.mean = float(mean)
        self.standard_deviation = positive("standard_deviation", standard_deviation)

    @classmethod
    def of(cls, y: np.ndarray) -> TargetScaling:
        """Those of some targets. Raises `DataError` where they are all the same or too large."""
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = float(np.mean(y)), float(np.std(y))
        if not (np.isfinite(mean) and np.isfinite(deviation)):
            raise DataError("the targets are too large to be standardized: rescale them, or say standardize=False")
        return cls(mean, deviation if deviation > 1e-13 * abs(mean) else 1.0)

    def scale(self, y: Any) -> np.ndarray:
        """(y - mean) / standard deviation"""
        return (np.asarray(y, np.float64) - self.mean) / self.standard_deviation

    def fold_into(self, model: Any) -> None:
        """Let a model that learned `scale(y)` give y: weights · deviation, and biases · deviation + mean, in its last layer.

        Raises `ArgumentError` for a model whose last layer, but for a `Linear`, is no `Dense`.
        """
        layers = [layer for layer in model.layers if not isinstance(layer, Linear)]
        if not layers or not isinstance(layers[-1], Dense):
            what = repr(layers[-1]) if layers else "none"
            raise ArgumentError(f"the last layer is {what}: expected a Dense, which a scale can be multiplied into")
        model.finalize()
        xp, last = model.xp, layers[-1]
        last.weights = xp.asarray(xp.to_host(last.weights) * self.standard_deviation)
        last.biases = xp.asarray(xp.to_host(last.biases) * self.standard_deviation + self.mean)
        if isinstance(accuracy := model.built.accuracy, RegressionAccuracy) and accuracy.precision is not None:
            accuracy.precision *= self.standard_deviation
            accuracy.place(xp)

    def __repr__(self) -> str:
        return f"TargetScaling(mean={self.mean:g}, standard_deviation={self.standard_deviation:g})"
