"""From the sentence with which a GPU is refused to the one command that helps on this machine.

The sentences are those of `backend/gpu.py`; each is recognized by a few of its words, and `tests/test_doctor.py` provokes
them all, so that one which is reworded is noticed.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ..backend import gpu
from .device import install, reinstall
from .driver import Driver

USE_CPU = "nnbackend train spiral --backend cpu"
RUN_WITH_GPU = "docker run --rm --gpus all nnbackend:cuda doctor"
LOOK = "nvidia-smi"
NVIDIA = "0x10de"  # the vendor's number on the PCI bus

# Where Linux tells which devices there are, and that this is a container; the tests look elsewhere.
PCI, WINDOWS_GPU, OS_RELEASE = Path("/sys/bus/pci/devices"), Path("/dev/dxg"), Path("/etc/os-release")
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))


def gpu_remedy(sentence: str, driver: Driver | None) -> str:
    """The command for a sentence of the probe."""
    if driver is not None and driver.needs_reboot:
        return "sudo reboot"
    for words, remedy in _REMEDIES.items():
        if words in sentence:
            return remedy(driver)
    return LOOK


def _install(driver: Driver | None) -> str:
    return install(fitting(driver), replacing=[]) if driver else _driver(None)


def _one_wheel(driver: Driver | None) -> str:
    return install(fitting(driver), replacing=gpu._installed_wheels())


def _reinstall(driver: Driver | None) -> str:
    return reinstall(next(iter(gpu._installed_wheels()), "cupy-cuda13x"))


def _driver(driver: Driver | None) -> str:
    """No driver, or one older than this CuPy needs: then the older CuPy, if the driver is new enough for that one."""
    wheels = gpu._installed_wheels()
    if driver and not driver.fault:
        if driver.cuda[0] == 12 and "cupy-cuda12x" not in wheels:
            return install(12, replacing=wheels)
        return _install_driver()
    if not has_nvidia_device():
        return USE_CPU  # nothing mends that
    return RUN_WITH_GPU if any(mark.exists() for mark in CONTAINER_MARKS) else _install_driver()


def _install_driver() -> str:
    with contextlib.suppress(OSError):
        if "ubuntu" in OS_RELEASE.read_text():
            return "sudo ubuntu-drivers install"
    return "python -m webbrowser https://www.nvidia.com/drivers"


def has_nvidia_device() -> bool:
    """Whether an NVIDIA device is plugged in; where nobody can tell (Windows, Linux inside of it), yes."""
    if WINDOWS_GPU.exists():
        return True
    try:
        return any((device / "vendor").read_text().strip() == NVIDIA for device in PCI.iterdir())
    except OSError:
        return not sys.platform.startswith("linux")


def _no_device(driver: Driver | None) -> str:
    return "unset CUDA_VISIBLE_DEVICES" if "CUDA_VISIBLE_DEVICES" in os.environ else LOOK


def _memory(driver: Driver | None) -> str:
    return "nvidia-smi --query-compute-apps=pid,process_name,used_memory --format=csv"


def fitting(driver: Driver | None) -> int:
    """The CUDA version whose CuPy fits the driver: 12 for an older one, else 13."""
    return 12 if driver and not driver.fault and driver.cuda[0] < 13 else 13


_REMEDIES: dict[str, Callable[[Driver | None], str]] = {
    "OutOfMemory": _memory,
    "out of memory": _memory,
    "which is not installed": _install,
    "are both installed": _one_wheel,
    "does not import": _reinstall,
    "no NVIDIA driver was found": _driver,
    "the driver sees no GPU": _no_device,
    "cannot compile a kernel": _reinstall,
    "an operation failed": _reinstall,  # after the probe's kernel: the libraries of matrix products
    "numbered from 0": lambda driver: "nvidia-smi --list-gpus",
    "do not trust it": lambda driver: "nvidia-smi --query --display=ECC",
    "wrongly": lambda driver: "nvidia-smi --query --display=ECC",
}
