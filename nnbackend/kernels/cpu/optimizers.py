"""Optimizers: one pass over all parameters of a network, and the numbers that change from step to step.

Numbers too small to be normal become zero, as in the reference: a CPU is thirty times slower on them.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from .compile import Step, exact_loop, helper, loop
from .plan import fast


@helper()
def flushed(value: Any, tiny: Any) -> Any:
    """`value`, or zero where it is too small for a normal number; NaN comes through"""
    return tiny - tiny if abs(value) < tiny else value


@loop(rows="grads values", writes="values")
def sgd_loop(grads: Any, rate: Any, values: Any) -> None:
    """w -= learning_rate · g"""
    step = rate[0]
    for i in range(grads.size):
        values[i] -= step * grads[i]


@loop(rows="grads values momentums", writes="values momentums")
def sgd_momentum_loop(grads: Any, rate: Any, momentum: Any, tiny: Any, values: Any, momentums: Any) -> None:
    """u = momentum · u - learning_rate · g;  w += u"""
    kind = grads.dtype.type
    step, momentum, tiny = rate[0], kind(momentum), kind(tiny)
    for i in range(grads.size):
        moved = flushed(momentums[i] * momentum - step * grads[i], tiny)
        momentums[i] = moved
        values[i] += moved


@loop(rows="grads values cache", writes="values cache")
def adagrad_loop(grads: Any, rate: Any, epsilon: Any, values: Any, cache: Any) -> None:
    """c += g²;  w -= learning_rate · g / (√c + ε)"""
    step, epsilon = rate[0], grads.dtype.type(epsilon)
    for i in range(grads.size):
        squares = cache[i] + grads[i] * grads[i]
        cache[i] = squares
        values[i] -= step * grads[i] / (sqrt(squares) + epsilon)


@loop(rows="grads values cache", writes="values cache")
def rmsprop_loop(grads: Any, rate: Any, rho: Any, fresh: Any, epsilon: Any, tiny: Any, values: Any, cache: Any) -> None:
    """c = ρ c + (1 - ρ) g²;  w -= learning_rate · g / (√c + ε)"""
    kind = grads.dtype.type
    step, rho, fresh, epsilon, tiny = rate[0], kind(rho), kind(fresh), kind(epsilon), kind(tiny)
    for i in range(grads.size):
        squares = flushed(cache[i] * rho + fresh * (grads[i] * grads[i]), tiny)
        cache[i] = squares
        values[i] -= step * grads[i] / (sqrt(squares) + epsilon)


@loop(rows="grads values momentums cache", writes="values momentums cache")
def adam_loop(
    grads: Any,
    rate: Any,
    scale: Any,
    beta_1: Any,
    fresh_1: Any,
    beta_2: Any,
    fresh_2: Any,
    epsilon: Any,
    tiny: Any,
    values: Any,
    momentums: Any,
    cache: Any,
) -> None:
    """m = β₁ m + (1 - β₁) g;  v = β₂ v + (1 - β₂) g²;  w -= rate · m / (√v · scale + ε)"""
    kind = grads.dtype.type
    step, correction, epsilon, tiny = rate[0], scale[0], kind(epsilon), kind(tiny)
    beta_1, fresh_1, beta_2, fresh_2 = kind(beta_1), kind(fresh_1), kind(beta_2), kind(fresh_2)
    for i in range(grads.size):
        momentum = flushed(momentums[i] * beta_1 + fresh_1 * grads[i], tiny)
        squares = flushed(cache[i] * beta_2 + fresh_2 * (grads[i] * grads[i]), tiny)
        momentums[i] = momentum
        cache[i] = squares
        values[i] -= step * momentum / (sqrt(squares) * correction + epsilon)


@loop(rows="grads values momentums cache", writes="values momentums cache")
def adamw_loop(
    grads: Any,
    learning_rate: Any,
    rate: Any,
    scale: Any,
    beta_1: Any,
    fresh_1: Any,
    beta_2: Any,
    fresh_2: Any,
    epsilon: Any,
    weight_decay: Any,
    tiny: Any,
    values: Any,
    momentums: Any,
    cache: Any,
) -> None:
    """w -= learning_rate · weight_decay · w, then as `adam_loop`"""
    kind = grads.dtype.type
    step, correction, epsilon, tiny = rate[0], scale[0], kind(epsilon), kind(tiny)
    beta_1, fresh_1, beta_2, fresh_2 = kind(beta_1), kind(fresh_1), kind(beta_2), kind(fresh_2)
    shrink = kind(weight_decay) * learning_rate[0]
    for i in range(grads.size):
        momentum = flushed(momentums[i] * beta_1 + fresh_1 * grads[i], tiny)
        squares = flushed(cache[i] * beta_2 + fresh_2 * (grads[i] * grads[i]), tiny)
        momentums[i] = momentum
        cache[i] = squares
        kept = values[i] - shrink * values[i]
        values[i] = kept - step * momentum / (sqrt(squares) * correction + epsilon)


@loop(writes="norm factor")
def clip_factor_loop(grads: Any, limit: Any, norm: Any, factor: Any) -> None:
    """norm = √Σ g², summed in float64; factor = min(1, limit / norm), NaN where the norm is not finite"""
    total = 0.0
    for i in range(grads.size):
        value = np.float64(grads[i])
        total += value * value
    length = sqrt(total)
    norm[0] = length
    if length <= limit:
        factor[0] = 1.0
    elif length < np.inf:
        factor[0] = limit / length
    else:
        factor[0] = np.nan


@loop(rows="values out", writes="out")
def scale_loop(values: Any, factor: Any, out: Any) -> None:
    """out = factor · values"""
    number = factor[0]
    for i in range(values.size):
        out[i] = number * values[i]


@exact_loop(writes="out")
def decayed_learning_rate_loop(learning_rate: Any, decay: Any, iterations: Any, out: Any) -> None:
    """out = learning_rate · (1 / (1 + decay · iterations)), rounded as in the reference"""
    out[0] = learning_rate[0] * (1.0 / (1.0 + decay[0] * iterations[0]))


@exact_loop(writes="rate scale")
def adam_step_sizes_loop(learning_rate: Any, iterations: Any, beta_1: Any, beta_2: Any, rate: Any, scale: Any) -> None:
    """(learning_rate / (1 - β₁ᵗ), 1 / √(1 - β₂ᵗ)) with t = iterations + 1"""
    steps = iterations[0] + 1.0
    rate[0] = learning_rate[0] / (1.0 - beta_1**steps)
    scale[0] = 1.0 / sqrt(1.0 - beta_2**steps)


def _tiny(array: Any) -> float:
    return float(np.finfo(array.dtype).tiny)


@fast("n, () ~ n")
def sgd(grads: Any, learning_rate: Any, *, state: Any) -> list[Step]:
    """w -= learning_rate · g"""
    return [Step(sgd_loop, (grads, learning_rate.reshape(1), *state), len(grads))]


@fast("n, () ~ n, n")
def sgd_momentum(grads: Any, learning_rate: Any, *, momentum: float, state: Any) -> list[Step]:
    """u = momentum · u - learning_rate · g;  w += u"""
    return [
        Step(sgd_momentum_loop, (grads, learning_rate.reshape(1), float(momentum), _tiny(grads), *state), len(grads))
    ]


@fast("n, () ~ n, n")
def adagrad(grads: Any, learning_rate: Any, *, epsilon: float, state: Any) -> list[Step]:
    """c += g²;  w -= learning_rate · g / (√c + ε)"""
    return [Step(adagrad_loop, (grads, learning_rate.reshape(1), float(epsilon), *state), len(grads))]


@fast("n, () ~ n, n")
def rmsprop(grads: Any, learning_rate: Any, *, rho: float, epsilon: float, state: Any) -> list[Step]:
    """c = ρ c + (1 - ρ) g²;  w -= learning_rate · g / (√c + ε)"""
    settings = float(rho), 1.0 - rho, float(epsilon), _tiny(grads)
    return [Step(rmsprop_loop, (grads, learning_rate.reshape(1), *settings, *state), len(grads))]


@fast("n, (), () ~ n, n, n")
def adam(grads: Any, step_sizes: Any, *, beta_1: float, beta_2: float, epsilon: float, state: Any) -> list[Step]:
    """m = β₁ m + (1 - β₁) g;  v = β₂ v + (1 - β₂) g²;  w -= rate · m / (√v · scale + ε)"""
    settings = float(beta_1), 1.0 - beta_1, float(beta_2), 1.0 - beta_2, float(epsilon), _tiny(grads)
    rate, scale = step_sizes
    return [Step(adam_loop, (grads, rate.reshape(1), scale.reshape(1), *settings, *state), len(grads))]


@fast("n, (), (), () ~ n, n, n")
def adamw(
    grads: Any,
    learning_rate: Any,
    step_sizes: Any,
    *,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float,
    state: Any,
) -> list[Step]:
    """w -= learning_rate · weight_decay · w, then as `adam`"""
    settings = float(beta_1), 1.0 - beta_1, float(beta_2), 1.0 - beta_2, float(epsilon), float(weight_decay)
    sizes = [size.reshape(1) for size in (learning_rate, *step_sizes)]
    return [Step(adamw_loop, (grads, *sizes, *settings, _tiny(grads), *state), len(grads))]


@fast("n -> 1:double, 1")
def clip_factor(grads: Any, *, limit: float, out: Any) -> list[Step]:
    """norm = √Σ g²; factor = min(1, limit / norm)"""
    return [Step(clip_factor_loop, (grads, float(limit), *out))]


@fast("n, () -> n")
def scale(values: Any, factor: Any, *, out: Any) -> list[Step]:
    """out = factor · values"""
    return [Step(scale_loop, (values, factor.reshape(1), out), len(values))]


@fast("1:double, 1:double, 1:int -> 1:double")
def decayed_learning_rate(learning_rate: Any, decay: Any, iterations: Any, *, out: Any) -> list[Step]:
    """out = learning_rate · (1 / (1 + decay · iterations))"""
    return [Step(decayed_learning_rate_loop, (learning_rate, decay, iterations, out))]


@fast("1:double, 1:int -> 1, 1")
def adam_step_sizes(learning_rate: Any, iterations: Any, *, beta_1: float, beta_2: float, out: Any) -> list[Step]:
    """out = (learning_rate / (1 - β₁ᵗ), 1 / √(1 - β₂ᵗ)) with t = iterations + 1"""
    return [Step(adam_step_sizes_loop, (learning_rate, iterations, float(beta_1), float(beta_2), *out))]
