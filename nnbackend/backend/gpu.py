"""The GPU backend: CuPy, imported when a GPU is asked for and not before, and used after a kernel has run (`cupy_probe`)."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .base import Backend
from .cupy_probe import probe
from .device_scope import DeviceScope
from .graph import CapturedStep, CaptureStream
from .uploads import PinnedUpload

STEPS_PER_LAUNCH = 16  # captured together: a launch costs the host some microseconds, a small step the GPU hardly more
_DLPACK_CUDA = 2  # kDLCUDA of the DLPack standard: memory of a CUDA device
_NO_MEMORY = ("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED")


class GPUBackend(Backend):
    """CuPy on one CUDA device. Every op runs with that device current."""

    def __init__(self, device: int | None, *, dtype: str, kernels: str, matmul_precision: str = "float32") -> None:
        cupy = probe(device or 0)
        from ..kernels import cuda_overrides

        overrides = cuda_overrides(matmul_precision) if kernels != "reference" else None
        name = "gpu" if device is None else f"gpu:{device}"
        super().__init__(name, cupy, dtype=dtype, kernels=kernels, overrides=overrides)
        self.matmul_precision = matmul_precision
        self.steps_per_launch = STEPS_PER_LAUNCH if kernels == "all" else 1
        self._capture = CaptureStream(cupy)
        self._upload_stream: Any = None
        self.device = device or 0
        self.several = cupy.cuda.runtime.getDeviceCount() > 1
        if self.several:  # one alone is always current
            self.op_scope = self.device_scope = DeviceScope(cupy, self.device)

    def __getattr__(self, name: str) -> Any:
        """A function of CuPy; where there are several GPUs, one that runs with this one current."""
        value = super().__getattr__(name)
        if vars(self).get("several") and callable(value) and not isinstance(value, type):
            value = self._on_this_device(value)
            setattr(self, name, value)
        return value

    def _on_this_device(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function, updated=())
        def run(*args: Any, **kwargs: Any) -> Any:
            with self.op_scope:
                return function(*args, **kwargs)

        return run

    def is_array(self, value: Any) -> bool:
        return isinstance(value, self._namespace.ndarray)

    def adopt(self, data: Any) -> Any:
        """Another library's array on a GPU (a torch tensor, say) as an array of CuPy, without a way over the host."""
        kind = type(data)
        if self.is_array(data) or not (hasattr(kind, "__dlpack__") and hasattr(kind, "__dlpack_device__")):
            return data
        if data.__dlpack_device__()[0] != _DLPACK_CUDA:
            return data
        with self.op_scope:
            return self._namespace.from_dlpack(data)

    def _convert(self, array: Any, dtype: np.dtype) -> Any:
        with self.op_scope:
            return super()._convert(array, dtype)

    def _to_device(self, host: np.ndarray) -> Any:
        with self.op_scope:
            return self._namespace.asarray(host)

    def _from_device(self, array: Any) -> np.ndarray:
        with self.op_scope:
            return self._namespace.asnumpy(array)

    def aligned_zeros(self, size: int) -> Any:
        with self.op_scope:
            return self._namespace.zeros(size, self.dtype)  # the allocator aligns to 512 bytes

    def free_memory(self) -> int | None:
        """What the driver has left, and what CuPy's pool holds without using it."""
        with self.op_scope:
            free, _ = self._namespace.cuda.runtime.memGetInfo()
            return free + self._namespace.get_default_memory_pool().free_bytes()

    def is_out_of_memory(self, error: BaseException) -> bool:
        """CuPy's own error, which is a `MemoryError`, or CUDA's and cuBLAS's, which are none and say it in words."""
        return super().is_out_of_memory(error) or any(words in str(error) for words in _NO_MEMORY)

    def upload(self, shape: tuple[int, ...], dtype: Any) -> PinnedUpload:
        """From pinned memory, on a stream beside the current one. Not proved on a GPU yet (docs/gpu-status.md)."""
        import cupyx

        with self.op_scope:
            if self._upload_stream is None:
                self._upload_stream = self._namespace.cuda.Stream(non_blocking=True)
            return PinnedUpload(
                self,
                shape,
                np.dtype(dtype),
                cupy=self._namespace,
                stream=self._upload_stream,
                pinned=cupyx.empty_pinned,
            )

    @contextlib.contextmanager
    def product_threads(self, samples: int, weights: int) -> Iterator[None]:
        yield

    def synchronize(self) -> None:
        with self.op_scope:
            self._namespace.cuda.get_current_stream().synchronize()

    def quiet(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def compiled_step(self, step: Callable[[], None], *, only_ops: bool = False) -> Callable[[], None]:
        """`step` itself; with kernels="all" a CUDA graph of it, which is not proved on a GPU yet (docs/gpu-status.md)."""
        return CapturedStep(self, self._capture, step) if self.kernels == "all" else step

    @property
    def description(self) -> str:
        cupy = self._namespace
        properties = cupy.cuda.runtime.getDeviceProperties(self.device)
        driver = cupy.cuda.runtime.driverGetVersion()
        tf32 = ", TF32 products (CUPY_TF32 is set)" if os.environ.get("CUPY_TF32") == "1" else ""
        if self.matmul_precision != "float32":
            tf32 = f", {self.matmul_precision} products"
        return (
            f"{properties['name'].decode()}, {properties['totalGlobalMem'] / 2**30:.0f} GiB, CuPy {cupy.__version__}, "
            f"driver for CUDA {driver // 1000}.{driver % 1000 // 10}{tf32}"
        )
