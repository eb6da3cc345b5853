"""What `nnbackend parity` runs and says, in its two modes: a table for people, a document for programs, a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backend import Backend
from ..parity import Comparison, Divergence, Measurement, follow, free, which_side
from ..parity.networks import CHAPTER_14, SUBJECTS, Subject

if TYPE_CHECKING:
    from rich.table import Table

# Told after every step what is being compared.
Tick = Callable[[str], None]

_PARTS = {"forward": "outputs", "backward": "gradients", "update": "update"}


class FollowReport:
    """All networks in all dtypes, step by step from common values."""

    def __init__(self, backends: list[Backend], steps: int) -> None:
        self.backends, self.steps = backends, steps
        self.total_steps = steps * len(backends) * len(SUBJECTS)
        self.found: list[tuple[Subject, Comparison]] = []
        self.wrong: dict[int, str] = {}  # by the place in `found`

    def run(self, tick: Tick) -> None:
        """Compare, and where something is found, ask who is wrong."""
        for xp in self.backends:
            for network in SUBJECTS:
                X, y = network.data()
                comparison = follow(
                    network.build,
                    X,
                    y,
                    backend=xp,
                    steps=self.steps,
                    batch_size=network.batch_size,
                    on_step=_ticking(tick, f"{xp.dtype}, {network.name}"),
                )
                if not comparison.passed:
                    sentence = which_side(network.build, X, y, comparison, batch_size=network.batch_size)
                    self.wrong[len(self.found)] = sentence
                self.found.append((network, comparison))

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
        for xp in self.backends:
            _show(_follow_table(xp, [comparison for _, comparison in self.found if comparison.backend is xp]))
        for place in self.wrong:
            network, comparison = self.found[place]
            print(f"{comparison.backend.dtype}, {network.name}: {comparison.first_beyond}.")
        for sentence in dict.fromkeys(self.wrong.values()):
            print(sentence)
        if self.passed:
            print(
                f"{self.backends[0].name} agrees with the judge: in {self.steps} steps of each of {len(SUBJECTS)} networks no "
                "difference is larger than rounding explains."
            )

    def document(self) -> dict[str, Any]:
        """For programs."""
        entries = [
            {
                "network": network.name,
                "dtype": comparison.backend.dtype.name,
                "passed": comparison.passed,
                "first_beyond": comparison.first_beyond and _entry(comparison.first_beyond),
                "wrong": self.wrong.get(place),
                "tensors": {name: _entry(worst) for name, worst in comparison.worst.items()},
            }
            for place, (network, comparison) in enumerate(self.found)
        ]
        return {"passed": self.passed, "mode": "follow", "steps": self.steps, "comparisons": entries}


class FreeReport:
    """The book's network in all dtypes, running freely."""

    def __init__(self, backends: list[Backend], steps: int) -> None:
        self.backends, self.steps = backends, steps
        self.total_steps = steps * len(backends)
        self.found: list[Divergence] = []

    def run(self, tick: Tick) -> None:
        """Let them run."""
        X, y = CHAPTER_14.data()
        for xp in self.backends:
            on_step = _ticking(tick, f"{xp.dtype}, free")
            self.found.append(free(CHAPTER_14.build, X, y, backend=xp, steps=self.steps, on_step=on_step))

    @property
    def passed(self) -> bool:
        """Whether all part as rounding makes them part."""
        return all(divergence.passed for divergence in self.found)

    def draw(self, path: Path) -> None:
        """A picture of how the losses part."""
        from ..plots import divergence

        divergence(self.found).figure.savefig(path)

    def print(self) -> None:
        """A table for each dtype, and what it means."""
        for divergence in self.found:
            _show(_free_table(divergence))
            print(divergence.verdict())

    def document(self) -> dict[str, Any]:
        """For programs."""
        entries = [
            {
                "dtype": run.backend.dtype.name,
                "passed": run.passed,
                "verdict": run.verdict(),
                "parted_at": run.parted_at,
                "control_parted_at": run.control_parted_at,
                "tenfold_in": run.tenfold_in,
                "loss": [_finite(value) for value in run.loss],
                "control_loss": [_finite(value) for value in run.control_loss],
                "parameters": [_finite(value) for value in run.parameters],
                "control_parameters": [_finite(value) for value in run.control_parameters],
            }
            for run in self.found
        ]
        return {"passed": self.passed, "mode": "free", "steps": self.steps, "runs": entries}


def _ticking(tick: Tick, doing: str) -> Callable[[int], None]:
    return lambda step: tick(doing)


def _follow_table(xp: Backend, runs: list[Comparison]) -> Table:
    """The largest difference of each layer in each part, of all networks."""
    from rich import box
    from rich.table import Table

    title = f"{xp.name} in {xp.dtype}: the largest differences"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("")
    table.add_column("layer")
    for column in ("relative", "ulps", "of tolerance", "step"):
        table.add_column(column, justify="right")
    table.add_column("tensor")
    part = ""
    for found in _largest_by_layer(runs):
        if found.part != part:
            table.add_section()
        title, part = ("" if found.part == part else _PARTS[found.part]), found.part
        numbers = (f"{found.relative:.1e}", f"{found.ulps:.1f}", f"{found.share:.0%}", f"{found.step}")
        style = "bold red" if found.beyond else None
        table.add_row(title, found.layer or "loss", *numbers, found.tensor, style=style)
    return table


def _largest_by_layer(runs: list[Comparison]) -> Iterator[Measurement]:
    """The measurement that took up most of its tolerance, for each part and layer, in the order of computation."""
    largest: dict[tuple[str, str], Measurement] = {}
    order: dict[tuple[str, str], int] = {}
    for comparison in runs:
        for place, found in enumerate(comparison.worst.values()):
            key = found.part, found.layer
            order[key] = max(order.get(key, 0), place)
            if key not in largest or not found.share <= largest[key].share:
                largest[key] = found
    parts = list(_PARTS)
    return iter(sorted(largest.values(), key=lambda found: (parts.index(found.part), order[found.part, found.layer])))


def _free_table(divergence: Divergence) -> Table:
    from rich import box
    from rich.table import Table

    xp = divergence.backend
    title = f"{xp.name} in {xp.dtype}, running freely: differences from the judge"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("step", "loss", "of the disturbed judge", "parameters", "of the disturbed judge"):
        table.add_column(column, justify="right")
    columns = (divergence.loss, divergence.control_loss, divergence.parameters, divergence.control_parameters)
    for step in _some_steps(divergence):
        table.add_row(f"{step}", *(f"{column[step - 1]:.1e}" for column in columns))
    return table


def _some_steps(divergence: Divergence) -> list[int]:
    """1, 2, 5, 10, 20, ... and the steps where something happens."""
    steps = {digit * 10**power for power in range(8) for digit in (1, 2, 5)}
    steps |= {divergence.parted_at or 0, divergence.beyond_at or 0, divergence.steps}
    return sorted(step for step in steps if 1 <= step <= divergence.steps)


def _show(table: Table) -> None:
    from rich.console import Console

    Console(highlight=False).print(table)


def _entry(found: Measurement) -> dict[str, Any]:
    numbers = {"relative": found.relative, "ulps": found.ulps, "share_of_tolerance": found.share}
    finite = {name: _finite(value) for name, value in numbers.items()}
    return {"step": found.step, "part": found.part, "layer": found.layer, "tensor": found.tensor, **finite}


def _finite(value: float) -> float | str:
    """JSON has no infinity and no NaN."""
    return float(value) if math.isfinite(value) else str(value)
