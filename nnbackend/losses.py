"""Losses: how wrong a network is, and the gradient of that (book, chapters 5, 9, 16 and 17).

`calculate(predictions, targets)` gives the data loss, the mean over the samples, and `backward(predictions, targets)` its
gradient with respect to the predictions. Targets of a classification are class indices of shape (n,) or one-hot rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend import Backend
from .errors import DataError, StateError
from .metrics import Accuracy, BinaryAccuracy, CategoricalAccuracy, RegressionAccuracy, check_pair
from .workspace import OnBackend


class Loss(OnBackend):
    """The base. A subclass defines `sample_losses`, `gradient` and `check_targets`; `only_ops` as for layers.

    `dinputs` is what the latest `backward` gave. A joined loss keeps the probabilities in `output`.
    """

    #: The accuracy that a model with this loss measures unless it is told another.
    accuracy: type[Accuracy] = CategoricalAccuracy
    output: Any
    dinputs: Any

    # -- what a subclass defines; arguments are trusted --------------------------------------------------------------

    def sample_losses(self, predictions: Any, targets: Any) -> Any:
        """The loss of every sample, shape (n,)."""
        raise NotImplementedError(f"{type(self).__name__} needs a method sample_losses(predictions, targets)")

    def gradient(self, predictions: Any, targets: Any) -> Any:
        """The gradient of the mean loss with respect to `predictions`."""
        raise NotImplementedError(f"{type(self).__name__} needs a method gradient(predictions, targets)")

    def check_targets(self, targets: np.ndarray, n_outputs: int) -> np.ndarray:
        """Targets on the host in the form `sample_losses` takes, or `DataError` that says what is wrong with them."""
        raise NotImplementedError(f"{type(self).__name__} needs a method check_targets(targets, n_outputs)")

    # -- what callers use ----------------------------------------------------------------------------------------------

    def data_loss(self, predictions: Any, targets: Any, *, weights: Any = None, out: Any = None) -> Any:
        """The mean loss of a batch whose targets have been checked: a device scalar.

        With `weights` (n,), relative to their mean over all samples, 1/n · Σ w · loss (see `nnbackend.weights`).
        """
        samples = self.sample_losses(predictions, targets)
        out = self.buffer("data_loss", ()) if out is None else out
        if weights is None:
            return self.xp.ops.mean(samples, out=out)
        return self.xp.ops.weighted_mean(samples, weights, out=out)

    def data_gradient(self, predictions: Any, targets: Any, weights: Any = None) -> Any:
        """The gradient of `data_loss` with these weights with respect to `predictions`."""
        dvalues = self.gradient(predictions, targets)
        if weights is None:
            return dvalues
        return self.xp.ops.weigh(dvalues, weights, out=self.buffer("weighted_dinputs", dvalues.shape))

    def forward(self, predictions: Any, targets: Any) -> Any:
        """The loss of every sample, shape (n,), after a check of the targets."""
        return self.sample_losses(predictions, self._checked(predictions, targets))

    def calculate(self, predictions: Any, targets: Any) -> Any:
        """The data loss, a device scalar: the mean over the samples, after a check of the targets."""
        return self.data_loss(predictions, self._checked(predictions, targets))

    def backward(self, predictions: Any, targets: Any) -> Any:
        """`dinputs`, the gradient of the data loss with respect to the predictions."""
        self.dinputs = self.gradient(predictions, self._checked(predictions, targets))
        return self.dinputs

    def _checked(self, predictions: Any, targets: Any) -> Any:
        """The targets on the device, looked at once for each new array: labels out of range wrap silently on a GPU."""
        seen = vars(self).get("_seen")
        if seen is None or seen[0] is not targets or seen[1] != getattr(predictions, "shape", None):
            check_pair(type(self).__name__, self.xp, predictions, targets)
            checked = self.check_targets(self.xp.to_host(targets), predictions.shape[1])
            dtype = target_dtype(self.xp, checked)
            same = checked.shape == targets.shape and targets.dtype == dtype
            self._targets = targets if same else self.xp.asarray(checked, dtype=dtype)
            self._seen = targets, predictions.shape
        return self._targets

    def leave_out(self, reason: str) -> None:
        """Note that a join with its activation computes the gradient, and why `dinputs` is not there."""
        self._left_out = reason
        vars(self).pop("dinputs", None)

    def __getattr__(self, name: str) -> Any:
        """Reached only for what was never set: say which call sets it, or why it is left out."""
        kind = type(self).__name__
        if name != "dinputs":
            raise AttributeError(f"{kind!r} object has no attribute {name!r}")
        if reason := vars(self).get("_left_out"):
            raise StateError(f"{kind}.dinputs is not kept: {reason}; build the model with Model(..., fused=False)")
        raise StateError(f"{kind}.dinputs is not there yet: call backward() first")

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name not in ("_seen", "_targets")}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def target_dtype(xp: Backend, checked: np.ndarray) -> np.dtype:
    """The dtype on the device of targets that `check_targets` gave: labels are indices, all else is computed with."""
    return xp.index_dtype if checked.dtype.kind == "i" else xp.dtype


def check_labels(targets: np.ndarray, classes: int) -> np.ndarray:
    """Class indices of shape (n,) from class indices or one-hot rows, or `DataError`."""
    if targets.ndim == 2 and targets.shape[1] > 1:
        return _check_one_hot(targets, classes)
    if targets.ndim != 1 and targets.shape[1:] != (1,):
        raise DataError(
            f"targets have shape {targets.shape}: expected class indices (n,) or one-hot rows (n, {classes})"
        )
    labels = targets.reshape(-1)
    if labels.dtype.kind == "f":
        if not np.all(labels == np.floor(labels)):
            bad = labels[~(labels == np.floor(labels))][0]
            raise DataError(f"label {bad} is not a whole number: expected class indices 0 to {classes - 1}")
        raise DataError(f"labels have dtype {labels.dtype}: expected integers, as from y.astype(int)")
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        row = int(np.argmax(outside))
        raise DataError(
            f"label {labels[row]} in row {row} is out of range: the network has {classes} outputs, so labels go from "
            f"0 to {classes - 1}"
        )
    return labels.astype(np.int64)


def _check_one_hot(targets: np.ndarray, classes: int) -> np.ndarray:
    if targets.shape[1] != classes:
        raise DataError(f"one-hot targets have {targets.shape[1]} columns: expected {classes}, one for each output")
    bad = ~(((targets == 0) | (targets == 1)).all(axis=1) & (targets.sum(axis=1) == 1))
    if bad.any():
        raise DataError(
            f"row {int(np.argmax(bad))} of the targets is not one-hot: expected a single 1 and zeros otherwise"
        )
    return targets.argmax(axis=1).astype(np.int64)


class CategoricalCrossentropy(Loss):
    """sample_loss = -log(predictions[target]), predictions clipped to [1e-7, 1 - 1e-7] (book, chapters 5 and 9).

    Shapes: predictions (n, classes), rows that sum to 1; targets (n,) class indices or (n, classes) one-hot.
    Gradient: -1 / (n · predictions[target]) at the target, 0 elsewhere. Behind a Softmax, models use the joined form.

    >>> import nnbackend as nn
    >>> loss = nn.CategoricalCrossentropy()
    >>> xp = loss.xp
    >>> round(float(loss.calculate(xp.asarray([[0.5, 0.5]]), xp.asarray([0]))), 4)
    0.6931
    """

    only_ops = True

    def sample_losses(self, predictions: Any, targets: Any) -> Any:
        """-log(clip(predictions[target]))"""
        return self.xp.ops.categorical_crossentropy(predictions, targets, out=self.buffer("samples", targets.shape))

    def gradient(self, predictions: Any, targets: Any) -> Any:
        """-1 / (n · clip(predictions)) at the target, else 0"""
        out = self.buffer("dinputs", predictions.shape)
        return self.xp.ops.categorical_crossentropy_backward(predictions, targets, out=out)

    def check_targets(self, targets: np.ndarray, n_outputs: int) -> np.ndarray:
        """Class indices from class indices or one-hot rows."""
        return check_labels(targets, n_outputs)


class SoftmaxCategoricalCrossentropy(Loss):
    """Softmax and categorical cross-entropy joined (book, chapter 9): takes the inputs of the softmax.

    `calculate(inputs, targets)` keeps the probabilities in `output`; `backward(output, targets)` gives the gradient with
    respect to the softmax's inputs, dinputs = (output - one_hot(targets)) / n, simpler and exact.

    >>> import nnbackend as nn
    >>> loss = nn.SoftmaxCategoricalCrossentropy()
    >>> xp = loss.xp
    >>> targets = xp.asarray([1])
    >>> round(float(loss.calculate(xp.zeros((1, 2)), targets)), 4)
    0.6931
    >>> loss.backward(loss.output, targets).tolist()
    [[0.5, -0.5]]
    """

    only_ops = True

    def sample_losses(self, predictions: Any, targets: Any) -> Any:
        """-log(softmax(predictions)[target]); the probabilities are kept in `output`"""
        out = self.buffer("output", predictions.shape), self.buffer("samples", targets.shape)
        self.output, samples = self.xp.ops.softmax_crossentropy(predictions, targets, out=out)
        return samples

    def gradient(self, predictions: Any, targets: Any) -> Any:
        """(probabilities - one_hot) / n, from the probabilities"""
        out = self.buffer("dinputs", predictions.shape)
        return self.xp.ops.softmax_crossentropy_backward(predictions, targets, out=out)

    def check_targets(self, targets: np.ndarray, n_outputs: int) -> np.ndarray:
        """Class indices from class indices or one-hot rows."""
        return check_labels(targets, n_outputs)


def check_values(targets: np.ndarray, n_outputs: int) -> np.ndarray:
    """Finite targets of shape (n, n_outputs) from that or, for one output, from (n,); else `DataError`."""
    given = targets.shape
    if targets.ndim == 1:
        targets = targets.reshape(-1, 1)
    if targets.ndim != 2 or targets.shape[1] != n_outputs:
        labels = targets.shape[1:] == (1,) and np.array_equal(targets, np.floor(targets))
        hint = "; for labels of classes take nn.CategoricalCrossentropy() as the loss" if labels else ""
        raise DataError(f"targets have shape {given}: expected ({len(targets)}, {n_outputs}), a column an output{hint}")
    if not np.isfinite(targets).all():
        row = int(np.argmin(np.isfinite(targets).all(axis=1)))
        raise DataError(f"row {row} of the targets holds NaN or infinity: remove or repair that sample")
    return targets if targets.dtype.kind == "f" else targets.astype(np.float64)


class BinaryCrossentropy(Loss):
    """sample_loss = mean over outputs of -(t · log p + (1 - t) · log(1 - p)), p clipped (book, chapter 16).

    Shapes: predictions and targets (n, outputs), or targets (n,) for one output; targets are 0 or 1. Gradient:
    -(t / p - (1 - t) / (1 - p)) / (outputs · n). Behind a Sigmoid, models use the joined form.

    >>> import nnbackend as nn
    >>> loss = nn.BinaryCrossentropy()
    >>> xp = loss.xp
    >>> round(float(loss.calculate(xp.asarray([[0.5]]), xp.asarray([[1.0]]))), 4)
    0.6931
    """

    only_ops = True
    accuracy = BinaryAccuracy

    def sample_losses(self, predictions: Any, targets: Any) -> Any:
        """mean over outputs of -(t · log p + (1 - t) · log(1 - p))"""
        return self.xp.ops.binary_crossentropy(predictions, targets, out=self.buffer("samples", (len(targets),)))

    def gradient(self, predictions: Any, targets: Any) -> Any:
        """-(t / p - (1 - t) / (1 - p)) / (outputs · n)"""
        out = self.buffer("dinputs", predictions.shape)
        return self.xp.ops.binary_crossentropy_backward(predictions, targets, out=out)

    def check_targets(self, targets: np.ndarray, n_outputs: int) -> np.ndarray:
        """Zeros and ones of shape (n, n_outputs)."""
        return check_binary(targets, n_outputs)


def check_binary(targets: np.ndarray, n_outputs: int) -> np.ndarray:
    """Zeros and ones of shape (n, n_outputs), as floats; else `DataError`."""
    targets = check_values(targets, n_outputs)
    bad = ~((targets == 0) | (targets == 1))
    if bad.any():
        raise DataError(f"binary target {targets[bad][0]:g}: expected 0 or 1")
    return targets


class SigmoidBinaryCrossentropy(Loss):
    """Sigmoid and binary cross-entropy joined: takes the inputs of the sigmoid.

    `calculate(inputs, targets)` keeps the probabilities in `output`; `backward(output, targets)` gives the gradient with
    respect to the sigmoid's inputs, dinputs = (output - targets) / (outputs · n).

    >>> import nnbackend as nn
    >>> loss = nn.SigmoidBinaryCrossentropy()
    >>> xp = loss.xp
    >>> targets = xp.asarray([[1.0]])
    >>> round(float(loss.calculate(xp.zeros((1, 1)), targets)), 4)
    0.6931
    >>> loss.backward(loss.output, targets).tolist()
    [[-0.5]]
    """

    only_ops = True
    accuracy = BinaryAccuracy

    def sample_losses(self, predictions: Any, targets: Any) -> Any:
        """The losses; the probabilities are kept in `output`"""
        out = self.buffer("output", predictions.shape), self.buffer("samples", (len(targets),))
        self.output, samples = self.xp.ops.sigmoid_crossentropy(predictions, targets, out=out)
        return samples

    def gradient(self, predictions: Any, targets: Any) -> Any:
        """(probabilities - targets) / (outputs · n), from the probabilities"""
        out = self.buffer("dinputs", predictions.shape)
        return self.xp.ops.sigmoid_crossentropy_backward(predictions, targets, out=out)

    def check_targets(self, targets: np.ndarray, n_outputs: int) -> np.ndarray:
        """Zeros and ones of shape (n, n_outputs)."""
        return check_binary(targets, n_outputs)


class MeanSquaredError(Loss):
    """sample_loss = mean over outputs of (t - p)²; gradient 2 (p - t) / (outputs · n) (book, chapter 17).

    Shapes: predictions and targets (n, outputs), or targets (n,) for one output.

    >>> import nnbackend as nn
    >>> loss = nn.MeanSquaredError()
    >>> xp = loss.xp
    >>> float(loss.calculate(xp.asarray([[1.0, 2.0]]), xp.asarray([[1.0, 4.0]])))
    2.0
    """

    only_ops = True
    accuracy = RegressionAccuracy

    def sample_losses(self, predictions: Any, targets: Any) -> Any:
        """mean over outputs of (t - p)²"""
        return self.xp.ops.mean_squared_error(predictions, targets, out=self.buffer("samples", (len(targets),)))

    def gradient(self, predictions: Any, targets: Any) -> Any:
        """2 (p - t) / (outputs · n)"""
        out = self.buffer("dinputs", predictions.shape)
        return self.xp.ops.mean_squared_error_backward(predictions, targets, out=out)

    def check_targets(self, targets: np.ndarray, n_outputs: int) -> np.ndarray:
        """Finite values of shape (n, n_outputs)."""
        return check_values(targets, n_outputs)


class MeanAbsoluteError(Loss):
    """sample_loss = mean over outputs of |t - p|; gradient sign(p - t) / (outputs · n) (book, chapter 17).

    The book's own gradient has the opposite sign, which makes the loss grow; this one is right.

    >>> import nnbackend as nn
    >>> loss = nn.MeanAbsoluteError()
    >>> xp = loss.xp
    >>> float(loss.calculate(xp.asarray([[1.0, 2.0]]), xp.asarray([[1.0, 4.0]])))
    1.0
    """

    only_ops = True
    accuracy = RegressionAccuracy

    def sample_losses(self, predictions: Any, targets: Any) -> Any:
        """mean over outputs of |t - p|"""
        return self.xp.ops.mean_absolute_error(predictions, targets, out=self.buffer("samples", (len(targets),)))

    def gradient(self, predictions: Any, targets: Any) -> Any:
        """sign(p - t) / (outputs · n)"""
        out = self.buffer("dinputs", predictions.shape)
        return self.xp.ops.mean_absolute_error_backward(predictions, targets, out=out)

    def check_targets(self, targets: np.ndarray, n_outputs: int) -> np.ndarray:
        """Finite values of shape (n, n_outputs)."""
        return check_values(targets, n_outputs)
