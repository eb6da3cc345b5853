"""Optimizers (book, chapters 10 to 14).

Learning rates, decays and corrections are arrays of shape (1,): float64 where they are computed, the backend's dtype in a
step. Momentums, and caches that decay, are zero where they would be below the normal numbers (`_flush_denormals`).
"""

from __future__ import annotations

from typing import Any


def decayed_learning_rate(xp: Any, learning_rate: Any, decay: Any, iterations: Any, *, out: Any) -> Any:
    """out = learning_rate · (1 / (1 + decay · iterations)), in float64: rounded as in the book, which prints all digits"""
    return xp.multiply(learning_rate, 1 / (1 + decay * iterations), out=out)


def adam_step_sizes(xp: Any, learning_rate: Any, iterations: Any, *, beta_1: float, beta_2: float, out: Any) -> Any:
    """out = (learning_rate / (1 - β₁ᵗ), 1 / √(1 - β₂ᵗ)) with t = iterations + 1, in float64 until stored"""
    rate, scale = out
    steps = iterations + 1.0
    rate[...] = learning_rate / (1 - beta_1**steps)
    scale[...] = 1 / xp.sqrt(1 - beta_2**steps)
    return out


def sgd(xp: Any, grads: Any, learning_rate: Any, *, state: Any) -> Any:
    """w -= learning_rate · g"""
    (values,) = state
    values -= learning_rate * grads
    return state


def sgd_momentum(xp: Any, grads: Any, learning_rate: Any, *, momentum: float, state: Any) -> Any:
    """u = momentum · u - learning_rate · g;  w += u"""
    values, momentums = state
    momentums *= momentum
    momentums -= learning_rate * grads
    _flush_denormals(xp, momentums)
    values += momentums
    return state


def adagrad(xp: Any, grads: Any, learning_rate: Any, *, epsilon: float, state: Any) -> Any:
    """c += g²;  w -= learning_rate · g / (√c + ε)"""
    values, cache = state
    cache += xp.square(grads)
    values -= learning_rate * grads / (xp.sqrt(cache) + epsilon)
    return state


def rmsprop(xp: Any, grads: Any, learning_rate: Any, *, rho: float, epsilon: float, state: Any) -> Any:
    """c = ρ c + (1 - ρ) g²;  w -= learning_rate · g / (√c + ε)"""
    values, cache = state
    cache *= rho
    cache += (1 - rho) * xp.square(grads)
    _flush_denormals(xp, cache)
    values -= learning_rate * grads / (xp.sqrt(cache) + epsilon)
    return state


def adam(xp: Any, grads: Any, step_sizes: Any, *, beta_1: float, beta_2: float, epsilon: float, state: Any) -> Any:
    """m = β₁ m + (1 - β₁) g;  v = β₂ v + (1 - β₂) g²;  w -= rate · m / (√v · scale + ε), (rate, scale) = step_sizes"""
    values, momentums, cache = state
    rate, scale = step_sizes
    momentums *= beta_1
    momentums += (1 - beta_1) * grads
    cache *= beta_2
    cache += (1 - beta_2) * xp.square(grads)
    _flush_denormals(xp, momentums)
    _flush_denormals(xp, cache)
    values -= rate * momentums / (xp.sqrt(cache) * scale + epsilon)
    return state


def adamw(
    xp: Any,
    grads: Any,
    learning_rate: Any,
    step_sizes: Any,
    *,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float,
    state: Any,
) -> Any:
    """w -= learning_rate · weight_decay · w;  then as `adam`"""
    state[0][...] -= (weight_decay * learning_rate) * state[0]
    return adam(xp, grads, step_sizes, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, state=state)


def clip_factor(xp: Any, grads: Any, *, limit: float, out: tuple[Any, Any]) -> tuple[Any, Any]:
    """(norm, factor): norm = √Σ g², summed in float64; factor = min(1, limit / norm), NaN where the norm is not finite"""
    norm, factor = out
    norm[...] = xp.sqrt(xp.square(grads, dtype="float64").sum())
    # Exactly 1 up to the limit; and infinity - infinity is NaN.
    factor[...] = limit / xp.maximum(norm, limit) + (norm - norm)
    return out


def scale(xp: Any, values: Any, factor: Any, *, out: Any) -> Any:
    """out = factor · values, the factor one number: gradients, clipped"""
    return xp.multiply(values, factor, out=out)


# The smallest normal number of a dtype, by its size in bytes.
_SMALLEST_NORMAL = {4: 2.0**-126, 8: 2.0**-1022}


def _flush_denormals(xp: Any, array: Any) -> None:
    """Set what is too small for a normal number to zero.

    Units with zero gradient let the caches decay into such numbers, on which a CPU is thirty times slower.
    """
    array *= xp.abs(array) >= _SMALLEST_NORMAL[array.dtype.itemsize]
