"""What is measured: networks, data and settings, the same for every peer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Workload:
    """One network on one data set. Every layer but the last is followed by ReLU, the last by Softmax."""

    name: str
    sizes: tuple[int, ...]
    data: Callable[[], tuple[np.ndarray, np.ndarray]]
    unit: str  # what a figure is the time of: a step, an epoch or a call
    batch_size: int | None = None  # None: all samples at once, in the order given
    l2: float = 0.0  # on weights and biases of the first layer, as in the book
    dropout: float = 0.0  # behind the first activation
    learning_rate: float = 0.001
    decay: float = 0.0
    training: bool = True
    least_units: int = 1  # in a turn: epochs are trained several at a time, as users do
    checked_steps: int = 20
    tolerance: float = 1e-3  # float32: rounding differs from library to library, and training enlarges the difference

    @property
    def for_check(self) -> Workload:
        """The same without randomness, so that all peers must reach the same loss."""
        return replace(self, dropout=0.0)

    def initial(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The weights and biases that every peer begins with."""
        rng = np.random.default_rng(0)
        return [
            (scale * rng.standard_normal((n, m)).astype(np.float32), np.zeros((1, m), np.float32))
            for n, m in pairwise(self.sizes)
            for scale in [np.float32(0.01 if n <= 2 or not self.training else 1 / np.sqrt(n))]
        ]


def spiral(samples: int) -> tuple[np.ndarray, np.ndarray]:
    """The book's data: three arms of `samples` points each."""
    from nnfs.datasets import spiral_data

    np.random.seed(0)  # noqa: NPY002  (what spiral_data draws from)
    X, y = spiral_data(samples=samples, classes=3)
    return X.astype(np.float32), y.astype(np.int64)


def clusters(samples: int, features: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Made data: a random centre for each class, and much noise around it."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, classes, samples)
    centres = rng.standard_normal((classes, features), dtype=np.float32)
    X = 0.1 * centres[y]
    X += rng.standard_normal((samples, features), dtype=np.float32)
    return X, y


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "spiral", (2, 64, 3), lambda: spiral(100), "step", l2=5e-4, learning_rate=0.02, decay=5e-7, checked_steps=50
        ),
        Workload(
            "spiral-1000", (2, 512, 3), lambda: spiral(1000), "step", l2=5e-4, dropout=0.1, learning_rate=0.05, decay=5e-5
        ),
        Workload("image", (784, 128, 128, 10), lambda: clusters(60_000, 784, 10), "epoch", batch_size=128, least_units=4),
        Workload(
            "wide", (1024, 4096, 4096, 1000), lambda: clusters(16_384, 1024, 1000), "step", batch_size=1024,
            checked_steps=3,
        ),
        Workload("inference-1", (784, 128, 128, 10), lambda: clusters(1, 784, 10), "call", training=False),
        Workload("inference-10000", (784, 128, 128, 10), lambda: clusters(10_000, 784, 10), "call", training=False),
    )
}  # fmt: skip


def scaled(samples: int, width: int, depth: int) -> Workload:
    """The spiral with so many samples a class, and so many hidden layers of that width; for `--scaling`."""
    name = f"scaled-{samples}-{width}-{depth}"
    return Workload(name, (2, *[width] * depth, 3), partial(spiral, samples), "step", checked_steps=1)


def workload(name: str) -> Workload:
    """By its name."""
    if name.startswith("scaled-"):
        samples, width, depth = map(int, name.split("-")[1:])
        return scaled(samples, width, depth)
    return WORKLOADS[name]
