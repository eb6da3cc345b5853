"""A pretend GPU on the CPU: `get_backend("strict")`.

Code that runs here keeps to what a GPU allows. Arrays mix with nothing from the host, reductions give arrays without
dimensions, whatever would fetch a value counts as a transfer, only CuPy's names and keywords exist (`table.py`),
memory that was never written holds NaN, and what a GPU would do silently wrong is an error: indices out of range, two
writes to one element, an output that overlaps its input, float64 creeping in. A compiled step is recorded and replayed
like a CUDA graph (`recording.py`), so a Python number baked into it shows.

Importing this package registers the backend; `get_backend` does so when it is asked for.
"""

from __future__ import annotations

from ...backend import register_backend
from ...errors import BackendError
from .arrays import StrictArray
from .backend import StrictBackend

__all__ = ["StrictArray", "StrictBackend"]


def _strict(device: int | None, dtype: str, kernels: str) -> StrictBackend:
    if device is not None:
        raise BackendError(f"backend 'strict:{device}': there is one pretend GPU, use 'strict'")
    return StrictBackend(dtype=dtype, kernels=kernels)


register_backend("strict", _strict)
