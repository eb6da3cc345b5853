"""The GPU side: CuPy's wheels, the driver, the GPUs, NVRTC, the CUDA headers, TF32, CuPy's cache folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..backend import cupy_probe
from ..kernels.cuda import toolchain
from .driver import Driver
from .fact import Fact, first_line, gibibytes, version_of
from .host import cache_folder

# Where there is no GPU to compile for: an architecture that CUDA 12 and CUDA 13 both know.
ANY_ARCHITECTURE = "sm_90"


def device_facts(driver: Driver | None) -> Iterator[Fact]:
    """All of it, in the order in which it is shown."""
    wheels = cupy_probe.installed_wheels()
    yield cupy(wheels)
    yield driver_fact(driver)
    yield gpus(driver)
    if len(wheels) == 1:  # without CuPy nobody asks for these, and two wheels must be mended first
        architecture = driver.gpus[0].architecture if driver and driver.gpus else ANY_ARCHITECTURE
        yield nvrtc(wheels[0], architecture)
        yield headers(wheels[0], architecture)
        folder = Path(os.environ.get("CUPY_CACHE_DIR") or Path.home() / ".cupy" / "kernel_cache")
        yield cache_folder("CuPy cache", "CUPY_CACHE_DIR", folder)
    yield tf32()


def cupy(wheels: list[str]) -> Fact:
    """The wheels of CuPy that are installed."""
    versions = {wheel: version_of(wheel) or "of unknown version" for wheel in wheels}
    text = " and ".join(f"{wheel} {version}" for wheel, version in versions.items()) or "not installed"
    return Fact("CuPy", text, {"wheels": versions})


def driver_fact(driver: Driver | None) -> Fact:
    """The driver's version, and the newest CUDA that it runs."""
    if driver is None:
        return Fact("Driver", "none found", {"version": None})
    if driver.fault:
        warning = f"the NVIDIA driver does not answer: {driver.fault}"
        command = "sudo reboot" if driver.needs_reboot else "nvidia-smi"
        return Fact("Driver", "does not answer", {"version": None, "fault": driver.fault}, warning, command)
    cuda = f"{driver.cuda[0]}.{driver.cuda[1]}"
    return Fact("Driver", f"{driver.version}, for CUDA {cuda} and older", {"version": driver.version, "cuda": cuda})


def gpus(driver: Driver | None) -> Fact:
    """The GPUs that the driver has, whether or not this process may see them (CUDA_VISIBLE_DEVICES)."""
    found = driver.gpus if driver else ()
    text = "; ".join(f"{g.name} ({g.architecture}), {gibibytes(g.memory)}, {gibibytes(g.free)} free" for g in found)
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        text += f"{'; ' if text else 'none found; '}CUDA_VISIBLE_DEVICES={hidden!r}"
    return Fact("GPU", text or "none found", {"devices": [g._asdict() for g in found], "visible": hidden})


def nvrtc(wheel: str, architecture: str) -> Fact:
    """The compiler of kernels: it compiles one."""
    version = None
    try:
        version = toolchain.nvrtc_version()
        toolchain.compile_probe(toolchain.BARE, architecture)
    except Exception as error:  # CuPy's own classes, which are not imported here
        values = {"version": version, "compiles_for": None}
        warning, command = _compiler_fault(version, architecture, error, wheel)
        return Fact("NVRTC", f"{version or 'not found'}, compiles nothing", values, warning, command)
    return Fact("NVRTC", f"{version}, compiles for {architecture}", {"version": version, "compiles_for": architecture})


def _compiler_fault(version: str | None, architecture: str, error: Exception, wheel: str) -> tuple[str, str]:
    if version and "gpu-architecture" in str(error):
        warning = f"NVRTC {version} does not know the GPU's architecture {architecture}: a newer CUDA is needed"
        return warning, install(13, replacing=[wheel])
    return f"CuPy's compiler NVRTC does not work ({first_line(error)})", reinstall(wheel)


def headers(wheel: str, architecture: str) -> Fact:
    """The headers that CuPy's own kernels need: one that includes them is compiled."""
    try:
        toolchain.compile_probe(toolchain.WITH_HEADERS, architecture)
    except Exception as error:
        warning = f"a kernel that includes the CUDA headers does not compile ({first_line(error)})"
        return Fact("CUDA headers", "not usable", {"usable": False}, warning, reinstall(wheel))
    return Fact("CUDA headers", "found, a kernel with them compiles", {"usable": True})


def tf32() -> Fact:
    """Whether CuPy's float32 products are rounded to TF32, which CUPY_TF32=1 asks for behind the program's back."""
    if os.environ.get("CUPY_TF32") != "1":
        return Fact("TF32", "off, float32 products are float32", {"on": False})
    warning = "CUPY_TF32=1: float32 products on the GPU keep 10 bits of their factors instead of 23"
    return Fact("TF32", "on, products are less precise", {"on": True}, warning, "unset CUPY_TF32")


def extra_of(wheel: str) -> str:
    """The extra of this project that brings a wheel of CuPy.

    >>> extra_of("cupy-cuda12x"), extra_of("cupy")
    ('cuda12', 'cuda13')
    """
    return "cuda12" if wheel == "cupy-cuda12x" else "cuda13"


def reinstall(wheel: str) -> str:
    """The command that brings CuPy's libraries and headers anew."""
    return f"pip install --force-reinstall 'nnbackend[{extra_of(wheel)}]'"


def install(cuda: int, *, replacing: list[str]) -> str:
    """The command that installs CuPy for a CUDA version in place of other wheels: two of them break each other.

    >>> install(12, replacing=["cupy-cuda13x"])
    "pip uninstall -y cupy-cuda13x && pip install 'nnbackend[cuda12]'"
    """
    wanted = f"pip install 'nnbackend[cuda{cuda}]'"
    return f"pip uninstall -y {' '.join(replacing)} && {wanted}" if replacing else wanted
