"""Moving values within memory: batches, counters, records.

An index outside the data, which the reference refuses, never reads foreign memory: its row is filled with NaN or -1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compile import Step, loop
from .plan import fast, flat


@loop(writes="out")
def fill_loop(value: Any, out: Any) -> None:
    """out = value"""
    for i in range(out.size):
        out[i] = value


def zeroed(array: np.ndarray) -> Step:
    """The step that fills an array with zeros, before others add to it."""
    return Step(fill_loop, (0.0, *flat(array)))


@loop(writes="out")
def join_loop(parts: Any, out: Any) -> None:
    """out += the sum of the rows of parts, in their order"""
    for i in range(parts.shape[0]):
        for j in range(out.size):
            out[j] += parts[i, j]


@loop(writes="out")
def transpose_loop(matrix: Any, out: Any) -> None:
    """out = matrixᵀ"""
    rows, columns = matrix.shape
    for i in range(rows):
        for j in range(columns):
            out[j, i] = matrix[i, j]


@loop(writes="out")
def convert_loop(values: Any, out: Any) -> None:
    """out = values, converted to out's dtype"""
    for i in range(out.size):
        out[i] = values[i]


@loop(writes="state")
def advance_loop(amount: Any, state: Any) -> None:
    """state += amount"""
    for i in range(state.size):
        state[i] += amount


@loop(writes="out")
def batch_indices_loop(order: Any, position: Any, offsets: Any, out: Any) -> None:
    """out = order[position + offsets]"""
    for i in range(out.size):
        at = position[0] + offsets[i]
        out[i] = order[at] if 0 <= at < order.size else -1


@loop(rows="indices out", writes="out")
def gather_loop(data: Any, indices: Any, absent: Any, out: Any) -> None:
    """out = data[indices], row by row; `absent` for a row that is not there"""
    rows, columns = data.shape
    for i in range(indices.size):
        at = indices[i]
        if 0 <= at < rows:
            for j in range(columns):
                out[i, j] = data[at, j]
        else:
            for j in range(columns):
                out[i, j] = absent


@loop(writes="table row")
def store_loop(value: Any, column: Any, cursor: Any, table: Any, row: Any) -> None:
    """table[cursor, column] = row[column] = value"""
    row[column] = value[0]
    at = cursor[0]
    if 0 <= at < table.shape[0]:
        table[at, column] = value[0]


_NUMBERS = (np.dtype("float32"), np.dtype("float64"), np.dtype("int64"))


def _assignable(values: Any, *, out: Any) -> bool:
    plain = isinstance(out, np.ndarray) and out.flags.carray and out.size and out.dtype in _NUMBERS
    if isinstance(values, (int, float)):
        return bool(plain)
    fits = isinstance(values, np.ndarray) and values.shape == out.shape and values.dtype in _NUMBERS
    return bool(plain and fits and values.flags.c_contiguous and values.flags.aligned)


@fast(_assignable)
def assign(values: Any, *, out: Any) -> list[Step]:
    """out = values"""
    if isinstance(values, (int, float)):
        return [Step(fill_loop, (float(values), *flat(out)))]
    return [Step(convert_loop, flat(values, out))]


@fast(" ~ *:int")
def advance(amount: int, *, state: Any) -> list[Step]:
    """state += amount"""
    return [Step(advance_loop, (amount, *flat(state)))]


@fast("n:int, 1:int, b:int -> b:int")
def batch_indices(order: Any, position: Any, offsets: Any, *, out: Any) -> list[Step]:
    """out = order[position + offsets]"""
    return [Step(batch_indices_loop, (order, position, offsets, out))]


@fast("n, b:int -> b")
@fast("n:int, b:int -> b:int")
@fast("n k:int, b:int -> b k:int")
@fast("n k, b:int -> b k")
def gather(data: Any, indices: Any, *, out: Any) -> list[Step]:
    """out = data[indices], row by row"""
    absent = -1 if data.dtype.kind == "i" else np.nan
    arguments = data.reshape(len(data), -1), indices, absent, out.reshape(len(out), -1)
    return [Step(gather_loop, arguments, len(out))]


def _recordable(*measured: Any, state: Any) -> bool:
    table, cursor, row = state
    return (
        all(isinstance(value, np.ndarray) and value.size == 1 and value.dtype in _NUMBERS for value in measured)
        and all(value.flags.aligned for value in measured)
        and all(isinstance(array, np.ndarray) and array.flags.carray for array in state)
        and table.ndim == 2
        and table.shape[1:] == row.shape == (len(measured),)
        and table.dtype == row.dtype == np.float64
        and cursor.shape == (1,)
        and cursor.dtype == np.int64
    )


@fast(_recordable)
def record(*measured: Any, state: Any) -> list[Step]:
    """table[cursor] = measured;  cursor += 1"""
    table, cursor, row = state
    stores: list[Step] = [
        Step(store_loop, (value.reshape(1), column, cursor, table, row)) for column, value in enumerate(measured)
    ]
    return [*stores, Step(advance_loop, (1, cursor))]
