"""Other programs at work: how much does each peer suffer where it does not have the machine to itself?"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def at_work(count: int) -> Iterator[None]:
    """A block during which so many other programs each want a core."""
    programs = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
        for program in programs:
            program.wait()
