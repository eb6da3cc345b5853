"""The tables of `nnbackend parity`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..parity import Comparison, Divergence, Measurement

if TYPE_CHECKING:
    from rich.table import Table

PARTS = {"forward": "outputs", "backward": "gradients", "update": "update"}


def follow_table(runs: Sequence[Comparison], *, by_class: bool) -> Table:
    """The largest difference of each layer in each part; of several networks by class, with the network's number."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in ("relative", "ulps", "share", *(["#"] if by_class else []), "step"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("tensor", overflow="fold")
    part = ""
    for label, number, found in _largest(runs, by_class=by_class):
        if found.part != part:
            part = found.part
            table.add_section()
            table.add_row(f"[bold]{PARTS[part]}[/bold]")
        numbers = [f"{found.relative:.1e}", f"{found.ulps:.1f}", f"{found.share:.0%}"]
        numbers += [*([f"{number}"] if by_class else []), f"{found.step}"]
        style = "bold red" if found.beyond else None
        tensor = found.name if by_class else found.tensor
        table.add_row(f" {label}", *numbers, tensor, style=style)
    return table


def _largest(runs: Sequence[Comparison], *, by_class: bool) -> list[tuple[str, int, Measurement]]:
    """A label, the run and the measurement that took up most of its tolerance, in the order of computation."""
    largest: dict[tuple[str, str], tuple[int, Measurement]] = {}
    for number, comparison in enumerate(runs, 1):
        for found in comparison.worst.values():
            key = found.part, _label_of(comparison, found, by_class=by_class)
            if key not in largest or not found.share <= largest[key][1].share:
                largest[key] = number, found
    rows = [(label, number, found) for (_, label), (number, found) in largest.items() if label]
    return sorted(rows, key=lambda row: _place(row[2]))


def _place(found: Measurement) -> tuple[int, int]:
    """Where a measurement stands in the table: by part, and layers before losses before accuracies."""
    measured = ("data_loss", "regularization_loss", "accuracy")
    return list(PARTS).index(found.part), 0 if found.layer else 1 + measured.index(found.tensor)


def _label_of(comparison: Comparison, found: Measurement, *, by_class: bool) -> str:
    """The row of a measurement: a layer, the loss or the accuracy by name, or what class it is of."""
    if not by_class:
        return found.layer or "loss"
    place = "update" if found.part == "update" else found.layer or found.tensor
    return comparison.kinds.get(place, place)


def free_table(divergence: Divergence) -> Table:
    """How far the side and the control are from the judge, at some steps."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in ("step", "loss", "of the control", "parameters", "of the control"):
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


def show(title: str, table: Table) -> None:
    """Print a table for people; a long title is not broken."""
    from rich.console import Console

    print(title)
    Console(highlight=False).print(table)
