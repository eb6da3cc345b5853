"""Files of numbers: .npy, .npz and .csv, read without running anything in them, and predictions written as .csv."""

from __future__ import annotations

import array
import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.numpy_files import read_npy, read_npz
from ..errors import DataError, FileError, shown
from ..files import reading

ROWS = (".npy", ".csv")
SAMPLES = (".npz", ".csv")


def read_rows(path: Path) -> np.ndarray:
    """Inputs, a row for each sample, from a .npy or .csv file (a first line of names is passed over)."""
    rows = _read_csv(path) if path.suffix.lower() == ".csv" else read_npy(path)
    return rows[np.newaxis] if rows.ndim == 1 else rows


def read_samples(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets from a .npz file with arrays X and y, or a .csv file whose last column is the target."""
    if path.suffix.lower() == ".csv":
        rows = _read_csv(path)
        if rows.shape[1] < 2:
            raise FileError(f"{path} has one column: expected the inputs, and the target in the last column")
        return rows[:, :-1], _as_labels(rows[:, -1])
    X, y = read_npz(path, ("X", "y"))
    return X, y


def _as_labels(column: np.ndarray) -> np.ndarray:
    """Whole numbers as integers: a class index is one, and for a regression both mean the same."""
    with np.errstate(invalid="ignore"):
        whole = column.astype(np.int64)
    return whole if (whole == column).all() else column


def _read_csv(path: Path) -> np.ndarray:
    """The numbers of a .csv file, shape (lines, columns)."""
    numbers, width = array.array("d"), 0
    try:
        with reading(path), path.open(newline="", encoding="utf-8-sig") as file:
            for fields in (reader := csv.reader(file)):
                row = _numbers(fields, path, reader.line_num, names_allowed=not width and reader.line_num == 1)
                width = width or len(row)
                if row and len(row) != width:
                    raise FileError(
                        f"{path}, line {reader.line_num}: expected {width} numbers, as in the lines before, not {len(row)}"
                    )
                numbers.extend(row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path} is no text: expected lines of numbers with commas between them") from error
    if not width:
        raise FileError(f"{path} holds no numbers: expected a line of them for each sample")
    return np.array(numbers).reshape(-1, width)


def _numbers(fields: list[str], path: Path, line: int, *, names_allowed: bool) -> list[float]:
    """The numbers of a line; none for an empty line and for one of names."""
    if not any(field.strip() for field in fields):
        return []
    row = []
    for field in fields:
        try:
            row.append(float(field))
        except ValueError:
            if names_allowed:
                return []
            raise FileError(f"{path}, line {line}: {shown(field, 40)} is no number") from None
    return row


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
