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
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np

from .compile import Loop, Step
from .moving import join_loop, zeroed
from .plan import flat
from .program import Program, Section

# Rows are taken together until the widest of the arrays fills this many bytes: a few of them then share a second-level cache.
BLOCK_BYTES = 131072

# Blocks that go through at least so much memory are cut into groups, for threads to share: it takes a millisecond or so, and
# to wake a thread a twentieth of that.
PARALLEL_BYTES = 8 * 2**20
GROUPS = 8


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
        for step in self.before:
            self._append([step])
        if self.blocks:
            self._append(self.blocks)
        for step in self.behind:
            self._append([step])
        self._start()

    def _append(self, steps: Sequence[Step]) -> None:
        large = bool(steps[0].rows) and row_bytes(steps) * steps[0].rows >= PARALLEL_BYTES
        self.sections += in_parallel(steps, len(self.sections) + 1) if large else [Section(steps, row_edges(steps, 1))]


def _by_rows(steps: Sequence[Step]) -> list[np.ndarray]:
    """The arrays that steps go through row by row, each once."""
    arrays = {
        array.ctypes.data: array
        for step in steps
        for position, array in enumerate(step.arguments)
        if position in step.function.rows  # type: ignore[attr-defined]
    }
    return list(arrays.values())


def row_bytes(steps: Sequence[Step]) -> int:
    """How much memory a row takes, over all arrays."""
    return sum(array.nbytes for array in _by_rows(steps)) // steps[0].rows


def row_edges(steps: Sequence[Step], least: int) -> np.ndarray:
    """Where blocks of rows begin and the last ends, at least so many of them (as there are rows).

    It depends on the sizes of the arrays alone, so that sums are the same on every machine.
    """
    rows, blocks = steps[0].rows, least
    if len(steps) > 1:
        widest = max(array.nbytes // rows for array in _by_rows(steps))
        blocks = max(blocks, -(-rows // (max(8, BLOCK_BYTES // widest) // 8 * 8)))
    blocks = max(1, min(blocks, rows))
    return np.arange(blocks + 1) * rows // blocks


def in_parallel(steps: Sequence[Step], team: int) -> list[Section]:
    """Sections that may run at the same time, for groups of blocks; what they add up is added up for each, and then joined."""
    edges = row_edges(steps, GROUPS)
    cuts = np.arange(GROUPS + 1) * (len(edges) - 1) // GROUPS
    sums = {
        step.arguments[position].ctypes.data: step.arguments[position]
        for step in steps
        for position in step.function.adds  # type: ignore[attr-defined]
    }
    parts = {address: np.empty((GROUPS, *array.shape), array.dtype) for address, array in sums.items()}
    once = np.arange(2)
    before = [Section([zeroed(part)], once) for part in parts.values()]
    together = [
        Section([_adding_to(step, parts, group) for step in steps], edges[start : stop + 1], team)
        for group, (start, stop) in enumerate(pairwise(cuts))
        if start < stop
    ]
    behind = [
        Section([Step(join_loop, (part.reshape(GROUPS, -1), *flat(sums[address])))], once)
        for address, part in parts.items()
    ]
    return [*before, *together, *behind]


def _adding_to(step: Step, parts: dict[int, np.ndarray], group: int) -> Step:
    """The step with sums of its own group."""
    arguments = list(step.arguments)
    for position in step.function.adds:  # type: ignore[attr-defined]
        arguments[position] = parts[arguments[position].ctypes.data][group]
    return step._replace(arguments=arguments)


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
