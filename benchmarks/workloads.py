"""What is measured: networks, data and settings, the same for every peer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from .settings import Setting


@dataclass(frozen=True)
class Workload:
    """One network on one data set. Every layer but the last is followed by ReLU, the last by Softmax."""

    name: str
    sizes: tuple[int, ...]
    samples: int  # of the spiral: in each of its three classes
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
    precision: str = "float32"  # of the factors in matrix products: "float32", "tf32" or "bfloat16"

    @property
    def for_check(self) -> Workload:
        """The same without randomness, so that all peers must reach the same loss."""
        return replace(self, dropout=0.0)

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """The samples and their classes."""
        if self.sizes[0] == 2:
            return spiral(self.samples)
        return clusters(self.samples, self.sizes[0], self.sizes[-1])

    def initial(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The weights and biases that every peer begins with.

        Those of a network that only predicts are large enough for its answers to differ from sample to sample: with
        the book's 0.01 all classes would be equally likely, and a peer that forgot a layer would not be noticed.
        """
        rng = np.random.default_rng(0)
        return [
            (scale * rng.standard_normal((n, m)).astype(np.float32), np.zeros((1, m), np.float32))
            for n, m in pairwise(self.sizes)
            for scale in [np.float32(0.01 if n <= 2 else 1 / np.sqrt(n) if self.training else np.sqrt(2 / n))]
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


_IMAGE = (784, 128, 128, 10)
_ALL = (
    Workload("spiral", (2, 64, 3), 100, "step", l2=5e-4, learning_rate=0.02, decay=5e-7, checked_steps=50),
    Workload("spiral-1000", (2, 512, 3), 1000, "step", l2=5e-4, dropout=0.1, learning_rate=0.05, decay=5e-5),
    Workload("image", _IMAGE, 60_000, "epoch", batch_size=128, least_units=4),
    Workload("wide", (1024, 4096, 4096, 1000), 16_384, "step", batch_size=1024, learning_rate=1e-4, checked_steps=3),
    Workload("inference-1", _IMAGE, 1, "call", training=False),
    Workload("inference-10000", _IMAGE, 10_000, "call", training=False),
)

# Products whose factors are rounded to 11 or 8 significant bits: losses then agree to about as many.
_ROUNDED = {"tf32": 5e-3, "bfloat16": 2e-2}


def workloads(setting: Setting) -> dict[str, Workload]:
    """All of them, by name. On a GPU the wide network has larger batches, and also products of less precision."""
    found = list(_ALL)
    if setting.on_gpu:
        wide = replace(next(workload for workload in found if workload.name == "wide"), batch_size=4096)
        found = [wide if workload.name == "wide" else workload for workload in found]
        found[4:4] = [
            replace(wide, name=f"wide-{precision}", precision=precision, tolerance=tolerance)
            for precision, tolerance in _ROUNDED.items()
        ]
    return {workload.name: _tiny(workload) if setting.tiny else workload for workload in found}


def _tiny(workload: Workload) -> Workload:
    """The same in small, for tests; batches still divide the data, or do not, as in the large."""
    samples = min(workload.samples, max(20, workload.samples // 500))
    size = workload.batch_size
    if size is not None:
        size = samples // 4 if workload.samples % size == 0 else samples * 2 // 5
    sizes = (min(workload.sizes[0], 16), *(min(n, 16) for n in workload.sizes[1:-1]), min(workload.sizes[-1], 20))
    # The least useful rate that changes a small network's loss within a few steps.
    rate = max(workload.learning_rate, 0.005)
    return replace(workload, samples=samples, batch_size=size, sizes=sizes, least_units=1, learning_rate=rate)


def scaled(samples: int, width: int, depth: int) -> Workload:
    """The spiral with so many samples a class, and so many hidden layers of that width; for `--scaling`."""
    name = f"scaled-{samples}-{width}-{depth}"
    return Workload(name, (2, *[width] * depth, 3), samples, "step", checked_steps=5)


def workload(name: str, setting: Setting) -> Workload:
    """By its name."""
    if name.startswith("scaled-"):
        samples, width, depth = map(int, name.split("-")[1:])
        return scaled(samples, width, depth)
    return workloads(setting)[name]
