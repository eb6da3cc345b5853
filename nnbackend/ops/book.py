"""What only `nnbackend.book` needs, which prints what the book's classes print: their results, and their order of rounding."""

from __future__ import annotations

from typing import Any

from .moving import assign


def binary_predictions(xp: Any, outputs: Any, *, out: Any) -> Any:
    """out = 1 where an output is above one half, else 0"""
    return assign(xp, outputs > 0.5, out=out)


def regression_hits(xp: Any, predictions: Any, targets: Any, precision: float, *, out: Any) -> Any:
    """out = whether each output is closer to the target than `precision`"""
    return xp.less(xp.abs(predictions - targets), precision, out=out)


def bias_corrections(xp: Any, iterations: Any, *, beta_1: float, beta_2: float, out: Any) -> Any:
    """out = (1 - β₁ᵗ, 1 - β₂ᵗ) with t = iterations + 1, in float64 until stored"""
    steps = iterations + 1.0
    for beta, correction in zip((beta_1, beta_2), out, strict=True):
        correction[...] = 1 - beta**steps
    return out


def adam_unfolded(
    xp: Any,
    grads: Any,
    learning_rate: Any,
    corrections: Any,
    *,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    state: Any,
) -> Any:
    """m and v as for `adam`;  m̂ = m / (1 - β₁ᵗ);  v̂ = v / (1 - β₂ᵗ);  w -= learning_rate · m̂ / (√v̂ + ε)

    The same step as `adam`, rounded in the order of the book's code, and numbers below the normal ones are kept. Training is
    chaotic: in float32 two orders part within fifty epochs, so `nnbackend.book`, which prints what the book's classes
    print, takes this one.
    """
    values, momentums, cache = state
    momentums *= beta_1
    momentums += (1 - beta_1) * grads
    cache *= beta_2
    cache += (1 - beta_2) * xp.square(grads)
    values -= learning_rate * (momentums / corrections[0]) / (xp.sqrt(cache / corrections[1]) + epsilon)
    return state
