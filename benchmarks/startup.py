"""What it takes to begin: `import`, and a first training step with and without kernels in the cache."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec

from .machine import ROOT
from .settings import Setting

_STEP = """
import time; start = time.perf_counter()
import nnbackend as nn
X, y = nn.datasets.spiral(samples=100, classes=3, seed=0)
model = nn.Model([nn.Dense(2, 64), nn.ReLU(), nn.Dense(64, 3), nn.Softmax()], loss=nn.CategoricalCrossentropy(),
                 optimizer=nn.Adam(0.02), backend=nn.get_backend({backend!r}, kernels={kernels!r}), seed=0)
model.train(X, y, print_every=0)
print(time.perf_counter() - start)
"""
_IMPORT = "import time; start = time.perf_counter(); import {name}; print(time.perf_counter() - start)"

# Where compiled kernels are kept.
_CACHES = ("NUMBA_CACHE_DIR", "CUPY_CACHE_DIR")


def _seconds(code: str, cache: str | None = None) -> float:
    """What a fresh interpreter prints."""
    environment = os.environ | (dict.fromkeys(_CACHES, cache) if cache else {})
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    if result.returncode:
        raise RuntimeError(f"a first step failed: {result.stderr.strip().splitlines()[-1]}")
    return float(result.stdout)


def run(setting: Setting) -> dict[str, float]:
    """Seconds: medians, but for the compilation, which is measured once."""
    return dict(_rows(setting, repeats=5))


def _rows(setting: Setting, repeats: int) -> Iterator[tuple[str, float]]:
    def median(code: str, cache: str | None = None) -> float:
        if setting.tiny:
            return _seconds(code, cache)
        _seconds(code, cache)  # files are in memory, and kernels in the cache, after this
        return statistics.median(_seconds(code, cache) for _ in range(repeats))

    for name in ("numpy", "nnbackend", "torch", "jax"):
        if find_spec(name) is not None:
            yield f"import {name}", median(_IMPORT.format(name=name))
    yield (
        "import nnbackend and a first step, no kernels",
        median(_STEP.format(backend=setting.backend, kernels="reference")),
    )
    if not kernel_names(setting):
        return
    code = _STEP.format(backend=setting.backend, kernels=setting.kernels)
    if setting.tiny:  # compiling takes as long for a test as for everybody
        yield "import nnbackend and a first step, kernels from the cache", median(code)
        return
    with tempfile.TemporaryDirectory() as cache:
        yield "import nnbackend and a first step, kernels compiled", _seconds(code, cache)
        yield "import nnbackend and a first step, kernels from the cache", median(code, cache)


def kernel_names(setting: Setting) -> list[str]:
    """The ops that have kernels which are on in this setting."""
    ops = setting.get_backend().ops
    return [name for name in dir(ops) if getattr(getattr(ops, name), "overrides", ())]
