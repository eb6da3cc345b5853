"""Moving values within memory: batches, counters, records; and dropout, which draws its own numbers.

An index outside the data, which the reference refuses, never reads foreign memory: its row is filled with NaN or -1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...rng import ROUNDS
from .activations import flat
from .compile import loop
from .plan import Step, fast


@loop
def fill_loop(value: Any, out: Any) -> None:
    """out = value"""
    for i in range(out.size):
        out[i] = value


@loop
def convert_loop(values: Any, out: Any) -> None:
    """out = values, converted to out's dtype"""
    for i in range(out.size):
        out[i] = values[i]


@loop
def advance_loop(amount: Any, state: Any) -> None:
    """state += amount"""
    for i in range(state.size):
        state[i] += amount


@loop
def batch_indices_loop(order: Any, position: Any, offsets: Any, out: Any) -> None:
    """out = order[position + offsets]"""
    for i in range(out.size):
        at = position[0] + offsets[i]
        out[i] = order[at] if 0 <= at < order.size else -1


@loop
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


@loop
def store_loop(value: Any, column: Any, cursor: Any, table: Any, row: Any) -> None:
    """table[cursor, column] = row[column] = value"""
    row[column] = value[0]
    at = cursor[0]
    if 0 <= at < table.shape[0]:
        table[at, column] = value[0]


@loop
def multiply_loop(left: Any, right: Any, out: Any) -> None:
    """out = left · right"""
    for i in range(left.size):
        out[i] = left[i] * right[i]


@loop
def dropout_loop(
    inputs: Any, step: Any, key_low: Any, key_high: Any, stream: Any, threshold: Any, kept: Any, output: Any, mask: Any
) -> None:
    """Philox4x32-10 (see rng.py) for every block of four elements; mask = kept where its word is at least `threshold`"""
    kind, low = inputs.dtype.type, np.uint64(0xFFFFFFFF)
    scale, zero, least = kind(kept), kind(0), np.uint64(threshold)
    step_low, step_high = np.uint64(step[0]) & low, np.uint64(step[0]) >> np.uint64(32)
    for start in range(0, inputs.size, 4):
        c0, c1, c2, c3 = np.uint64(start // 4), np.uint64(stream), step_low, step_high
        k0, k1 = np.uint64(key_low), np.uint64(key_high)
        for _ in range(ROUNDS):
            product0, product1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
            c0, c1 = (product1 >> np.uint64(32)) ^ c1 ^ k0, product1 & low
            c2, c3 = (product0 >> np.uint64(32)) ^ c3 ^ k1, product0 & low
            k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
        for j in range(min(4, inputs.size - start)):
            word = c0 if j == 0 else (c1 if j == 1 else (c2 if j == 2 else c3))
            factor = scale if word >= least else zero
            mask[start + j] = factor
            output[start + j] = inputs[start + j] * factor


def _assignable(values: Any, *, out: Any) -> bool:
    plain = isinstance(out, np.ndarray) and out.flags.carray and out.size and out.dtype.kind in "if"
    if isinstance(values, (int, float)):
        return bool(plain)
    fits = isinstance(values, np.ndarray) and values.shape == out.shape and values.dtype.kind in "if"
    return bool(plain and fits and values.flags.c_contiguous and values.flags.aligned)


@fast(_assignable)
def assign(values: Any, *, out: Any) -> list[Step]:
    """out = values"""
    if isinstance(values, (int, float)):
        return [(fill_loop, (float(values), *flat(out)))]
    return [(convert_loop, flat(values, out))]


@fast(" ~ *:int")
def advance(amount: int, *, state: Any) -> list[Step]:
    """state += amount"""
    return [(advance_loop, (amount, *flat(state)))]


@fast("n:int, 1:int, b:int -> b:int")
def batch_indices(order: Any, position: Any, offsets: Any, *, out: Any) -> list[Step]:
    """out = order[position + offsets]"""
    return [(batch_indices_loop, (order, position, offsets, out))]


@fast("n, b:int -> b")
@fast("n:int, b:int -> b:int")
@fast("n k:int, b:int -> b k:int")
@fast("n k, b:int -> b k")
def gather(data: Any, indices: Any, *, out: Any) -> list[Step]:
    """out = data[indices], row by row"""
    absent = -1 if data.dtype.kind == "i" else np.nan
    return [(gather_loop, (data.reshape(len(data), -1), indices, absent, out.reshape(len(out), -1)))]


def _recordable(*measured: Any, state: Any) -> bool:
    table, cursor, row = state
    return (
        all(isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind == "f" for value in measured)
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
        (store_loop, (value.reshape(1), column, cursor, table, row)) for column, value in enumerate(measured)
    ]
    return [*stores, (advance_loop, (1, cursor))]


@fast("*, * -> *")
def multiply(left: Any, right: Any, *, out: Any) -> list[Step]:
    """out = left · right"""
    return [(multiply_loop, flat(left, right, out))]


@fast("*, 1:int -> *, *")
def dropout(inputs: Any, step: Any, *, rate: float, key: int, stream: int, out: Any) -> list[Step]:
    """output = inputs · mask, where mask is 1 / (1 - rate) with probability 1 - rate, else 0"""
    settings = key & 0xFFFFFFFF, key >> 32, stream, round(rate * 2**32), 1 / (1 - rate)
    return [(dropout_loop, (*flat(inputs), step, *settings, *flat(*out)))]
