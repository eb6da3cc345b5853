"""Loops that follow each other, as one program that goes through memory once.

A step's arrays are larger than the nearest cache, so loop after loop over all rows fetches every array anew. Most loops
treat rows (samples) one by one. So they are run block by block: all loops over the first few rows, then all over the
next, while these are still in the cache. From forward pass to weight gradients this takes a whole training step of a
network whose products are narrow.

The order of any two loops that touch the same numbers, one of them writing, is kept. What does not go by rows is moved before
the blocks or behind them where that is so, and ends them where it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from .compile import Loop, Step
from .program import Program, Section

# Rows are taken together until the widest of the arrays fills this many bytes: a few of them then share a second-level cache.
BLOCK_BYTES = 131072


class Touch(NamedTuple):
    """Memory that a step uses: from where to where, whether it writes, and whether row by row."""

    start: int
    stop: int
    written: bool
    by_rows: bool


def touches(step: Step) -> list[Touch]:
    """All memory that a step uses."""
    found = []
    for position, array in enumerate(step.arguments):
        if isinstance(array, np.ndarray):
            start, by_rows = array.ctypes.data, bool(step.rows) and position in step.function.rows  # type: ignore[attr-defined]
            found.append(Touch(start, start + array.nbytes, position in step.function.written, by_rows))  # type: ignore[attr-defined]
    return found


def conflict(left: Sequence[Touch], right: Sequence[Touch], *, same_rows: bool) -> bool:
    """Whether the order of two steps matters. With `same_rows`, an array that both go through row by row does not count."""
    return any(
        a.start < b.stop and b.start < a.stop and (a.written or b.written)
        and not (same_rows and a.by_rows and b.by_rows and a[:2] == b[:2])
        for a in left for b in right
    )  # fmt: skip


class _Scheduler:
    """Sorts steps into sections: before the blocks, the blocks, behind them; then the next."""

    def __init__(self) -> None:
        self.sections: list[Section] = []
        self._start()

    def _start(self) -> None:
        self.before: list[Step] = []
        self.blocks: list[Step] = []
        self.behind: list[Step] = []
        self._in_blocks: list[Touch] = []
        self._behind: list[Touch] = []

    def add(self, step: Step) -> None:
        """Place the next step as early as its memory allows."""
        touched = touches(step)
        if conflict(touched, self._behind, same_rows=False):
            may_join = may_precede = False
        else:
            rows = self.blocks[0].rows if self.blocks else step.rows
            may_join = step.rows == rows > 0 and not conflict(touched, self._in_blocks, same_rows=True)
            may_precede = not conflict(touched, self._in_blocks, same_rows=False)
        if may_join:
            self.blocks.append(step)
            self._in_blocks += touched
        elif may_precede:
            self.before.append(step)
        elif step.rows > 1 and self.blocks and step.rows == self.blocks[0].rows:
            self.close()
            self.add(step)
        else:
            self.behind.append(step)
            self._behind += touched

    def close(self) -> None:
        """End the blocks."""
        self.sections += [Section([step], 1) for step in self.before]
        if self.blocks:
            self.sections.append(Section(self.blocks, block_count(self.blocks)))
        self.sections += [Section([step], 1) for step in self.behind]
        self._start()


def block_count(steps: Sequence[Step]) -> int:
    """Into how many blocks of rows to cut: by the sizes of the arrays alone, so that sums are the same on every machine."""
    rows = steps[0].rows
    if len(steps) == 1:
        return 1
    widest = max(
        array.nbytes // rows
        for step in steps
        for position, array in enumerate(step.arguments)
        if position in step.function.rows  # type: ignore[attr-defined]
    )
    return -(-rows // (max(8, BLOCK_BYTES // widest) // 8 * 8))


def link_steps(steps: Sequence[Step]) -> list[Callable[[], Any]]:
    """Callables that do what the steps do, in fewer calls: loops in a row as one program, other functions as they are."""
    linked: list[Callable[[], Any]] = []
    for are_loops, group in groupby(steps, key=lambda step: isinstance(step.function, Loop)):
        if not are_loops:
            linked += [partial(step.function, *step.arguments) for step in group]
            continue
        scheduler = _Scheduler()
        for step in group:
            scheduler.add(step)
        scheduler.close()
        linked.append(Program(scheduler.sections))
    return linked
