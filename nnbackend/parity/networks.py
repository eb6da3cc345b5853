"""The networks that `nnbackend parity` compares on the spiral, so that between them every part of the book's run is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..activations import ReLU, Softmax
from ..backend import Backend
from ..layers import Dense, Dropout, Layer
from ..losses import CategoricalCrossentropy
from ..model import Model
from ..optimizers import SGD, Adam, Optimizer
from ..regularizers import L1L2, L2, Regularizer


@dataclass(frozen=True)
class Network:
    """The spiral's 2-64-3 network in one of its forms."""

    name: str
    optimizer: Callable[[], Optimizer]
    hidden: Regularizer | None = None
    last: Regularizer | None = None
    dropout: float = 0.0
    batch_size: int | None = None
    fused: bool = True

    def build(self, xp: Backend) -> Model:
        """The model on a backend; the same on all."""
        layers: list[Layer] = [Dense(2, 64, weight_regularizer=self.hidden, bias_regularizer=self.hidden), ReLU()]
        if self.dropout:
            layers.append(Dropout(self.dropout))
        layers += [Dense(64, 3, weight_regularizer=self.last, bias_regularizer=self.last), Softmax()]
        loss, optimizer = CategoricalCrossentropy(), self.optimizer()
        return Model(layers, loss=loss, optimizer=optimizer, backend=xp, seed=0, fused=self.fused)


def _adam() -> Optimizer:
    return Adam(0.02, decay=5e-7)


def _sgd() -> Optimizer:
    return SGD(1.0, decay=1e-3, momentum=0.9)


CHAPTER_14 = Network("chapter 14", _adam, hidden=L2(5e-4))

NETWORKS = (
    CHAPTER_14,
    Network("chapter 14, every layer by itself", _adam, hidden=L2(5e-4), fused=False),
    Network("SGD with momentum, L1 and L2", _sgd, hidden=L1L2(1e-4, 5e-4), last=L1L2(1e-4, 5e-4)),
    Network("dropout, shuffled batches of 64", _adam, hidden=L2(5e-4), dropout=0.1, batch_size=64),
)
