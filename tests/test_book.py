"""`nnbackend.book`: scripts in the style of the book's chapters print what the book's own classes print.

The scripts of `book_scripts/` run in processes of their own, because `nnfs.init()` patches NumPy for good. On the CPU their
output is compared with that of the oracle, line for line: the adapters make the same NumPy calls in the same order. On
the device, whose products round otherwise, it is compared by its numbers, as long as two correct programs agree.
"""

from __future__ import annotations

import ast
import functools
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nnbackend import book

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted(path.stem for path in (ROOT / "tests" / "book_scripts").glob("chapter_*.py"))
STARTS = ("plain", "init")  # float64 in plain NumPy, float32 after nnfs.init()


@functools.cache
def printed(classes: str, start: str, backend: str = "cpu") -> dict[str, str]:
    """What each script prints with these classes: run together, once."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.book_runner", classes, start],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "NNBACKEND": backend},
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_there_is_a_script_for_each_of_these_chapters() -> None:
    chapters = [5, 6, 9, 10, *range(14, 23)]
    assert [f"chapter_{number:02}" for number in chapters] == SCRIPTS


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_prints_what_the_books_classes_print(script: str, start: str) -> None:
    """A hundred epochs, in float64 and in float32, to the last digit that is printed."""
    expected = printed("oracle", start)[script].splitlines()
    assert len(expected) > 5
    assert printed("book", start)[script].splitlines() == expected


NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]?\d+)?")


def numbers(line: str) -> list[float]:
    return [float(number) for number in NUMBER.findall(line)]


def tolerances(lines: list[str], start: str) -> Iterator[float]:
    """How far a device's numbers in each line may lie from the oracle's.

    In float64 all agree to three decimals. In float32 the oracle's products are rounded from float64, a device's are not,
    and Adam makes such differences grow: up to epoch 30 they agree, but for two or three of 300 samples in the accuracy;
    after that they stay in the same neighbourhood.
    """
    latest = 0
    for line in lines:
        if epoch := re.match(r"epoch: (\d+)", line):
            latest = int(epoch[1])
        yield 1.1e-3 if start == "plain" else 1e-2 if latest <= 30 else 0.15


@pytest.mark.parametrize("backend", ["strict", pytest.param("gpu", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_runs_on_a_device(script: str, start: str, backend: str) -> None:
    expected = printed("oracle", start)[script].splitlines()
    found = printed("device", start, backend)[script].splitlines()
    assert len(found) == len(expected)
    for line, wanted, atol in zip(found, expected, tolerances(expected, start), strict=True):
        assert re.sub(r"\s+", "", NUMBER.sub("", line)) == re.sub(r"\s+", "", NUMBER.sub("", wanted))
        np.testing.assert_allclose(numbers(line), numbers(wanted), atol=atol, rtol=0, err_msg=wanted)


# -- the package itself --------------------------------------------------------------------------------------------------


ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.MatMult, ast.FloorDiv)

# Counting: epochs, iterations, the end of a batch.
COUNTING = {"range(1, epochs + 1)", "self.iterations += 1", "slice(start, start + size)"}

# What the package may call of NumPy: the book's sources of randomness, the product, and questions about dtypes.
NUMPY_CALLS = {
    *("np.random.randn", "np.random.binomial", "numpy.random.shuffle"),
    *("np.dot", "np.dtype", "np.result_type", "np.float64", "numpy.array"),
}


@pytest.mark.parametrize("path", sorted((ROOT / "nnbackend" / "book").glob("*.py")), ids=lambda path: path.stem)
def test_no_line_does_mathematics(path: Path) -> None:
    tree = ast.parse(path.read_text())
    counting = {id(part) for node in ast.walk(tree) if ast.unparse(node) in COUNTING for part in ast.walk(node)}
    annotations = {
        id(part)
        for node in ast.walk(tree)
        for field in ("annotation", "returns")
        if getattr(node, field, None) is not None
        for part in ast.walk(getattr(node, field))
    }
    for node in ast.walk(tree):
        if isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ARITHMETIC):
            assert id(node) in counting, f"line {node.lineno} computes: {ast.unparse(node)}"
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            constant = isinstance(node.operand, ast.Constant)
            assert constant, f"line {node.lineno} computes: {ast.unparse(node)}"
        if isinstance(node, ast.Call) and re.match(r"(np|numpy|math)\.", name := ast.unparse(node.func)):
            assert name in NUMPY_CALLS, f"line {node.lineno} calls {name}"
    assert annotations or path.stem == "__init__"


def test_import_star_brings_the_books_classes_and_nothing_else() -> None:
    namespace: dict[str, object] = {}
    exec("from nnbackend.book import *", namespace)
    names = {name for name in namespace if not name.startswith("__")}
    assert names == set(book.__all__)
    assert {"np", "spiral_data", "sine_data"}.isdisjoint(names)
    assert all(inspect.isclass(namespace[name]) for name in names)


def test_on_the_cpu_np_is_numpy() -> None:
    assert book.np is np
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        book.nonsense  # noqa: B018
