"""Small networks of `nnbackend.book` for its tests, and a step of training."""

from __future__ import annotations

import numpy as np

from nnbackend import book

# What layers and losses hand out.
NAMES = ("output", "dinputs", "dweights", "dbiases", "weights", "biases")

OPTIMIZERS = {
    "sgd": lambda: book.Optimizer_SGD(0.1, decay=1e-2),
    "momentum": lambda: book.Optimizer_SGD(0.1, momentum=0.8),
    "adagrad": lambda: book.Optimizer_Adagrad(0.1),
    "rmsprop": lambda: book.Optimizer_RMSprop(0.01, rho=0.8),
    "adam": lambda: book.Optimizer_Adam(0.01, decay=1e-3, beta_1=0.8),
}


def trained_pair(hidden: int = 8):
    """Two layers and their joined loss after one step, with the data."""
    np.random.seed(0)
    X, y = np.random.randn(12, 2), np.random.randint(0, 3, 12)
    dense1, activation1, dense2 = book.Layer_Dense(2, hidden), book.Activation_ReLU(), book.Layer_Dense(hidden, 3)
    loss_activation = book.Activation_Softmax_Loss_CategoricalCrossentropy()
    step(X, y, dense1, activation1, dense2, loss_activation)
    return X, y, dense1, activation1, dense2, loss_activation


def step(X, y, dense1, activation1, dense2, loss_activation):
    dense1.forward(X)
    activation1.forward(dense1.output)
    dense2.forward(activation1.output)
    loss = loss_activation.forward(dense2.output, y)
    loss_activation.backward(loss_activation.output, y)
    dense2.backward(loss_activation.dinputs)
    activation1.backward(dense2.dinputs)
    dense1.backward(activation1.dinputs)
    return loss


def build(loss: str = "CategoricalCrossentropy", optimizer=None) -> book.Model:
    model = book.Model()
    outputs = {"CategoricalCrossentropy": 3}.get(loss, 1)
    last = {"CategoricalCrossentropy": book.Activation_Softmax, "BinaryCrossentropy": book.Activation_Sigmoid}
    layers = (
        book.Layer_Dense(2, 8, weight_regularizer_l2=5e-4, bias_regularizer_l1=1e-5),
        book.Activation_ReLU(),
        book.Layer_Dropout(0.1),
        book.Layer_Dense(8, outputs),
        last.get(loss, book.Activation_Linear)(),
    )
    for layer in layers:
        model.add(layer)
    accuracy = book.Accuracy_Regression() if loss.startswith("Mean") else book.Accuracy_Categorical(binary=outputs == 1)
    model.set(loss=getattr(book, f"Loss_{loss}")(), optimizer=optimizer, accuracy=accuracy)
    model.finalize()
    return model


def data(loss: str = "CategoricalCrossentropy") -> tuple[np.ndarray, np.ndarray]:
    X = np.random.randn(30, 2)
    if loss == "CategoricalCrossentropy":
        return X, np.random.randint(0, 3, 30)
    return X, (X[:, :1] > 0).astype(float)
