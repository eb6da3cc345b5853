"""Values that move within the device: batches out of the data, counters, and what a step measured."""

from __future__ import annotations

from typing import Any


def assign(xp: Any, values: Any, *, out: Any) -> Any:
    """out = values, converted to out's dtype"""
    out[...] = values
    return out


def advance(xp: Any, amount: int, *, state: Any) -> Any:
    """state += amount: a counter that ticks"""
    state += amount
    return state


def batch_indices(xp: Any, order: Any, position: Any, offsets: Any, *, out: Any) -> Any:
    """out = order[position + offsets]: which samples make up the batch"""
    return xp.take(order, position + offsets, out=out)


def gather(xp: Any, data: Any, indices: Any, *, out: Any) -> Any:
    """out = data[indices], row by row"""
    return xp.take(data, indices, axis=0, out=out)


def record(xp: Any, *measured: Any, state: Any) -> Any:
    """table[cursor] = measured;  cursor += 1: what a step measured, kept on the device; state = (table, cursor, row)"""
    table, cursor, row = state
    for column, value in enumerate(measured):
        row[column : column + 1] = value
    table[cursor] = row
    cursor += 1
    return state
