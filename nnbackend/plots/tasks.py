"""What a model is for, and what its outputs say of a class."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..activations import Sigmoid, Softmax
from ..errors import ArgumentError, DataError, shown
from ..losses import BinaryCrossentropy, CategoricalCrossentropy, check_labels
from ..model import Model

CLASSES = "classification"
BINARY = "binary classification"
REGRESSION = "regression"
# More rows than this are predicted in parts, so that a large table costs no more memory than itself.
ROWS_AT_ONCE = 8192


def kind_of(model: Model) -> str:
    """What a model is for, by its last layer, and by its loss where that is a layer of the user's own.

    >>> import nnbackend as nn
    >>> kind_of(nn.Model([nn.Dense(2, 3), nn.Softmax()]))
    'classification'
    """
    last, loss = model.layers[-1], model.loss
    if isinstance(last, Softmax) or isinstance(loss, CategoricalCrossentropy):
        return CLASSES
    if isinstance(last, Sigmoid) or isinstance(loss, BinaryCrossentropy):
        return BINARY
    return REGRESSION


def need_model(model: Model) -> None:
    """Raise `ArgumentError` for what is no model.

    >>> import nnbackend as nn
    >>> need_model(nn.Model([nn.Dense(2, 3)]))
    """
    if not isinstance(model, Model):
        raise ArgumentError(f"model {shown(model)}: expected an nn.Model, such as nn.Model.load gives")


def predict(model: Model, X: np.ndarray) -> np.ndarray:
    """The outputs for many rows, in parts."""
    need_model(model)
    return model.predict(X, batch_size=min(len(X), ROWS_AT_ONCE) or None)


def numbers(name: str, values: Any) -> np.ndarray:
    """Values as float64 on the host, or `DataError`."""
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"{name} {shown(values)}: expected an array of numbers") from None


def classes_of(outputs: np.ndarray) -> np.ndarray:
    """The class that each row of outputs names: the largest, or for a single output whether it is above one half."""
    return (outputs[:, 0] > 0.5).astype(int) if outputs.shape[1] == 1 else outputs.argmax(axis=1)


def labels_of(y: Any, outputs: np.ndarray) -> np.ndarray:
    """Targets as class indices, from class indices or one-hot rows, or `DataError`."""
    y = np.asarray(y)
    if y.dtype.kind == "b" or (y.dtype.kind == "f" and (y == np.floor(y)).all()):
        y = y.astype(int)  # as a binary cross-entropy takes them
    labels = check_labels(y, class_count(outputs)).astype(int)
    if len(labels) != len(outputs):
        raise DataError(f"{len(labels)} targets for {len(outputs)} samples: expected one for each")
    return labels


def class_count(outputs: np.ndarray) -> int:
    """How many classes the outputs tell apart."""
    return max(2, outputs.shape[1])


def confusion(model: Model, X: Any, y: Any) -> np.ndarray:
    """How often samples of each class (rows) were taken for each class (columns), shape (classes, classes).

    >>> import nnbackend as nn
    >>> model = nn.Model([nn.Dense(2, 3), nn.Softmax()], seed=0)
    >>> int(confusion(model, [[0.0, 1.0], [1.0, 0.0]], [0, 2]).sum())
    2
    """
    outputs = predict(model, np.asarray(X))
    counts = np.zeros((class_count(outputs),) * 2, int)
    np.add.at(counts, (labels_of(y, outputs), classes_of(outputs)), 1)
    return counts
