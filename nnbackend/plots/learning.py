"""Training, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ArgumentError, DataError, StateError, shown
from ..history import History
from .style import COLOURS, log_scale, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Columns, and how each is drawn: they differ in dashes, markers and lightness as well as in hue.
LOSSES = (("loss", "-", "o", COLOURS[0]), ("validation_loss", "--", "s", COLOURS[4]))
ACCURACIES = (("accuracy", "-", "^", COLOURS[1]), ("validation_accuracy", "--", "v", COLOURS[5]))
RATES = (("learning_rate", "-", "D", COLOURS[2]),)


def curves(history: History, ax: Axes | None = None, *, accuracy: bool = True) -> Axes:
    """Loss over epochs (left axis) and accuracy (right axis, 0 to 1); validation dashed.

    A regression's accuracy, which depends on a tolerance, is left out with `accuracy=False`. The loss is drawn
    logarithmically where it covers more than a factor of five. Raises `StateError` for a history without epochs, and
    `DataError` for one without losses.

    >>> from nnbackend.history import History
    >>> history = History()
    >>> history.append({"epoch": 1, "loss": 1.1, "data_loss": 1.1, "accuracy": 0.3})
    >>> history.append({"epoch": 2, "loss": 0.9, "data_loss": 0.9, "accuracy": 0.5})
    >>> curves(history).get_xlabel()
    'epoch'
    """
    epochs, losses = _columns(history, "loss")
    ax = ax if ax is not None else new_axes()
    lines = _lines(ax, history, epochs, LOSSES)
    if min(losses) > 0 and max(losses) > 5 * min(losses):
        log_scale(ax)
    ax.set(xlabel="epoch", ylabel="loss")
    if accuracy and "accuracy" in history:
        right = ax.twinx()
        lines += _lines(right, history, epochs, ACCURACIES)
        right.set(ylabel="accuracy (share of samples)", ylim=(0, 1.02))
    ax.grid(alpha=0.3)
    ax.legend(handles=lines, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize="small")
    return ax


def learning_rate(history: History, ax: Axes | None = None) -> Axes:
    """The learning rate over epochs: what decay, a schedule or a plateau made of it.

    >>> from nnbackend.history import History
    >>> history = History()
    >>> history.append({"epoch": 1, "loss": 1.1, "accuracy": 0.3, "learning_rate": 0.05})
    >>> learning_rate(history).get_ylabel()
    'learning rate'
    """
    epochs, rates = _columns(history, "learning_rate")
    ax = ax if ax is not None else new_axes()
    _lines(ax, history, epochs, RATES)
    ax.set(xlabel="epoch", ylabel="learning rate")
    ax.set_ylim(0, 1.08 * max(rates) or 1)
    ax.grid(alpha=0.3)
    return ax


def _columns(history: History, name: str) -> tuple[list[int], list[float]]:
    if history is not None and not isinstance(history, Mapping):
        raise ArgumentError(f"history {shown(history)}: expected an nn.History, such as model.train returns")
    if not history:
        raise StateError("the history has no epochs: train the model first")
    if name not in history:
        raise DataError(f"the history has no column {name!r}: it has {', '.join(history)}")
    values = [float(value) for value in history[name]]
    return list(history["epoch"]) if "epoch" in history else list(range(1, len(values) + 1)), values


def _lines(ax: Axes, history: History, epochs: list[int], drawn: tuple[tuple[str, str, str, str], ...]) -> list[object]:
    """The columns that there are, with about eight markers on each."""
    every = max(1, len(epochs) // 8)
    lines: list[object] = []
    for name, dashes, marker, colour in drawn:
        if name in history:
            values = np.array(history[name], float)
            lines += ax.plot(
                epochs, values, dashes, color=colour, lw=1.4, marker=marker, ms=4.5, markevery=every,
                label=name.replace("_", " "),
            )  # fmt: skip
    ax.xaxis.get_major_locator().set_params(integer=True)
    return lines
