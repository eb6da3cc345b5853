"""On what, when and from which commit a result was measured."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def describe(gpu: str | None = None) -> dict[str, Any]:
    """Processor, cores, memory, system, Python, and the GPU where it is measured."""
    found = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    return found if gpu is None else {**found, "gpu": gpu}


def now() -> dict[str, Any]:
    """Commit, hour, how busy the machine is, and variables that change what the libraries do."""
    return {
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load_average": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "environment": {name: os.environ[name] for name in sorted(os.environ) if name.startswith(_SETTINGS)},
    }


_SETTINGS = ("OPENBLAS_", "OMP_", "MKL_", "NUMBA_NUM_THREADS", "NNBACKEND", "XLA_FLAGS", "CUPY_TF32", "CUDA_VISIBLE")

# What a figure depends on: results and pages do not count as changes.
_CODE = ("nnbackend", "benchmarks", ":!benchmarks/results")


def commit() -> str:
    """The commit, with a mark where code was changed since."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "-uno", "--", *_CODE)
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None
