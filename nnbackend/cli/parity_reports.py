"""What `nnbackend parity` runs and says, in its two modes: a table for people, a document for programs, a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..backend import Backend
from ..parity import Comparison, Divergence, Measurement, follow, free, which_side
from ..parity.networks import Subject
from ..parity.side import called
from .parity_tables import follow_table, free_table, show

# Told after every step what is being compared.
Tick = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to compare: backends, each with its judge; subjects; and for how many steps."""

    pairs: Sequence[tuple[Backend, Backend]]
    subjects: Sequence[Subject]
    steps: int
    own: bool = False  # whether the subject is a model of the user's
    against: bool = False  # whether the judge is a backend that was asked for

    @property
    def total_steps(self) -> int:
        """For a progress bar."""
        return self.steps * len(self.pairs) * len(self.subjects)

    @property
    def sides(self) -> tuple[str, str]:
        """The names of both sides."""
        backend, judge = self.pairs[0]
        return called(backend), called(judge) if self.against else "the judge"


class FollowReport:
    """All subjects in all dtypes, step by step from common values."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.found: list[tuple[Subject, Comparison]] = []
        self.wrong: dict[int, str] = {}  # by the place in `found`

    def run(self, tick: Tick) -> None:
        """Compare, and where something is found, ask who is wrong."""
        for xp, judge in self.plan.pairs:
            for subject in self.plan.subjects:
                X, y = subject.data()
                comparison = follow(
                    subject.build,
                    X,
                    y,
                    backend=xp,
                    judge=judge,
                    steps=self.plan.steps,
                    **subject.settings,
                    on_step=_ticking(tick, f"{xp.dtype}, {subject.name}"),
                )
                if not comparison.passed:
                    sentence = which_side(subject.build, X, y, comparison, **subject.settings)
                    self.wrong[len(self.found)] = sentence
                self.found.append((subject, comparison))

    @property
    def passed(self) -> bool:
        """Whether all agree."""
        return not self.wrong

    def draw(self, path: Path) -> None:
        """A picture of how much of the tolerance was used."""
        from ..plots import agreement

        agreement([comparison for _, comparison in self.found])[0].figure.savefig(path)

    def print(self) -> None:
        """A table for each dtype, and the verdict."""
        backend, judge = self.plan.sides
        for xp, _ in self.plan.pairs:
            runs = [comparison for _, comparison in self.found if comparison.backend is xp]
            title = f"{backend} in {xp.dtype}: the largest differences from {judge}, and their share of the tolerance"
            show(title, follow_table(runs, by_class=not self.plan.own))
        for subject, comparison in self.found:
            for sentence in _what_happened(comparison):
                print(f"{comparison.backend.dtype}, {subject.name}: {sentence}")
        for sentence in dict.fromkeys(self.wrong.values()):
            print(sentence)
        if self.passed:
            print(
                f"{backend} agrees with {judge}: in {self._covered()} no difference is larger than rounding explains."
            )

    def _covered(self) -> str:
        subjects = self.plan.subjects
        where = subjects[0].name if len(subjects) == 1 else f"each of {len(subjects)} networks"
        steps = max(comparison.steps for _, comparison in self.found)
        return f"{steps} steps of {where}"

    def document(self) -> dict[str, Any]:
        """For programs."""
        entries = [
            {
                "network": subject.name,
                "dtype": comparison.backend.dtype.name,
                "passed": comparison.passed,
                "steps": comparison.steps,
                "first_beyond": comparison.first_beyond and _entry(comparison.first_beyond),
                "overflow": comparison.overflow and _entry(comparison.overflow),
                "wrong": self.wrong.get(place),
                "classes": comparison.kinds,
                "tensors": {name: _entry(worst) for name, worst in comparison.worst.items()},
                "shares_of_tolerance": [
                    {part: _finite(share) for part, share in shares.items()} for shares in comparison.shares
                ],
            }
            for place, (subject, comparison) in enumerate(self.found)
        ]
        return {"passed": self.passed, "mode": "follow", "steps": self.plan.steps, "comparisons": entries}


def _what_happened(comparison: Comparison) -> list[str]:
    """The first difference, and where the numbers end."""
    sentences = [f"{comparison.first_beyond}."] if comparison.first_beyond else []
    if overflow := comparison.overflow:
        sentences.append(
            f"at step {overflow.step} {overflow.name} is more than {comparison.backend.dtype} can hold: the training "
            "diverges, and the comparison ends there."
        )
    return sentences


class FreeReport:
    """The subjects in all dtypes, running freely."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.found: list[tuple[Subject, Divergence]] = []

    def run(self, tick: Tick) -> None:
        """Let them run."""
        for xp, judge in self.plan.pairs:
            for subject in self.plan.subjects:
                divergence = free(
                    subject.build,
                    *subject.data(),
                    backend=xp,
                    judge=judge,
                    steps=self.plan.steps,
                    **subject.settings,
                    on_step=_ticking(tick, f"{xp.dtype}, {subject.name}, free"),
                )
                self.found.append((subject, divergence))

    @property
    def passed(self) -> bool:
        """Whether all part as rounding makes them part."""
        return all(divergence.passed for _, divergence in self.found)

    def draw(self, path: Path) -> None:
        """A picture of how the losses part."""
        from ..plots import divergence

        divergence([run for _, run in self.found]).get_figure(root=True).savefig(path)

    def print(self) -> None:
        """A table for each dtype, and what it means."""
        backend, judge = self.plan.sides
        for subject, run in self.found:
            title = f"{backend} in {run.backend.dtype} on {subject.name}, running freely: differences from {judge}"
            show(title, free_table(run))
            print(run.verdict())
        print(f"(The control is {judge} once more, disturbed in each step as rounding disturbs it.)")

    def document(self) -> dict[str, Any]:
        """For programs."""
        entries = [
            {
                "network": subject.name,
                "dtype": run.backend.dtype.name,
                "passed": run.passed,
                "verdict": run.verdict(),
                "parted_at": run.parted_at,
                "control_parted_at": run.control_parted_at,
                "beyond_at": run.beyond_at,
                "overflow_at": run.overflow_at,
                "tenfold_in": run.tenfold_in,
                "loss": [_finite(value) for value in run.loss],
                "control_loss": [_finite(value) for value in run.control_loss],
                "parameters": [_finite(value) for value in run.parameters],
                "control_parameters": [_finite(value) for value in run.control_parameters],
            }
            for subject, run in self.found
        ]
        return {"passed": self.passed, "mode": "free", "steps": self.plan.steps, "runs": entries}


def _ticking(tick: Tick, doing: str) -> Callable[[int], None]:
    return lambda step: tick(doing)


def _entry(found: Measurement) -> dict[str, Any]:
    numbers = {"relative": found.relative, "ulps": found.ulps, "share_of_tolerance": found.share}
    finite = {name: _finite(value) for name, value in numbers.items()}
    return {"step": found.step, "part": found.part, "layer": found.layer, "tensor": found.tensor, **finite}


def _finite(value: float) -> float | str:
    """JSON has no infinity and no NaN."""
    return float(value) if math.isfinite(value) else str(value)
