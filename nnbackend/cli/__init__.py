"""The command line: `nnbackend train spiral`, `nnbackend parity --backend gpu`, ...

    guard.py      errors become one sentence and an exit status, in one place
    app.py        the commands, and what is said about a wrong command line
    train.py, evaluate.py, predict.py, show.py, plot.py, parity.py
                  one command each: a dataclass whose fields are the options and whose call does the work
    options.py    what several commands take: the model file, the backend
    tasks.py      what each data set asks of a network
    rows.py       files of numbers
    answers.py    what outputs say: classes and probabilities
    pictures.py   what a network has learned, drawn
    output.py     the backend that is used and why, lines, the progress bar
    result.py, show_text.py, parity_reports.py
                  what the commands report, for people and as JSON

Typer and rich are imported by `main`, not by importing this package.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `nnbackend` with these arguments, by default the process's own, and return the exit status.

    0: done. 1: the run failed (the loss became NaN, the disk is full, a comparison found a difference). 2: something was
    asked for wrongly, or cannot be had here. 130: interrupted. 141: nobody reads the output any more.
    143: ended by SIGTERM.
    """
    from .guard import run_guarded

    return run_guarded(lambda: _parse_and_run(arguments))


def _parse_and_run(arguments: Sequence[str] | None) -> int:
    from .app import parse

    return parse(arguments)()
