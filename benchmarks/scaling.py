"""How the time of a training step grows with samples, width and depth: `python -m benchmarks --scaling`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from .measure import Result, measure
from .report import duration
from .workloads import scaled

PEERS = ["nnbackend", "plain-float32", "torch", "jax"]

# What grows, and how far; the rest stays as in the book's run: 100 samples a class, 64 neurons, one hidden layer.
AXES = {
    "samples a class": [(samples, 64, 1) for samples in (10, 100, 1_000, 10_000)],
    "neurons a layer": [(100, width, 1) for width in (8, 64, 512, 4096)],
    "hidden layers": [(100, 64, depth) for depth in (1, 2, 4, 8)],
}
VARIED = {"samples a class": 0, "neurons a layer": 1, "hidden layers": 2}


def run(*, rounds: int, seconds: float) -> dict[str, list[tuple[int, Result]]]:
    """For each axis its points, each with what was measured there."""
    return {
        axis: [
            (point[VARIED[axis]], measure(scaled(*point), PEERS, rounds=rounds, seconds=seconds)) for point in points
        ]
        for axis, points in AXES.items()
    }


def table(measured: dict[str, list[tuple[int, Result]]]) -> Table:
    """Median times a step."""
    found = Table(title="Time a training step as the network or its data grow", title_justify="left")
    for name in ("what grows", "to", *PEERS):
        found.add_column(name, justify="left" if name == "what grows" else "right")
    for axis, points in measured.items():
        for value, result in points:
            times = [duration(result.peers[peer]["seconds"]) if peer in result.peers else "" for peer in PEERS]
            found.add_row(axis, f"{value:,}", *times)
    return found


def plot(measured: dict[str, list[tuple[int, Result]]], path: Path) -> None:
    """A panel an axis, both scales logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(measured), figsize=(12, 4), sharey=True, layout="constrained")
    for panel, (axis, points) in zip(panels, measured.items(), strict=True):
        for peer in PEERS:
            known = [(value, result.peers[peer]["seconds"]) for value, result in points if peer in result.peers]
            panel.plot(*zip(*known, strict=True), marker="o", label=peer)
        panel.set(xscale="log", yscale="log", xlabel=axis)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("seconds a training step")
    panels[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def as_json(measured: dict[str, list[tuple[int, Result]]]) -> dict[str, Any]:
    """For the JSON file."""
    return {
        axis: [{"value": value, **{p: r["seconds"] for p, r in result.peers.items()}} for value, result in points]
        for axis, points in measured.items()
    }
