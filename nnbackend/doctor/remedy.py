"""From what is wrong with a GPU to the one command that helps on this machine."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ..backend import Fault, cupy_probe
from .device import install, reinstall
from .driver import Driver

USE_CPU = "nnbackend train spiral --backend cpu"
RUN_WITH_GPU = "docker run --rm --gpus all nnbackend:cuda doctor"
LOOK = "nvidia-smi"
NVIDIA = "0x10de"  # the vendor's number on the PCI bus

# Where Linux tells which devices there are, and that this is a container; the tests look elsewhere.
PCI, WINDOWS_GPU, OS_RELEASE = Path("/sys/bus/pci/devices"), Path("/dev/dxg"), Path("/etc/os-release")
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))


def gpu_remedy(fault: str | None, driver: Driver | None) -> str:
    """The command for a fault of a GPU."""
    if driver is not None and driver.needs_reboot:
        return "sudo reboot"
    return _REMEDIES[Fault(fault)](driver) if fault in list(Fault) else LOOK


def _install(driver: Driver | None) -> str:
    return install(fitting(driver), replacing=[]) if driver else _driver(None)


def _one_wheel(driver: Driver | None) -> str:
    return install(fitting(driver), replacing=cupy_probe.installed_wheels())


def _reinstall(driver: Driver | None) -> str:
    return reinstall(next(iter(cupy_probe.installed_wheels()), "cupy-cuda13x"))


def _driver(driver: Driver | None) -> str:
    """No driver, or one older than this CuPy needs: then the older CuPy, if the driver is new enough for that one."""
    wheels = cupy_probe.installed_wheels()
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


_REMEDIES: dict[Fault, Callable[[Driver | None], str]] = {
    Fault.NOT_INSTALLED: _install,
    Fault.TWO_WHEELS: _one_wheel,
    Fault.NOT_IMPORTING: _reinstall,
    Fault.NO_DRIVER: _driver,
    Fault.NO_DEVICE: _no_device,
    Fault.NO_SUCH_DEVICE: lambda driver: "nvidia-smi --list-gpus",
    Fault.CUDA_FAILS: lambda driver: LOOK,
    Fault.NO_MEMORY: _memory,
    Fault.NO_COMPILER: _reinstall,
    Fault.KERNEL_FAILS: lambda driver: LOOK,
    Fault.OPERATION_FAILS: _reinstall,  # after the probe's kernel: the libraries of matrix products
    Fault.WRONG_RESULT: lambda driver: "nvidia-smi --query --display=ECC",
}
