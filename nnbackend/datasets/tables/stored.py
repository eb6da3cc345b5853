"""Preprocessing as `model.preprocessing` keeps it: JSON under `table`, and three arrays. What a file says is checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import DataError, shown
from .preprocessing import Feature, Preprocessing, TargetColumn

VERSION = 1
IMPUTES = ("mean", "median", "most-frequent")
ARRAYS = ("fill", "mean", "standard_deviation")


def to_document(done: Preprocessing) -> dict[str, Any]:
    """What `model.preprocessing` is given."""
    target = done.target and {
        "name": done.target.name,
        "position": done.target.position,
        "classes": None if done.target.classes is None else list(done.target.classes),
    }
    features = [
        {
            "name": feature.name,
            "position": feature.position,
            "categories": None if feature.categories is None else list(feature.categories),
            "as_words": feature.as_words,
        }
        for feature in done.features
    ]
    table = {
        "version": VERSION,
        "features": features,
        "target": target,
        "header": done.named,
        "columns": done.n_columns,
        "impute": done.impute,
        "standardize": done.standardize,
    }
    return {"table": table, **{name: getattr(done, name) for name in ARRAYS}}


def has_table(preprocessing: Any) -> bool:
    """Whether a model was trained on a table."""
    return isinstance(preprocessing, Mapping) and "table" in preprocessing


def from_document(preprocessing: Any) -> Preprocessing:
    """The inverse of `to_document`, or `DataError` for what is none: a file may say anything."""
    if not has_table(preprocessing):
        raise DataError(
            "the model has no preprocessing of a table: it was not trained on one, so give it rows of numbers"
        )
    table = preprocessing["table"]
    _expect(isinstance(table, Mapping), "table", table, "an object")
    if type(table.get("version")) is int and table["version"] > VERSION:
        raise DataError(
            f"its preprocessing has version {shown(table['version'], 20)}, and this nnbackend knows {VERSION}: install a newer "
            "nnbackend"
        )
    _expect(table.get("version") == VERSION, "version", table.get("version"), str(VERSION))
    count = table.get("columns")
    _expect(type(count) is int and 0 < count < 2**31, "columns", count, "a whole number above 0 and below 2^31")
    entries = table.get("features")
    _expect(isinstance(entries, list) and 0 < len(entries) <= count, "features", entries, "a list of columns")
    features = tuple(_feature(entry, count) for entry in entries)
    _expect(len({f.name for f in features}) == len(features), "features", "", "names that differ")
    for name in ("header", "standardize"):
        _expect(type(table.get(name)) is bool, name, table.get(name), "true or false")
    impute = table.get("impute")
    _expect(impute is None or impute in IMPUTES, "impute", impute, "null or a statistic")
    width = sum(feature.width for feature in features)
    fill = _numbers(preprocessing, "fill", len(features))
    for feature, value in zip(features, fill, strict=True):
        if feature.categories is not None:
            _expect(value == int(value) and 0 <= value < feature.width, "fill", value, "the position of a category")
    deviation = _numbers(preprocessing, "standard_deviation", width)
    _expect(bool((deviation > 0).all()), "standard_deviation", deviation, "numbers above 0")
    target = _target(table.get("target"), count)
    mean = _numbers(preprocessing, "mean", width)
    return Preprocessing(features, target, table["header"], count, impute, table["standardize"], fill, mean, deviation)


def _expect(good: bool, what: str, value: Any, expected: str) -> None:
    if not good:
        raise DataError(f"its preprocessing is damaged: {what} is {shown(value)}, expected {expected}")


def _place(entry: Mapping[str, Any], count: int) -> tuple[str, int]:
    name, position = entry.get("name"), entry.get("position")
    _expect(isinstance(name, str), "a column's name", name, "text")
    _expect(type(position) is int and 0 <= position < count, "a column's position", position, f"0 to {count - 1}")
    return str(name), int(position)  # type: ignore[arg-type]


def _words(value: Any, what: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    good = isinstance(value, list) and len(value) > 0 and all(isinstance(word, str) for word in value)
    _expect(good and len(set(value)) == len(value), what, value, "a list of different words")
    return tuple(value)


def _feature(entry: Any, count: int) -> Feature:
    _expect(isinstance(entry, Mapping), "a feature", entry, "an object")
    as_words = entry.get("as_words")
    _expect(type(as_words) is bool, "as_words", as_words, "true or false")
    return Feature(*_place(entry, count), _words(entry.get("categories"), "categories"), as_words)


def _target(entry: Any, count: int) -> TargetColumn | None:
    if entry is None:
        return None
    _expect(isinstance(entry, Mapping), "target", entry, "an object")
    return TargetColumn(*_place(entry, count), _words(entry.get("classes"), "classes"))


def _numbers(preprocessing: Mapping[str, Any], name: str, count: int) -> np.ndarray:
    values = preprocessing.get(name)
    good = isinstance(values, np.ndarray) and values.dtype.kind == "f" and values.shape == (count,)
    _expect(good and bool(np.isfinite(values).all()), name, values, f"{count} finite numbers")  # type: ignore[arg-type]
    return np.asarray(values, np.float64)
