"""Accuracies: how often a network is right (book, chapters 5, 16, 17 and 18)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend import Backend
from .backend.base import describe
from .checks import positive
from .errors import DataError, StateError
from .workspace import OnBackend


def check_pair(caller: str, xp: Backend, predictions: Any, targets: Any) -> None:
    """Raise `DataError` unless these are predictions (samples, outputs) of a backend, and as many targets."""
    for name, array in (("predictions", predictions), ("targets", targets)):
        if not xp.is_array(array):
            raise DataError(
                f"{caller}: {name} is {describe(array)}, not an array of backend {xp.name!r}: "
                "did you call xp.asarray on your data?"
            )
    if predictions.ndim != 2 or not predictions.size:
        raise DataError(f"{caller}: predictions has shape {predictions.shape}: expected (samples, outputs)")
    if predictions.dtype != xp.dtype:
        raise DataError(f"{caller}: predictions has dtype {predictions.dtype}: expected {xp.dtype}")
    if targets.ndim == 0 or len(predictions) != len(targets):
        found = "no axis" if targets.ndim == 0 else f"{len(targets)} entries"
        raise DataError(f"{caller}: {len(predictions)} predictions but targets have {found}: expected as many")


class Accuracy(OnBackend):
    """The base. A subclass defines `measure`; `only_ops = True` in its body as for layers."""

    def measure(self, predictions: Any, targets: Any, *, out: Any) -> Any:
        """The share of correct predictions of a batch into `out`, shape (); arguments are trusted."""
        raise NotImplementedError(f"{type(self).__name__} needs a method measure(predictions, targets, *, out)")

    def init(self, targets: np.ndarray) -> None:
        """Look at all training targets (on the host) before training; most accuracies need nothing."""

    def calculate(self, predictions: Any, targets: Any) -> Any:
        """The share of correct predictions, a device scalar that is valid until the next call."""
        check_pair(f"{type(self).__name__}.calculate", self.xp, predictions, targets)
        return self.measure(predictions, self.arranged(predictions, targets), out=self.buffer("accuracy", ()))

    def arranged(self, predictions: Any, targets: Any) -> Any:
        """The targets in the shape that `measure` takes, or `DataError`."""
        return targets

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class CategoricalAccuracy(Accuracy):
    """The share of samples whose most probable class is the target; targets are class indices or one-hot.

    >>> import nnbackend as nn
    >>> accuracy = nn.CategoricalAccuracy()
    >>> xp = accuracy.xp
    >>> float(accuracy.calculate(xp.asarray([[0.7, 0.3], [0.4, 0.6]]), xp.asarray([0, 0])))
    0.5
    """

    only_ops = True

    def arranged(self, predictions: Any, targets: Any) -> Any:
        """Class indices (n,), from (n, 1) too, or one-hot rows."""
        if targets.shape not in (predictions.shape, (len(predictions),), (len(predictions), 1)):
            raise DataError(
                f"targets have shape {targets.shape}: expected class indices ({len(predictions)},) or one-hot rows "
                f"{predictions.shape}"
            )
        return targets if targets.shape == predictions.shape else targets.reshape(-1)

    def measure(self, predictions: Any, targets: Any, *, out: Any) -> Any:
        """out = mean(argmax(predictions) == targets)"""
        ops = self.xp.ops
        if targets.ndim == 2:
            labels = self.buffer("labels", (len(targets),), self.xp.index_dtype)
            targets = ops.labels_from_one_hot(targets, out=labels)
        return ops.categorical_accuracy(predictions, targets, out=out)


class _ByOutput(Accuracy):
    """One target for each output."""

    def arranged(self, predictions: Any, targets: Any) -> Any:
        """Targets like predictions; for one output, (n,) will do."""
        if targets.ndim == 1 and predictions.shape[1] == 1:
            return targets.reshape(-1, 1)
        if targets.shape != predictions.shape:
            raise DataError(f"targets have shape {targets.shape}: expected {predictions.shape}, as predictions have")
        return targets


class BinaryAccuracy(_ByOutput):
    """The share of outputs on the target's side of one half (book, chapter 16).

    >>> import nnbackend as nn
    >>> accuracy = nn.BinaryAccuracy()
    >>> xp = accuracy.xp
    >>> float(accuracy.calculate(xp.asarray([[0.7], [0.4]]), xp.asarray([[1.0], [1.0]])))
    0.5
    """

    only_ops = True

    def measure(self, predictions: Any, targets: Any, *, out: Any) -> Any:
        """out = mean((predictions > 0.5) == (targets > 0.5))"""
        return self.xp.ops.binary_accuracy(predictions, targets, out=out)


class RegressionAccuracy(_ByOutput):
    """The share of outputs closer to the target than `precision`, by default std(targets) / 250 (book, chapter 17).

    The default precision is settled by `init(targets)`, which `Model.train` calls.

    >>> import nnbackend as nn
    >>> accuracy = nn.RegressionAccuracy(precision=0.1)
    >>> xp = accuracy.xp
    >>> float(accuracy.calculate(xp.asarray([[1.0], [2.0]]), xp.asarray([[1.05], [2.5]])))
    0.5
    """

    only_ops = True

    def __init__(self, precision: float | None = None, *, backend: str | Backend | None = None) -> None:
        super().__init__(backend)
        self.precision = None if precision is None else positive("RegressionAccuracy precision", precision)
        self._on_device: Any = None

    def init(self, targets: np.ndarray) -> None:
        """precision = std(targets) / 250, unless it is set already; for equal targets the smallest number there is"""
        if self.precision is None:
            limits = np.finfo(self.xp.dtype)
            with np.errstate(over="ignore"):  # of targets whose squares are too large
                deviation = float(np.std(targets))
            self.precision = min(deviation, float(limits.max)) / 250 or float(limits.tiny)
        self._on_device = self.xp.full((), self.precision)

    def place(self, xp: Backend) -> None:
        """Move to a backend."""
        super().place(xp)
        if self.precision is not None:
            self._on_device = xp.full((), self.precision)

    def measure(self, predictions: Any, targets: Any, *, out: Any) -> Any:
        """out = mean(|predictions - targets| < precision)"""
        if self.precision is None:
            raise StateError("RegressionAccuracy has no precision yet: call init(targets), or give precision=")
        if self._on_device is None:
            self._on_device = self.xp.full((), self.precision)
        return self.xp.ops.regression_accuracy(predictions, targets, self._on_device, out=out)


class RunningMean:
    """The mean of values that come in batches: Σ values / how many there were (book, chapter 19).

    So a short last batch counts by its size. The values are arrays of any backend; total and mean stay there.

    >>> import nnbackend as nn
    >>> xp = nn.get_backend("cpu")
    >>> losses = RunningMean()
    >>> for batch in ([1.0, 2.0], [6.0]):
    ...     losses.add(xp.asarray(batch))
    >>> float(losses.mean), losses.count
    (3.0, 3)
    """

    def __init__(self) -> None:
        self.total: Any = 0
        self.count = 0

    def add(self, values: Any) -> None:
        """Take the values of a batch."""
        self.total = self.total + values.sum()
        self.count += values.size

    @property
    def mean(self) -> Any:
        """The mean of all values so far; raises `StateError` before the first."""
        if not self.count:
            raise StateError("a running mean has no values yet: call add(values) first")
        return self.total / self.count
