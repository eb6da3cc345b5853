"""How many threads a product of NumPy's BLAS takes: one where it is small or kernels share it out, else what the BLAS likes.

A BLAS shares even small products among all cores, whose threads then wait for each other. On idle cores that gains next to
nothing for a network of such products; where another program holds one of the cores, each product waits for it, and
training was 37 to 90 times slower (docs/performance.md). Kernels share out products of a middling size in a way that does not
wait (`kernels/cpu/team.py`). The rule looks at sizes alone and not at the machine's load, so that the same run gives the
same bits.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

# Products of up to so many multiplications take one thread: 128 samples through 128 × 256 weights.
SMALL_PRODUCT = 2**22

# Whoever has set one of these has decided.
VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS")

# The number of threads belongs to the process: one block at a time sets it, and those inside it or beside it leave it alone.
_setting = threading.Lock()


@contextlib.contextmanager
def one_thread_a_product(wanted: bool) -> Iterator[None]:
    """A block in which, if that is wanted, a product takes one thread."""
    if not wanted or any(os.environ.get(name) for name in VARIABLES) or not _setting.acquire(blocking=False):
        yield
        return
    try:
        with _blas().limit(limits=1):
            yield
    finally:
        _setting.release()


@functools.cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController  # looks at all loaded libraries: a millisecond, once

    return ThreadpoolController().select(user_api="blas")
