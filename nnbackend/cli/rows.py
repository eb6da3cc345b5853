"""Files of numbers: .npy, .npz and .csv, read without running anything in them, and predictions written as .csv."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, FileError

ROWS = (".npy", ".csv")
SAMPLES = (".npz", ".csv")


def read_rows(path: Path) -> np.ndarray:
    """Inputs, a row for each sample, from a .npy or .csv file (a first line of names is passed over)."""
    rows = _read_csv(path) if path.suffix.lower() == ".csv" else _load(path)
    if not isinstance(rows, np.ndarray):
        raise FileError(f"{path} is an archive of several arrays: expected one array, as numpy.save writes it")
    return rows[np.newaxis] if rows.ndim == 1 else rows


def read_samples(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets from a .npz file with arrays X and y, or a .csv file whose last column is the target."""
    if path.suffix.lower() == ".csv":
        rows = _read_csv(path)
        if rows.shape[1] < 2:
            raise FileError(f"{path} has one column: expected the inputs, and the target in the last column")
        return rows[:, :-1], _as_labels(rows[:, -1])
    arrays = _load(path)
    if isinstance(arrays, np.ndarray) or not {"X", "y"} <= arrays.keys():
        there = "one array without a name" if isinstance(arrays, np.ndarray) else ", ".join(sorted(arrays)) or "nothing"
        raise FileError(f"{path} holds {there}: expected X and y, as numpy.savez({path.name!r}, X=X, y=y) writes them")
    return arrays["X"], arrays["y"]


def _as_labels(column: np.ndarray) -> np.ndarray:
    """Whole numbers as integers: a class index is one, and for a regression both mean the same."""
    with np.errstate(invalid="ignore"):
        whole = column.astype(np.int64)
    return whole if (whole == column).all() else column


def _load(path: Path) -> Any:
    """An array, or a dict of arrays."""
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            return found if isinstance(found, np.ndarray) else dict(found)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or 'it is no file of NumPy'}") from error
    except (ValueError, EOFError, SyntaxError, KeyError, NotImplementedError, MemoryError, zipfile.BadZipFile) as error:
        raise FileError(
            f"{path} is damaged, or no file of numbers that NumPy wrote: expected {path.suffix} without objects in it"
        ) from error


def _read_csv(path: Path) -> np.ndarray:
    """The numbers of a .csv file, shape (lines, columns)."""
    rows: list[list[float]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for fields in (reader := csv.reader(file)):
                if row := _numbers(fields, path, reader.line_num, names_allowed=not rows and reader.line_num == 1):
                    rows.append(row)
                    if len(row) != len(rows[0]):
                        raise FileError(
                            f"{path}, line {reader.line_num}: {len(row)} values, but {len(rows[0])} in the lines before"
                        )
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path} is no text: expected lines of numbers with commas between them") from error
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
    if not rows:
        raise FileError(f"{path} holds no numbers: expected a line of them for each sample")
    return np.array(rows)


def _numbers(fields: list[str], path: Path, line: int, *, names_allowed: bool) -> list[float]:
    """The numbers of a line; none for an empty line and for one of names."""
    if not any(field.strip() for field in fields):
        return []
    try:
        return [float(field) for field in fields]
    except ValueError as error:
        if names_allowed:
            return []
        value = str(error).split(": ", 1)[-1]
        raise FileError(f"{path}, line {line}: {value} is no number") from None


def to_csv(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table as text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def numbers_only(rows: np.ndarray, path: Path) -> np.ndarray:
    """Rows of real numbers, or `DataError`."""
    if rows.dtype.kind not in "biuf":
        raise DataError(f"{path} holds values of {rows.dtype}: expected numbers")
    return rows
