"""A stand-in for cuBLAS: its functions as C sees them, computing column by column on NumPy's memory.

They are called through C, by the types that products.py gives for them, so an argument too many or in the wrong place shows.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from nnbackend.kernels.cuda.products import FUNCTIONS, WORKSPACE

NOT_INITIALIZED, INVALID_VALUE = 1, 7  # cublasStatus_t
KEPT_BITS = {77: 10, 75: 7}  # of the 23 bits behind the point of a float32: TF32 and bfloat16


class FakeCublas:
    """The library. `enqueue` runs what a GPU would run now or, during a capture, later; it is given the array written to."""

    def __init__(self, enqueue: Callable[[Callable[[], Any], np.ndarray], Any] = lambda call, _: call()) -> None:
        self._enqueue = enqueue
        self.calls: list[str] = []  # the names of all calls
        self.streams: list[int] = []  # the stream of each product
        self.computes: list[int] = []  # the compute type of each product
        self.handles = 0
        self._stream: dict[int, int] = {}
        self._workspace: dict[int, int] = {}
        self._functions = {
            name: ctypes.CFUNCTYPE(ctypes.c_int, *parameters)(self._noted(name))
            for name, parameters in FUNCTIONS.items()
        }

    def __getattr__(self, name: str) -> Any:
        try:
            return vars(self)["_functions"][name]
        except KeyError:
            raise AttributeError(name) from None

    def _noted(self, name: str) -> Callable[..., int]:
        function = getattr(type(self), "_" + name.split("_")[0].removeprefix("cublas").lower())

        def call(*args: Any) -> int:
            self.calls.append(name)
            return function(self, *args)

        return call

    def _create(self, handle: Any) -> int:
        self.handles += 1
        handle[0] = self.handles
        self._stream[self.handles] = 0
        return 0

    def _setstream(self, handle: int, stream: int | None) -> int:
        if handle not in self._stream:
            return NOT_INITIALIZED
        self._stream[handle] = stream or 0
        self._workspace.pop(handle, None)  # as the real one does
        return 0

    def _setworkspace(self, handle: int, memory: int | None, size: int) -> int:
        if handle not in self._stream or not memory or size != WORKSPACE:
            return INVALID_VALUE
        self._workspace[handle] = memory
        return 0

    def _gemmex(self, handle: int, *args: Any) -> int:
        operations, (m, n, k), alpha = args[:2], args[2:5], args[5]
        (a, a_type, a_lead), (b, b_type, b_lead), beta = args[6:9], args[9:12], args[12]
        (c, c_type, c_lead), compute, algorithm = args[13:16], args[16], args[17]
        if handle not in self._stream or handle not in self._workspace:
            return NOT_INITIALIZED
        a_shape = (m, k) if operations[0] == 0 else (k, m)
        b_shape = (k, n) if operations[1] == 0 else (n, k)
        if min(m, n, k) < 1 or a_lead < a_shape[0] or b_lead < b_shape[0] or c_lead < m or algorithm != -1:
            return INVALID_VALUE
        if not a_type == b_type == c_type or (compute == 70) != (c_type == 1):
            return INVALID_VALUE
        left, right, out = (
            _matrix(address, shape, lead, c_type)
            for address, shape, lead in ((a, a_shape, a_lead), (b, b_shape, b_lead), (c, (m, n), c_lead))
        )
        scale, keep = (np.ctypeslib.as_array(_cast(number, c_type), (1,))[0] for number in (alpha, beta))

        def product() -> None:
            first, second = (_rounded(matrix, compute) for matrix in (left, right))
            first, second = first.T if operations[0] else first, second.T if operations[1] else second
            out[...] = scale * (first @ second) + (keep * out if keep else 0)

        self.streams.append(self._stream[handle])
        self.computes.append(compute)
        self._enqueue(product, out)
        return 0


def _cast(address: int, kind: int) -> Any:
    return ctypes.cast(address, ctypes.POINTER(ctypes.c_double if kind == 1 else ctypes.c_float))


def _matrix(address: int, shape: tuple[int, int], lead: int, kind: int) -> np.ndarray:
    """A matrix that lies column by column, each column `lead` numbers after the one before."""
    rows, columns = shape
    flat = np.ctypeslib.as_array(_cast(address, kind), ((columns - 1) * lead + rows,))
    return as_strided(flat, shape, (flat.itemsize, lead * flat.itemsize))


def _rounded(matrix: np.ndarray, compute: int) -> np.ndarray:
    """The factors as that compute type sees them; cut off, where the real one rounds."""
    if compute not in KEPT_BITS:
        return matrix
    mask = np.uint32((1 << 32) - (1 << (23 - KEPT_BITS[compute])))
    return (np.ascontiguousarray(matrix).view(np.uint32) & mask).view(np.float32)
