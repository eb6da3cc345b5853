"""How two backends differ: the pictures of `nnbackend parity`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ArgumentError
from .style import COLOURS, grid_in, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..parity import Comparison, Divergence

# The words of the table that `nnbackend parity` prints.
_PARTS = {"forward": "outputs and losses", "backward": "gradients", "update": "update"}


def agreement(comparisons: Sequence[Comparison], ax: Axes | None = None) -> list[Axes]:
    """How much of the tolerance two backends use up, step by step (`parity.follow`): a panel a dtype, a line a part.

    >>> import nnbackend as nn
    >>> from nnbackend import parity, plots
    >>> def build(xp):
    ...     layers = [nn.Dense(2, 8), nn.ReLU(), nn.Dense(8, 3), nn.Softmax()]
    ...     return nn.Model(layers, loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.02), backend=xp, seed=0)
    >>> X, y = nn.datasets.spiral(samples=20, classes=3, seed=0)
    >>> found = parity.follow(build, X, y, backend="cpu", dtype="float32", steps=5)
    >>> [panel.get_title(loc="left") for panel in plots.agreement([found])]
    ['float32']
    """
    if not comparisons:
        raise ArgumentError("comparisons []: expected at least one, as parity.follow returns it")
    dtypes = list(dict.fromkeys(comparison.backend.dtype.name for comparison in comparisons))
    panels = grid_in(ax, len(dtypes), columns=1, width=7.0, height=3.0)
    for panel, dtype in zip(panels, dtypes, strict=True):
        _shares(panel, [comparison.shares for comparison in comparisons if comparison.backend.dtype.name == dtype])
        panel.set_title(dtype, fontsize="medium", loc="left")
        panel.sharex(panels[0])
    panels[0].legend(loc="lower right", ncols=3, frameon=False, bbox_to_anchor=(1, 1))
    panels[-1].set_xlabel("step")
    return panels


def _shares(panel: Axes, runs: list[list[dict[str, float]]]) -> None:
    """The largest share of any run at each step, a line a part."""
    steps = range(1, max(map(len, runs)) + 1)
    for (part, label), colour, style in zip(_PARTS.items(), COLOURS, ("-", "--", ":"), strict=False):
        shares = [max(run[step - 1].get(part, 0.0) for run in runs if len(run) >= step) for step in steps]
        finite = np.clip(np.nan_to_num(shares, nan=np.inf), 1e-4, 1e12)
        panel.plot(steps, finite, style, marker="." if len(steps) == 1 else "", color=colour, label=label)
    panel.axhline(1, color="0.3", lw=1.2)
    panel.annotate(
        "what rounding explains", (0, 1), xycoords=("axes fraction", "data"), xytext=(4, 2), textcoords="offset points",
        fontsize="small", color="0.2",
    )  # fmt: skip
    panel.margins(y=0.1)
    panel.xaxis.get_major_locator().set_params(integer=True)
    panel.set(yscale="log", ylabel="share of the tolerance")
    panel.grid(alpha=0.3)


def divergence(divergences: Sequence[Divergence], ax: Axes | None = None) -> Axes:
    """How the losses of free runs part (`parity.free`), with the judge that was disturbed by rounding dashed beside them.

    >>> import nnbackend as nn
    >>> from nnbackend import parity, plots
    >>> def build(xp):
    ...     layers = [nn.Dense(2, 8), nn.ReLU(), nn.Dense(8, 3), nn.Softmax()]
    ...     return nn.Model(layers, loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.02), backend=xp, seed=0)
    >>> X, y = nn.datasets.spiral(samples=20, classes=3, seed=0)
    >>> plots.divergence([parity.free(build, X, y, backend="cpu", dtype="float32", steps=5)]).get_xlabel()
    'step'
    """
    ax = ax if ax is not None else new_axes()
    for found, colour in zip(divergences, COLOURS, strict=False):
        steps, dtype = range(1, found.steps + 1), found.backend.dtype.name
        ax.plot(steps, np.maximum(found.loss, 1e-17), color=colour, label=f"{found.backend.name}, {dtype}")
        disturbed = np.maximum(found.control_loss, 1e-17)
        ax.plot(
            steps, disturbed, "--", color=colour, lw=1, label=f"{found.judge_called}, disturbed by {dtype} rounding"
        )
    ax.axhline(1e-3, color="0.3", lw=1.2, label="above: losses that differ as they are printed")
    ax.set(xlabel="step", ylabel="relative difference of the loss", yscale="log")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, fontsize="small")
    return ax
