"""`nnbackend doctor`: what this machine can run, and the command that mends what it cannot."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from .. import __version__
from .output import on_terminal

if TYPE_CHECKING:
    from rich.console import Console

    from ..doctor import Report


_STYLES = {"works": "green", "fails": "bold red", "missing": "yellow"}


@dataclass
class Doctor:
    """Say what this machine can run, and for what fails the one command that mends it.

    Every backend computes something whose result is known; nothing is changed. The status is 0 if the decisive backend works
    (cpu, or the one named with --backend), else 1. What stands in the way of a GPU may look so:

    [dim]gpu: the driver sees no GPU; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --backend cpu[/dim]

    [dim]    $ unset CUDA_VISIBLE_DEVICES[/dim]
    """

    backend: Annotated[
        str, typer.Option(metavar="cpu|gpu|gpu:N|auto|strict", help="The backend that has to work for status 0.")
    ] = "cpu"
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False

    def __call__(self) -> int:
        """Do it."""
        from ..doctor import examine

        with _status() as trying:
            report = examine(self.backend, trying=trying)
        if self.json:
            print(json.dumps({"nnbackend": __version__, **report.document()}, indent=2))
        else:
            show(report)
        return 0 if report.passed else 1


@contextlib.contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """A block with a line that says which backend is being tried, where somebody looks on: a sick GPU may hang."""
    if not on_terminal(sys.stderr):
        yield lambda name: None
        return
    from rich.console import Console

    with Console(stderr=True).status("looking at this machine") as status:
        yield lambda name: status.update(f"trying {name}")


def show(report: Report) -> None:
    """Two tables, then what is to be mended. Words say everything, colour only repeats it."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    print(f"nnbackend {__version__}")
    _show_machine(report, console)
    _show_backends(report, console)
    for what, sentence, command in report.remedies():
        sentence = sentence.removeprefix(f"backend {what!r} cannot be used: ")
        console.print(f"{what}: {sentence}", soft_wrap=not console.is_terminal)
        print(f"    $ {command}\n")  # never wrapped: it is there to be copied
    print(f"{report.decisive} works." if report.passed else f"{report.decisive} does not work.")


def _show_machine(report: Report, console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("Machine")
    table.add_column("", overflow="fold")
    for fact in report.facts:
        text = fact.text if fact.warning is None else f"{fact.text} (see below)"
        table.add_row(fact.name, Text(text), style=None if fact.warning is None else "yellow")
    console.print(table)


def _show_backends(report: Report, console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("Backend", no_wrap=True)
    table.add_column("Verdict")
    table.add_column("", overflow="fold")
    for verdict in report.verdicts:
        table.add_row(verdict.name, Text(verdict.word, _STYLES[verdict.word]), Text(verdict.description or "see below"))
    console.print(table)
