"""`nnbackend train --profile`: where a step's time goes, as lines for people and as a document for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...model import Model
from ...profile import profile_step
from ..tasks import Task

_HEAD = ("phase", "layer", "op", "runs", "time", "share")


class Profile:
    """The ops of a training step of a trained model, each timed alone."""

    def __init__(self, model: Model, task: Task, batch_size: int | None, step_seconds: float | None) -> None:
        self.rows = profile_step(model, *task.training, batch_size=batch_size)
        self.samples = len(task.training[0]) if batch_size is None else batch_size
        self.step_seconds = step_seconds

    def lines(self) -> Iterator[str]:
        """A table with a sum for each phase."""
        total = sum(row.seconds for row in self.rows)
        yield f"where a step's time goes (batch of {self.samples:,}, each op alone, the median of 100 times):"
        yield _line(_HEAD)
        for phase in dict.fromkeys(row.phase for row in self.rows):
            own = [row for row in self.rows if row.phase == phase]
            for row in own:
                yield _line((phase, row.layer, row.op, row.implementation, duration(row.seconds), f"{row.share:.0%}"))
            seconds = sum(row.seconds for row in own)
            yield _line((phase, "", "all of it", "", duration(seconds), f"{seconds / (total or 1.0):.0%}"))
        yield _line(("step", "", "sum", "", duration(total), ""))
        if self.step_seconds is not None:
            yield f"a step of this run took {duration(self.step_seconds)} on average, with all that happens between steps"

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "batch": self.samples,
            "seconds_of_a_step": self.step_seconds,
            "ops": [row._asdict() for row in self.rows],
        }


def duration(seconds: float) -> str:
    """A time in the unit that suits it.

    >>> duration(2.13e-6), duration(0.0456), duration(3.0)
    ('2.13 µs', '45.6 ms', '3 s')
    """
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


def _line(cells: tuple[str, ...]) -> str:
    phase, layer, op, runs, time, share = cells
    return f"{phase:<9} {layer:<11} {op:<30} {runs:<9} {time:>8} {share:>6}".rstrip()
