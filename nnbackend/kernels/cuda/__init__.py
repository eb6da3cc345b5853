"""The CUDA kernels of the GPU backend: one kernel for what is several calls of CuPy.

common.cu, layers.cu, losses.cu, sums.cu, updates.cu   the kernels, CUDA C++
compile.py    compiles them and converts the arguments of a launch
layout.py     which arrays a kernel takes
launch.py     the overrides: which arguments an op's kernels take, and what they are launched with
grids.py      the grids they are launched on
products.py   matrix products through cuBLAS
"""

from __future__ import annotations

from collections.abc import Sequence

from ..override import Override


def overrides(matmul_precision: str = "float32") -> dict[str, Sequence[Override]]:
    """The overrides for CuPy arrays. All of them are unproved: no GPU has run them (docs/gpu-status.md)."""
    import cupy

    from .compile import CupyModule
    from .launch import Kernels
    from .products import CublasProducts, load_cublas

    return Kernels(cupy, CupyModule(cupy), CublasProducts(cupy, load_cublas, matmul_precision)).overrides()
