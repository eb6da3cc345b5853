"""A table as it was read: columns of numbers and words, and where in the file each cell stands."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import ArgumentError, DataError, shown
from .cells import name_of, parse, word_of
from .spool import Growing, Spool, blocks

#: Codes of cells that hold no word.
NO_VALUE, NUMBER = -1, -2
#: The position of a cell in a list of names that it is not in.
UNKNOWN = -2

# A table with more is one whose line ends were lost.
MOST_COLUMNS = 100_000

# How many names an error lists.
LISTED = 12


@dataclass
class Column:
    """Numbers (NaN where there is none), and for columns that hold anything else a code for each cell: the index of its
    word in `words`, `NUMBER`, or `NO_VALUE`.
    """

    numbers: np.ndarray
    codes: np.ndarray | None = None
    words: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.numbers)

    def missing(self, rows: Any = slice(None)) -> np.ndarray:
        """Where there is no value, in some rows."""
        if self.codes is not None:
            return np.asarray(self.codes[rows] == NO_VALUE)
        numbers = self.numbers[rows]
        return np.isnan(numbers) if numbers.dtype.kind == "f" else np.zeros(len(numbers), bool)

    def is_word(self, rows: Any = slice(None)) -> np.ndarray:
        """Where there is a word, in some rows."""
        return np.zeros(len(self.numbers[rows]), bool) if self.codes is None else np.asarray(self.codes[rows] >= 0)

    def distinct(self) -> list[str]:
        """All its words, and its numbers as words: numbers in their order, then words in theirs."""
        numbers = np.unique(self.numbers)
        return [*map(name_of, numbers[np.isfinite(numbers)].tolist()), *sorted(self.words)]

    def positions(self, known: Sequence[str], rows: Any = slice(None)) -> np.ndarray:
        """For some rows the position of each cell in a list of names; `NO_VALUE`, or `UNKNOWN` for one not in it."""
        index = {name: position for position, name in enumerate(known)}
        numbers = self.numbers[rows]
        codes = np.where(self.missing(rows), NO_VALUE, NUMBER) if self.codes is None else self.codes[rows]
        table = [*(index.get(word, UNKNOWN) for word in self.words), UNKNOWN, NO_VALUE]
        found = np.array(table)[codes]
        if (where := codes == NUMBER).any():
            values, inverse = np.unique(numbers[where], return_inverse=True)
            found[where] = np.array([index.get(name_of(value), UNKNOWN) for value in values.tolist()])[inverse]
        return found

    def name_at(self, row: int) -> str:
        """What is in a cell."""
        code = NUMBER if self.codes is None else int(self.codes[row])
        return self.words[code] if code >= 0 else name_of(float(self.numbers[row]))


class ColumnBuilder:
    """A column that is read piece by piece."""

    def __init__(self, spool: Spool, *, as_words: bool, decimal_comma: bool = False) -> None:
        self.as_words, self._decimal_comma = as_words, decimal_comma
        self._numbers, self._codes, self._spool = Growing(np.float64, spool), Growing(np.int32, spool), spool
        self._words: dict[str, int] = {}
        self._memo: dict[str, tuple[float, int]] = {}
        self._length = 0
        self._codes_from: int | None = None

    def add_cells(self, cells: Sequence[str]) -> None:
        """Cells of text."""
        if not self.as_words:
            try:
                numbers = np.array([float(cell) for cell in cells])
            except ValueError:
                pass
            else:
                if "_" not in "".join(cells):  # which Python takes for digits
                    return self.add_numbers(numbers)
        pairs = [self._memo.get(cell) or self._look(cell) for cell in cells]
        return self._add(np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs], np.int32))

    def add_values(self, values: Iterable[Any]) -> None:
        """Values of Python: numbers, text as in a file, booleans as words, and None or NaN where there is none."""
        for value in values:
            if value is None or isinstance(value, (str, bool, np.bool_)):
                self.add_cells(["" if value is None else str(value)])
                continue
            try:
                self.add_numbers(np.array([float(value)]))
            except (TypeError, ValueError, OverflowError):
                raise DataError(
                    f"a value of {shown(value)} in a table: expected numbers, text, booleans or None"
                ) from None

    def add_numbers(self, numbers: np.ndarray) -> None:
        """Numbers, NaN where there is none."""
        if self.as_words:
            return self.add_words([None if value != value else name_of(value) for value in numbers.tolist()])
        return self._add(numbers, None)

    def add_words(self, words: Sequence[str | None]) -> None:
        """Words, None where there is none."""
        codes = [NO_VALUE if word is None else self._words.setdefault(word, len(self._words)) for word in words]
        self._add(np.full(len(codes), np.nan), np.array(codes, np.int32))

    def finish(self) -> Column:
        """The column."""
        numbers = self._numbers.finish()
        if self._codes_from is None:
            return Column(numbers)
        codes = Growing(np.int32, self._spool)
        for rows in blocks(self._codes_from, 1):  # codes begin with the first piece that needs them
            codes.append(np.where(np.isnan(numbers[rows]), NO_VALUE, NUMBER))
        later = self._codes.finish()
        for rows in blocks(len(later), 1):
            codes.append(later[rows])
        return Column(numbers, codes.finish(), tuple(self._words))

    def _look(self, cell: str) -> tuple[float, int]:
        value = word_of(cell) if self.as_words else parse(cell, decimal_comma=self._decimal_comma)
        if value is None:
            found = np.nan, NO_VALUE
        elif isinstance(value, str):
            found = np.nan, self._words.setdefault(value, len(self._words))
        else:
            found = value, NUMBER
        if len(self._memo) < 2**16:
            self._memo[cell] = found
        return found

    def _add(self, numbers: np.ndarray, codes: np.ndarray | None) -> None:
        self._numbers.append(numbers)
        if codes is None and self._codes_from is not None:
            codes = np.where(np.isnan(numbers), NO_VALUE, NUMBER)
        if codes is not None:
            if self._codes_from is None:
                self._codes_from = self._length
            self._codes.append(codes)
        self._length += len(numbers)


@dataclass
class Columns:
    """The columns of a file, in its order, by name."""

    source: str
    columns: dict[str, Column]
    #: Whether the names are those of a header; else they are column_1, column_2, ...
    named: bool = True
    #: The line of each row in a file of text.
    lines: np.ndarray | None = None
    #: All names that the file has, those of columns included that were not read.
    all_names: tuple[str, ...] = ()
    #: What there is to say about the file.
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def row(self, index: int) -> str:
        """What to call a row: `iris.csv, line 17`."""
        return (
            f"{self.source}, line {self.lines[index]}" if self.lines is not None else f"{self.source}, row {index + 1}"
        )

    def cell(self, index: int, name: str) -> str:
        """What to call a cell: `iris.csv, line 17, column 'sepal_length'`."""
        return f"{self.row(index)}, column {shown(name)}"


@dataclass(frozen=True)
class Chosen:
    """A column that is to be read."""

    position: int
    name: str
    as_words: bool = False


#: Given the names of a file and whether a header has them, says which columns are to be read.
Choose = Callable[[Sequence[str], bool], Iterable[Chosen]]


def numbered_names(count: int) -> list[str]:
    """The names of columns that have none."""
    return [f"column_{number}" for number in range(1, count + 1)]


def find_column(names: Sequence[str], asked: Any, *, option: str, source: str) -> str:
    """The name of the column that is asked for by name, or by number: 1 is the first, -1 the last.

    >>> find_column(["width", "kind"], "-1", option="target", source="a.csv")
    'kind'
    """
    if isinstance(asked, str) and asked in names:
        return asked
    try:
        number = int(asked)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or isinstance(asked, (bool, float)):
        raise ArgumentError(
            f"{option}={shown(asked)}: {source} has no column of that name; {nearest(str(asked), names)}"
        )
    if not (1 <= number <= len(names) or -len(names) <= number <= -1):
        raise ArgumentError(
            f"{option}={number}: {source} has {len(names)} columns, numbered from 1; or -1 for the last"
        )
    return names[number - 1 if number > 0 else number]


def nearest(name: str, names: Sequence[str], *, taken: Sequence[str] = ()) -> str:
    """The end of a sentence about an unknown column; those in `taken` are known to be something else."""
    free = [one for one in names if one not in taken]
    close = difflib.get_close_matches(name, free, n=1) or [n for n in free if n.lower() == name.lower()]
    hint = f"did you mean {close[0]!r}? It" if close else "it"
    return f"{hint} has {listed(names)}"


def listed(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(shown(name, 40).strip("'\"") for name in names[:LISTED]) + more


def check_names(names: Sequence[str], source: str) -> None:
    """Raise `DataError` for a name that two columns have."""
    if len(names) > MOST_COLUMNS:
        raise DataError(
            f"{source} has {len(names):,} columns: expected {MOST_COLUMNS:,} at most, and a row for each sample"
        )
    seen = dict[str, int]()
    for position, name in enumerate(names, 1):
        if name in seen:
            raise DataError(
                f"{source} has two columns of the name {shown(name, 40)}, {seen[name]} and {position}: give each its own"
            )
        seen[name] = position
