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
from .program import Item, Program, Section
from .team import MOST_PARTS

# Rows are taken together until the widest of the arrays fills this many bytes: a few of them then share a second-level cache.
BLOCK_BYTES = 131072
ROWS_OF_PRODUCTS = 256  # but so many where a BLAS is called, which packs the weights in each call

# Blocks are cut into parts, for threads to share, where there is at least so much work: in bytes gone through, some
# 10 GB/s, and in multiplications of a BLAS, some 50 G/s. To meet at the end of a stage costs a microsecond. Where rows are added
# up there must be so many times as much: that takes more arrays, and rounds otherwise than in one go.
PARALLEL_WORK = 2**18
PARALLEL_SUMS = 4
MULTIPLICATIONS_A_BYTE = 5


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


class Unit(NamedTuple):
    """What is run as a whole: an item, or several that may be run at the same time; the memory it uses, and its work."""

    items: Sequence[Item]
    touched: Sequence[Touch]
    work: int


def unit(steps: Sequence[Step], *items: Item) -> Unit:
    """The unit of these items, which do what the steps do."""
    touched = [touch for item in items for section in item for step in section.steps for touch in touches(step)]
    return Unit(items, touched, work(steps))


class _Scheduler:
    """Sorts steps into units: before the blocks, the blocks, behind them; then the next."""

    def __init__(self) -> None:
        self.units: list[Unit] = []
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
        same_rows = step.rows > 0 and (not self.blocks or _rows(step) == _rows(self.blocks[0]))
        if conflict(touched, self._behind, same_rows=False):
            may_join = may_precede = False
        else:
            may_join = same_rows and not conflict(touched, self._in_blocks, same_rows=True)
            may_precede = not conflict(touched, self._in_blocks, same_rows=False)
        if may_join:
            self.blocks.append(step)
            self._in_blocks += touched
        elif may_precede:
            self.before.append(step)
        elif same_rows and step.rows > 1 and self.blocks:
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
        parts = parts_of(steps)
        self.units += [unit(steps, [Section(steps, row_edges(steps, 1))])] if parts == 1 else in_parallel(steps, parts)


def _rows(step: Step) -> tuple[int, str]:
    """How many rows, and rows of what."""
    return step.rows, step.function.kind  # type: ignore[attr-defined]


def _by_rows(steps: Sequence[Step]) -> list[np.ndarray]:
    """The arrays that steps go through row by row, each once."""
    arrays = {
        array.ctypes.data: array
        for step in steps
        for position, array in enumerate(step.arguments)
        if position in step.function.rows  # type: ignore[attr-defined]
    }
    return list(arrays.values())


def work(steps: Sequence[Step]) -> int:
    """How much there is to do in all rows: the bytes that are gone through, and more for products."""
    multiplications = sum(step.multiplications for step in steps)
    return sum(array.nbytes for array in _by_rows(steps)) + multiplications // MULTIPLICATIONS_A_BYTE


def parts_of(steps: Sequence[Step]) -> int:
    """Into how many parts the rows are cut. It depends on sizes alone, so that sums are the same on every machine."""
    if not steps[0].rows:
        return 1
    adds_up = any(step.function.adds for step in steps)  # type: ignore[attr-defined]
    enough = work(steps) / (PARALLEL_WORK * (PARALLEL_SUMS if adds_up else 1))
    wanted = 1 if enough < 1 else 2 if enough < 16 else 4 if enough < 64 else MOST_PARTS
    return max(1, min(wanted, most_blocks(steps)))


def most_blocks(steps: Sequence[Step]) -> int:
    """How many blocks of rows there may be at most."""
    return steps[0].rows // _least_rows(steps)


def _least_rows(steps: Sequence[Step]) -> int:
    return max(step.function.least_rows for step in steps)  # type: ignore[attr-defined]


def row_edges(steps: Sequence[Step], parts: int) -> np.ndarray:
    """Where blocks of rows begin and the last ends, at least one for each part; by the sizes of the arrays alone, too."""
    rows, blocks, least = steps[0].rows, parts, _least_rows(steps)
    if len(steps) > 1:
        widest = max(array.nbytes // rows for array in _by_rows(steps))
        in_a_block = max(8, BLOCK_BYTES // widest // 8 * 8, ROWS_OF_PRODUCTS if least > 1 else 0)
        blocks = max(blocks, -(-rows // in_a_block))
    blocks = max(1, min(blocks, most_blocks(steps)))
    return np.arange(blocks + 1) * rows // blocks


def in_parallel(steps: Sequence[Step], parts: int) -> list[Unit]:
    """Units with parts of the blocks as items; what they add up is added up for each part, and then joined."""
    edges = row_edges(steps, parts)
    cuts = np.arange(parts + 1) * (len(edges) - 1) // parts
    sums = {
        step.arguments[position].ctypes.data: step.arguments[position]
        for step in steps
        for position in step.function.adds  # type: ignore[attr-defined]
    }
    partial_sums = {address: np.empty((parts, *array.shape), array.dtype) for address, array in sums.items()}
    once = np.arange(2)
    zeroing = [unit([], [Section([zeroed(partial_sum)], once)]) for partial_sum in partial_sums.values()]
    together = unit(
        steps,
        *(
            [Section([_adding_to(step, partial_sums, part) for step in steps], edges[start : stop + 1])]
            for part, (start, stop) in enumerate(pairwise(cuts))
        ),
    )
    joining = [
        unit([], [Section([Step(join_loop, (partial_sum.reshape(parts, -1), *flat(sums[address])))], once)])
        for address, partial_sum in partial_sums.items()
    ]
    return [*zeroing, together, *joining]


def _adding_to(step: Step, partial_sums: dict[int, np.ndarray], part: int) -> Step:
    """The step with sums of its own part."""
    arguments = list(step.arguments)
    for position in step.function.adds:  # type: ignore[attr-defined]
        arguments[position] = partial_sums[arguments[position].ctypes.data][part]
    return step._replace(arguments=arguments)


def stages_of(units: Sequence[Unit]) -> list[list[Item]]:
    """The units in stages: each as early as its memory allows, so that threads wait for each other as seldom as can be.

    In a stage the largest items come first. What has one item goes into one item with all such of its stage, the last.
    """
    if all(len(each.items) == 1 for each in units):
        return [[[section for each in units for section in each.items[0]]]]
    stages: list[list[Unit]] = []
    # Of all memory that was touched: start, stop, whether it was written, in which stage.
    seen = np.empty((sum(len(each.touched) for each in units), 4), np.int64)
    count = 0
    for each in units:
        stage = 0
        for touch in each.touched:
            start, stop, written, its_stage = seen[:count].T
            matters = (start < touch.stop) & (touch.start < stop) & (written | touch.written).astype(bool)
            stage = max(stage, int(its_stage.max(initial=-1, where=matters)) + 1)
        for touch in each.touched:
            seen[count] = touch.start, touch.stop, touch.written, stage
            count += 1
        stages += [[]] if stage == len(stages) else []
        stages[stage].append(each)
    found: list[list[Item]] = []
    for units_there in stages:
        largest_first = sorted(units_there, key=lambda each: each.work // len(each.items), reverse=True)
        items = [item for each in largest_first if len(each.items) > 1 for item in each.items]
        rest = [section for each in units_there if len(each.items) == 1 for section in each.items[0]]
        if not items and found and len(found[-1]) == 1:
            found[-1][0] = [*found[-1][0], *rest]  # nobody else has anything to do in either
        else:
            found.append([*items, rest] if rest else items)
    return found


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
        linked.append(Program(stages_of(scheduler.units)))
    return linked
