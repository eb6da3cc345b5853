"""The book's accuracies (chapter 18, accumulated from chapter 19 on)."""

from __future__ import annotations

from typing import Any

from ..metrics import RegressionAccuracy
from .accumulated import Accumulated


class Accuracy(Accumulated):
    """The base of the book's accuracies. A subclass defines `compare(predictions, y)`, which says what is right.

    `accumulated_sum` and `accumulated_count` add up what `calculate` saw since `new_pass()`.
    """

    def init(self, y: Any) -> None:
        """Look at all targets before training; most accuracies need nothing."""

    def compare(self, predictions: Any, y: Any) -> Any:
        """Whether each prediction is right."""
        raise NotImplementedError(f"{type(self).__name__} needs a method compare(predictions, y)")

    def calculate(self, predictions: Any, y: Any) -> Any:
        """The share of right predictions."""
        comparisons = self.compare(predictions, y)
        self._running.add(comparisons)
        xp = self.place.backend("float64")
        return self.place.number(xp.ops.mean(comparisons, out=xp.empty(())))

    def calculate_accumulated(self) -> Any:
        """The same over everything since `new_pass()`."""
        return self._running.mean


class Accuracy_Categorical(Accuracy):
    """The share of predicted classes that are the right ones; with `binary=True` for the outputs of chapter 16.

    >>> import numpy as np
    >>> from nnbackend.book import Accuracy_Categorical
    >>> print(Accuracy_Categorical().calculate(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2])))
    0.75
    """

    def __init__(self, *, binary: bool = False) -> None:
        self.binary = binary

    def compare(self, predictions: Any, y: Any) -> Any:
        """Whether each predicted class is that of `y`, class indices or one-hot rows."""
        predictions = self.place.check(predictions, "Accuracy_Categorical.compare")
        y = self.place.check(y, "Accuracy_Categorical.compare")
        xp = self.place.backend(predictions.dtype)
        if not self.binary and y.ndim == 2:
            y = xp.ops.labels_from_one_hot(y, out=xp.empty(len(y), dtype=xp.index_dtype))
        if y.size == predictions.size:  # labels (n,) beside outputs (n, 1) would be compared each with each
            y = y.reshape(predictions.shape)
        return xp.equal(predictions, xp.asarray(y, dtype=predictions.dtype))


class Accuracy_Regression(Accuracy):
    """The share of predictions closer to the target than `precision`, which `init(y)` makes std(y) / 250 (chapter 17).

    >>> import numpy as np
    >>> from nnbackend.book import Accuracy_Regression
    >>> accuracy = Accuracy_Regression()
    >>> y = np.array([[0.0], [250.0]])
    >>> accuracy.init(y)
    >>> print(accuracy.precision, accuracy.calculate(np.array([[0.4], [251.0]]), y))
    0.5 0.5
    """

    def __init__(self) -> None:
        self.precision: float | None = None

    def init(self, y: Any, reinit: bool = False) -> None:
        """precision = std(y) / 250, unless it is there already; `reinit=True` computes it anew"""
        if self.precision is None or reinit:
            y = self.place.check(y, "Accuracy_Regression.init")
            xp = self.place.backend(y.dtype)
            library = RegressionAccuracy(backend=xp)
            library.init(xp.to_host(y))
            self.precision = library.precision

    def compare(self, predictions: Any, y: Any) -> Any:
        """Whether each prediction is close enough."""
        xp, predictions = self.place.take(predictions, "Accuracy_Regression.compare")
        _, y = self.place.take(y, "Accuracy_Regression.compare", xp.dtype)
        out = xp.empty(predictions.shape, dtype=xp.bool)
        return xp.ops.regression_hits(predictions, y, self.precision, out=out)
