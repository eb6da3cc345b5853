"""From the columns of a table to features: which are numbers, which are categories, and which cells are bad."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...errors import DataError, shown
from .cells import is_for_people
from .columns import Column, Columns, listed
from .preprocessing import Feature
from .spool import blocks

# In a column with at least this share of numbers a word is a bad cell; with fewer, the column holds categories.
MOSTLY = 0.9
# A column of words with more different ones is no feature, and so is one with another word in each of many rows.
MOST_CATEGORIES, MANY_ROWS = 1000, 20


@dataclass
class Found:
    """What a look at all cells of a column finds. Rows are -1 where there is none of the kind."""

    words: int = 0
    missing: int = 0
    first_word: int = -1
    first_missing: int = -1
    first_infinite: int = -1


def look(columns: Columns) -> dict[str, Found]:
    """Look at every cell, rows in blocks, so that a file that is mapped is read once."""
    found = {name: Found() for name in columns.columns}
    for rows in blocks(len(columns), len(columns.columns)):
        for name, column in columns.columns.items():
            _look_at(column, rows, found[name])
    return found


def _look_at(column: Column, rows: slice, found: Found) -> None:
    numbers = column.numbers[rows]
    if column.codes is not None:
        words = column.is_word(rows)
        found.words += int(words.sum())
        found.first_word = _first(found.first_word, words, rows)
    if numbers.dtype.kind == "f":
        missing = column.missing(rows)
        found.missing += int(missing.sum())
        found.first_missing = _first(found.first_missing, missing, rows)
        found.first_infinite = _first(found.first_infinite, np.isinf(numbers), rows)


def _first(before: int, where: np.ndarray, rows: slice) -> int:
    return before if before >= 0 or not where.any() else int(rows.start) + int(np.argmax(where))


def check_no_value_missing(columns: Columns, found: Mapping[str, Found], *, imputed: bool) -> None:
    """Raise `DataError` for columns without any value, and unless they are filled in, for missing values."""
    for name, one in found.items():
        if one.missing == len(columns):
            raise DataError(
                f"{columns.source}, column {shown(name)} has no value at all: leave it out with drop=[{shown(name)}]"
            )
    holes = {name: one for name, one in found.items() if one.missing}
    if imputed or not holes:
        return
    first = min(holes, key=lambda name: holes[name].first_missing)
    count, where = sum(one.missing for one in holes.values()), columns.cell(holes[first].first_missing, first)
    these = (
        f"it is the first of {count:,} missing values in {listed(list(holes))}" if count > 1 else "no other is missing"
    )
    raise DataError(
        f"{where} has no value, and {these}: fill them in with impute='median', or leave those rows out, or the column with "
        f"drop=[{shown(first)}]"
    )


def plan_features(columns: Columns, found: Mapping[str, Found], declared: frozenset[str], target: str) -> list[Feature]:
    """A feature for every column but the target. Raises `DataError` for a bad cell or too many categories."""
    position = {name: i for i, name in enumerate(columns.all_names)}
    features = []
    for name, column in columns.columns.items():
        if name == target:
            continue
        categories = None
        if name in declared or not is_numeric(columns, name, found[name]):
            categories = _categories(columns, name, column, found[name])
        features.append(Feature(name, position[name], categories, name in declared))
    return features


def is_numeric(columns: Columns, name: str, found: Found, *, target: bool = False) -> bool:
    """Whether a column holds numbers; a word or an infinity among them is a `DataError`, and so are numbers such as $1,234."""
    otherwise = "classes say task='classification'" if target else f"categories say categorical=[{shown(name)}]"
    present = len(columns) - found.missing
    column = columns.columns[name]
    if found.words and present - found.words < MOSTLY * present:
        if all(map(is_for_people, column.words)):
            word = shown(column.name_at(found.first_word), 40)
            raise DataError(
                f"{columns.cell(found.first_word, name)}: {word} is no number as it is written; write numbers such as 1234.5, "
                f"without currency, percent sign or thousands separator, or if the column holds {otherwise}"
            )
        return False
    if found.words:
        word = shown(column.name_at(found.first_word), 40)
        more = f" ({found.words:,} cells of the column are none)" if found.words > 1 else ""
        raise DataError(
            f"{columns.cell(found.first_word, name)}: {word} is no number{more}; repair it, or if the column holds {otherwise}"
        )
    if found.first_infinite >= 0:
        value = column.numbers[found.first_infinite]
        raise DataError(f"{columns.cell(found.first_infinite, name)}: {value} is no finite number: repair it")
    return True


def _categories(columns: Columns, name: str, column: Column, found: Found) -> tuple[str, ...]:
    categories, present = column.distinct(), len(columns) - found.missing
    if len(categories) > MOST_CATEGORIES or (len(categories) == present and present >= MANY_ROWS):
        example = shown(categories[0], 40)
        each = ", one in each row" if len(categories) == present else ""
        raise DataError(
            f"{columns.source}, column {shown(name)} has {len(categories):,} different words such as {example}{each}, too many "
            f"to learn from: leave it out with drop=[{shown(name)}]"
        )
    return tuple(categories)
