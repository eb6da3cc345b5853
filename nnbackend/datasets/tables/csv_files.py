"""Tables in files of text: values with commas, semicolons, tabs or bars between them.

Python's own `csv` reads them, with and without pyarrow: a million lines of six columns take it about four seconds, less
than any training on them, and it knows the line that each row begins on, which an error names.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

import numpy as np

from ...errors import DataError, FileError, shown
from ...files import reading
from .cells import MISSING, is_number
from .columns import Choose, Chosen, ColumnBuilder, Columns, check_names, numbered_names
from .spool import Growing, Spool

# What may stand between values. A comma comes last, for with the others it may be that of a decimal number.
DELIMITERS = "\t;|,"
# Rows that are looked at to find out what a file is like, and that are turned into columns at a time.
LOOKED_AT, AT_A_TIME = 50, 20_000

Row = tuple[int, list[str]]


def read_csv(path: str, choose: Choose, *, header: bool | None = None, known_names: Iterable[str] = ()) -> Columns:
    """The chosen columns of a file. `header` says whether its first line has names; None finds out.

    A first line that has one of `known_names` has names. Raises `FileError` and `DataError`, with the line.
    """
    name = os.path.basename(path)
    encoding, notes = encoding_of(path)
    try:
        with reading(path), open(path, newline="", encoding=encoding) as file:
            return _read(file, name, choose, header, frozenset(known_names), notes)
    except csv.Error as error:
        raise FileError(f"{name} is no table: {error}; expected lines of values with commas between them") from error


def encoding_of(path: str) -> tuple[str, list[str]]:
    """How the letters of a file are written: UTF-8, UTF-16 as spreadsheets write it, else Latin-1, which is said."""
    decoder, utf8 = codecs.getincrementaldecoder("utf-8")(), True
    with reading(path), open(path, "rb") as file:
        start = file.read(4)
        if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16", []
        file.seek(0)
        while piece := file.read(2**20):
            if b"\0" in piece:
                raise FileError(f"{path} is no text: expected lines of values with commas between them")
            try:
                utf8 = utf8 and decoder.decode(piece) is not None
            except UnicodeDecodeError:
                utf8 = False
        utf8 = utf8 and not decoder.getstate()[0]
    return ("utf-8-sig", []) if utf8 else ("latin-1", ["letters are read as Latin-1, since the file is no UTF-8"])


def _read(
    file: TextIO, source: str, choose: Choose, header: bool | None, known: frozenset[str], notes: list[str]
) -> Columns:
    delimiter = _delimiter(file)
    rows = _rows(file, delimiter, source)
    looked_at = list(itertools.islice(rows, LOOKED_AT))
    if not looked_at:
        raise DataError(f"{source} is empty: expected a line of names and a line for each sample")
    first = [cell.strip() for cell in looked_at[0][1]]
    if header is None:
        header = bool(known & set(first)) or has_header([row for _, row in looked_at])
    names, named = (_names(first), True) if header else (numbered_names(len(first)), False)
    check_names(names, source)
    body = itertools.chain(looked_at[1:] if header else looked_at, rows)
    empty = {i for i, cell in enumerate(first) if header and not cell and _is_nothing(looked_at[1:], i)}
    chosen = list(choose([name for i, name in enumerate(names) if i not in empty], named))
    position = {name: i for i, name in enumerate(names)}
    chosen = [Chosen(position[one.name], one.name, one.as_words) for one in chosen]
    columns, lines = _collect(body, chosen, len(names), source, delimiter)
    if not len(lines):
        raise DataError(f"{source} has no rows below its line of names: expected one for each sample")
    if empty:
        notes = [*notes, "a last column without name and values is left out"]
    kept = tuple(name for i, name in enumerate(names) if i not in empty)
    return Columns(source, columns, named, lines, kept, notes)


def _collect(
    rows: Iterator[Row] | itertools.chain[Row], chosen: Sequence[Chosen], width: int, source: str, delimiter: str
) -> tuple[dict[str, Any], np.ndarray]:
    spool = Spool()
    lines = Growing(np.int64, spool)
    builders = [ColumnBuilder(spool, as_words=column.as_words, decimal_comma=delimiter == ";") for column in chosen]
    while some := list(itertools.islice(rows, AT_A_TIME)):
        for line, row in some:
            if len(row) != width:
                values = "value" if len(row) == 1 else "values"
                raise DataError(
                    f"{source}, line {line}: {len(row)} {values}, but the first line has {width}; quote a value that has a "
                    f"{_called(delimiter)} in it"
                )
        lines.append(np.array([line for line, _ in some]))
        turned = list(zip(*(row for _, row in some), strict=True))
        for builder, column in zip(builders, chosen, strict=True):
            builder.add_cells(turned[column.position])
    columns = {column.name: builder.finish() for column, builder in zip(chosen, builders, strict=True)}
    return columns, lines.finish()


def _rows(file: TextIO, delimiter: str, source: str) -> Iterator[Row]:
    """(line, values) of every row that is not empty, with the line that it begins on."""
    reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = str(error)
            if "unexpected end" in reason:
                reason = "a quotation mark is opened here and never closed"
            raise FileError(f"{source}, line {line} is no line of a table: {reason}") from error
        except UnicodeError as error:
            raise FileError(f"{source}, line {line} is no text: {error}") from error
        if row and (row[0].strip() or any(cell.strip() for cell in row)):
            yield line, row


def _delimiter(file: TextIO) -> str:
    """What stands between the values, by the first lines: what gives all of them equally many values, more than one."""
    try:
        sample = [line for line in itertools.islice(file, LOOKED_AT) if line.strip()]
    except UnicodeError as error:
        raise FileError(f"{os.path.basename(file.name)} is no text: {error}") from error
    file.seek(0)
    found = [(delimiter, _counts(sample, delimiter)) for delimiter in DELIMITERS]
    for delimiter, counts in found:
        if counts and counts[0] > 1 and len(set(counts)) == 1:
            return delimiter
    return max(found[::-1], key=lambda one: one[1][0] if one[1] else 0)[0]


def _counts(lines: Sequence[str], delimiter: str) -> list[int]:
    try:
        return [len(row) for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)]
    except csv.Error:
        return []


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first line has names: no numbers, or a word above numbers only, or the numbers 0, 1, 2, ... of pandas.

    >>> has_header([["5.1", "3.5", "setosa"], ["4.9", "3.0", "setosa"]]), has_header([["a", "2001"], ["1", "2"]])
    (False, True)
    """
    first, later = rows[0], rows[1:]
    if not any(is_number(cell) for cell in first):
        return any(cell.strip().lower() not in MISSING for cell in first)
    if len(first) > 1 and [cell.strip() for cell in first] == [str(i) for i in range(len(first))]:
        return True
    for i, cell in enumerate(first):
        below = [row[i] for row in later if len(row) > i and row[i].strip().lower() not in MISSING]
        is_word = cell.strip().lower() not in MISSING and not is_number(cell)
        if is_word and below and all(is_number(value) for value in below):
            return True
    return False


def _names(first: Sequence[str]) -> list[str]:
    numbered = numbered_names(len(first))
    return [cell or number for cell, number in zip(first, numbered, strict=True)]


def _is_nothing(rows: Sequence[Row], position: int) -> bool:
    """Whether a column has no values, as behind a delimiter at the end of every line."""
    return all(len(row) <= position or not row[position].strip() for _, row in rows)


def _called(delimiter: str) -> str:
    return {"\t": "tab", ";": "semicolon", "|": "bar", ",": "comma"}.get(delimiter, shown(delimiter))
