"""A table by its path: which reader takes it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...checks import path as checked_path
from ...errors import ArgumentError, shown
from .array_files import read_arrays
from .columns import Choose, Columns
from .csv_files import read_csv
from .parquet_files import read_parquet

TEXT, PARQUET, ARRAYS = (".csv", ".tsv"), (".parquet",), (".npz", ".npy")
ENDINGS = (*TEXT, *PARQUET, *ARRAYS)


@dataclass
class Source:
    """The columns of a file; for files of NumPy with the matrix of inputs that they are parts of."""

    columns: Columns
    matrix: np.ndarray | None = None


def is_table(path: Any) -> bool:
    """Whether a path ends as a table's does."""
    return os.path.splitext(os.fspath(path))[1].lower() in ENDINGS


def read_table(
    path: Any, choose: Choose, *, targets: Any = None, header: bool | None = None, known_names: Iterable[str] = ()
) -> Source:
    """The chosen columns of a table. Raises `ArgumentError`, `DataError`, `FileError`, and `StateError` without pyarrow."""
    path = checked_path("path", path)
    ending = os.path.splitext(path)[1].lower()
    if ending not in ENDINGS:
        raise ArgumentError(f"{path} does not end as a table does: expected {', '.join(ENDINGS)}")
    if targets is not None and ending not in ARRAYS:
        raise ArgumentError(
            f"targets={shown(targets)} goes with a .npy file: the target of {path} is a column, see target="
        )
    if header is not None and ending not in TEXT:
        raise ArgumentError(f"header={header} is for .csv files: {path} says itself what its columns are")
    if ending in TEXT:
        return Source(read_csv(path, choose, header=header, known_names=known_names))
    if ending in PARQUET:
        return Source(read_parquet(path, choose))
    columns, matrix = read_arrays(path, None if targets is None else checked_path("targets", targets), choose)
    return Source(columns, matrix)
