"""The book's made-up data, from its own package `nnfs`: the numbers it gives for a seed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import numpy as np

from ..backend.memory import check_memory, free_host_memory
from ..checks import count
from ..checks import seed as checked_seed
from ..errors import ArgumentError, shown

# Who has NumPy's global generator: data drawn in several threads are those of their seeds.
_drawing = threading.Lock()


def spiral(samples: int = 100, classes: int = 3, *, seed: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Points on `classes` spiral arms: X of shape (samples · classes, 2), float64, and labels of shape (samples · classes,).

    `samples` is the number of points an arm. The same seed gives the numbers that `nnfs.datasets.spiral_data` gives after
    `numpy.random.seed(seed)` (so seeds are below 2**32); None takes fresh entropy. NumPy's global random state is left as it
    was, and several threads may draw at once, so long as none of them uses that state itself.

    >>> import nnbackend as nn
    >>> X, y = nn.datasets.spiral(samples=100, classes=3, seed=0)
    >>> X.shape, sorted(set(y.tolist()))
    ((300, 2), [0, 1, 2])
    """
    from nnfs.datasets import spiral_data

    samples, classes = count("samples", samples), _class_count(classes)
    with _global_random_state(seed), _in_memory(samples * classes):
        X, y = spiral_data(samples, classes)
        return np.asarray(X, np.float64), np.asarray(y, np.int64)


def vertical(samples: int = 100, classes: int = 3, *, seed: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Points in `classes` vertical clouds (book, chapter 6); shapes and seed as for `spiral`.

    >>> import nnbackend as nn
    >>> nn.datasets.vertical(samples=10, classes=3, seed=0)[0].shape
    (30, 2)
    """
    from nnfs.datasets import vertical_data

    samples, classes = count("samples", samples), _class_count(classes)
    with _global_random_state(seed), _in_memory(samples * classes):
        X, y = vertical_data(samples, classes)
        return np.asarray(X, np.float64), np.asarray(y, np.int64)


def sine(samples: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """One period of sin(2πx) on [0, 1) (book, chapter 17): X and y of shape (samples, 1).

    >>> import nnbackend as nn
    >>> X, y = nn.datasets.sine(4)
    >>> y.round(3).ravel().tolist()
    [0.0, 1.0, 0.0, -1.0]
    """
    from nnfs.datasets import sine_data

    samples = count("samples", samples)
    with _in_memory(samples):
        X, y = sine_data(samples)
        return np.asarray(X, np.float64), np.asarray(y, np.float64)


def _class_count(classes: int) -> int:
    if count("classes", classes) > 256:
        raise ArgumentError(f"classes {shown(classes)}: expected at most 256, since nnfs keeps labels in a byte")
    return int(classes)


# What nnfs takes for a point while it makes it, and we when we keep it: coordinates, angles, distances, labels twice.
BYTES_A_SAMPLE = 48


@contextlib.contextmanager
def _in_memory(samples: int) -> Iterator[None]:
    """A block that makes so many samples; `ArgumentError` where they are more than the machine can hold."""
    check_memory(
        samples * BYTES_A_SAMPLE,
        free_host_memory,
        what=f"{shown(samples)} samples",
        where="this machine",
        advice="ask for less",
    )
    try:
        yield
    except (MemoryError, ValueError, OverflowError):  # NumPy's, for what no machine can address
        raise ArgumentError(
            f"{shown(samples)} samples are more than this machine has memory for: ask for less"
        ) from None


@contextlib.contextmanager
def _global_random_state(seed: int | None) -> Iterator[None]:
    """NumPy's global generator seeded for a block, and as it was afterwards: nnfs draws from it. One thread at a time."""
    value = checked_seed(seed, bits=32)  # as many as that generator takes
    with _drawing:
        state = np.random.get_state()  # noqa: NPY002 - nnfs draws from it
        np.random.seed(value)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002
