"""For every op that has a CUDA kernel: arguments of a given size, for the kernel and for its reference alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Mixed into the inputs where `special` asks for it.
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 100.0, -100.0)


@dataclass
class Maker:
    """Makes arrays of one dtype."""

    rng: np.random.Generator
    dtype: str
    special: bool = False

    def real(self, *shape: int) -> np.ndarray:
        """Normal numbers, some of them special."""
        return self._mixed(self.rng.standard_normal(shape), SPECIAL)

    def positive(self, *shape: int) -> np.ndarray:
        """Positive numbers, some of them special: what a cache of squares may hold."""
        return self._mixed(self.rng.random(shape) + 0.1, (np.nan, np.inf, 0.0))

    def probabilities(self, *shape: int) -> np.ndarray:
        """Numbers from 0 to 1, both ends included."""
        numbers = self._mixed(self.rng.random(shape), (np.nan, 0.0, 1.0))
        return np.where(self.rng.random(shape) < 0.1, np.round(numbers), numbers).astype(self.dtype)

    def zeros_and_ones(self, *shape: int) -> np.ndarray:
        """Targets of binary outputs."""
        return self.rng.integers(0, 2, shape).astype(self.dtype)

    def labels(self, count: int, classes: int) -> np.ndarray:
        """Class indices."""
        return self.rng.integers(0, classes, count)

    def number(self, value: float, dtype: str | None = None) -> np.ndarray:
        """An array of shape (1,)."""
        return np.full(1, value, dtype or self.dtype)

    def out(self, *shape: int, dtype: str | None = None) -> np.ndarray:
        """What a kernel has to fill, with something else in it."""
        return np.full(shape, 12345, dtype or self.dtype)

    def _mixed(self, values: np.ndarray, special: tuple[float, ...]) -> np.ndarray:
        if self.special:
            values = np.where(self.rng.random(values.shape) < 0.08, self.rng.choice(special, values.shape), values)
        return values.astype(self.dtype)


@dataclass
class Call:
    """The arguments of one call."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)


def call(*args: Any, **kwargs: Any) -> Call:
    """`call(inputs, out=output)`, as the op is called."""
    return Call(args, kwargs)


def _dense(m: Maker, n: int, k: int) -> Call:
    return call(m.real(n, 4), m.real(4, k), m.real(1, k), out=m.out(n, k))


def _elementwise(m: Maker, n: int, k: int) -> Call:
    return call(m.real(n, k), m.real(n, k), out=m.out(n, k))


def _row_losses(m: Maker, n: int, k: int) -> Call:
    return call(m.real(n, k), m.real(n, k), out=m.out(n))


def _step_sizes(m: Maker, n: int, k: int) -> Call:
    iterations = m.number(n * k, "int64")
    return call(m.number(0.02, "float64"), iterations, beta_1=0.9, beta_2=0.999, out=(m.out(1), m.out(1)))


def _record(m: Maker, n: int, k: int) -> Call:
    dtype = ("float32", "float64")[k % 2]
    measured = m.real(), m.number(2.5), m.number(0.1, "float64")
    state = m.out(n + 1, 4, dtype=dtype), m.number(n // 2, "int64"), m.out(4, dtype=dtype)
    return call(*measured, state=state)


def _gather(m: Maker, n: int, k: int) -> Call:
    dtype = (m.dtype, "int64", "uint8")[n % 3]
    data = (100 * m.rng.random((n + 2, k))).astype(dtype)
    return call(data, m.labels(2 * n, n + 2), out=m.out(2 * n, k, dtype="int64").astype(dtype))


CASES: dict[str, Callable[[Maker, int, int], Call]] = {
    "dense": _dense,
    "dense_relu": _dense,
    "weights_gradient": lambda m, n, k: call(m.real(n, 4), m.real(n, k), out=m.out(4, k)),
    "inputs_gradient": lambda m, n, k: call(m.real(n, k), m.real(4, k), out=m.out(n, 4)),
    "biases_gradient": lambda m, n, k: call(m.real(n, k), out=m.out(1, k)),
    "relu_backward": _elementwise,
    "relu_biases_gradient": lambda m, n, k: call(m.real(n, k), m.real(n, k), out=(m.out(n, k), m.out(1, k))),
    "sigmoid": lambda m, n, k: call(10 * m.real(n, k), out=m.out(n, k)),
    "sigmoid_backward": lambda m, n, k: call(m.real(n, k), m.probabilities(n, k), out=m.out(n, k)),
    "softmax": lambda m, n, k: call(5 * m.real(n, k), out=m.out(n, k)),
    "softmax_backward": lambda m, n, k: call(m.real(n, k), m.probabilities(n, k), out=m.out(n, k)),
    "dropout": lambda m, n, k: call(
        m.real(n, k),
        m.number(2**33 + n, "int64"),
        rate=0.3,
        key=2**63 + 5,
        stream=k,
        out=(m.out(n, k), m.out(n, k)),
    ),
    "categorical_crossentropy": lambda m, n, k: call(m.probabilities(n, k), m.labels(n, k), out=m.out(n)),
    "categorical_crossentropy_backward": lambda m, n, k: call(m.probabilities(n, k), m.labels(n, k), out=m.out(n, k)),
    "softmax_crossentropy": lambda m, n, k: call(5 * m.real(n, k), m.labels(n, k), out=(m.out(n, k), m.out(n))),
    "softmax_crossentropy_backward": lambda m, n, k: call(m.probabilities(n, k), m.labels(n, k), out=m.out(n, k)),
    "binary_crossentropy": lambda m, n, k: call(m.probabilities(n, k), m.zeros_and_ones(n, k), out=m.out(n)),
    "binary_crossentropy_backward": lambda m, n, k: call(
        m.probabilities(n, k), m.zeros_and_ones(n, k), out=m.out(n, k)
    ),
    "sigmoid_crossentropy": lambda m, n, k: call(5 * m.real(n, k), m.zeros_and_ones(n, k), out=(m.out(n, k), m.out(n))),
    "sigmoid_crossentropy_backward": lambda m, n, k: call(
        m.probabilities(n, k), m.zeros_and_ones(n, k), out=m.out(n, k)
    ),
    "mean_squared_error": _row_losses,
    "mean_squared_error_backward": _elementwise,
    "mean_absolute_error": _row_losses,
    "mean_absolute_error_backward": _elementwise,
    "mean": lambda m, n, k: call(m.real(n * k), out=m.out()),
    "penalty": lambda m, n, k: call(m.real(n, k), l1=0.01 * (n % 2), l2=0.02 * (k % 2), state=m.real()),
    "penalty_gradient": lambda m, n, k: call(m.real(n, k), l1=0.01 * (n % 2), l2=0.02 * (k % 2), state=m.real(n, k)),
    "categorical_accuracy": lambda m, n, k: call(m.real(n, k), m.labels(n, k), out=m.out()),
    "binary_accuracy": lambda m, n, k: call(m.probabilities(n, k), m.zeros_and_ones(n, k), out=m.out()),
    "regression_accuracy": lambda m, n, k: call(m.real(n, k), m.real(n, k), m.number(0.5), out=m.out()),
    "labels_from_one_hot": lambda m, n, k: call(m.real(n, k), out=m.out(n, dtype="int64")),
    "decayed_learning_rate": lambda m, n, k: call(
        m.number(0.5, "float64"), m.number(1e-3, "float64"), m.number(n * k, "int64"), out=m.out(1, dtype="float64")
    ),
    "adam_step_sizes": _step_sizes,
    "sgd": lambda m, n, k: call(m.real(n * k), m.number(0.1), state=(m.real(n * k),)),
    "sgd_momentum": lambda m, n, k: call(
        m.real(n * k), m.number(0.1), momentum=0.9, state=(m.real(n * k), m.real(n * k))
    ),
    "adagrad": lambda m, n, k: call(
        m.real(n * k), m.number(0.1), epsilon=1e-7, state=(m.real(n * k), m.positive(n * k))
    ),
    "rmsprop": lambda m, n, k: call(
        m.real(n * k), m.number(0.1), rho=0.9, epsilon=1e-7, state=(m.real(n * k), m.positive(n * k))
    ),
    "adam": lambda m, n, k: call(
        m.real(n * k),
        (m.number(0.1), m.number(1.5)),
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        state=(m.real(n * k), m.real(n * k), m.positive(n * k)),
    ),
    "adamw": lambda m, n, k: call(
        m.real(n * k),
        m.number(0.1),
        (m.number(0.2), m.number(1.5)),
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        weight_decay=0.3,
        state=(m.real(n * k), m.real(n * k), m.positive(n * k)),
    ),
    "advance": lambda m, n, k: call(n + 1, state=m.number(2**40, "int64")),
    "batch_indices": lambda m, n, k: call(
        m.rng.permutation(n * k + 3), m.number(2, "int64"), np.arange(n * k), out=m.out(n * k, dtype="int64")
    ),
    "gather": _gather,
    "record": _record,
}

# Ops without a kernel: one call of the array library that nothing is joined to.
WITHOUT_KERNEL = {
    *("relu", "multiply", "assign"),
    *("dropout_mask", "binary_predictions", "regression_hits"),  # these and the next for nnbackend.book
    *("bias_corrections", "adam_unfolded"),
    *(
        "clip_factor",
        "scale",
        "weighted_mean",
        "weigh",
    ),  # for those who clip or weigh; two calls, and sums it makes well
}

# Ops that sum nothing and take no exponential or logarithm: the kernel's numbers are the reference's, to the bit.
EXACT = {
    "relu_backward",
    "sigmoid_backward",
    "dropout",
    "categorical_crossentropy_backward",
    "softmax_crossentropy_backward",
    "binary_crossentropy_backward",
    "sigmoid_crossentropy_backward",
    "mean_squared_error_backward",
    "mean_absolute_error_backward",
    "penalty_gradient",
    "categorical_accuracy",
    "binary_accuracy",
    "regression_accuracy",
    "decayed_learning_rate",
    "sgd",
    "sgd_momentum",
    "adagrad",
    "rmsprop",
    "adam",
    "adamw",
    "record",
}

# Ops whose reference has no answer for no elements.
NOT_EMPTY = {"mean_squared_error_backward"}
