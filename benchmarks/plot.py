"""Pictures of a result. They read in grey and for the colour-blind: peers differ in lightness, and in marks as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .document import Document
from .markdown import COLUMNS, comparison

# Colours of Okabe and Ito's palette, which are told apart in every kind of colour blindness.
_BLACK, _ORANGE, _BLUE, _GREEN, _SKY, _PURPLE = "#000000", "#E69F00", "#0072B2", "#009E73", "#56B4E9", "#CC79A7"

# Of lines.
STYLES: dict[str, dict[str, Any]] = {
    "nnbackend": {"color": _BLACK, "marker": "o", "linewidth": 2.5, "label": "nnbackend"},
    "nnbackend-cpu": {"color": _BLACK, "marker": "s", "linestyle": ":", "label": "nnbackend, CPU"},
    "plain-float32": {"color": _ORANGE, "marker": "^", "linestyle": "--", "label": "plain NumPy"},
    "torch": {"color": _BLUE, "marker": "D", "linestyle": "-.", "label": "PyTorch"},
    "torch-compile-graph": {"color": _PURPLE, "marker": "v", "linestyle": "-.", "label": "PyTorch, graphs"},
    "jax": {"color": _GREEN, "marker": "x", "linestyle": ":", "linewidth": 2, "label": "JAX"},
}

# Of bars, a column of the short table each, from light to dark.
_BARS = {
    "plain NumPy": {"color": "#F5D48A", "hatch": ""},
    "scikit-learn": {"color": "#FFFFFF", "hatch": "...."},
    "PyTorch": {"color": _SKY, "hatch": "////"},
    "JAX": {"color": _BLUE, "hatch": ""},
    "nnbackend on the CPU": {"color": "#F5D48A", "hatch": ""},
}


def performance(document: Document, path: Path) -> None:
    """For each workload how many times as long as nnbackend each peer takes: bars from 1 on a logarithmic scale."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = comparison(document)
    columns = [name for name in COLUMNS if any(name in row.times for row in rows)]
    figure, axes = pyplot.subplots(figsize=(8.5, 1.2 + 0.72 * len(rows)), layout="constrained")
    height = 0.8 / max(len(columns), 1)
    for i, name in enumerate(columns):
        known = [(place + (i - (len(columns) - 1) / 2) * height, row.times[name])
                 for place, row in enumerate(rows) if name in row.times]  # fmt: skip
        places, times = zip(*known, strict=True)
        axes.barh(places, [time - 1 for time in times], height * 0.9, left=1, label=name, edgecolor="black",
                  linewidth=0.6, **_BARS[name])  # fmt: skip
        for place, time in known:
            axes.annotate(
                f"{time:.3g}×", (max(time, 1), place), (3, 0), textcoords="offset points", va="center", fontsize=8
            )
    axes.axvline(1, color="black", linewidth=1.5)
    axes.set_xscale("log")
    figure.supxlabel("times as long as nnbackend takes (right of the line: nnbackend is quicker)", fontsize=10)
    axes.set_yticks(range(len(rows)), [f"{row.name}\nnnbackend: {row.ours}" for row in rows], fontsize=9)
    axes.invert_yaxis()
    _ticks(axes, [time for row in rows for time in row.times.values()])
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(columns), frameon=False)
    save(figure, path)


def _ticks(axes: Any, times: list[float]) -> None:
    """Plain numbers around what is shown, with room for the figures at the ends of bars."""
    low, high = min([*times, 1.0]), max([*times, 1.0])
    axes.set_xlim(min(0.9, low * 0.9), high * 1.3)
    ticks = [tick for tick in (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200) if low * 0.9 <= tick <= high * 1.3]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()


def save(figure: Any, path: Path) -> None:
    """As PNG, without the hour, so that equal results give equal files."""
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None})
    pyplot.close(figure)
