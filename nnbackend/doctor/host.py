"""The host: Python, CPU, memory, NumPy and its BLAS, Numba, cache folders, optional packages."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..kernels import cpu as cpu_kernels
from .fact import Fact, first_line, gibibytes, version_of

# The extras of pyproject.toml that users install, and what each brings.
EXTRAS = {
    "jit": ("numba",),
    "cuda12": ("cupy-cuda12x", "cuda-toolkit"),
    "cuda13": ("cupy-cuda13x", "cuda-toolkit"),
    "data": ("scikit-learn", "pillow", "pyarrow"),
    "plot": ("matplotlib",),
    "tensorboard": ("tensorboard",),
}

_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS")

# What it is asked by: as NumPy's wheels build it, and as distributions do.
_ASK_OPENBLAS = ("scipy_openblas_get_num_threads64_", "openblas_get_num_threads64_", "openblas_get_num_threads")

# Where Linux tells what a machine and a container may use; the tests look elsewhere.
PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")


def host_facts() -> Iterator[Fact]:
    """All of it, in the order in which it is shown."""
    yield Fact("Python", f"{platform.python_version()}, {platform.platform()}", {"executable": sys.executable})
    yield cpu()
    yield memory()
    yield Fact("NumPy", np.__version__, {"version": np.__version__})
    yield blas()
    yield numba()
    yield cache_folder("Numba cache", "NUMBA_CACHE_DIR", numba_cache())
    yield extras()


def cpu() -> Fact:
    """The model of the processor, its threads, and how many of them this process may use."""
    model, threads, usable = _cpu_model(), os.cpu_count() or 1, usable_threads()
    text = f"{model}, {threads} thread(s)" + (f", of which this process may use {usable}" if usable < threads else "")
    return Fact("CPU", text, {"model": model, "threads": threads, "usable_threads": usable})


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in (PROC / "cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    return platform.processor() or platform.machine()


def usable_threads() -> int:
    """The threads that this process gets: those it is bound to, and no more than a container's quota of CPU time."""
    with contextlib.suppress(AttributeError):
        usable = len(os.sched_getaffinity(0))
        with contextlib.suppress(OSError, ValueError):
            quota, period = (CGROUP / "cpu.max").read_text().split()
            usable = min(usable, max(1, round(int(quota) / int(period))))
        return usable
    return os.cpu_count() or 1


def memory() -> Fact:
    """The machine's memory, what is free of it, and the container's limit if there is one."""
    sizes = {}
    with contextlib.suppress(OSError, ValueError):
        lines = (line.split(":") for line in (PROC / "meminfo").read_text().splitlines() if ":" in line)
        sizes = {name: int(size.split()[0]) * 1024 for name, size in lines}
    total, free = sizes.get("MemTotal"), sizes.get("MemAvailable")
    if total is None:
        with contextlib.suppress(AttributeError, ValueError, OSError):
            total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = None
    with contextlib.suppress(OSError, ValueError):
        limit = int((CGROUP / "memory.max").read_text())
    text = "unknown" if total is None else gibibytes(total)
    text += "" if free is None else f", {gibibytes(free)} free"
    text += "" if limit is None else f", this container may use {gibibytes(limit)}"
    return Fact("Memory", text, {"bytes": total, "free_bytes": free, "limit_bytes": limit})


def blas() -> Fact:
    """The library behind NumPy's matrix products, and its threads."""
    built: Any = np.show_config("dicts")
    described = (built or {}).get("Build Dependencies", {}).get("blas", {})
    name, version = described.get("name", "unknown"), described.get("version", "")
    threads, source = _blas_threads()
    said = f"{threads} thread(s) ({source})" if threads else source
    values = {"library": name, "version": version, "threads": threads}
    warning = command = None
    if threads and threads > usable_threads():
        warning = (
            f"BLAS starts {threads} threads, and this process may use {usable_threads()}: they wait for each other"
        )
        command = f"export OPENBLAS_NUM_THREADS={usable_threads()}"
    return Fact("BLAS", f"{name} {version}, {said}", values, warning, command)


def _blas_threads() -> tuple[int | None, str]:
    """How many, and who says so: threadpoolctl where it is installed, else OpenBLAS itself, else the environment."""
    with contextlib.suppress(ImportError):
        from threadpoolctl import threadpool_info

        found = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        if found:
            return max(found), "threadpoolctl"
    if threads := _openblas_threads():
        return threads, "OpenBLAS says so"
    for name in _BLAS_THREADS:
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name]), f"{name} is set"
    return None, "threads not known without threadpoolctl"


def _openblas_threads() -> int | None:
    """What the OpenBLAS that NumPy has loaded says, where Linux tells which file that is."""
    with contextlib.suppress(OSError):
        files = {line.split()[-1] for line in (PROC / "self" / "maps").read_text().splitlines() if "openblas" in line}
        for file in sorted(files):
            library = ctypes.CDLL(file)  # which is loaded already
            for function in _ASK_OPENBLAS:
                if hasattr(library, function):
                    return int(getattr(library, function)())
    return None


def numba() -> Fact:
    """Numba's version, and whether it imports."""
    version, fault = version_of("numba"), cpu_kernels.why_none()
    if fault is None:
        return Fact("Numba", version or "of unknown version", {"version": version})
    if version is None:
        return Fact("Numba", "not installed", {"version": None})
    return Fact("Numba", f"{version}, does not import", {"version": version, "fault": first_line(fault)})


def numba_cache() -> Path:
    """Where Numba keeps compiled code: the folder that is named, else beside the source, else the user's."""
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(named)
    beside = Path(cpu_kernels.__file__).parent / "__pycache__"
    if why_unwritable(beside) is None:
        return beside
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numba"


def cache_folder(name: str, variable: str, folder: Path) -> Fact:
    """Whether compiled code can be kept there: a file really is written."""
    fault = why_unwritable(folder)
    values = {"folder": str(folder), "writable": fault is None, "variable_set": bool(os.environ.get(variable))}
    if fault is None:
        return Fact(name, f"{folder}, writable", values)
    own = Path.home() / ".cache" / variable.partition("_")[0].lower()
    # Never a fixed name in a folder that all users share: another one could lay code into it.
    elsewhere = own if why_unwritable(own) is None else "$(mktemp -d)"
    warning = f"{folder} cannot be written ({fault}): kernels are compiled anew in every process"
    return Fact(name, f"{folder}, not writable", values, warning, f"export {variable}={elsewhere}")


def why_unwritable(folder: Path) -> str | None:
    """Why a file cannot be written in a folder, or in the nearest one above it that exists; None if it can."""
    try:
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or first_line(error)


def extras() -> Fact:
    """Which of the project's extras are installed, whole."""
    found = [extra for extra, packages in EXTRAS.items() if all(map(version_of, packages))]
    missing = [extra for extra in EXTRAS if extra not in found]
    text = ", ".join(found) or "none"
    return Fact("Extras", f"{text} (not: {', '.join(missing)})" if missing else text, {"installed": found})
