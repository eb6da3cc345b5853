"""The picture that shows what a network has learned, whatever it learned from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import ArgumentError
from ..model import Model


def draw(
    path: Path, model: Model, kind: str, X: np.ndarray, y: np.ndarray, *, class_names: Sequence[str] | None = None
) -> None:
    """Draw regions of the plane for two inputs, the fitted curve for one, and a confusion matrix for more."""
    from .. import plots

    if kind == "regression":
        axes = plots.regression_fit(model, X, y)
    elif X.shape[1] == 2:
        axes = plots.decision_boundary(model, X, y)
    elif kind == "classification":
        axes = plots.confusion_matrix(model, X, y, class_names=class_names)
    else:
        raise ArgumentError(f"no picture shows a {kind} with {X.shape[1]} inputs: leave --plot out")
    axes.get_figure(root=True).savefig(path)
