"""The book's losses (chapters 5, 9, 14, 16, 17, 18 and 19)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import losses
from ..errors import DataError, StateError
from .accumulated import Accumulated
from .activations import Activation_Softmax
from .arrays import OnPlace
from .layers import penalized


class Loss(Accumulated):
    """The base of the book's losses. A subclass defines `forward(y_pred, y_true)`, which gives the loss of every sample.

    `calculate(output, y)` gives the data loss. From chapter 18 on it takes `include_regularization=True`, and then gives
    the data loss and the regularization loss. `accumulated_sum` and `accumulated_count` add up what `calculate` saw since
    `new_pass()` (chapter 19).
    """

    trainable_layers: Sequence[Any]

    def forward(self, y_pred: Any, y_true: Any) -> Any:
        """The loss of every sample."""
        raise NotImplementedError(f"{type(self).__name__} needs a method forward(y_pred, y_true)")

    def calculate(self, output: Any, y: Any, *, include_regularization: bool = False) -> Any:
        """The mean of the samples' losses, and the regularization loss of the remembered layers if that is asked for."""
        sample_losses = self.forward(output, y)
        self._running.add(sample_losses)
        xp = self.place.backend(sample_losses.dtype)
        data_loss = self.place.number(xp.ops.mean(sample_losses, out=xp.empty(())))
        return (data_loss, self.regularization_loss()) if include_regularization else data_loss

    def calculate_accumulated(self, *, include_regularization: bool = False) -> Any:
        """The same over everything since `new_pass()`."""
        data_loss = self._running.mean
        return (data_loss, self.regularization_loss()) if include_regularization else data_loss

    def remember_trainable_layers(self, trainable_layers: Sequence[Any]) -> None:
        """Say which layers `regularization_loss()` is about (chapter 18)."""
        self.trainable_layers = trainable_layers

    def regularization_loss(self, layer: Any = None) -> Any:
        """The penalties of a layer (chapter 14), or of all remembered layers (chapter 18); 0 where nothing is penalized."""
        if layer is None and not hasattr(self, "trainable_layers"):
            raise StateError(
                f"{type(self).__name__}.regularization_loss() knows no layers: give it one, regularization_loss(dense1), "
                "or call remember_trainable_layers([dense1, ...]) first"
            )
        total = None
        for part in [part for each in self._layers(layer) for part in penalized(each)]:
            xp, values = self.place.take(part.values, "regularization_loss")
            total = xp.zeros(()) if total is None else total
            xp.ops.penalty(values, l1=part.l1, l2=part.l2, state=total)
        return 0 if total is None else self.place.number(total)

    def _layers(self, layer: Any) -> Sequence[Any]:
        return self.trainable_layers if layer is None else [layer]


class _OfLibrary(OnPlace):
    """What computes with a loss of the library, one for each dtype. What it hands out are copies."""

    library_class: type[losses.Loss]
    dinputs: Any

    def backward(self, dvalues: Any, y_true: Any) -> None:
        """Keep `dinputs`, the gradient of the data loss, from the predictions `dvalues`."""
        loss, y_pred, y_true = self._prepare(dvalues, y_true, "backward")
        self.dinputs = loss.gradient(y_pred, y_true).copy()

    def _prepare(self, y_pred: Any, y_true: Any, method: str) -> tuple[losses.Loss, Any, Any]:
        """The library's loss for this dtype, the predictions, and the targets in the form that it takes."""
        who = f"{type(self).__name__}.{method}"
        xp, y_pred = self.place.take(y_pred, who)
        y_true = self.place.check(y_true, who)
        if y_true.dtype.kind == "f":
            xp = self.place.promoted(xp, y_pred.dtype, y_true.dtype)
        known = vars(self).setdefault("_losses", {})
        if xp.dtype not in known:
            known[xp.dtype] = self.library_class(backend=xp)
        return known[xp.dtype], y_pred, self._checked(known[xp.dtype], y_pred, y_true)

    def _checked(self, loss: losses.Loss, y_pred: Any, y_true: Any) -> Any:
        """The targets as the loss takes them, or `DataError`.

        On a device each new array is looked at once, since looking is a transfer. On the CPU every call looks: a script
        may have changed the array in place.
        """
        seen, dtype, targets = vars(self).get("_seen", (None, None, None))
        if not self.place.on_cpu and seen is y_true and dtype == loss.xp.dtype:
            return targets
        if len(y_pred) != len(y_true):
            raise DataError(f"{len(y_pred)} predictions but {len(y_true)} targets: expected as many")
        xp = loss.xp
        host = loss.check_targets(xp.to_host(y_true), y_pred.shape[1])
        targets = xp.asarray(host, dtype=losses.target_dtype(xp, host))
        self._seen = y_true, xp.dtype, targets
        return targets


class _LibraryLoss(_OfLibrary, Loss):
    """A loss of the library under the book's name."""

    def forward(self, y_pred: Any, y_true: Any) -> Any:
        """The loss of every sample."""
        loss, y_pred, y_true = self._prepare(y_pred, y_true, "forward")
        return loss.sample_losses(y_pred, y_true).copy()


class Loss_CategoricalCrossentropy(_LibraryLoss):
    """-log of the probability of the right class: `nnbackend.CategoricalCrossentropy` under the book's name.

    `y_true` holds class indices or one-hot rows.

    >>> import numpy as np
    >>> from nnbackend.book import Loss_CategoricalCrossentropy
    >>> loss_function = Loss_CategoricalCrossentropy()
    >>> softmax_outputs = np.array([[0.7, 0.1, 0.2], [0.1, 0.5, 0.4], [0.02, 0.9, 0.08]])
    >>> print(f"{loss_function.calculate(softmax_outputs, np.array([0, 1, 1])):.4f}")
    0.3851
    """

    library_class = losses.CategoricalCrossentropy


class Loss_BinaryCrossentropy(_LibraryLoss):
    """The mean over outputs of -(t · log p + (1 - t) · log(1 - p)): `nnbackend.BinaryCrossentropy` under the book's name.

    >>> import numpy as np
    >>> from nnbackend.book import Loss_BinaryCrossentropy
    >>> print(f"{Loss_BinaryCrossentropy().calculate(np.array([[0.5]]), np.array([[1]])):.4f}")
    0.6931
    """

    library_class = losses.BinaryCrossentropy


class Loss_MeanSquaredError(_LibraryLoss):
    """The mean over outputs of (t - p)²: `nnbackend.MeanSquaredError` under the book's name.

    >>> import numpy as np
    >>> from nnbackend.book import Loss_MeanSquaredError
    >>> print(Loss_MeanSquaredError().calculate(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]])))
    2.0
    """

    library_class = losses.MeanSquaredError


class Loss_MeanAbsoluteError(_LibraryLoss):
    """The mean over outputs of |t - p|: `nnbackend.MeanAbsoluteError` under the book's name, its gradient with the right sign.

    >>> import numpy as np
    >>> from nnbackend.book import Loss_MeanAbsoluteError
    >>> print(Loss_MeanAbsoluteError().calculate(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]])))
    1.0
    """

    library_class = losses.MeanAbsoluteError


class Activation_Softmax_Loss_CategoricalCrossentropy(_OfLibrary):
    """Softmax and categorical cross-entropy with their joined gradient (chapter 9).

    `forward(inputs, y_true)` gives the data loss and keeps the probabilities in `output`; `backward(dvalues, y_true)`
    takes those probabilities. From chapter 18 on only `backward` is used.

    >>> import numpy as np
    >>> from nnbackend.book import Activation_Softmax_Loss_CategoricalCrossentropy
    >>> loss_activation = Activation_Softmax_Loss_CategoricalCrossentropy()
    >>> y = np.array([1])
    >>> print(f"{loss_activation.forward(np.zeros((1, 2)), y):.4f}")
    0.6931
    >>> loss_activation.backward(loss_activation.output, y)
    >>> loss_activation.dinputs
    array([[ 0.5, -0.5]])
    """

    library_class = losses.SoftmaxCategoricalCrossentropy
    output: Any

    def __init__(self) -> None:
        self.activation = Activation_Softmax()
        self.loss = Loss_CategoricalCrossentropy()

    def forward(self, inputs: Any, y_true: Any) -> Any:
        """The data loss; the probabilities are kept in `output`."""
        self.activation.forward(inputs)
        self.output = self.activation.output
        return self.loss.calculate(self.output, y_true)
