"""What every op has to give, written a second time: plain NumPy in float64, one step after the other, nothing shared with them.

Each entry of `FORMULAS` draws arguments for an op and computes what should come out of it, by loops and full Jacobians
where the library takes a short cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray
LOWEST, HIGHEST = 1e-7, 1 - 1e-7  # where the book clips predictions


@dataclass
class Arguments:
    """What an op is called with, on the host. `state` is one array, or as many as the op takes.

    With `schedule`, inputs are in float64 on every backend, and so are the results if `out_dtype` says so, for all of them
    or for each.
    """

    inputs: list[Any]
    settings: dict[str, Any] = field(default_factory=dict)
    state: Array | list[Array] | None = None
    schedule: bool = False
    out_dtype: str | tuple[str | None, ...] | None = None

    def dtype_of(self, position: int) -> str | None:
        """The dtype of a result, if it is not the backend's."""
        return self.out_dtype[position] if isinstance(self.out_dtype, tuple) else self.out_dtype


@dataclass(frozen=True)
class Formula:
    """How to draw an op's arguments, for n samples and k features, and what comes out of it.

    `quantity` and `length` are those of `tolerances`; `scale` gives what was summed, where that can be much larger than
    the result. `logarithm`: a probability near 1 is known to eps, and so is its logarithm, near 0, however small that is.
    `least` is the smallest n that makes sense.
    """

    draw: Callable[[np.random.Generator, int, int], Arguments]
    expected: Callable[..., Any]
    quantity: str = "elementwise"
    summed: str = ""  # over what it sums: "n", "k" or "nk"
    scale: Callable[..., float] | None = None
    logarithm: bool = False
    least: int = 1


def normal(*shape: str) -> Callable[[np.random.Generator, int, int], Arguments]:
    """Arguments of these shapes, written as in "nk" for (n, k); "3" is an inner size of three."""

    def draw(rng: np.random.Generator, n: int, k: int) -> Arguments:
        sizes = {"n": n, "k": k, "1": 1, "3": 3}
        return Arguments([rng.standard_normal([sizes[letter] for letter in letters]) for letters in shape])

    return draw


# -- layers -------------------------------------------------------------------------------------------------------------


def product(left: Array, right: Array) -> Array:
    """Row times column, one element at a time."""
    result = np.zeros((left.shape[0], right.shape[1]))
    for i in range(left.shape[0]):
        for j in range(right.shape[1]):
            result[i, j] = sum(left[i, a] * right[a, j] for a in range(left.shape[1]))
    return result


def size_of_product(left: Array, right: Array, *more: Array) -> float:
    return float(product(abs(left), abs(right)).max(initial=0)) + sum(float(abs(m).max(initial=0)) for m in more)


def dense(x: Array, w: Array, b: Array) -> Array:
    return product(x, w) + b


def rectified(x: Array) -> Array:
    """NaN is kept: a network that has gone wrong must not look right."""
    return np.where(x < 0, 0.0, x)


def column_sums(d: Array) -> Array:
    return np.array([[sum(d[:, j]) for j in range(d.shape[1])]], dtype=np.float64).reshape(1, d.shape[1])


def logistic(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    result = np.empty(x.shape)
    for i, row in enumerate(x):
        powers = np.exp(row - max(row)) if not np.isnan(row).any() else np.full(len(row), np.nan)
        result[i] = powers / sum(powers)
    return result


def softmax_backward(d: Array, s: Array) -> Array:
    """The Jacobian of each sample, built: ds_i/dx_j = s_i (δ_ij - s_j)."""
    result = np.empty(d.shape)
    for i, (gradient, row) in enumerate(zip(d, s, strict=True)):
        jacobian = np.diagflat(row) - np.outer(row, row)
        result[i] = jacobian @ gradient
    return result


def draw_after_activation(function: Callable[[Array], Array]) -> Callable[..., Arguments]:
    def draw(rng: np.random.Generator, n: int, k: int) -> Arguments:
        return Arguments([rng.standard_normal((n, k)), function(rng.standard_normal((n, k)))])

    return draw


def draw_relu_backward(rng: np.random.Generator, n: int, k: int) -> Arguments:
    return Arguments([rng.standard_normal((n, k)), rectified(rng.standard_normal((n, k)))])


def relu_backward(d: Array, output: Array) -> Array:
    return d * (output > 0)


def philox_word(element: int, key: int, stream: int, step: int) -> int:
    """Philox4x32-10 in Python integers: word `element % 4` of the block `element // 4`."""
    c = [element // 4, stream, step % 2**32, step // 2**32]
    k = [key % 2**32, key // 2**32]
    for _ in range(10):
        high, low = divmod(c[0] * 0xD2511F53, 2**32)
        high_2, low_2 = divmod(c[2] * 0xCD9E8D57, 2**32)
        c = [high_2 ^ c[1] ^ k[0], low_2, high ^ c[3] ^ k[1], low]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c[element % 4]


def draw_dropout(rng: np.random.Generator, n: int, k: int) -> Arguments:
    settings = {"rate": 0.3, "key": int(rng.integers(2**63)), "stream": 2}
    return Arguments([rng.standard_normal((n, k)), rng.integers(0, 5, 1)], settings)


def dropout(x: Array, step: Array, *, rate: float, key: int, stream: int) -> tuple[Array, Array]:
    words = [philox_word(element, key, stream, int(step[0])) for element in range(x.size)]
    mask = np.array([1 / (1 - rate) if word / 2**32 >= rate else 0.0 for word in words]).reshape(x.shape)
    return x * mask, mask


def draw_kept(rng: np.random.Generator, n: int, k: int) -> Arguments:
    return Arguments([rng.random((n, k)) < 0.7], {"rate": 0.3})


# -- losses -------------------------------------------------------------------------------------------------------------


def draw_probabilities(rng: np.random.Generator, n: int, k: int) -> Arguments:
    return Arguments([softmax(rng.standard_normal((n, k))), rng.integers(0, k, n)])


def draw_logits_and_labels(rng: np.random.Generator, n: int, k: int) -> Arguments:
    return Arguments([rng.standard_normal((n, k)), rng.integers(0, k, n)])


def draw_binary(function: Callable[[Array], Array]) -> Callable[..., Arguments]:
    def draw(rng: np.random.Generator, n: int, k: int) -> Arguments:
        return Arguments([function(rng.standard_normal((n, k))), rng.integers(0, 2, (n, k)).astype(np.float64)])

    return draw


def clip(p: Any) -> Any:
    return np.minimum(np.maximum(p, LOWEST), HIGHEST)


def crossentropy(p: Array, labels: Array) -> Array:
    return np.array([-np.log(clip(p[i, label])) for i, label in enumerate(labels)])


def crossentropy_backward(p: Array, labels: Array) -> Array:
    result = np.zeros(p.shape)
    for i, label in enumerate(labels):
        result[i, label] = -1 / clip(p[i, label]) / len(labels)
    return result


def softmax_crossentropy(x: Array, labels: Array) -> tuple[Array, Array]:
    probabilities = softmax(x)
    return probabilities, crossentropy(probabilities, labels)


def softmax_crossentropy_backward(p: Array, labels: Array) -> Array:
    return (p - np.eye(p.shape[1])[labels]) / len(labels)


def binary_crossentropy(p: Array, t: Array) -> Array:
    losses = -(t * np.log(clip(p)) + (1 - t) * np.log(1 - clip(p)))
    return np.array([sum(row) / len(row) for row in losses])


def binary_crossentropy_backward(p: Array, t: Array) -> Array:
    return -(t / clip(p) - (1 - t) / (1 - clip(p))) / p.shape[1] / p.shape[0]


def sigmoid_crossentropy(x: Array, t: Array) -> tuple[Array, Array]:
    probabilities = logistic(x)
    return probabilities, binary_crossentropy(probabilities, t)


def mean_squared_error(p: Array, t: Array) -> Array:
    return np.array(
        [sum((a - b) ** 2 for a, b in zip(*rows, strict=True)) / p.shape[1] for rows in zip(p, t, strict=True)]
    )


def mean_absolute_error(p: Array, t: Array) -> Array:
    return np.array(
        [sum(abs(a - b) for a, b in zip(*rows, strict=True)) / p.shape[1] for rows in zip(p, t, strict=True)]
    )


def mean_absolute_error_backward(p: Array, t: Array) -> Array:
    """The book's has the opposite sign."""
    signs = np.where(p > t, 1.0, np.where(p < t, -1.0, np.where(p == t, 0.0, np.nan)))
    return signs / p.shape[1] / p.shape[0]


# -- penalties ------------------------------------------------------------------------------------------------------------


def draw_penalty(*, shaped: bool) -> Callable[..., Arguments]:
    def draw(rng: np.random.Generator, n: int, k: int) -> Arguments:
        w = rng.standard_normal((n, k))
        state = rng.standard_normal(w.shape if shaped else ())
        return Arguments([w], {"l1": 0.25, "l2": 0.0625}, np.array(abs(state)))

    return draw


def penalty(w: Array, state: Array, *, l1: float, l2: float) -> Array:
    return state + l1 * sum(abs(w.ravel())) + l2 * sum(w.ravel() ** 2)


def penalty_gradient(w: Array, state: Array, *, l1: float, l2: float) -> Array:
    gradient = np.empty(w.shape)
    for index, value in np.ndenumerate(w):
        gradient[index] = l1 * (1 if value >= 0 else -1) + 2 * l2 * value
    return state + gradient


# -- accuracies ---------------------------------------------------------------------------------------------------------------


def draw_regression(rng: np.random.Generator, n: int, k: int) -> Arguments:
    return Arguments([*rng.standard_normal((2, n, k)), np.array(0.75)])


def draw_shares(rng: np.random.Generator, n: int, k: int) -> Arguments:
    return Arguments([rng.random((n, k))])


def categorical_accuracy(p: Array, labels: Array) -> Array:
    return np.array(sum(int(np.argmax(row)) == label for row, label in zip(p, labels, strict=True)) / len(p))


def binary_accuracy(p: Array, t: Array) -> Array:
    return np.array(sum((a > 0.5) == (b > 0.5) for a, b in zip(p.ravel(), t.ravel(), strict=True)) / p.size)


def regression_accuracy(p: Array, t: Array, precision: Array) -> Array:
    return np.array(sum(abs(a - b) < precision for a, b in zip(p.ravel(), t.ravel(), strict=True)) / p.size)


def draw_one_hot(rng: np.random.Generator, n: int, k: int) -> Arguments:
    return Arguments([np.eye(k)[rng.integers(0, k, n)]])


def labels_from_one_hot(rows: Array) -> Array:
    return np.array([list(row).index(1) for row in rows], dtype=np.int64)


# -- optimizers -----------------------------------------------------------------------------------------------------------------


def draw_update(*sizes: Any, state: str = "", **settings: float) -> Callable[..., Arguments]:
    """Gradients and step sizes; parameters, and their momentums ("m") and caches ("c"), which are never negative."""

    def draw(rng: np.random.Generator, n: int, k: int) -> Arguments:
        grads, values = rng.standard_normal((2, n * k))
        more = [rng.standard_normal(n * k) if kind == "m" else rng.random(n * k) for kind in state]
        return Arguments([grads, *sizes], settings, [values, *more])

    return draw


RATE, SCALE, CORRECTIONS = np.array([0.02]), np.array([1.25]), (np.array([0.19]), np.array([0.002]))
BETAS = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}


def sgd(g: Array, rate: Array, w: Array) -> list[Array]:
    return [w - rate * g]


def sgd_momentum(g: Array, rate: Array, w: Array, u: Array, *, momentum: float) -> list[Array]:
    u = momentum * u - rate * g
    return [w + u, u]


def adagrad(g: Array, rate: Array, w: Array, c: Array, *, epsilon: float) -> list[Array]:
    c = c + g**2
    return [w - rate * g / (np.sqrt(c) + epsilon), c]


def rmsprop(g: Array, rate: Array, w: Array, c: Array, *, rho: float, epsilon: float) -> list[Array]:
    c = rho * c + (1 - rho) * g**2
    return [w - rate * g / (np.sqrt(c) + epsilon), c]


def adam(
    g: Array, sizes: Any, w: Array, m: Array, v: Array, *, beta_1: float, beta_2: float, epsilon: float
) -> list[Array]:
    rate, scale = sizes
    m = beta_1 * m + (1 - beta_1) * g
    v = beta_2 * v + (1 - beta_2) * g**2
    return [w - rate * m / (np.sqrt(v) * scale + epsilon), m, v]


def adamw(
    g: Array, rate: Array, sizes: Any, w: Array, m: Array, v: Array, *, weight_decay: float, **betas: float
) -> list[Array]:
    return adam(g, sizes, (1 - rate * weight_decay) * w, m, v, **betas)


def draw_clip(rng: np.random.Generator, n: int, k: int) -> Arguments:
    """Half of all gradients are longer than the limit."""
    grads = rng.standard_normal(n * k)
    return Arguments([grads], {"limit": float(np.sqrt(n * k) * rng.choice([0.3, 3.0]))}, out_dtype=("float64", None))


def clip_factor(g: Array, *, limit: float) -> tuple[Array, Array]:
    norm = np.linalg.norm(g)
    factor = (1.0 if norm <= limit else limit / norm) if np.isfinite(norm) else np.nan
    return np.array([norm]), np.array([factor])


def adam_unfolded(
    g: Array,
    rate: Array,
    corrections: Any,
    w: Array,
    m: Array,
    v: Array,
    *,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> list[Array]:
    m = beta_1 * m + (1 - beta_1) * g
    v = beta_2 * v + (1 - beta_2) * g**2
    m_hat, v_hat = m / corrections[0], v / corrections[1]
    return [w - rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v]


def draw_decay(rng: np.random.Generator, n: int, k: int) -> Arguments:
    inputs = [np.array([0.7]), np.array([0.01]), np.array([n * k])]
    return Arguments(inputs, schedule=True, out_dtype="float64")


def draw_adam_step_sizes(rng: np.random.Generator, n: int, k: int) -> Arguments:
    return Arguments([np.array([0.02]), np.array([n * k - 1])], {"beta_1": 0.9, "beta_2": 0.999}, schedule=True)


def adam_step_sizes(rate: Array, iterations: Array, *, beta_1: float, beta_2: float) -> tuple[Array, Array]:
    t = int(iterations[0]) + 1
    return rate / (1 - beta_1**t), np.array([1 / np.sqrt(1 - beta_2**t)])


def draw_bias_corrections(rng: np.random.Generator, n: int, k: int) -> Arguments:
    return Arguments([np.array([n * k - 1])], {"beta_1": 0.9, "beta_2": 0.999}, schedule=True)


def bias_corrections(iterations: Array, *, beta_1: float, beta_2: float) -> tuple[Array, Array]:
    t = int(iterations[0]) + 1
    return np.array([1 - beta_1**t]), np.array([1 - beta_2**t])


# -- moving values ----------------------------------------------------------------------------------------------------


def draw_batch_indices(rng: np.random.Generator, n: int, k: int) -> Arguments:
    return Arguments([rng.permutation(n + k), np.array([k]), np.arange(n)])


def draw_gather(rng: np.random.Generator, n: int, k: int) -> Arguments:
    return Arguments([rng.standard_normal((n + 2, k)), rng.integers(0, n + 2, n)])


FORMULAS: Mapping[str, Formula] = {
    "dense": Formula(normal("n3", "3k", "1k"), dense, "sum", scale=size_of_product, least=0),
    "weights_gradient": Formula(
        normal("n3", "nk"), lambda x, d: product(x.T, d), "sum", "n", lambda x, d: size_of_product(x.T, d), least=0
    ),
    "biases_gradient": Formula(
        normal("nk"), column_sums, "sum", "n", lambda d: float(column_sums(abs(d)).max(initial=0)), least=0
    ),
    "inputs_gradient": Formula(
        normal("nk", "3k"), lambda d, w: product(d, w.T), "sum", "k", lambda d, w: size_of_product(d, w.T), least=0
    ),
    "relu": Formula(normal("nk"), rectified, least=0),
    "relu_backward": Formula(draw_relu_backward, relu_backward, least=0),
    "dense_relu": Formula(
        normal("n3", "3k", "1k"), lambda *a: rectified(dense(*a)), "sum", scale=size_of_product, least=0
    ),
    "relu_biases_gradient": Formula(
        draw_relu_backward,
        lambda d, output: (relu_backward(d, output), column_sums(relu_backward(d, output))),
        "sum",
        "n",
        lambda d, output: float(column_sums(abs(d)).max(initial=0)),
        least=0,
    ),
    "sigmoid": Formula(normal("nk"), logistic, least=0),
    "sigmoid_backward": Formula(draw_after_activation(logistic), lambda d, s: d * s * (1 - s), least=0),
    "softmax": Formula(normal("nk"), softmax, summed="k", least=0),
    "softmax_backward": Formula(
        draw_after_activation(softmax), softmax_backward, "sum", "k", lambda d, s: abs(d).max()
    ),
    "dropout": Formula(draw_dropout, dropout, least=0),
    "dropout_mask": Formula(draw_kept, lambda kept, *, rate: np.where(kept, 1 / (1 - rate), 0.0), least=0),
    "multiply": Formula(normal("nk", "nk"), lambda a, b: a * b, least=0),
    "categorical_crossentropy": Formula(draw_probabilities, crossentropy, logarithm=True),
    "categorical_crossentropy_backward": Formula(draw_probabilities, crossentropy_backward),
    "softmax_crossentropy": Formula(draw_logits_and_labels, softmax_crossentropy, summed="k", logarithm=True),
    "softmax_crossentropy_backward": Formula(
        draw_probabilities, softmax_crossentropy_backward, scale=lambda p, labels: 1 / len(labels)
    ),
    "binary_crossentropy": Formula(draw_binary(logistic), binary_crossentropy, summed="k", logarithm=True),
    "binary_crossentropy_backward": Formula(draw_binary(logistic), binary_crossentropy_backward),
    "sigmoid_crossentropy": Formula(draw_binary(lambda x: x), sigmoid_crossentropy, summed="k", logarithm=True),
    "sigmoid_crossentropy_backward": Formula(
        draw_binary(logistic), lambda p, t: (p - t) / p.shape[1] / p.shape[0], scale=lambda p, t: 1 / p.size
    ),
    "mean_squared_error": Formula(normal("nk", "nk"), mean_squared_error, summed="k"),
    "mean_squared_error_backward": Formula(normal("nk", "nk"), lambda p, t: 2 * (p - t) / p.shape[1] / p.shape[0]),
    "mean_absolute_error": Formula(normal("nk", "nk"), mean_absolute_error, summed="k"),
    "mean_absolute_error_backward": Formula(normal("nk", "nk"), mean_absolute_error_backward),
    "mean": Formula(
        normal("n"), lambda v: np.array(sum(v) / len(v)), "sum", "n", lambda v: float(abs(v).sum() / len(v))
    ),
    "weighted_mean": Formula(
        lambda rng, n, k: Arguments([rng.standard_normal(n), rng.random(n)]),
        lambda v, w: np.array(sum(a * b for a, b in zip(v, w, strict=True)) / len(v)),
        "sum",
        "n",
        lambda v, w: float((w * abs(v)).sum() / len(v)),
    ),
    "weigh": Formula(
        lambda rng, n, k: Arguments([rng.standard_normal((n, k)), rng.random(n)]), lambda v, w: (v.T * w).T, least=0
    ),
    "penalty": Formula(draw_penalty(shaped=False), penalty, "sum", "nk"),
    "penalty_gradient": Formula(draw_penalty(shaped=True), penalty_gradient),
    "categorical_accuracy": Formula(draw_probabilities, categorical_accuracy),
    "binary_accuracy": Formula(draw_binary(logistic), binary_accuracy),
    "regression_accuracy": Formula(draw_regression, regression_accuracy),
    "binary_predictions": Formula(draw_shares, lambda p: np.array([[int(v > 0.5) for v in row] for row in p])),
    "regression_hits": Formula(
        lambda *a: Arguments([*draw_regression(*a).inputs[:2], 0.75]), lambda p, t, precision: np.abs(p - t) < precision
    ),
    "labels_from_one_hot": Formula(draw_one_hot, labels_from_one_hot),
    "decayed_learning_rate": Formula(draw_decay, lambda rate, decay, t: rate / (1 + decay * t)),
    "adam_step_sizes": Formula(draw_adam_step_sizes, adam_step_sizes),
    "bias_corrections": Formula(draw_bias_corrections, bias_corrections),
    "sgd": Formula(draw_update(RATE), sgd, "update"),
    "sgd_momentum": Formula(draw_update(RATE, state="m", momentum=0.9), sgd_momentum, "update"),
    "adagrad": Formula(draw_update(RATE, state="c", epsilon=1e-7), adagrad, "update"),
    "rmsprop": Formula(draw_update(RATE, state="c", rho=0.9, epsilon=1e-7), rmsprop, "update"),
    "adam": Formula(draw_update((RATE, SCALE), state="mc", **BETAS), adam, "update"),
    "adamw": Formula(draw_update(RATE, (RATE, SCALE), state="mc", weight_decay=0.3, **BETAS), adamw, "update"),
    "clip_factor": Formula(draw_clip, clip_factor, "sum", "nk"),
    "scale": Formula(lambda rng, n, k: Arguments([rng.standard_normal(n * k), np.array([0.3])]), lambda v, f: v * f),
    "adam_unfolded": Formula(draw_update(RATE, CORRECTIONS, state="mc", **BETAS), adam_unfolded, "update"),
    "assign": Formula(normal("nk"), lambda v: v, least=0),
    "advance": Formula(lambda rng, n, k: Arguments([n], state=np.array([k])), lambda amount, s: s + amount),
    "batch_indices": Formula(draw_batch_indices, lambda order, p, offsets: order[p[0] : p[0] + len(offsets)]),
    "gather": Formula(draw_gather, lambda data, indices: np.stack([data[i] for i in indices])),
}
