"""Neighbours that are cheaper together, and the table that says which.

A model joins them when it is built, for exactly these types: a subclass is left alone. The layers stay what they
are - a join works on their buffers and parameters - but what it has no need to compute is left out, and asking for
it raises an error that names `Model(..., fused=False)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .activations import ReLU, Sigmoid, Softmax
from .layers import Dense, Layer
from .losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Loss,
    SigmoidBinaryCrossentropy,
    SoftmaxCategoricalCrossentropy,
)


class DenseReLU:
    """Dense and ReLU as one: the product is never stored, its positive part is."""

    def __init__(self, dense: Dense, relu: ReLU) -> None:
        self.dense, self.relu = dense, relu
        reason = "Dense is joined with the ReLU behind it"
        dense.leave_out(reason, "output")
        relu.leave_out(reason, "inputs")

    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        """output = max(0, inputs · weights + biases)"""
        dense, relu = self.dense, self.relu
        dense.check_inputs(inputs)
        dense.inputs = inputs
        out = relu.buffer("output", (len(inputs), dense.n_neurons))
        relu.output = dense.xp.ops.dense_relu(inputs, dense.weights, dense.biases, out=out)
        return relu.output

    def backward(self, dvalues: Any) -> Any:
        """Gradients of both, the bias gradient on the way through ReLU's"""
        dense, relu = self.dense, self.relu
        out = relu.buffer("dinputs", dvalues.shape), dense.dbiases
        relu.dinputs, _ = dense.xp.ops.relu_biases_gradient(dvalues, relu.output, out=out)
        return dense.backward_after_biases(relu.dinputs)


class Ending:
    """The end of a model: the last layer's predictions, and the loss on them."""

    is_joined = False

    def __init__(self, layer: Layer, loss: Loss) -> None:
        self.layer, self.loss = layer, loss
        loss.leave_out("")

    def forward(self, inputs: Any, targets: Any, weights: Any = None, *, training: bool, out: Any) -> Any:
        """The data loss into `out`; returns the predictions."""
        predictions = self.layer.forward(inputs, training=training)
        self.loss.data_loss(predictions, targets, weights=weights, out=out)
        return predictions

    def backward(self, targets: Any, weights: Any = None) -> Any:
        """The gradient of the data loss with respect to the last layer's inputs."""
        self.loss.dinputs = self.loss.data_gradient(self.layer.output, targets, weights)
        return self.layer.backward(self.loss.dinputs)


class JoinedEnding(Ending):
    """An activation and its loss as one, with the simpler gradient."""

    is_joined = True

    def __init__(self, layer: Layer, loss: Loss, joined: Loss) -> None:
        super().__init__(layer, loss)
        loss.leave_out(f"{type(loss).__name__} is joined with the {type(layer).__name__} before it")
        self.joined = joined
        joined.place(layer.xp)

    def forward(self, inputs: Any, targets: Any, weights: Any = None, *, training: bool, out: Any) -> Any:
        """The data loss into `out`; returns the predictions."""
        self.joined.data_loss(inputs, targets, weights=weights, out=out)
        self.layer.inputs, self.layer.output = inputs, self.joined.output
        return self.layer.output

    def backward(self, targets: Any, weights: Any = None) -> Any:
        """The gradient of the data loss with respect to the activation's inputs."""
        self.layer.dinputs = self.joined.data_gradient(self.layer.output, targets, weights)
        return self.layer.dinputs


# This is the table. Exact types only.
JOINED_LAYERS: dict[tuple[type[Layer], ...], Callable[..., Any]] = {(Dense, ReLU): DenseReLU}
JOINED_LOSSES: dict[tuple[type[Layer], type[Loss]], type[Loss]] = {
    (Softmax, CategoricalCrossentropy): SoftmaxCategoricalCrossentropy,
    (Sigmoid, BinaryCrossentropy): SigmoidBinaryCrossentropy,
}


def join_layers(layers: Sequence[Layer], *, fused: bool) -> list[Any]:
    """The layers as stages with `forward` and `backward`: joins where the table has one, else the layer itself."""
    stages: list[Any] = []
    position = 0
    while position < len(layers):
        pair = layers[position : position + 2]
        join = JOINED_LAYERS.get(tuple(type(layer) for layer in pair)) if fused else None
        stages.append(pair[0] if join is None else join(*pair))
        position += 1 if join is None else 2
    return stages


def join_ending(layer: Layer, loss: Loss, *, fused: bool) -> Ending:
    """The last layer and the loss: joined where the table says so."""
    joined = JOINED_LOSSES.get((type(layer), type(loss))) if fused else None
    return Ending(layer, loss) if joined is None else JoinedEnding(layer, loss, joined())
