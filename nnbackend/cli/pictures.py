"""The pictures of a model: which one shows what it has learned, and which there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, did_you_mean
from ..history import History
from ..model import Model
from .answers import REGRESSION, kind_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass
class Subject:
    """A model and what a picture of it may need."""

    model: Model
    X: np.ndarray | None = None
    y: np.ndarray | None = None
    history: History | None = None
    class_names: Sequence[str] | None = None

    @property
    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """The data, which the caller has made sure of."""
        assert self.X is not None
        assert self.y is not None
        return self.X, self.y


def boundary(subject: Subject, ax: Axes) -> None:
    """Regions of the plane."""
    from ..plots import decision_boundary

    if kind_of(subject.model) == REGRESSION:
        raise ArgumentError("a boundary lies between classes, and this model is for regression: use --kind fit")
    decision_boundary(subject.model, *subject.data, ax, class_names=_names(subject))


def fit(subject: Subject, ax: Axes) -> None:
    """A curve over one input, or predicted against true values."""
    from ..plots import predicted_against_true, regression_fit

    model = subject.model
    if kind_of(model) != REGRESSION:
        raise ArgumentError("a fit is of a regression, and this model tells classes apart: use --kind confusion")
    over_one_input = subject.data[0].shape[1:] == (1,) and model.n_outputs == 1
    (regression_fit if over_one_input else predicted_against_true)(model, *subject.data, ax)


def confusion(subject: Subject, ax: Axes) -> None:
    """Which class is taken for which."""
    from ..plots import confusion_matrix

    if kind_of(subject.model) == REGRESSION:
        raise ArgumentError("a confusion matrix is of classes, and this model is for regression: use --kind fit")
    confusion_matrix(subject.model, *subject.data, ax, class_names=_names(subject))


def weights(subject: Subject, ax: Axes) -> None:
    """How the parameters are distributed."""
    from ..plots import histograms

    histograms(subject.model, ax)


def gradients(subject: Subject, ax: Axes) -> None:
    """How the gradients of the loss on the data are distributed."""
    from ..plots import histograms

    histograms(subject.model, ax, data=subject.data)


def curves(subject: Subject, ax: Axes) -> None:
    """Losses and accuracies over epochs."""
    from ..plots import curves

    assert subject.history is not None
    curves(subject.history, ax, accuracy=kind_of(subject.model) != REGRESSION)


KINDS: dict[str, Callable[[Subject, Axes], None]] = {
    "boundary": boundary,
    "fit": fit,
    "confusion": confusion,
    "weights": weights,
    "gradients": gradients,
    "curves": curves,
}
NEED_DATA = ("boundary", "fit", "confusion", "gradients")


def best_kind(model: Model, n_inputs: int | None = None) -> str:
    """The picture that shows what a network has learned, whatever it learned from."""
    if kind_of(model) == REGRESSION:
        return "fit"
    n_inputs = model.n_inputs if n_inputs is None else n_inputs
    return "boundary" if n_inputs == 2 else "confusion"


def check_kinds(kinds: Sequence[str]) -> None:
    """Raise `ArgumentError` for a kind of picture that there is not."""
    for kind in kinds:
        if kind not in KINDS:
            raise ArgumentError(f"--kind {kind!r} is no picture: {did_you_mean(kind, KINDS)}")


def draw_kinds(path: Path, subject: Subject, kinds: Sequence[str]) -> None:
    """Draw these pictures beside each other into a file."""
    from ..plots import save
    from ..plots.style import new_panels

    panels = new_panels(len(kinds), square=kinds[0] in ("boundary", "confusion"))
    for kind, ax in zip(kinds, panels, strict=True):
        KINDS[kind](subject, ax)
    save(panels[0], path)


def draw(path: Path, model: Model, X: np.ndarray, y: np.ndarray, *, class_names: Sequence[str] | None = None) -> None:
    """Draw regions of the plane for two inputs, the fitted curve for one, predictions or a confusion matrix for more."""
    draw_kinds(path, Subject(model, X, y, class_names=class_names), [best_kind(model, X.shape[1])])


def _names(subject: Subject) -> Sequence[str] | None:
    """The names of the classes, where there is one for each."""
    names: Any = subject.class_names or subject.model.class_names
    return names if names and len(names) == max(2, subject.model.n_outputs or 0) else None
