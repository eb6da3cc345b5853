"""What a reader of the book has: its formulas in NumPy, layer by layer, a fresh array for every result.

Written here from the formulas, with the vectorized softmax gradient joined with the loss as in the book's chapter 9.
"""

from __future__ import annotations

import numpy as np

from ..settings import Setting
from ..workloads import Workload
from . import BasePeer


class Dense:
    def __init__(self, weights: np.ndarray, biases: np.ndarray, l2: float = 0.0) -> None:
        self.weights, self.biases, self.l2 = weights, biases, l2
        self.weight_momentums, self.weight_cache = np.zeros_like(weights), np.zeros_like(weights)
        self.bias_momentums, self.bias_cache = np.zeros_like(biases), np.zeros_like(biases)

    def forward(self, inputs: np.ndarray) -> None:
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases

    def backward(self, dvalues: np.ndarray) -> None:
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        if self.l2 > 0:
            self.dweights += 2 * self.l2 * self.weights
            self.dbiases += 2 * self.l2 * self.biases
        self.dinputs = np.dot(dvalues, self.weights.T)


class ReLU:
    def forward(self, inputs: np.ndarray) -> None:
        self.inputs = inputs
        self.output = np.maximum(0, inputs)

    def backward(self, dvalues: np.ndarray) -> None:
        self.dinputs = dvalues.copy()
        self.dinputs[self.inputs <= 0] = 0


class Dropout:
    def __init__(self, rate: float) -> None:
        self.rate = 1 - rate

    def forward(self, inputs: np.ndarray) -> None:
        mask = np.random.binomial(1, self.rate, size=inputs.shape) / self.rate  # noqa: NPY002  (as the book does)
        self.binary_mask = mask.astype(inputs.dtype)
        self.output = inputs * self.binary_mask

    def backward(self, dvalues: np.ndarray) -> None:
        self.dinputs = dvalues * self.binary_mask


class SoftmaxCrossentropy:
    def forward(self, inputs: np.ndarray, y: np.ndarray) -> float:
        exp_values = np.exp(inputs - np.max(inputs, axis=1, keepdims=True))
        self.output = exp_values / np.sum(exp_values, axis=1, keepdims=True)
        clipped = np.clip(self.output, 1e-7, 1 - 1e-7)
        return np.mean(-np.log(clipped[range(len(clipped)), y]))

    def regularization_loss(self, layer: Dense) -> float:
        loss = 0.0
        if layer.l2 > 0:
            loss += layer.l2 * np.sum(layer.weights * layer.weights)
            loss += layer.l2 * np.sum(layer.biases * layer.biases)
        return loss

    def backward(self, dvalues: np.ndarray, y: np.ndarray) -> None:
        samples = len(dvalues)
        self.dinputs = dvalues.copy()
        self.dinputs[range(samples), y] -= 1
        self.dinputs = self.dinputs / samples


class Adam:
    def __init__(self, learning_rate: float, decay: float) -> None:
        self.learning_rate = self.current_learning_rate = learning_rate
        self.decay, self.iterations = decay, 0
        self.epsilon, self.beta_1, self.beta_2 = 1e-7, 0.9, 0.999

    def pre_update_params(self) -> None:
        if self.decay:
            self.current_learning_rate = self.learning_rate * (1.0 / (1.0 + self.decay * self.iterations))

    def update_params(self, layer: Dense) -> None:
        layer.weight_momentums = self.beta_1 * layer.weight_momentums + (1 - self.beta_1) * layer.dweights
        layer.bias_momentums = self.beta_1 * layer.bias_momentums + (1 - self.beta_1) * layer.dbiases
        weight_momentums_corrected = layer.weight_momentums / (1 - self.beta_1 ** (self.iterations + 1))
        bias_momentums_corrected = layer.bias_momentums / (1 - self.beta_1 ** (self.iterations + 1))
        layer.weight_cache = self.beta_2 * layer.weight_cache + (1 - self.beta_2) * layer.dweights**2
        layer.bias_cache = self.beta_2 * layer.bias_cache + (1 - self.beta_2) * layer.dbiases**2
        weight_cache_corrected = layer.weight_cache / (1 - self.beta_2 ** (self.iterations + 1))
        bias_cache_corrected = layer.bias_cache / (1 - self.beta_2 ** (self.iterations + 1))
        rate = self.current_learning_rate
        layer.weights += -rate * weight_momentums_corrected / (np.sqrt(weight_cache_corrected) + self.epsilon)
        layer.biases += -rate * bias_momentums_corrected / (np.sqrt(bias_cache_corrected) + self.epsilon)

    def post_update_params(self) -> None:
        self.iterations += 1


class Network:
    """The layers of a workload, and a step of the book's training loop."""

    def __init__(self, workload: Workload, dtype: str) -> None:
        parameters = [(w.astype(dtype), b.astype(dtype)) for w, b in workload.initial()]
        self.dense = [Dense(w, b, workload.l2 if not i else 0.0) for i, (w, b) in enumerate(parameters)]
        self.layers: list = []
        for i, dense in enumerate(self.dense):
            self.layers.append(dense)
            if dense is not self.dense[-1]:
                self.layers.append(ReLU())
                if workload.dropout and not i:
                    self.layers.append(Dropout(workload.dropout))
        self.loss = SoftmaxCrossentropy()
        self.optimizer = Adam(workload.learning_rate, workload.decay)

    def step(self, X: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        values = X
        for layer in self.layers:
            layer.forward(values)
            values = layer.output
        data_loss = self.loss.forward(values, y)
        regularization_loss = sum(self.loss.regularization_loss(layer) for layer in self.dense)
        loss = data_loss + regularization_loss
        predictions = np.argmax(self.loss.output, axis=1)
        accuracy = np.mean(predictions == y)
        self.loss.backward(self.loss.output, y)
        dvalues = self.loss.dinputs
        for layer in reversed(self.layers):
            layer.backward(dvalues)
            dvalues = layer.dinputs
        self.optimizer.pre_update_params()
        for layer in self.dense:
            self.optimizer.update_params(layer)
        self.optimizer.post_update_params()
        return loss, accuracy

    def predict(self, X: np.ndarray) -> np.ndarray:
        values = X
        for layer in self.layers:
            if not isinstance(layer, Dropout):
                layer.forward(values)
                values = layer.output
        exp_values = np.exp(values - np.max(values, axis=1, keepdims=True))
        return exp_values / np.sum(exp_values, axis=1, keepdims=True)


class Peer(BasePeer):
    """In float64, as NumPy computes unless it is told otherwise."""

    dtype = "float64"

    def __init__(self, workload: Workload, setting: Setting) -> None:
        super().__init__(workload, setting)
        self.X = self.X.astype(self.dtype)
        self.network = Network(workload, self.dtype)

    @classmethod
    def refusal(cls, workload: Workload, setting: Setting) -> str:
        if workload.name == "wide" and cls.dtype == "float64":
            return "twice the work of plain-float32"
        return super().refusal(workload, setting)

    def versions(self) -> str:
        return f"NumPy {np.__version__}, {self.dtype}"

    def loss_after(self, steps: int) -> float:
        network = Network(self.workload.for_check, self.dtype)
        loss = 0.0
        for batch in self.first_batches(steps):
            loss, _ = network.step(self.X[batch], self.y[batch])
        return float(loss)

    def train(self, units: int) -> None:
        epochs, steps = self.passes(units)
        for _ in range(epochs):
            if self.workload.batch_size is None:
                self.network.step(self.X, self.y)
            else:
                self._shuffled(steps)

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.network.predict(X)

    def _shuffled(self, steps: int) -> None:
        order = np.random.permutation(len(self.X))  # noqa: NPY002
        for batch in self.batches[:steps]:
            indices = order[batch]
            self.network.step(self.X[indices], self.y[indices])
