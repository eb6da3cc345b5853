"""Tables in NumPy's files: a .npz file with X and y, or .npy files, which are mapped into memory and not read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ...errors import ArgumentError, DataError, shown
from ...files import reading
from ..numpy_files import npy_header, npz_names, read_npy, read_npz
from ..zipped import Zip
from .cells import word_of
from .columns import Choose, Column, Columns, numbered_names

TARGET = "y"


def read_arrays(path: str, targets: str | None, choose: Choose) -> tuple[Columns, np.ndarray]:
    """The columns of X and, behind them, `y` where there are targets, with X itself."""
    X, y = _samples(path) if path.lower().endswith(".npz") else (mapped(path), None)
    if targets is not None:
        if y is not None:
            raise ArgumentError(
                f"targets={shown(targets)} goes with a .npy file: {path} holds its targets, leave it out"
            )
        y = mapped(targets)
    name = os.path.basename(path)
    X = _matrix(X, name)
    names = numbered_names(X.shape[1])
    if y is not None:
        y = _vector(y, len(X), os.path.basename(targets or path))
        names.append(TARGET)
    columns: dict[str, Column] = {}
    for one in choose(names, False):
        if y is not None and one.position == X.shape[1]:
            columns[one.name] = _words(y) if one.as_words or y.dtype.kind == "b" else Column(y)
        else:
            values = X[:, one.position]
            columns[one.name] = _words(values) if one.as_words else Column(values)
    return Columns(name, columns, False, None, tuple(names)), X


def mapped(path: str) -> np.ndarray:
    """The array of a .npy file, mapped into memory where its numbers follow in rows."""
    if not path.lower().endswith(".npy"):
        raise ArgumentError(f"{path} does not end in .npy: expected one array, as numpy.save writes it")
    with reading(path), open(path, "rb") as file:
        header = npy_header(file, path)
        whole = os.fstat(file.fileno()).st_size - header.offset == header.nbytes
    if (
        not whole or not header.nbytes or header.fortran_order
    ):  # which is damaged, has nothing to map, or goes by columns
        return read_npy(Path(path))
    return np.memmap(path, header.dtype, "r", header.offset, header.shape)


def _samples(path: str) -> tuple[np.ndarray, np.ndarray | None]:
    with Zip(path) as archive:
        names = npz_names(archive)
    if TARGET in names or "X" not in names:
        X, y = read_npz(Path(path), ("X", TARGET))
        return X, y
    return read_npz(Path(path), ("X",))[0], None


def _matrix(X: np.ndarray, name: str) -> np.ndarray:
    if X.ndim != 2:
        hint = "; for one feature a sample, save X.reshape(-1, 1)" if X.ndim == 1 else ""
        hint = "; for images, save X.reshape(len(X), -1)" if X.ndim > 2 else hint
        raise DataError(f"{name} has X of shape {X.shape}: expected two axes, (samples, features){hint}")
    if not X.shape[0] or not X.shape[1]:
        raise DataError(f"{name} has X of shape {X.shape}: expected at least one sample and one feature")
    return X


def _vector(y: np.ndarray, n: int, name: str) -> np.ndarray:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y.reshape(-1)
    if y.ndim != 1:
        hint = "; for one-hot rows, save y.argmax(axis=1)" if y.ndim == 2 else ""
        raise DataError(f"{name} has targets of shape {y.shape}: expected one axis, (samples,){hint}")
    if len(y) != n:
        raise DataError(f"{name} has {len(y):,} targets for {n:,} samples: expected one for each")
    return y


def _words(values: np.ndarray) -> Column:
    unique, inverse = np.unique(values, return_inverse=True)
    known: dict[str, int] = {}
    words = [word_of(str(value)) for value in unique.tolist()]
    codes = [-1 if word is None else known.setdefault(word, len(known)) for word in words]
    return Column(np.full(len(values), np.nan), np.array(codes, np.int32)[inverse], tuple(known))
