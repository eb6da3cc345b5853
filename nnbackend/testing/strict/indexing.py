"""Indexing, with an error where a GPU would go on with a wrong result.

CuPy wraps an index that is out of range and leaves undefined which of two writes to the same element wins. NumPy
notices the first and has a rule for the second, so code that relies on either would differ on a GPU, unseen.

The functions here work on NumPy arrays: they are what a compiled step replays, so a replay is checked as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...errors import DataError


def read(raw: np.ndarray, index: Any) -> Any:
    """raw[index]"""
    try:
        return raw[index]
    except IndexError as error:
        raise IndexError(_wrapped(error)) from None


def write(raw: np.ndarray, index: Any, value: Any) -> None:
    """raw[index] = value"""
    if has_duplicates(raw.shape, index):
        raise DataError(
            f"an index array of {_index_size(index)} elements names an element of an array of shape {raw.shape} twice in an "
            "assignment: on a GPU any of the two writes may win"
        )
    if isinstance(value, np.ndarray) and np.shares_memory(raw, value):
        _refuse_overlap(raw, raw[index], value)
    try:
        raw[index] = value
    except IndexError as error:
        raise IndexError(_wrapped(error)) from None


def take(raw: np.ndarray, indices: Any, axis: int | None = None, *, out: np.ndarray | None = None) -> Any:
    """np.take, with CuPy's demands on `out`."""
    if out is not None and out.dtype != raw.dtype:
        raise TypeError(f"take: out has dtype {out.dtype}, CuPy wants that of the array, {raw.dtype}")
    try:
        return np.take(raw, indices, axis=axis, out=out)
    except np.exceptions.AxisError:
        raise
    except IndexError as error:
        raise IndexError(_wrapped(error)) from None


def take_along_axis(raw: np.ndarray, indices: np.ndarray, axis: int | None = -1) -> Any:
    """np.take_along_axis"""
    try:
        return np.take_along_axis(raw, indices, axis)
    except np.exceptions.AxisError:
        raise
    except IndexError as error:
        raise IndexError(_wrapped(error)) from None


def has_duplicates(shape: tuple[int, ...], index: Any) -> bool:
    """Whether index arrays name an element twice. Slices never do, so only the axes with index arrays count."""
    if not shape:
        return False
    positions: Any = 0
    for axis, indices in _index_arrays(len(shape), index):
        positions = positions * shape[axis] + np.where(indices < 0, indices + shape[axis], indices)
    if np.size(positions) < 2:
        return False
    ordered = np.sort(positions, axis=None)
    return bool((ordered[1:] == ordered[:-1]).any())


def _index_arrays(dimensions: int, index: Any) -> Iterator[tuple[int, np.ndarray]]:
    """The integer arrays in an index, each with the axis it selects from."""
    items = index if isinstance(index, tuple) else (index,)
    used = sum(_axes_used(item) for item in items)
    axis = 0
    for item in items:
        if isinstance(item, np.ndarray) and item.dtype.kind in "iu":
            yield min(axis, dimensions - 1), item
        axis += dimensions - used if item is Ellipsis else _axes_used(item)


def _axes_used(item: Any) -> int:
    if item is None or item is Ellipsis:
        return 0
    return item.ndim if isinstance(item, np.ndarray) and item.dtype.kind == "b" else 1


def _index_size(index: Any) -> int:
    items = index if isinstance(index, tuple) else (index,)
    return max(item.size for item in items if isinstance(item, np.ndarray))


def _refuse_overlap(raw: np.ndarray, target: Any, value: np.ndarray) -> None:
    """Refuse an assignment whose source may be overwritten before it is read.

    CuPy copies the source first, except where it moves one contiguous block or scatters through index arrays; the
    latter is seen by `target`, which is raw[index], being no view.
    """
    if not isinstance(target, np.ndarray):
        return
    scattered = not np.shares_memory(target, raw)
    one_block = target.flags.c_contiguous and (target.dtype, target.strides) == (value.dtype, value.strides)
    shifted = target.ctypes.data != value.ctypes.data and np.shares_memory(target, value)
    if scattered or (one_block and shifted):
        raise DataError(
            f"an assignment to {target.size} elements reads from memory that it overwrites: a GPU may read the new values; "
            "copy the source first"
        )


def _wrapped(error: IndexError) -> str:
    return f"{error}; a GPU would not notice and use another element: check indices on the host"
