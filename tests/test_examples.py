"""Every example runs, on the CPU and on the pretend GPU, and learns."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("NNBACKEND", None)
    return subprocess.run(
        [sys.executable, path, *arguments], env=environment, capture_output=True, text=True, timeout=120
    )


CHAPTER_14 = [path for path in EXAMPLES if path.name.startswith("chapter14")]


@pytest.mark.parametrize("backend", ["cpu", "strict", pytest.param("gpu", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("path", CHAPTER_14, ids=lambda path: path.stem)
def test_chapter_14_runs_and_learns(path: Path, backend: str) -> None:
    finished = run(path, "--backend", backend, "--dtype", "float64", "--epochs", "401")
    assert (finished.returncode, finished.stderr) == (0, "")
    losses = [float(loss) for loss in re.findall(r"^epoch: \d+, .* loss: ([\d.]+) \(", finished.stdout, re.MULTILINE)]
    assert losses[0] == pytest.approx(1.099, abs=1e-3)
    assert losses[-1] < 0.75
    accuracy = re.search(r"^validation, acc: ([\d.]+), loss: [\d.]+$", finished.stdout, re.MULTILINE)
    assert accuracy
    assert float(accuracy[1]) > 0.5


def test_the_examples_are_here() -> None:
    assert {"chapter14_by_hand", "chapter14_model"} <= {path.stem for path in EXAMPLES}
