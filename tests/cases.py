"""Every public layer, loss, regularizer, optimizer and accuracy, with arguments and shapes: the generic tests run through these.

Who adds a public class adds a line here; without one `test_cases.py` fails. The name of a case begins with that of its
class, and says after a hyphen what is special about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import nnbackend as nn

CLASSES = 3  # labels in all cases go from 0 to 2


@dataclass(frozen=True)
class LayerCase:
    """A layer, and how many features its inputs have."""

    make: Callable[[], nn.Layer]
    features: int = 4
    training: bool = True  # whether forward(training=True) is what is looked at
    kinked: bool = False  # whether its gradient jumps where an input changes its sign


LAYERS: Mapping[str, LayerCase] = {
    "Dense": LayerCase(lambda: nn.Dense(4, 5, seed=1)),
    "Dense-wider": LayerCase(lambda: nn.Dense(3, 17, weight_initializer=nn.Normal(0.5), seed=2), features=3),
    "Dense-one": LayerCase(lambda: nn.Dense(1, 1, weight_initializer=nn.Normal(1.0), seed=3), features=1),
    "Dense-l1": LayerCase(lambda: regularized_dense(nn.L1(1e-2))),
    "Dense-l2": LayerCase(lambda: regularized_dense(nn.L2(1e-2))),
    "Dense-l1l2": LayerCase(
        lambda: nn.Dense(4, 5, weight_regularizer=nn.L1L2(1e-3, 2e-2), bias_regularizer=nn.L1L2(3e-2, 4e-3), seed=5)
    ),
    "ReLU": LayerCase(nn.ReLU, kinked=True),
    "Sigmoid": LayerCase(nn.Sigmoid),
    "Softmax": LayerCase(nn.Softmax),
    "Linear": LayerCase(nn.Linear),
    "Dropout": LayerCase(lambda: nn.Dropout(0.4, seed=6)),
    "Dropout-none": LayerCase(lambda: nn.Dropout(0.0, seed=6)),
    "Dropout-evaluation": LayerCase(lambda: nn.Dropout(0.4, seed=6), training=False),
}


def regularized_dense(regularizer: nn.Regularizer) -> nn.Dense:
    """A Dense with the same penalty on weights and biases."""
    return nn.Dense(4, 5, weight_regularizer=regularizer, bias_regularizer=regularizer, seed=4)


def one_hot(labels: np.ndarray) -> np.ndarray:
    return np.eye(CLASSES)[labels]


def first_or_not(labels: np.ndarray) -> np.ndarray:
    return (labels == 0).astype(np.float64).reshape(-1, 1)


def values(labels: np.ndarray) -> np.ndarray:
    """Real numbers to be fitted, of which none is a prediction exactly."""
    return np.stack([0.5 * labels - 0.3, np.cos(labels + 0.1)], axis=1)


@dataclass(frozen=True)
class LossCase:
    """A loss, the layer whose outputs it takes (None: any numbers), and targets made from class labels."""

    make: Callable[[], nn.Loss]
    outputs: int
    activation: Callable[[], nn.Layer] | None
    targets: Callable[[np.ndarray], np.ndarray]
    kinked: bool = False  # whether its gradient jumps where prediction and target are equal

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Predictions that float32 holds exactly, and targets; both on the host."""
        predictions = rng.standard_normal((n, self.outputs))
        if self.activation is not None:
            activation = self.activation()
            activation.place(nn.get_backend("cpu", dtype="float64"))
            predictions = np.array(activation.forward(predictions))
        labels = rng.integers(0, CLASSES, n)
        return predictions.astype(np.float32).astype(np.float64), self.targets(labels)


LOSSES: Mapping[str, LossCase] = {
    "CategoricalCrossentropy": LossCase(nn.CategoricalCrossentropy, 3, nn.Softmax, np.asarray),
    "CategoricalCrossentropy-one-hot": LossCase(nn.CategoricalCrossentropy, 3, nn.Softmax, one_hot),
    "SoftmaxCategoricalCrossentropy": LossCase(nn.SoftmaxCategoricalCrossentropy, 3, None, np.asarray),
    "SoftmaxCategoricalCrossentropy-one-hot": LossCase(nn.SoftmaxCategoricalCrossentropy, 3, None, one_hot),
    "BinaryCrossentropy": LossCase(nn.BinaryCrossentropy, 1, nn.Sigmoid, first_or_not),
    "BinaryCrossentropy-flat": LossCase(nn.BinaryCrossentropy, 1, nn.Sigmoid, lambda y: first_or_not(y).ravel()),
    "BinaryCrossentropy-three": LossCase(nn.BinaryCrossentropy, 3, nn.Sigmoid, one_hot),
    "SigmoidBinaryCrossentropy": LossCase(nn.SigmoidBinaryCrossentropy, 1, None, first_or_not),
    "SigmoidBinaryCrossentropy-three": LossCase(nn.SigmoidBinaryCrossentropy, 3, None, one_hot),
    "MeanSquaredError": LossCase(nn.MeanSquaredError, 2, nn.Linear, values),
    "MeanSquaredError-flat": LossCase(nn.MeanSquaredError, 1, nn.Linear, lambda y: values(y)[:, 0]),
    "MeanAbsoluteError": LossCase(nn.MeanAbsoluteError, 2, nn.Linear, values, kinked=True),
}

REGULARIZERS: Mapping[str, Callable[[], nn.Regularizer]] = {
    "L1": lambda: nn.L1(1e-3),
    "L2": lambda: nn.L2(5e-4),
    "L1L2": lambda: nn.L1L2(1e-4, 5e-4),
    "L1L2-nothing": nn.L1L2,
}

OPTIMIZERS: Mapping[str, Callable[[], nn.Optimizer]] = {
    "SGD": lambda: nn.SGD(0.5),
    "SGD-decay": lambda: nn.SGD(1.0, decay=1e-2),
    "SGD-momentum": lambda: nn.SGD(0.3, decay=1e-3, momentum=0.9),
    "Adagrad": lambda: nn.Adagrad(0.1, decay=1e-4),
    "RMSprop": lambda: nn.RMSprop(0.02, decay=1e-4),
    "RMSprop-rho": lambda: nn.RMSprop(0.01, decay=1e-5, rho=0.99),
    "Adam": lambda: nn.Adam(0.02, decay=5e-7),
    "SGD-clipped": lambda: nn.SGD(0.3, momentum=0.9, clip_norm=0.7),
    "Adam-clipped": lambda: nn.Adam(0.02, clip_norm=0.05),
    "AdamW": lambda: nn.AdamW(0.02, decay=1e-3, weight_decay=0.1),
    "AdamW-clipped": lambda: nn.AdamW(0.02, weight_decay=0.05, beta_1=0.8, clip_norm=1e3),
    "Adam-betas": lambda: nn.Adam(0.01, decay=1e-3, beta_1=0.8, beta_2=0.99, epsilon=1e-6),
}


@dataclass(frozen=True)
class AccuracyCase:
    """An accuracy, and the case of a loss whose predictions and targets it can judge."""

    make: Callable[[], nn.Accuracy]
    loss: str


ACCURACIES: Mapping[str, AccuracyCase] = {
    "CategoricalAccuracy": AccuracyCase(nn.CategoricalAccuracy, "CategoricalCrossentropy"),
    "CategoricalAccuracy-one-hot": AccuracyCase(nn.CategoricalAccuracy, "CategoricalCrossentropy-one-hot"),
    "BinaryAccuracy": AccuracyCase(nn.BinaryAccuracy, "BinaryCrossentropy-three"),
    "RegressionAccuracy": AccuracyCase(lambda: nn.RegressionAccuracy(precision=0.4), "MeanSquaredError"),
    "RegressionAccuracy-default": AccuracyCase(nn.RegressionAccuracy, "MeanSquaredError"),
}

# The base of each kind of part, and the objects that the cases make of it.
TABLES: Mapping[type, Mapping[str, Callable[[], Any]]] = {
    nn.Layer: {name: case.make for name, case in LAYERS.items()},
    nn.Loss: {name: case.make for name, case in LOSSES.items()},
    nn.Regularizer: REGULARIZERS,
    nn.Optimizer: OPTIMIZERS,
    nn.Accuracy: {name: case.make for name, case in ACCURACIES.items()},
}


def missing(base: type, public: Mapping[str, Any]) -> Iterator[str]:
    """The public classes derived from `base` of which no case makes an object."""
    made = {type(make()) for make in TABLES[base].values()}
    for name, thing in public.items():
        if isinstance(thing, type) and issubclass(thing, base) and thing is not base and thing not in made:
            yield name
