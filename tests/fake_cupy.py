"""A stand-in for CuPy on a machine without a GPU, so that the Python of the GPU backend runs in every test run.

It is NumPy with CuPy's manners that matter to `nnbackend/backend/gpu.py`: arrays of a class of their own, each on a
device, a current device for every thread, and an error where an array is touched while another device is current. On
real machines with several GPUs that is the error one gets where the devices cannot reach each other's memory. It is no
test of kernels or of speed; the rules about mixing and synchronizing are those of the backend `strict`.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.fake_graphs import Cuda


class Runtime:
    """`cupy.cuda.runtime`: how many devices there are, and which one is current in this thread."""

    def __init__(self, devices: int) -> None:
        self.devices = devices
        self.memGetInfo: Any = None
        self.log: list[int] = []  # every device that was made current
        self._thread = threading.local()

    def getDeviceCount(self) -> int:
        return self.devices

    def getDevice(self) -> int:
        return getattr(self._thread, "current", 0)

    def setDevice(self, device: int) -> None:
        if not 0 <= device < self.devices:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.log.append(device)
        self._thread.current = device

    def getDeviceProperties(self, device: int) -> dict[str, Any]:
        return {"name": f"Fake GPU {device}".encode(), "totalGlobalMem": 8 * 2**30}

    def driverGetVersion(self) -> int:
        return 13020


class OutOfMemoryError(MemoryError):
    """`cupy.cuda.memory.OutOfMemoryError`."""


class Memory:
    """The memory of all devices: so many bytes, of which an array has its own as long as it lives."""

    def __init__(self) -> None:
        self.limit = 8 * 2**30
        self.used = 0

    def take(self, raw: np.ndarray) -> None:
        """Count an array that owns its memory."""
        if raw.base is None and raw.nbytes:
            if self.used + raw.nbytes > self.limit:
                raise OutOfMemoryError(
                    f"Out of memory allocating {raw.nbytes:,} bytes (allocated so far: {self.used:,} bytes)."
                )
            self.used += raw.nbytes
            weakref.finalize(raw, self._give_back, raw.nbytes)

    def _give_back(self, size: int) -> None:
        self.used -= size


def fake_cupy(devices: int = 1, emulated: Any = None) -> Any:
    """A module that `import cupy` may find, with so many devices.

    `emulated` (an `EmulatedModule`) runs raw kernels; without it there are none.
    """
    runtime, memory = Runtime(devices), Memory()
    runtime.memGetInfo = lambda: (memory.limit - memory.used, memory.limit)
    cuda = Cuda(runtime)

    class FakeArray(np.lib.mixins.NDArrayOperatorsMixin):
        """An array on the device that was current when it was made."""

        def __init__(self, raw: Any, device_id: int | None = None) -> None:
            self.raw = np.asarray(raw)
            memory.take(self.raw)
            self.device_id = runtime.getDevice() if device_id is None else device_id

        shape, dtype, ndim, size, nbytes, flags = (
            property(lambda self, name=name: getattr(self.raw, name))
            for name in ("shape", "dtype", "ndim", "size", "nbytes", "flags")
        )
        device = property(lambda self: f"<CUDA Device {self.device_id}>")
        T = property(lambda self: FakeArray(self.raw.T, self.device_id))
        data = property(lambda self: types.SimpleNamespace(ptr=self.raw.ctypes.data))

        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
            return run(getattr(ufunc, method), *inputs, **kwargs)

        def __array_function__(self, function: Any, kinds: Any, args: Any, kwargs: Any) -> Any:
            return run(function, *args, **kwargs)

        def __array__(self, *args: Any, **kwargs: Any) -> Any:
            raise TypeError("Implicit conversion to a NumPy array is not allowed.")

        def __getitem__(self, key: Any) -> Any:
            if any(isinstance(part, FakeArray) for part in (key if isinstance(key, tuple) else (key,))):
                return run(np.ndarray.__getitem__, self, key)
            return FakeArray(self.raw[key], self.device_id)  # a view is no work of the device

        def reshape(self, *shape: Any) -> Any:
            return FakeArray(self.raw.reshape(*shape), self.device_id)

        def __len__(self) -> int:
            return len(self.raw)

        def __deepcopy__(self, memo: Any) -> Any:
            return FakeArray(self.raw.copy(), self.device_id)

        def get(self) -> np.ndarray:
            cuda.refuse("get")
            return np.array(bare(self))

        def set(self, host: np.ndarray, stream: Any) -> None:
            cuda.refuse("set")
            stream.log.append("copy")
            bare(self)[...] = host

    computing = {name for name in dir(np.ndarray) if not name.startswith("_") and callable(getattr(np.ndarray, name))}
    for name in {"__setitem__", "__float__", "__int__", "__bool__", *computing} - vars(FakeArray).keys():
        setattr(
            FakeArray, name, functools.partialmethod(_call, getattr(np.ndarray, name), lambda *a, **k: run(*a, **k))
        )

    def bare(value: Any) -> Any:
        """What NumPy can work on, if the current device is the array's own; the same inside tuples, lists and keywords."""
        if isinstance(value, FakeArray):
            if value.device_id != runtime.getDevice():
                raise ValueError(
                    f"The device where the array resides ({value.device_id}) is different from the current device "
                    f"({runtime.getDevice()}). Peer access could not be activated automatically."
                )
            return value.raw
        if isinstance(value, (tuple, list)):
            return type(value)(map(bare, value))
        return {key: bare(item) for key, item in value.items()} if isinstance(value, dict) else value

    def dressed(value: Any) -> Any:
        if isinstance(value, (np.ndarray, np.generic)):
            return FakeArray(value)
        return type(value)(map(dressed, value)) if isinstance(value, (tuple, list)) else value

    def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        name = getattr(getattr(function, "__self__", function), "__name__", "")
        result = cuda.enqueue(lambda given: function(*given[0], **given[1]), (bare(args), bare(kwargs)), name=name)
        out = kwargs.get("out")
        return dressed(result) if out is None else out[0] if isinstance(out, tuple) else out

    def attribute(name: str) -> Any:
        value = getattr(np, name)
        if not callable(value) or isinstance(value, type):
            return value
        return lambda *args, **kwargs: run(value, *args, **kwargs)

    module: Any = types.ModuleType("cupy")
    module.__version__ = "14.2.0"
    module.__getattr__ = attribute
    module.ndarray = FakeArray
    module.asarray = lambda host: cuda.refuse("asarray") or FakeArray(np.array(host))
    module.asnumpy = lambda array: cuda.refuse("asnumpy") or np.array(bare(array))
    module.from_dlpack = lambda data: FakeArray(data.values)
    module.cuda = cuda
    module.memory = memory
    module.get_default_memory_pool = lambda: types.SimpleNamespace(free_bytes=lambda: 0)

    emulating = threading.Lock()  # the emulator runs one launch at a time

    def one_by_one(*launch: Any) -> None:
        with emulating:
            emulated.run(*launch, 0)

    class RawModule:
        """Kernels that run in the emulator."""

        def __init__(self, *, code: str, options: tuple[str, ...]) -> None:
            self._dtype = "float64" if "-DREAL=double" in options else "float32"

        def get_function(self, name: str) -> Callable[..., None]:
            def launch(grid: Any, block: Any, args: Any) -> None:
                cuda.enqueue(lambda given: one_by_one(name, self._dtype, grid, block, given), bare(args))

            return launch

    if emulated is not None:
        module.RawModule = RawModule
    return module


def _call(array: Any, method: Callable[..., Any], run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return run(method, array, *args, **kwargs)


@contextlib.contextmanager
def current(cupy: Any, device: int) -> Iterator[None]:
    """A block with another device current, as `cupy.cuda.Device(n)`."""
    before = cupy.cuda.runtime.getDevice()
    cupy.cuda.runtime.setDevice(device)
    try:
        yield
    finally:
        cupy.cuda.runtime.setDevice(before)
