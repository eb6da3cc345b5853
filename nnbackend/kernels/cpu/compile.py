"""How loops are compiled: by Numba, once for each kind of argument, cached between runs where a folder can be written."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from numba import njit

# What the compiler may do to floating-point numbers. Reordering sums lets it use vector registers. Numba's own
# `fastmath=True` would also assume that there is no NaN and drop the comparisons that let NaN and infinity through.
# `error_model="numpy"` divides by zero as NumPy does; Python's check for it would keep loops from being vectorized.
FLAGS: dict[str, Any] = {
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
    "error_model": "numpy",
    "nogil": True,
}


class Loop:
    """A function over plain arrays and numbers, compiled when it is first called.

    Two ways lead to it: a call from Python, here, and a place in a program of many loops (`program.py`). For the
    second it says what it does to its arguments: `rows` names those it goes through row by row, no row needing another;
    `adds` those to which every row adds something; `writes` those it writes to otherwise. With fewer than `least_rows` at a
    time it loses more than it gains. Rows are samples, or of another `kind`: only rows of one kind go together.
    """

    def __init__(
        self,
        function: Callable[..., None],
        rows: str = "",
        writes: str = "",
        adds: str = "",
        least_rows: int = 1,
        kind: str = "samples",
        **flags: Any,
    ) -> None:
        self.function = function
        self.least_rows, self.kind = least_rows, kind
        self.name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self._flags = {**FLAGS, **flags}
        self.inner = njit(**self._flags)(function)  # for use inside other compiled code
        self.__doc__ = function.__doc__
        self._compiled: Callable[..., None] | None = None
        names = list(inspect.signature(function).parameters)
        self.rows = frozenset(names.index(name) for name in rows.split())
        self.adds = frozenset(names.index(name) for name in adds.split())
        self.written = frozenset(names.index(name) for name in writes.split()) | self.adds

    def __call__(self, *arguments: Any) -> None:
        compiled = self._compiled
        if compiled is None:
            compiled = self._compiled = self._cached()
        try:
            compiled(*arguments)
        except OSError:  # the cache folder cannot be written: no cache folder means no caching, never a failure
            self._compiled = self.inner
            self.inner(*arguments)

    def _cached(self) -> Callable[..., None]:
        try:
            return njit(cache=True, **self._flags)(self.function)
        except (RuntimeError, OSError):  # Numba finds no folder for its cache
            return self.inner

    def __repr__(self) -> str:
        return f"<loop {self.name}>"


class Step(NamedTuple):
    """A loop, or a function of NumPy's, with its arguments; through how many rows the loop goes (0: not by rows), and how many
    multiplications a BLAS does in it."""

    function: Callable[..., Any]
    arguments: Sequence[Any]
    rows: int = 0
    multiplications: int = 0


def loop(**settings: Any) -> Callable[[Callable[..., None]], Loop]:
    """Make a `Loop` of a function."""
    return lambda function: Loop(function, **settings)


def exact_loop(writes: str) -> Callable[[Callable[..., None]], Loop]:
    """Make a `Loop` whose every operation rounds as written, for the few numbers that people read in full."""
    return loop(writes=writes, fastmath=False)


def helper(**flags: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A function for use inside loops of the same file. (Numba's cache looks at a loop's own file to see a change.)"""
    return njit(**{**FLAGS, **flags})
