"""How the time of a training step grows with samples, width and depth: `python -m benchmarks --scaling`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .measure import Pace, measure
from .plot import STYLES, save
from .settings import Setting
from .workloads import scaled

PEERS = ("nnbackend", "nnbackend-cpu", "plain-float32", "torch", "torch-compile-graph", "jax")

# What grows, and how far; the rest stays as in the book's run: 100 samples a class, 64 neurons, one hidden layer.
AXES = {
    "samples a class": [(samples, 64, 1) for samples in (10, 100, 1_000, 10_000)],
    "neurons a layer": [(100, width, 1) for width in (8, 64, 512, 4096)],
    "hidden layers": [(100, 64, depth) for depth in (1, 2, 4, 8)],
}
_TINY = {
    "samples a class": [(10, 8, 1), (20, 8, 1)],
    "neurons a layer": [(10, 8, 1), (10, 16, 1)],
    "hidden layers": [(10, 8, 1), (10, 8, 2)],
}
_VARIED = {"samples a class": 0, "neurons a layer": 1, "hidden layers": 2}


def run(setting: Setting, pace: Pace, peers: list[str]) -> dict[str, Any]:
    """`rows`: for each axis its points, each with the seconds a step of every peer. `wrong`: who did not learn the same."""
    known: dict[tuple[int, int, int], Any] = {}  # the axes meet in the book's run
    rows: dict[str, Any] = {}
    for axis, points in (_TINY if setting.tiny else AXES).items():
        rows[axis] = []
        for point in points:
            if point not in known:
                known[point] = measure(scaled(*point), [peer for peer in PEERS if peer in peers], setting, pace)
            seconds = {peer: figures["seconds"] for peer, figures in known[point].peers.items()}
            rows[axis].append({"value": point[_VARIED[axis]], "seconds": seconds})
    wrong = [f"{result.workload}, {line}" for result in known.values() for line in result.wrong]
    return {"rows": rows, "wrong": wrong}


def plot(found: dict[str, Any], path: Path) -> None:
    """A panel an axis, both scales logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = found["rows"]
    figure, panels = pyplot.subplots(1, len(rows), figsize=(9, 3.6), sharey=True, layout="constrained")
    for panel, (axis, points) in zip(panels, rows.items(), strict=True):
        for peer in PEERS:
            known = [(point["value"], point["seconds"][peer] * 1e3) for point in points if peer in point["seconds"]]
            if known:
                panel.plot(*zip(*known, strict=True), **STYLES[peer])
        values = [point["value"] for point in points]
        panel.set(xscale="log", yscale="log", xlabel=axis)
        panel.set_xticks(values, [f"{value:,}" for value in values])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("milliseconds a training step")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=6, frameon=False)
    save(figure, path)
