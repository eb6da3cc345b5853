"""Ctrl-C while the command `nnbackend` is still being imported.

NumPy and Typer take a moment to import, and an interrupt there would be a traceback through their code. There is nothing to
keep yet, so the process says so in one line and ends. `cli.guard` takes over when the command runs. A program that imports the
library keeps Python's own way: nothing is touched.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import NoReturn


def is_command() -> bool:
    """Whether Python was started as `nnbackend` or `python -m nnbackend`."""
    program = sys.argv[0] if getattr(sys, "argv", None) else ""
    if program == "-m":  # stands there as long as Python looks for the module, whose name comes before its arguments
        return sys.orig_argv[-len(sys.argv)] in ("nnbackend", "-mnnbackend")
    return os.path.splitext(os.path.basename(program))[0] == "nnbackend"


def end_at_once(number: int, frame: object) -> NoReturn:
    """What a signal does while the command is being imported: no exception, which a module could make another one of."""
    signal.signal(number, signal.SIG_IGN)  # once is enough
    with contextlib.suppress(OSError):
        os.write(2, b"nnbackend: interrupted\n")
    os._exit(128 + number)  # as shells count


def listen() -> None:
    """Let Ctrl-C end the command in one line from now on, if this is the command and nobody has said otherwise."""
    if is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        with contextlib.suppress(ValueError):  # not the main thread, which has the signals
            signal.signal(signal.SIGINT, end_at_once)


listen()
