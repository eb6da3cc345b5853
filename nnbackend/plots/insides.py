"""What is inside of a model: its parameters and their gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .style import COLOURS, grid_in, plain
from .tasks import need_model

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..model import Model

# A page of more panels has no room for numbers.
MOST_PANELS = 24


def histograms(
    model: Model,
    ax: Axes | None = None,
    *,
    gradients: bool = False,
    data: tuple[Any, Any] | None = None,
    columns: int | None = None,
) -> list[Axes]:
    """How the values of each parameter (or, with `gradients`, of its gradient) are distributed: a panel each.

    The gradients are those of the last training step, or of the loss on `data=(X, y)`, which a loaded model needs. Of more
    than 24 parameters the first 24 are drawn. The panels take the place of `ax`, and are returned.

    >>> import nnbackend as nn
    >>> from nnbackend import plots
    >>> panels = plots.histograms(nn.Model([nn.Dense(2, 3)], seed=0))
    >>> [panel.get_title() for panel in panels]
    ['dense_1.weights', 'dense_1.biases']
    """
    need_model(model)
    if data is not None:
        _compute_gradients(model, *data)
    buffer = model.parameter_buffer
    arrays = list(buffer.split(buffer.grads if gradients or data is not None else buffer.values).items())
    if not arrays:
        raise DataError("the model has no parameters: there is nothing to draw")
    columns = columns or (2 if len(arrays) <= 4 else 3 if len(arrays) <= 9 else 4)
    panels = grid_in(ax, min(len(arrays), MOST_PANELS), columns=columns, width=2.6, height=2.1)
    for panel, (name, values) in zip(panels, arrays, strict=False):
        _panel(panel, name, values.ravel())
    what = "gradient" if gradients or data is not None else "value"
    for number, panel in enumerate(panels):
        if number + columns >= len(panels):
            panel.set_xlabel(what, fontsize="small")
        if number % columns == 0:
            panel.set_ylabel("how many", fontsize="small")
    return panels


def _panel(panel: Axes, name: str, values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    bins = int(np.clip(len(finite) ** 0.5, 8, 30))
    colour, hatch = (COLOURS[0], None) if name.endswith("weights") else (COLOURS[1], "////")
    panel.hist(finite, bins=bins, color=colour, hatch=hatch, edgecolor="white", linewidth=0.3)
    lost = len(values) - len(finite)
    panel.set_title(plain(name, 30) + (f": {lost:,} not finite" if lost else ""), fontsize="small")
    panel.tick_params(labelsize="x-small")
    panel.locator_params(nbins=4)


def _compute_gradients(model: Model, X: Any, y: Any) -> None:
    """The gradients of the loss on these samples, as a training step computes them, without dropout."""
    inputs, targets = model.built.prepare(X, y)
    model.evaluation_step(inputs, targets)
    model.backward(y)
