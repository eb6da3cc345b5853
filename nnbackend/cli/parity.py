"""`nnbackend parity`: the proof that a backend computes what the CPU computes, for anyone to run."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__
from ..backend import Backend, get_backend
from ..backend.base import DTYPES
from ..checks import count
from ..errors import ArgumentError, did_you_mean
from ..model import Model
from ..parity.networks import CHAPTER_14, SUBJECTS, Subject
from ..parity.side import called
from .files import check_picture
from .options import AsJson, load
from .output import backend_line, on_terminal, settle_backend, step_bar, write_lines_at_once
from .parity_reports import FollowReport, FreeReport, Plan
from .samples import samples_for

# What is appended to a backend's name for it without its kernels.
REFERENCE = "-reference"


@dataclass
class Parity:
    """Compare a backend with the CPU in float64, step by step, on networks that use every part of the library between them, or
    on a model and data of your own.

    Every step begins from common values, so that rounding cannot grow; whatever is further off than rounding explains is a fault.
    The first such step, layer and tensor are named, and which side is wrong. The status is 0 if there is none, else 1.
    """

    backend: Annotated[
        str | None,
        typer.Option(
            metavar="cpu|gpu|gpu:N|auto|strict",
            help="What to compare (default: what the environment variable NNBACKEND says, else cpu).",
        ),
    ] = None
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|cpu-reference",
            help="Compare with this backend in the same precision; float64 on the CPU judges where they differ.",
        ),
    ] = None
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A model of yours, as train --save writes it; goes with --data.")
    ] = None
    data: Annotated[
        str | None,
        typer.Option(metavar="spiral|vertical|sine|digits|FILE", help="Data for --model, as evaluate takes them."),
    ] = None
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Samples in a step of --model (default: all of them).")
    ] = None
    dtype: Annotated[str, typer.Option(metavar="float32|float64|both", help="In which precision.")] = "both"
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", help="Training steps (default: 100; --free: 400; without an optimizer: 10)."),
    ] = None
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Begin each step from common values, which finds wrong operations (default)."),
    ] = False
    free: Annotated[bool, typer.Option("--free", help="Let both run freely, to see where chaos takes over.")] = False
    kernels: Annotated[
        str,
        typer.Option(metavar="auto|reference|all", help="Which faster operations to use: those proved, none, or all."),
    ] = "auto"
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the differences over the steps (extra plot).")
    ] = None
    json: AsJson = False

    def __call__(self) -> int:
        """Do it."""
        write_lines_at_once()
        self._check()
        settled = [settle_backend(self.backend, dtype, self.kernels) for dtype in self._dtypes]
        plan = Plan(
            [(xp, self._judge(xp)) for xp, _ in settled],
            self._subjects,
            self._steps,
            own=self.model is not None,
            against=self.against is not None,
        )
        reason = settled[0][1]
        if not self.json:
            print(*self._head(plan, reason), sep="\n")
        report = FreeReport(plan) if self.free else FollowReport(plan)
        shown = on_terminal(sys.stderr if self.json else sys.stdout)
        with step_bar(plan.total_steps, shown=shown, to_stderr=self.json) as step:
            report.run(step)
        if self.plot is not None:
            report.draw(self.plot)
        if self.json:
            print(json.dumps({**self._document_head(plan, reason), **report.document()}, indent=2))
        else:
            report.print()
        return 0 if report.passed else 1

    # -- what was asked for --------------------------------------------------------------------------------------------

    def _check(self) -> None:
        """Refuse what makes no sense, before anything is computed."""
        known = (*DTYPES, "both")
        if self.dtype not in known:
            raise ArgumentError(f"unknown dtype {self.dtype!r}: {did_you_mean(self.dtype, known)}")
        if self.follow and self.free:
            raise ArgumentError("--follow and --free are two ways to compare: ask for one of them")
        if self.steps is not None:
            count("steps", self.steps)
        for option, given in (("--data", self.data is not None), ("--batch-size", self.batch_size is not None)):
            if given and self.model is None:
                raise ArgumentError(f"{option} is for a model of yours: name its file with --model, or leave it out")
        if self.model is not None and self.data is None:
            raise ArgumentError(f"--model {self.model} needs data: --data spiral, ..., or a file of yours")
        if self.plot is not None:
            check_picture("--plot", self.plot)

    @property
    def _dtypes(self) -> tuple[str, ...]:
        return DTYPES if self.dtype == "both" else (self.dtype,)

    def _judge(self, xp: Backend) -> Backend:
        """Float64 on the CPU, or the backend of --against in the dtype of the other."""
        if self.against is None:
            return get_backend("cpu", "float64", "reference")
        name = self.against.removesuffix(REFERENCE)
        judge = get_backend(name, xp.dtype, "auto" if name == self.against else "reference")
        if judge is xp:
            raise ArgumentError(
                f"--against {self.against} is the backend that is compared: name another, or leave it out"
            )
        return judge

    @cached_property
    def _model(self) -> Model | None:
        """The user's model, in the judge's precision."""
        return None if self.model is None else load(self.model, "cpu", "float64")[0]

    @cached_property
    def _subjects(self) -> tuple[Subject, ...]:
        """The user's model and data, or the built-in ones; of these only the book's runs freely."""
        if self.model is None or self.data is None or self._model is None:
            return (CHAPTER_14,) if self.free else SUBJECTS
        path, samples = self.model, samples_for(self._model, self.data)

        def build(xp: Backend) -> Model:
            return Model.load(path, backend=xp)

        return (Subject(f"{path.name} on {self.data}", build, lambda: (samples.X, samples.y), self.batch_size),)

    @property
    def _steps(self) -> int:
        if self.steps is not None:
            return self.steps
        if self._model is not None and self._model.optimizer is None:
            return 10  # nothing is learned, so only batches and dropout differ from step to step
        return 400 if self.free else 100

    # -- what is said --------------------------------------------------------------------------------------------------

    def _head(self, plan: Plan, reason: str) -> list[str]:
        xp, judge = plan.pairs[0]
        dtypes = " and ".join(self._dtypes)
        lines = [backend_line(xp, reason, dtype=dtypes)]
        if plan.against:
            lines.append(f"against: {called(judge)} ({judge.description}), {dtypes}, as --against says")
        beside = ", where they differ" if plan.against else ""
        lines.append(f"judge: cpu, float64, reference operations{beside}")
        if self._model is not None:
            samples = len(plan.subjects[0].data()[0])
            lines.append(f"model: {self.model}; data: {self.data}, {samples:,} samples")
            if self._model.optimizer is None:
                lines.append("The model has no optimizer: outputs, losses and gradients are compared, and no updates.")
        elif not self.free:
            lines += ["networks:", *(f"  {number}  {each.name}" for number, each in enumerate(plan.subjects, 1))]
        return lines

    def _document_head(self, plan: Plan, reason: str) -> dict[str, Any]:
        xp, judge = plan.pairs[0]
        return {
            "nnbackend": __version__,
            "backend": xp.name,
            "description": xp.description,
            "reason": reason,
            "kernels": xp.kernels,
            "against": called(judge) if plan.against else None,
            "model": None if self.model is None else str(self.model),
            "data": self.data,
        }
