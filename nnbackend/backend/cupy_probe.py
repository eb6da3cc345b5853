"""Does a GPU work here? A kernel really runs, or one sentence says why not.

That CuPy imports says little: `probe` looks for the usual ways in which an installation is broken and then runs a kernel. Each
failure is a `BackendError` with a sentence for people and a `Fault` for programs; `nnbackend.doctor` has a command for each.
"""

from __future__ import annotations

import contextlib
import enum
import importlib.metadata
import warnings
from typing import Any

from ..errors import BackendError
from .device_scope import DeviceScope

_WHEELS = ("cupy-cuda12x", "cupy-cuda13x", "cupy-cuda11x", "cupy")
_NO_DEVICE = (
    "backend 'gpu' cannot be used: the driver sees no GPU; check nvidia-smi and CUDA_VISIBLE_DEVICES, "
    "or use --backend cpu"
)
_INSTALL = "install it with: pip install 'nnbackend[cuda13]' (CUDA 13, driver 580 or newer) or 'nnbackend[cuda12]'"
_COMPILER = ("nvrtc", "NVRTC", "headers", "include", "libcu", "cannot open source file")


class Fault(enum.StrEnum):
    """What is wrong with a GPU, in a word: `BackendError.fault`."""

    NOT_INSTALLED = "cupy-not-installed"
    TWO_WHEELS = "two-cupy-wheels"
    NOT_IMPORTING = "cupy-does-not-import"
    NO_DRIVER = "no-driver"
    NO_DEVICE = "no-device"
    NO_SUCH_DEVICE = "no-such-device"
    CUDA_FAILS = "cuda-does-not-start"
    NO_MEMORY = "no-memory"
    NO_COMPILER = "no-compiler"
    KERNEL_FAILS = "kernel-fails"
    OPERATION_FAILS = "operation-fails"  # after the probe: what `nnbackend.doctor` finds
    WRONG_RESULT = "wrong-result"


def probe(device: int = 0) -> Any:
    """The `cupy` module if that device runs a kernel, else `BackendError` with the reason and the remedy."""
    _refuse_two_wheels()
    cupy = _import_cupy()
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        raise _driver_error(error) from None
    if not count:
        raise BackendError(_NO_DEVICE, fault=Fault.NO_DEVICE)
    if device >= count:
        raise BackendError(
            f"no GPU number {device}: this machine has {count}, numbered from 0; use 'gpu:0'",
            fault=Fault.NO_SUCH_DEVICE,
        )
    try:
        with DeviceScope(cupy, device):
            total = int((cupy.arange(1000, dtype=cupy.int64) * 2).sum())
    except Exception as error:
        raise _kernel_error(error) from None
    if total != 999_000:
        raise BackendError(
            f"the GPU computed 2 + 4 + ... + 1998 as {total} instead of 999000: do not trust it; check the driver",
            fault=Fault.WRONG_RESULT,
        )
    return cupy


def installed_wheels() -> list[str]:
    """The packages of CuPy that are installed: one at most, or they break each other."""
    found = []
    for wheel in _WHEELS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version(wheel)
            found.append(wheel)
    return found


def _refuse_two_wheels() -> None:
    wheels = installed_wheels()
    if len(wheels) > 1:
        raise BackendError(
            f"backend 'gpu' cannot be used: {' and '.join(wheels)} are both installed and break each other; "
            f"run: pip uninstall {' '.join(wheels)}, then install the one that fits your driver",
            fault=Fault.TWO_WHEELS,
        )


def _import_cupy() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CuPy warns of broken installations; the probe says it in a sentence
            import cupy
    except ModuleNotFoundError:
        raise BackendError(
            f"backend 'gpu' needs CuPy, which is not installed; {_INSTALL}", fault=Fault.NOT_INSTALLED
        ) from None
    except Exception as error:
        raise BackendError(
            f"backend 'gpu' cannot be used: CuPy does not import ({_first_line(error)}); re{_INSTALL}",
            fault=Fault.NOT_IMPORTING,
        ) from None
    return cupy


def _driver_error(error: Exception) -> BackendError:
    text = _first_line(error)
    if "InsufficientDriver" in text:
        return BackendError(
            "backend 'gpu' cannot be used: no NVIDIA driver was found, or it is older than this CuPy needs (CUDA 13: driver 580, "
            "CUDA 12: driver 525); install or update the driver, in a container run with --gpus all, or use --backend cpu",
            fault=Fault.NO_DRIVER,
        )
    if "NoDevice" in text:
        return BackendError(_NO_DEVICE, fault=Fault.NO_DEVICE)
    return BackendError(
        f"backend 'gpu' cannot be used: CUDA does not start ({text}); check nvidia-smi, or use --backend cpu",
        fault=Fault.CUDA_FAILS,
    )


def _kernel_error(error: Exception) -> BackendError:
    text = _first_line(error)
    fault = fault_of(error)
    if fault is Fault.NO_MEMORY:
        what = f"the GPU has no memory left ({text}); end other programs that use it (nvidia-smi)"
    elif fault is Fault.NO_COMPILER:
        what = f"CuPy cannot compile a kernel ({text}); the CUDA headers or NVRTC are missing, re{_INSTALL}"
    else:
        what = f"a first kernel failed ({text}); check nvidia-smi, or use --backend cpu"
    return BackendError(f"backend 'gpu' cannot be used: {what}", fault=fault)


def fault_of(error: Exception) -> Fault:
    """What an error of CuPy while it computes is about, by its words: CUDA has hundreds of errors."""
    if "OutOfMemory" in type(error).__name__ or "out of memory" in str(error).lower():
        return Fault.NO_MEMORY
    return Fault.NO_COMPILER if any(word in str(error) for word in _COMPILER) else Fault.KERNEL_FAILS


def _first_line(error: Exception) -> str:
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
