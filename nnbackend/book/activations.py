"""The book's activation functions (chapters 4, 9, 16, 17 and 18)."""

from __future__ import annotations

from typing import Any

from .arrays import OnPlace


class _Activation(OnPlace):
    """What they share. `training` is there for chapter 18, where every layer takes it."""

    op: str
    backward_op: str

    inputs: Any
    output: Any
    dinputs: Any

    def forward(self, inputs: Any, training: bool = False) -> None:
        """Keep `inputs`, and `output` computed from them."""
        xp, self.inputs = self.place.take(inputs, f"{type(self).__name__}.forward")
        self.output = getattr(xp.ops, self.op)(self.inputs, out=xp.empty(self.inputs.shape))

    def backward(self, dvalues: Any) -> None:
        """Keep `dinputs`, the gradient with respect to `inputs`."""
        xp, dvalues = self.place.take(dvalues, f"{type(self).__name__}.backward")
        self.dinputs = getattr(xp.ops, self.backward_op)(dvalues, self.output, out=xp.empty(dvalues.shape))

    def predictions(self, outputs: Any) -> Any:
        """What the outputs predict: the outputs themselves."""
        return outputs


class Activation_ReLU(_Activation):
    """output = max(0, inputs): `nnbackend.ReLU` under the book's name.

    >>> from nnbackend.book import Activation_ReLU
    >>> activation = Activation_ReLU()
    >>> activation.forward([[-1.0, 0.0, 2.0]])
    >>> activation.output
    array([[0., 0., 2.]])
    """

    op, backward_op = "relu", "relu_backward"


class Activation_Softmax(_Activation):
    """output = e^inputs / Σ e^inputs over each row: `nnbackend.Softmax` under the book's name.

    >>> from nnbackend.book import Activation_Softmax
    >>> softmax = Activation_Softmax()
    >>> softmax.forward([[1, 1]])
    >>> softmax.output
    array([[0.5, 0.5]])
    """

    op, backward_op = "softmax", "softmax_backward"

    def predictions(self, outputs: Any) -> Any:
        """The most probable class of each sample."""
        xp, outputs = self.place.take(outputs, "Activation_Softmax.predictions")
        return xp.ops.labels_from_one_hot(outputs, out=xp.empty(len(outputs), dtype=xp.index_dtype))


class Activation_Sigmoid(_Activation):
    """output = 1 / (1 + e^-inputs): `nnbackend.Sigmoid` under the book's name.

    >>> from nnbackend.book import Activation_Sigmoid
    >>> sigmoid = Activation_Sigmoid()
    >>> sigmoid.forward([[0.0, 2.0]])
    >>> sigmoid.predictions(sigmoid.output)
    array([[0, 1]])
    """

    op, backward_op = "sigmoid", "sigmoid_backward"

    def predictions(self, outputs: Any) -> Any:
        """1 where an output is above one half, else 0."""
        xp, outputs = self.place.take(outputs, "Activation_Sigmoid.predictions")
        return xp.ops.binary_predictions(outputs, out=xp.empty(outputs.shape, dtype=xp.index_dtype))


class Activation_Linear(_Activation):
    """output = inputs: `nnbackend.Linear` under the book's name.

    >>> from nnbackend.book import Activation_Linear
    >>> linear = Activation_Linear()
    >>> linear.forward([[1.0, -2.0]])
    >>> linear.output
    array([[ 1., -2.]])
    """

    def forward(self, inputs: Any, training: bool = False) -> None:
        """output = inputs"""
        _, self.inputs = self.place.take(inputs, "Activation_Linear.forward")
        self.output = self.inputs

    def backward(self, dvalues: Any) -> None:
        """dinputs = dvalues, a copy"""
        _, dvalues = self.place.take(dvalues, "Activation_Linear.backward")
        self.dinputs = dvalues.copy()
