"""Runs the scripts of `book_scripts/` in one process and prints what each printed, as JSON.

    python -m tests.book_runner book init       on nnbackend.book, with the scripts' own NumPy
    python -m tests.book_runner oracle plain    on the oracle, without nnfs.init()
    python -m tests.book_runner device init     on nnbackend.book, which gives NumPy too: set NNBACKEND

A process of its own, because `nnfs.init()` patches NumPy for good.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path

SCRIPTS = Path(__file__).parent / "book_scripts"
ADAPTERS = "from nnbackend.book import *\n"
DEVICE = ADAPTERS + "from nnbackend.book import np, sine_data, spiral_data, vertical_data\n"


def prepared(source: str, classes: str, start: str) -> str:
    """A script for these classes, and with or without `nnfs.init()`: plain NumPy is seeded as `nnfs.init()` seeds it."""
    if start == "plain":
        source = source.replace("nnfs.init()", "np.random.seed(0)")
    if classes == "oracle":
        source = source.replace(ADAPTERS, "from tests.book_oracle import *\n")
    if classes == "device":  # what docs/book.md tells a reader to replace
        lines = source.splitlines(keepends=True)
        ours = ("import numpy as np\n", "from nnfs.datasets import ")
        source = "".join(line for line in lines if not line.startswith(ours)).replace(ADAPTERS, DEVICE)
    return source


def main(classes: str, start: str) -> None:
    printed = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for path in sorted(SCRIPTS.glob("chapter_*.py")):
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(prepared(path.read_text(), classes, start), str(path), "exec"), {"__name__": "__main__"})
            printed[path.stem] = out.getvalue()
    json.dump(printed, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
