"""`nnbackend parity`: the proof that a backend computes what the CPU computes, for anyone to run."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from ..backend.base import DTYPES
from ..checks import count
from ..errors import ArgumentError, did_you_mean
from .files import check_picture
from .output import backend_line, on_terminal, settle_backend, step_bar, write_lines_at_once
from .parity_reports import FollowReport, FreeReport


@dataclass
class Parity:
    """Compare a backend with the CPU in float64, step by step, on networks that use every part of the library between them.

    Every step begins from common values, so that rounding cannot grow; whatever is further off than rounding explains is a fault.
    The first such step, layer and tensor are named. The status is 0 if there is none, else 1.
    """

    backend: Annotated[
        str | None,
        typer.Option(
            metavar="cpu|gpu|gpu:N|auto|strict",
            help="What to compare (default: what the environment variable NNBACKEND says, else cpu).",
        ),
    ] = None
    dtype: Annotated[str, typer.Option(metavar="float32|float64|both", help="In which precision.")] = "both"
    steps: Annotated[int | None, typer.Option(metavar="N", help="Training steps (default: 100; --free: 400).")] = None
    free: Annotated[bool, typer.Option("--free", help="Let both run freely, to see where chaos takes over.")] = False
    kernels: Annotated[
        str,
        typer.Option(metavar="auto|reference|all", help="Which faster operations to use: those proved, none, or all."),
    ] = "auto"
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the differences over the steps (extra plot).")
    ] = None
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False

    def __call__(self) -> int:
        """Do it."""
        write_lines_at_once()
        known = (*DTYPES, "both")
        if self.dtype not in known:
            raise ArgumentError(f"unknown dtype {self.dtype!r}: {did_you_mean(self.dtype, known)}")
        steps = count("steps", (400 if self.free else 100) if self.steps is None else self.steps)
        if self.plot is not None:
            check_picture("--plot", self.plot)
        dtypes = DTYPES if self.dtype == "both" else (self.dtype,)
        settled = [settle_backend(self.backend, dtype, self.kernels) for dtype in dtypes]
        backends, (first, reason) = [xp for xp, _ in settled], settled[0]
        if not self.json:
            print(backend_line(first, reason, dtype=" and ".join(dtypes)))
            print("judge: cpu, float64, reference operations")
        report = FreeReport(backends, steps) if self.free else FollowReport(backends, steps)
        shown = on_terminal(sys.stderr if self.json else sys.stdout)
        with step_bar(report.total_steps, shown=shown, to_stderr=self.json) as step:
            report.run(step)
        if self.plot is not None:
            report.draw(self.plot)
        if self.json:
            head = {"nnbackend": __version__, "backend": first.name, "description": first.description, "reason": reason}
            print(json.dumps({**head, **report.document()}, indent=2))
        else:
            report.print()
        return 0 if report.passed else 1
