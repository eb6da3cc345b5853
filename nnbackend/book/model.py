"""The book's Model (chapters 18 to 22): its training loop, over the classes of this package, with its printed lines."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Self

from ..errors import StateError
from ..history import format_measured, measured_row
from . import files
from .activations import Activation_Softmax
from .arrays import OnPlace
from .layers import Layer_Input
from .losses import Activation_Softmax_Loss_CategoricalCrossentropy, Loss_CategoricalCrossentropy

# `train` without `batch_size` is chapter 18's, with it (None too) that of chapter 19 and after: they print different lines.
_NOT_GIVEN: Any = object()


class Model(OnPlace):
    """A chain of layers with a loss, an optimizer and an accuracy.

    As in the book: `add` the layers, `set` the rest, `finalize`, then `train`, `evaluate`, `predict`.

    >>> import numpy as np
    >>> from nnbackend.book import *
    >>> np.random.seed(0)
    >>> model = Model()
    >>> model.add(Layer_Dense(2, 8))
    >>> model.add(Activation_ReLU())
    >>> model.add(Layer_Dense(8, 1))
    >>> model.add(Activation_Linear())
    >>> model.set(loss=Loss_MeanSquaredError(), optimizer=Optimizer_Adam(0.05), accuracy=Accuracy_Regression())
    >>> model.finalize()
    >>> X = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> model.train(X, X.sum(axis=1, keepdims=True), epochs=60, print_every=30)
    epoch: 30, acc: 0.000, loss: 0.085 (data_loss: 0.085, reg_loss: 0.000), lr: 0.05
    epoch: 60, acc: 0.000, loss: 0.016 (data_loss: 0.016, reg_loss: 0.000), lr: 0.05
    >>> model.predict(X).shape
    (3, 1)
    """

    loss: Any = None
    optimizer: Any = None
    accuracy: Any = None
    output_layer_activation: Any = None
    softmax_classifier_output: Activation_Softmax_Loss_CategoricalCrossentropy | None = None

    def __init__(self) -> None:
        self.layers: list[Any] = []
        self.trainable_layers: list[Any] = []
        self.input_layer = Layer_Input()

    # -- putting it together -------------------------------------------------------------------------------------------

    def add(self, layer: Any) -> None:
        """Append a layer or an activation."""
        self.layers.append(layer)

    def set(self, *, loss: Any = None, optimizer: Any = None, accuracy: Any = None) -> None:
        """Give it a loss, an optimizer, an accuracy; what is None stays as it is."""
        for name, part in (("loss", loss), ("optimizer", optimizer), ("accuracy", accuracy)):
            if part is not None:
                setattr(self, name, part)
        if loss is not None:
            self.output_layer_activation = None  # so that the model is finalized anew

    def finalize(self) -> None:
        """Tell each layer which come before and after it, and join Softmax with categorical cross-entropy."""
        if not self.layers:
            raise StateError("the model has no layers: add some, model.add(Layer_Dense(2, 64)), before finalize()")
        chain = [self.input_layer, *self.layers]
        for before, layer in pairwise(chain):
            layer.prev = before
        for layer, after in pairwise([*self.layers, self.loss]):
            layer.next = after
        self.output_layer_activation = self.layers[-1]
        self.trainable_layers = [layer for layer in self.layers if hasattr(layer, "weights")]
        if self.loss is not None:
            self.loss.remember_trainable_layers(self.trainable_layers)
        joined = isinstance(self.layers[-1], Activation_Softmax) and isinstance(self.loss, Loss_CategoricalCrossentropy)
        self.softmax_classifier_output = Activation_Softmax_Loss_CategoricalCrossentropy() if joined else None

    # -- training and using it -------------------------------------------------------------------------------------------

    def train(
        self,
        X: Any,
        y: Any,
        *,
        epochs: int = 1,
        batch_size: int | None = _NOT_GIVEN,
        print_every: int = 1,
        validation_data: tuple[Any, Any] | None = None,
    ) -> None:
        """Train and print.

        Without `batch_size` as in chapter 18: a line every `print_every` epochs, and the validation at the end. With it
        as in chapter 19 and after: for each epoch a line every `print_every` steps, a summary, and the validation.
        """
        self._need("loss", "optimizer", "accuracy")
        X, y = self.place.bring(X), self.place.bring(y)
        if validation_data is not None:
            validation_data = self.place.bring(validation_data[0]), self.place.bring(validation_data[1])
        self.accuracy.init(y)
        if batch_size is _NOT_GIVEN:
            self._train_whole(X, y, epochs, print_every, validation_data)
        else:
            self._train_in_batches(X, y, epochs, batch_size, print_every, validation_data)

    def _train_whole(self, X: Any, y: Any, epochs: int, print_every: int, validation_data: Any) -> None:
        for epoch in range(1, epochs + 1):
            row = self._training_step(X, y)
            if not epoch % print_every:
                print(f"epoch: {epoch}, {format_measured(row)}")
        if validation_data is not None:
            self.evaluate(*validation_data)

    def _train_in_batches(
        self, X: Any, y: Any, epochs: int, batch_size: int | None, print_every: int, validation_data: Any
    ) -> None:
        batches = list(slices(len(X), batch_size))
        for epoch in range(1, epochs + 1):
            print(f"epoch: {epoch}")
            self._new_pass()
            for step, batch in enumerate(batches):
                row = self._training_step(X[batch], y[batch])
                if not step % print_every or batch is batches[-1]:
                    print(f"step: {step}, {format_measured(row)}")
            data_loss, regularization_loss = self.loss.calculate_accumulated(include_regularization=True)
            accuracy, learning_rate = self.accuracy.calculate_accumulated(), self.optimizer.current_learning_rate
            print(f"training, {format_measured(measured_row(data_loss, regularization_loss, accuracy, learning_rate))}")
            if validation_data is not None:
                self.evaluate(*validation_data, batch_size=batch_size)

    def _training_step(self, X: Any, y: Any) -> dict[str, Any]:
        """Forward, loss, backward and update on one batch; what it measured."""
        output = self.forward(X, training=True)
        data_loss, regularization_loss = self.loss.calculate(output, y, include_regularization=True)
        accuracy = self.accuracy.calculate(self.output_layer_activation.predictions(output), y)
        self.backward(output, y)
        self.optimizer.pre_update_params()
        for layer in self.trainable_layers:
            self.optimizer.update_params(layer)
        self.optimizer.post_update_params()
        return measured_row(data_loss, regularization_loss, accuracy, self.optimizer.current_learning_rate)

    def evaluate(self, X_val: Any, y_val: Any, *, batch_size: int | None = None) -> None:
        """Print the loss and the accuracy on other data; nothing is learned, nothing dropped."""
        self._need("loss", "accuracy")
        X_val, y_val = self.place.bring(X_val), self.place.bring(y_val)
        self._new_pass()
        for batch in slices(len(X_val), batch_size):
            output = self.forward(X_val[batch], training=False)
            self.loss.calculate(output, y_val[batch])
            self.accuracy.calculate(self.output_layer_activation.predictions(output), y_val[batch])
        loss, accuracy = self.loss.calculate_accumulated(), self.accuracy.calculate_accumulated()
        print(f"validation, acc: {accuracy:.3f}, loss: {loss:.3f}")

    def predict(self, X: Any, *, batch_size: int | None = None) -> Any:
        """The outputs for X, an array of the caller's own."""
        X = self.place.bring(X)
        outputs = [self.forward(X[batch], training=False).copy() for batch in slices(len(X), batch_size)]
        return self.place.backend(outputs[0].dtype).concatenate(outputs)

    def forward(self, X: Any, training: bool = False) -> Any:
        """The outputs for one batch."""
        if self.output_layer_activation is None:
            self.finalize()
        self.input_layer.forward(X, training)
        for layer in self.layers:
            layer.forward(layer.prev.output, training)
        return self.layers[-1].output

    def backward(self, output: Any, y: Any) -> None:
        """All gradients, from the outputs and the targets of the batch that went forward."""
        layers = self.layers
        if self.softmax_classifier_output is not None:
            self.softmax_classifier_output.backward(output, y)
            self.layers[-1].dinputs = self.softmax_classifier_output.dinputs
            layers = self.layers[:-1]
        else:
            self.loss.backward(output, y)
        for layer in reversed(layers):
            layer.backward(layer.next.dinputs)

    # -- parameters and files (chapters 20 and 21) -----------------------------------------------------------------------

    def get_parameters(self) -> list[tuple[Any, Any]]:
        """Copies of the weights and biases of each layer that has some."""
        return [layer.get_parameters() for layer in self.trainable_layers]

    def set_parameters(self, parameters: Sequence[tuple[Any, Any]]) -> None:
        """Take parameters as `get_parameters` gives them."""
        for (weights, biases), layer in zip(parameters, self.trainable_layers, strict=True):
            layer.set_parameters(weights, biases)

    def save_parameters(self, path: str | os.PathLike[str]) -> None:
        """Write the parameters alone to a file: nnbackend's own, not the book's pickle."""
        files.save_parameters(self, path)

    def load_parameters(self, path: str | os.PathLike[str]) -> None:
        """Take the parameters of a file that `save_parameters` or `save` wrote. Raises `FileError` in one sentence."""
        files.load_parameters(self, path)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the whole model to a file, with the optimizer's state; `nnbackend.Model.load` reads it too.

        Raises `ArgumentError` for a layer or loss of the script's own, which a file cannot name.
        """
        files.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The model of a file that `save` wrote. Nothing in a file is ever run; a pickle is refused with `FileError`."""
        return files.load(path, cls)

    # -- small things ----------------------------------------------------------------------------------------------------

    def _new_pass(self) -> None:
        self.loss.new_pass()
        self.accuracy.new_pass()

    def _need(self, *names: str) -> None:
        for name in names:
            if getattr(self, name) is None:
                raise StateError(f"the model has no {name}: give it one with model.set({name}=...)")
        if self.output_layer_activation is None:
            self.finalize()


def slices(count: int, size: int | None) -> Iterator[slice]:
    """Which samples make up each batch: `size` at a time, all of them for None."""
    size = size or count
    for start in range(0, count, size):
        yield slice(start, start + size)
