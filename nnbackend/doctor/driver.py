"""What the NVIDIA driver says, asked through its own library NVML: it answers where CuPy is missing or broken too."""

from __future__ import annotations

import ctypes
import sys
from typing import Any, NamedTuple

LIBRARY_MISMATCH = 18  # NVML_ERROR_LIB_RM_VERSION_MISMATCH: updated, and not loaded anew


class GPU(NamedTuple):
    """One GPU, by its number in the driver's order."""

    name: str
    memory: int  # bytes
    free: int  # bytes
    architecture: str  # such as "sm_90"


class Driver(NamedTuple):
    """The driver: its version, the newest CUDA that it runs, and its GPUs; or why it does not answer."""

    version: str = ""
    cuda: tuple[int, int] = (0, 0)
    gpus: tuple[GPU, ...] = ()
    fault: str = ""
    needs_reboot: bool = False


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class _RefusedError(Exception):
    """NVML returned something other than 0."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


def load_nvml() -> Any:
    """The driver's library, or None where there is no driver."""
    try:
        return ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        return None


def read_driver() -> Driver | None:
    """The driver of this machine, or None if there is none. Starts nothing on the GPU and takes no memory there."""
    nvml = load_nvml()
    if nvml is None:
        return None
    try:
        _call(nvml, "nvmlInit_v2")
        try:
            return Driver(_text(nvml, "nvmlSystemGetDriverVersion"), _cuda(nvml), _gpus(nvml))
        finally:
            nvml.nvmlShutdown()
    except _RefusedError as error:
        return Driver(fault=str(error), needs_reboot=error.status == LIBRARY_MISMATCH)
    except AttributeError as error:  # a function that this driver's library does not have
        return Driver(fault=f"it is too old to be asked: {error}")


def _call(nvml: Any, function: str, *arguments: Any) -> None:
    status = getattr(nvml, function)(*arguments)
    if status:
        words = nvml.nvmlErrorString
        words.restype = ctypes.c_char_p
        raise _RefusedError(status, (words(status) or b"").decode(errors="replace") or f"NVML error {status}")


def _text(nvml: Any, function: str, *arguments: Any) -> str:
    buffer = ctypes.create_string_buffer(96)
    _call(nvml, function, *arguments, buffer, len(buffer))
    return buffer.value.decode(errors="replace")


def _cuda(nvml: Any) -> tuple[int, int]:
    version = ctypes.c_int()
    _call(nvml, "nvmlSystemGetCudaDriverVersion_v2", ctypes.byref(version))
    return version.value // 1000, version.value % 1000 // 10


def _gpus(nvml: Any) -> tuple[GPU, ...]:
    count = ctypes.c_uint()
    _call(nvml, "nvmlDeviceGetCount_v2", ctypes.byref(count))
    return tuple(_gpu(nvml, number) for number in range(count.value))


def _gpu(nvml: Any, number: int) -> GPU:
    device, memory = ctypes.c_void_p(), _Memory()
    major, minor = ctypes.c_int(), ctypes.c_int()
    _call(nvml, "nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(number), ctypes.byref(device))
    _call(nvml, "nvmlDeviceGetMemoryInfo", device, ctypes.byref(memory))
    _call(nvml, "nvmlDeviceGetCudaComputeCapability", device, ctypes.byref(major), ctypes.byref(minor))
    name = _text(nvml, "nvmlDeviceGetName", device)
    return GPU(name, memory.total, memory.free, f"sm_{major.value}{minor.value}")
