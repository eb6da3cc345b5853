"""How kernels are launched: through a `Module`, on grids that follow from shapes.

Temporary arrays come from an array library; on a GPU it and the module are CuPy's, in the tests NumPy and an emulator.

Launch sizes follow from shapes alone, never from the GPU: they decide the order of sums, and so the last bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .compile import REALS, Module

THREADS = 256  # a block that works on elements or rows
SUM_THREADS = 1024  # a block that sums everything
COLUMN_THREADS = 512  # a block that sums columns
MAX_BLOCKS = 65_536  # beyond that, kernels stride over the grid
MAX_PARTS = 256  # blocks that share one sum
PER_THREAD = 8  # elements a thread adds up before another block is worth it
MAX_CHUNKS, ROWS_PER_THREAD = 64, 32  # of column sums
WARP_COLUMNS = 1024  # up to here a row is worked on by one warp, beyond by a whole block

Shape = tuple[int, ...]


class Launches:
    """Launches of kernels whose arguments are inputs, then sizes, then outputs."""

    def __init__(self, namespace: Any, module: Module) -> None:
        self._namespace = namespace
        self._module = module

    def _launch(self, name: str, grid: Shape, block: Shape, *args: Any, dtype: str | None = "of the first") -> None:
        if dtype == "of the first":
            first = args[0].dtype.name
            dtype = first if first in REALS else None
        self._module.launch(name, dtype, grid, block, *args)

    def _each(self, name: str, inputs: Sequence[Any], count: int, outputs: Sequence[Any], per_thread: int = 1) -> None:
        """A kernel that works on elements one by one."""
        if count:
            blocks = min(-(-count // (per_thread * THREADS)), MAX_BLOCKS)
            self._launch(name, (blocks,), (THREADS,), *inputs, count, *outputs)

    def _rows(self, name: str, inputs: Sequence[Any], shape: Shape, outputs: Sequence[Any]) -> None:
        """A kernel that works on rows."""
        rows, columns = shape
        if rows:
            width = row_width(columns)
            self._launch(name, *row_grid(rows, width), *inputs, rows, columns, width, *outputs)

    def _columns(self, name: str, inputs: Sequence[Any], shape: Shape, outputs: Sequence[Any], sums: Any) -> None:
        """A kernel that sums columns, in one stage or two: tall matrices are cut into chunks of rows."""
        rows, columns = shape
        if not columns:
            return
        width = min(_power_of_two(columns), 32)
        block = width, COLUMN_THREADS // width
        tiles = -(-columns // width)
        chunks = min(max(-(-rows // (block[1] * ROWS_PER_THREAD)), 1), MAX_CHUNKS)
        chunk = -(-rows // chunks)
        parts = sums if chunks == 1 else self._namespace.empty((chunks, columns), dtype=sums.dtype)
        self._launch(name, (tiles, chunks), block, *inputs, rows, columns, chunk, *outputs, parts)
        if chunks > 1:
            self._launch("column_sums", (tiles, 1), block, parts, chunks, columns, chunks, sums)

    def _accuracy(self, name: str, inputs: Sequence[Any], blocks: int, threads: int, total: int, out: Any) -> None:
        """A kernel that counts: one block divides at once, several leave that to a second kernel."""
        parts = self._namespace.empty(blocks, dtype="int64") if blocks > 1 else None
        self._launch(name, (blocks,), (threads,), *inputs, parts, out)
        if parts is not None:
            self._launch("accuracy_end", (1,), (SUM_THREADS,), parts, blocks, total, out, dtype=out.dtype.name)


def _power_of_two(count: int) -> int:
    """The least power of two that is not below `count`."""
    return 1 << max(count - 1, 0).bit_length()


def row_width(columns: int) -> int:
    """How many threads share a row: as many as it has columns up to a warp, a block for a long one."""
    return THREADS if columns > WARP_COLUMNS else min(_power_of_two(columns), 32)


def row_grid(rows: int, width: int) -> tuple[Shape, Shape]:
    """The grid and the block for rows that so many threads share each."""
    return (min(-(-rows * width // THREADS), MAX_BLOCKS),), (THREADS,)


def blocks_for(count: int, threads: int = SUM_THREADS) -> int:
    """How many blocks share a sum or a count over everything."""
    return min(max(-(-count // (threads * PER_THREAD)), 1), MAX_PARTS)
