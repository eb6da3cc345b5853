"""How many threads a product of NumPy's BLAS takes: one where it is small or kernels share it out, else what the BLAS likes.

A BLAS shares even small products among all cores, whose threads then wait for each other. On idle cores that gains next to
nothing for a network of such products; where another program holds one of the cores, each product waits for it, and
training was up to a hundred times slower (docs/performance.md). Kernels share out products of a middling size in a way that
does not wait (`kernels/cpu/team.py`). The rule looks at sizes alone and not at the machine's load, so that the same run
gives the same bits.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

from ..kernels.cpu.cores import limits
from ..kernels.cpu.openblas import OpenBLAS, openblas

# Products of up to so many multiplications take one thread: 128 samples through 128 × 256 weights.
SMALL_PRODUCT = 2**22


class _Blocks:
    """OpenBLAS has one number of threads for the whole process: the first block sets it, the last that is left sets it back.

    threadpoolctl would let one thread set it and ignore all others, and who enters first need not leave last.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[int] = []  # the thread of each
        self._before = 1

    def enter(self, library: OpenBLAS) -> None:
        with self._lock:
            if not self._open:
                self._before = library.get_threads()
                library.set_threads(1)
            self._open.append(threading.get_ident())

    def leave(self, library: OpenBLAS) -> None:
        with self._lock:
            self._open.remove(threading.get_ident())
            if not self._open:
                library.set_threads(self._before)

    def only_this_thread(self) -> None:
        """In a child process, where the other threads are not: they will never leave."""
        self._lock = threading.Lock()
        if others := [thread for thread in self._open if thread != threading.get_ident()]:
            self._open = [thread for thread in self._open if thread not in others]
            if not self._open and (library := openblas()) is not None:
                library.set_threads(self._before)


_blocks = _Blocks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_blocks.only_this_thread)


@contextlib.contextmanager
def one_thread_a_product(wanted: bool) -> Iterator[None]:
    """A block in which, if that is wanted, a product takes one thread; whoever has set a variable has decided (`limits`)."""
    if not wanted or limits():
        yield
    elif (library := openblas()) is None:
        with _others().limit(limits=1):
            yield
    else:
        _blocks.enter(library)
        try:
            yield
        finally:
            _blocks.leave(library)


@functools.cache
def _others() -> Any:
    from threadpoolctl import ThreadpoolController  # looks at all loaded libraries: a millisecond, once

    return ThreadpoolController().select(user_api="blas")
