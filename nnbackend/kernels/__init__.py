"""Faster versions of some ops, never needed for a right answer.

`cpu_overrides()` and `cuda_overrides(...)` give, for the name of an op, the overrides to try in order. Each is checked
against its reference in `tests/test_kernels.py`, and has a benchmark that it wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def cpu_overrides() -> dict[str, Sequence[Any]]:
    """Overrides for NumPy arrays; none where Numba is not installed, or does not work with this NumPy."""
    from .cpu import overrides

    return overrides()


def cpu_own_products() -> Any:
    """The matrix products that the CPU's kernels do themselves (`kernels/cpu/gemm.py`), or None without Numba."""
    from .cpu import own_products

    return own_products()


def cuda_overrides(matmul_precision: str = "float32") -> dict[str, Sequence[Any]]:
    """Overrides for CuPy arrays. None of them is proved yet (docs/gpu-status.md), so they stay off unless asked for."""
    from .cuda import overrides

    return overrides(matmul_precision)
