"""What is done to the columns of a table before a network sees them, learned from its training rows and kept in the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import DataError, shown
from .columns import NO_VALUE, UNKNOWN, Chosen, Column, Columns, listed, nearest
from .spool import Spool, blocks


@dataclass(frozen=True)
class Feature:
    """A column that the network learns from."""

    name: str
    #: Where it stands in the file of the training rows, for files without names.
    position: int
    #: The categories of a column of words, each an input of its own; None for numbers.
    categories: tuple[str, ...] | None = None
    #: Whether it was declared to be categorical, so that its numbers are words.
    as_words: bool = False

    @property
    def width(self) -> int:
        """How many inputs it becomes."""
        return 1 if self.categories is None else len(self.categories)


@dataclass(frozen=True)
class TargetColumn:
    """The column that the network is to find out."""

    name: str
    position: int
    #: The names of its classes; None for a regression.
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """Features with their fill values (for a category its position), and mean and standard deviation of each input."""

    features: tuple[Feature, ...]
    target: TargetColumn | None
    named: bool
    n_columns: int
    impute: str | None
    standardize: bool
    fill: np.ndarray
    mean: np.ndarray
    standard_deviation: np.ndarray

    @property
    def width(self) -> int:
        """How many inputs the network has."""
        return sum(feature.width for feature in self.features)

    def choose(self, names: Sequence[str], named: bool) -> list[Chosen]:
        """Which columns of a file to read: its features, and the target where it is there."""
        wanted: list[Any] = [*self.features, *([self.target] if self.target is not None else [])]
        if named and self.named:
            at = {name: position for position, name in enumerate(names)}
            there = [one for one in wanted if one.name in at]
            return [Chosen(at[one.name], one.name, getattr(one, "as_words", False)) for one in there]
        if len(names) == self.n_columns:  # without names, the columns are those of the file it learned from
            return [Chosen(one.position, names[one.position], getattr(one, "as_words", False)) for one in wanted]
        return [Chosen(i, name) for i, name in enumerate(names)]

    def find(self, columns: Columns) -> list[Column]:
        """The features' columns in a table: by name where both have names, else by their places."""
        if columns.named and self.named:
            return [columns.columns[name] for name in self._present(columns)]
        names = list(columns.all_names)
        if len(names) == self.n_columns:
            return [columns.columns[names[feature.position]] for feature in self.features]
        if len(names) == len(self.features):
            return [columns.columns[name] for name in names]
        target = f", or {self.n_columns} with all columns that it was trained on"
        target = target if self.n_columns != len(self.features) else ""
        why = (
            "has no line of names" if not columns.named else "has names, and the model knows its columns by place only"
        )
        raise DataError(
            f"{columns.source} has {len(names)} columns and {why}: expected the model's {len(self.features)} features{target}"
        )

    def _present(self, columns: Columns) -> list[str]:
        missing = [feature.name for feature in self.features if feature.name not in columns.columns]
        if missing:
            what = "column" if len(missing) == 1 else "columns"
            raise DataError(
                f"{columns.source}: no {what} {listed(missing)}, which the model needs: "
                f"{nearest(missing[0], list(columns.all_names), taken=[feature.name for feature in self.features])}"
            )
        return [feature.name for feature in self.features]

    def leaves_alone(self, n_columns: int) -> bool:
        """Whether a matrix of so many columns would be what it is before."""
        numbers = all(feature.categories is None for feature in self.features)
        return numbers and not self.standardize and self.impute is None and len(self.features) == n_columns

    def find_target(self, columns: Columns) -> Column | None:
        """The target's column in a table, None where it has none."""
        if self.target is None:
            return None
        if columns.named and self.named:
            return columns.columns.get(self.target.name)
        there = len(columns.all_names) == self.n_columns
        return columns.columns[columns.all_names[self.target.position]] if there else None

    def encode(self, columns: Columns, rows: np.ndarray, dtype: Any, spool: Spool) -> np.ndarray:
        """The inputs for some rows of a table, shape (rows, inputs). Raises `DataError`, which names the first bad cell."""
        found = self.find(columns)
        X = spool.empty((len(rows), self.width), dtype)
        largest = np.finfo(dtype).max
        for block in blocks(len(rows), self.width):
            values = self.encode_block(columns, found, rows[block])
            if self.standardize:
                values -= self.mean
                values /= self.standard_deviation
            if (np.abs(values) > largest).any():
                row, column = np.argwhere(np.abs(values) > largest)[0]
                name = self.feature_of(int(column)).name
                where = columns.cell(int(rows[block][row]), name)
                raise DataError(
                    f"{where}: a number too large for {np.dtype(dtype)}: rescale the column, or leave it out"
                )
            X[block] = values
        return X

    def encode_block(self, columns: Columns, found: Sequence[Column], rows: np.ndarray) -> np.ndarray:
        """The inputs for a few rows in float64, filled but not standardized."""
        values, at = np.zeros((len(rows), self.width)), 0
        for feature, column, fill in zip(self.features, found, self.fill, strict=True):
            if feature.categories is None:
                values[:, at] = self._numbers(columns, feature, column, fill, rows)
            else:
                positions = self._categories(columns, feature, column, fill, rows)
                values[np.arange(len(rows)), at + positions] = 1
            at += feature.width
        return values

    def feature_of(self, position: int) -> Feature:
        """The feature that an input belongs to."""
        ends = np.cumsum([feature.width for feature in self.features])
        return self.features[int(np.searchsorted(ends, position, side="right"))]

    def _numbers(self, columns: Columns, feature: Feature, column: Column, fill: float, rows: np.ndarray) -> np.ndarray:
        if (words := column.is_word(rows)).any():
            row = int(rows[np.argmax(words)])
            raise DataError(f"{columns.cell(row, feature.name)}: {shown(column.name_at(row))} is no number")
        values = column.numbers[rows].astype(np.float64)
        missing = np.isnan(values)
        if missing.any():
            self._check_missing(columns, feature, missing, rows)
            values[missing] = fill
        if (bad := np.isinf(values)).any():
            row = int(rows[np.argmax(bad)])
            raise DataError(f"{columns.cell(row, feature.name)}: {values[bad][0]} is no finite number")
        return values

    def _categories(
        self, columns: Columns, feature: Feature, column: Column, fill: float, rows: np.ndarray
    ) -> np.ndarray:
        known = feature.categories or ()
        positions = column.positions(known, rows)
        if (unknown := positions == UNKNOWN).any():
            row = int(rows[np.argmax(unknown)])
            raise DataError(
                f"{columns.cell(row, feature.name)}: {shown(column.name_at(row))} is a category that the model does not know: "
                f"expected one of {listed(known)}"
            )
        if (missing := positions == NO_VALUE).any():
            self._check_missing(columns, feature, missing, rows)
            positions[missing] = int(fill)
        return positions

    def _check_missing(self, columns: Columns, feature: Feature, missing: np.ndarray, rows: np.ndarray) -> None:
        if self.impute is None:
            row = int(rows[np.argmax(missing)])
            raise DataError(
                f"{columns.cell(row, feature.name)} has no value: the model was trained without impute=, so give it one or "
                "leave the row out"
            )


def learn_scale(preprocessing: Preprocessing, columns: Columns, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every input over some rows; 0 and 1 for categories, and 1 where nothing deviates."""
    found, width = preprocessing.find(columns), preprocessing.width
    parts = [rows[block] for block in blocks(len(rows), width)]
    mean = sum(preprocessing.encode_block(columns, found, part).sum(axis=0) for part in parts) / len(rows)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = sum(((preprocessing.encode_block(columns, found, part) - mean) ** 2).sum(axis=0) for part in parts)
        deviation = np.sqrt(squares / len(rows))
    for position in np.flatnonzero(~(np.isfinite(mean) & np.isfinite(deviation))):
        name = preprocessing.feature_of(int(position)).name
        raise DataError(
            f"{columns.source}, column {shown(name)} has numbers too large to be standardized: rescale them"
        )
    numbers = np.concatenate([[feature.categories is None] * feature.width for feature in preprocessing.features])
    # The mean of equal numbers may be rounded, and then they seem to deviate by that.
    constant = deviation <= 1e-13 * np.abs(mean)
    mean[constant] = preprocessing.encode_block(columns, found, rows[:1])[0, constant]
    return np.where(numbers, mean, 0.0), np.where(numbers & ~constant, deviation, 1.0)


def learn_fill(
    impute: str | None, features: Iterable[Feature], found: Sequence[Column], rows: np.ndarray
) -> np.ndarray:
    """What stands for missing values: mean, median or most frequent number over some rows; the most frequent category."""
    fill = []
    for feature, column in zip(features, found, strict=True):
        if impute is None:
            fill.append(0.0)
        elif feature.categories is not None:
            positions = column.positions(feature.categories, rows)
            fill.append(float(np.argmax(np.bincount(positions[positions >= 0], minlength=feature.width))))
        else:
            fill.append(_statistic(impute, column, rows))
    return np.array(fill)


def _statistic(impute: str, column: Column, rows: np.ndarray) -> float:
    values = column.numbers[rows].astype(np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0
    if impute == "mean":
        return float(np.mean(values))
    if impute == "median":
        return float(np.median(values))
    unique, counts = np.unique(values, return_counts=True)
    return float(unique[np.argmax(counts)])
