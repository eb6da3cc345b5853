"""New rows for a model that learned from a table: the same preprocessing, applied."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import DataError, shown
from .columns import ColumnBuilder, Columns, numbered_names
from .preprocessing import Preprocessing
from .reading import read_table
from .spool import Spool
from .stored import from_document
from .target import target_values


def apply_preprocessing(
    preprocessing: Mapping[str, Any], rows: Any, *, header: bool | None = None, dtype: Any = np.float32
) -> np.ndarray:
    """New rows as inputs for a model, shape (rows, inputs): with `model.preprocessing`, as its training rows were treated.

    `rows` is the path of a table; or rows in memory: a list of dicts, a dict of columns or a data frame, whose columns are
    found by their names, in any order, others left aside; or an array whose columns are the features in their order.
    `header` says whether the first line of a .csv file has names; one that has the name of a feature does (None).
    Raises `DataError`, which names the cell, for a missing column, an unknown category, a word for a number, a value
    missing where the model has no `impute`, or preprocessing that is damaged.

    >>> import nnbackend as nn
    >>> with open("weather.csv", "w") as file:
    ...     _ = file.write("wind,sky,rain\\n1,clear,no\\n3,grey,yes\\n1,clear,no\\n3,grey,yes\\n")
    >>> table = nn.datasets.load_table("weather.csv")
    >>> nn.datasets.apply_preprocessing(table.preprocessing, [{"sky": "grey", "wind": 2}]).tolist()
    [[0.0, 0.0, 1.0]]
    """
    done = from_document(preprocessing)
    columns = read_rows(done, rows, header)
    return done.encode(columns, np.arange(len(columns)), dtype, Spool())


def labelled_rows(
    preprocessing: Mapping[str, Any],
    path: Any,
    *,
    targets: Any = None,
    header: bool | None = None,
    dtype: Any = np.float32,
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of a table for a model that learned from one. Raises `DataError` where the target is not there."""
    done = from_document(preprocessing)
    source = read_table(path, done.choose, targets=targets, header=header, known_names=_names(done))
    columns, column = source.columns, done.find_target(source.columns)
    done.find(columns)  # raises for columns that are not there, all of which are better named than the target alone
    if done.target is None or column is None:
        name = done.target.name if done.target is not None else "target"
        raise DataError(f"{columns.source} has no column {shown(name)}, the model's target: an evaluation needs it")
    y = target_values(columns, done.target.name, column, done.target.classes)
    return done.encode(columns, np.arange(len(columns)), dtype, Spool()), y


def read_rows(done: Preprocessing, rows: Any, header: bool | None = None) -> Columns:
    """Rows from wherever they are, as columns."""
    if isinstance(rows, (str, os.PathLike)):
        return read_table(rows, done.choose, header=header, known_names=_names(done)).columns
    if hasattr(type(rows), "columns") and hasattr(rows, "__getitem__"):  # a data frame
        return _from_mapping(done, {str(name): list(rows[name]) for name in rows.columns})
    if isinstance(rows, Mapping):
        return _from_mapping(done, rows)
    if isinstance(rows, (list, tuple)) and rows and all(isinstance(row, Mapping) for row in rows):
        names = list(dict.fromkeys(name for row in rows for name in row))
        return _from_mapping(done, {name: [row.get(name) for row in rows] for name in names})
    return _from_array(done, rows)


def _from_mapping(done: Preprocessing, columns: Mapping[Any, Sequence[Any]]) -> Columns:
    if not done.named:
        raise DataError(
            "the model knows its columns by place only, since its table had no names: expected an array of rows"
        )
    names = [str(name) for name in columns]
    read = {}
    for feature in done.features:
        if feature.name in columns:
            values = columns[feature.name]
            if isinstance(values, str) or not hasattr(values, "__len__"):
                raise DataError(
                    f"column {shown(feature.name)} holds {shown(values)}: expected a list, a value for each row"
                )
            read[feature.name] = (values, feature.as_words)
    lengths = {name: len(values) for name, (values, _) in read.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"the columns have {shown(lengths)} values: expected equally many in each")
    if lengths and not next(iter(lengths.values())):
        raise DataError("the rows are none: expected one or more")
    built = {name: _build(values, as_words) for name, (values, as_words) in read.items()}
    return Columns("the rows", built, True, None, tuple(names))


def _from_array(done: Preprocessing, rows: Any) -> Columns:
    try:
        values = np.asarray(rows)
    except ValueError as error:
        raise DataError(f"{shown(rows)} is no array of rows: {error}") from None
    if values.ndim != 2 or not values.size or values.shape[1] != len(done.features):
        raise DataError(
            f"rows of shape {values.shape}: expected two axes, (rows, {len(done.features)}), a column for each feature"
        )
    columns = {feature.name: _build(values[:, i].tolist(), feature.as_words) for i, feature in enumerate(done.features)}
    names = tuple(columns) if done.named else tuple(numbered_names(len(columns)))
    return Columns("the rows", dict(zip(names, columns.values(), strict=True)), done.named, None, names)


def _build(values: Sequence[Any], as_words: bool) -> Any:
    builder = ColumnBuilder(Spool(), as_words=as_words)
    builder.add_values(values)
    return builder.finish()


def _names(done: Preprocessing) -> list[str]:
    return [feature.name for feature in done.features] if done.named else []
