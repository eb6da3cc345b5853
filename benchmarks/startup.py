"""What it takes to begin: `import`, and a first training step with and without kernels in the cache."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from rich.table import Table

from .machine import ROOT
from .report import duration

_STEP = """
import time; start = time.perf_counter()
import nnbackend as nn
X, y = nn.datasets.spiral(samples=100, classes=3, seed=0)
model = nn.Model([nn.Dense(2, 64), nn.ReLU(), nn.Dense(64, 3), nn.Softmax()], loss=nn.CategoricalCrossentropy(),
                 optimizer=nn.Adam(0.02), backend=nn.get_backend("cpu", kernels={kernels!r}), seed=0)
model.train(X, y, print_every=0)
print(time.perf_counter() - start)
"""
_IMPORT = "import time; start = time.perf_counter(); import {name}; print(time.perf_counter() - start)"


def _seconds(code: str, cache: str | None = None) -> float:
    """What a fresh interpreter prints."""
    environment = os.environ | ({"NUMBA_CACHE_DIR": cache} if cache else {})
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return float(result.stdout)


def run(*, repeats: int = 5) -> dict[str, float]:
    """Median seconds."""

    def median(code: str, cache: str | None = None) -> float:
        _seconds(code, cache)  # files are in memory, and kernels in the cache, after this
        return statistics.median(_seconds(code, cache) for _ in range(repeats))

    found = {f"import {name}": median(_IMPORT.format(name=name)) for name in ("numpy", "nnbackend")}
    found["import and first step, no kernels"] = median(_STEP.format(kernels="reference"))
    with tempfile.TemporaryDirectory() as cache:
        found["import and first step, kernels compiled"] = _seconds(_STEP.format(kernels="auto"), cache)
        found["import and first step, kernels from the cache"] = median(_STEP.format(kernels="auto"), cache)
    return found


def table(found: dict[str, float]) -> Table:
    """For people."""
    rows = Table(title="Start-up, in a fresh process", title_justify="left")
    rows.add_column("what")
    rows.add_column("time", justify="right")
    for name, seconds in found.items():
        rows.add_row(name, duration(seconds))
    return rows
