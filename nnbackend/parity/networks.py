"""What `nnbackend parity` compares where no model of the user's is named: small networks, and data to train them on.

Between them they use every layer, loss, optimizer, regularizer and accuracy of the library, and every join of neighbours; a
test holds this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import datasets
from ..activations import Linear, ReLU, Sigmoid, Softmax
from ..backend import Backend
from ..initializers import Normal
from ..layers import Dense, Dropout, Layer
from ..losses import BinaryCrossentropy, CategoricalCrossentropy, Loss, MeanAbsoluteError, MeanSquaredError
from ..model import Model
from ..optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from ..regularizers import L1, L1L2, L2, Regularizer
from .side import Build

Data = tuple[Any, Any]


@dataclass(frozen=True)
class Subject:
    """What two backends are compared on: a model, which `build(xp)` makes on each of them, and data to train it on."""

    name: str
    build: Build
    data: Callable[[], Data]
    batch_size: int | None = None
    class_weights: dict[int, float] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """How the data are used: arguments of `follow`, `free` and `which_side`."""
        return {"batch_size": self.batch_size, "class_weights": self.class_weights}


def _subject(
    name: str,
    layers: Callable[[], list[Layer]],
    loss: Callable[[], Loss],
    optimizer: Callable[[], Optimizer],
    data: Callable[[], Data],
    *,
    batch_size: int | None = None,
    class_weights: dict[int, float] | None = None,
    fused: bool = True,
) -> Subject:
    def build(xp: Backend) -> Model:
        return Model(layers(), loss=loss(), optimizer=optimizer(), backend=xp, seed=0, fused=fused)

    return Subject(name, build, data, batch_size, class_weights)


# -- data ------------------------------------------------------------------------------------------------------------------


def three_arms() -> Data:
    """The book's spiral: 300 points in three classes."""
    return datasets.spiral(100, 3, seed=0)


def _one_hot() -> Data:
    X, y = datasets.spiral(40, 3, seed=0)
    return X, np.eye(3)[y]


def _two_arms() -> Data:
    return datasets.spiral(60, 2, seed=0)


def _sine() -> Data:
    return datasets.sine(120)


# -- layers ----------------------------------------------------------------------------------------------------------------


def _hidden(n_inputs: int, n_neurons: int, regularizer: Regularizer | None = None, start: float = 0.01) -> list[Layer]:
    dense = Dense(
        n_inputs,
        n_neurons,
        weight_initializer=Normal(start),
        weight_regularizer=regularizer,
        bias_regularizer=regularizer,
    )
    return [dense, ReLU()]


def _chapter_14() -> list[Layer]:
    return [*_hidden(2, 64, L2(5e-4)), Dense(64, 3), Softmax()]


def _penalized() -> list[Layer]:
    both = L1L2(1e-4, 5e-4)
    return [*_hidden(2, 64, both), Dense(64, 3, weight_regularizer=both, bias_regularizer=both), Softmax()]


def _dropping() -> list[Layer]:
    return [*_hidden(2, 64, L2(5e-4)), Dropout(0.1), Dense(64, 3), Softmax()]


def _binary() -> list[Layer]:
    return [*_hidden(2, 32, L1(1e-4)), Dense(32, 1), Sigmoid()]


def _regression() -> list[Layer]:
    return [*_hidden(1, 32, start=0.1), *_hidden(32, 16, start=0.1), Dense(16, 1), Linear()]


def _smooth() -> list[Layer]:
    """Activations that are usually last, inside: they are not joined with a loss there."""
    return [Dense(2, 16), Sigmoid(), Dense(16, 8), Softmax(), Dense(8, 3), Softmax()]


# -- the list --------------------------------------------------------------------------------------------------------------


def _adam() -> Optimizer:
    return Adam(0.02, decay=5e-7)


def _sgd_momentum() -> Optimizer:
    return SGD(1.0, decay=1e-3, momentum=0.9)


CHAPTER_14 = _subject("chapter 14", _chapter_14, CategoricalCrossentropy, _adam, three_arms)

SUBJECTS = (
    CHAPTER_14,
    _subject("chapter 14, every layer by itself", _chapter_14, CategoricalCrossentropy, _adam, three_arms, fused=False),
    _subject("SGD with momentum, L1 and L2", _penalized, CategoricalCrossentropy, _sgd_momentum, three_arms),
    _subject("dropout, shuffled batches of 64", _dropping, CategoricalCrossentropy, _adam, three_arms, batch_size=64),
    _subject(
        "two classes of weights 1 and 3, Adagrad, L1",
        _binary,
        BinaryCrossentropy,
        lambda: Adagrad(0.1, decay=1e-4),
        _two_arms,
        class_weights={0: 1.0, 1: 3.0},
    ),
    _subject(
        "two classes, every layer by itself", _binary, BinaryCrossentropy, lambda: RMSprop(0.01), _two_arms, fused=False
    ),
    _subject("sine, squared error", _regression, MeanSquaredError, lambda: Adam(0.005, decay=1e-3), _sine),
    _subject(
        "AdamW, gradients clipped",
        _chapter_14,
        CategoricalCrossentropy,
        lambda: AdamW(0.02, weight_decay=0.1, clip_norm=0.05),
        three_arms,
    ),
    _subject("sine, absolute error, SGD", _regression, MeanAbsoluteError, lambda: SGD(0.02), _sine),
    _subject(
        "sigmoid and softmax inside, RMSprop, one-hot",
        _smooth,
        CategoricalCrossentropy,
        lambda: RMSprop(0.02),
        _one_hot,
    ),
)
