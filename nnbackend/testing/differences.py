"""Derivatives by central differences, and how to notice that there is none.

The loss is given as terms whose sum it is (a term a sample, an output or a penalty). Differences are taken term by
term and added afterwards, so that what does not change cancels exactly and rounding does not grow with the loss.

    derivative ≈ Σ (terms(x + h u) - terms(x - h u)) / 2h,      error: h² / 6 · third derivative + eps / h · |terms|

With h = 1e-5 and values of order 1 that is 2e-11 and 2e-11.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# The terms of the loss, from one varied array; both on the host, in float64.
Terms = Callable[[np.ndarray], np.ndarray]

EPS = float(np.finfo(np.float64).eps)

# Slopes on both sides of a point that differ by more than this part of the largest slope are looked at more closely.
SUSPICIOUS = 1e-3


@dataclass(frozen=True)
class Slope:
    """The derivative at a point along one direction, by differences."""

    value: float
    rounding: float  # how far rounding may have moved it
    gaps: np.ndarray  # for each term, by how much its slopes before and behind the point differ

    @property
    def gap(self) -> float:
        """By how much the slopes of the loss differ at most."""
        return float(np.abs(self.gaps).sum())


def slope(terms: Terms, center: np.ndarray, x: np.ndarray, direction: np.ndarray, step: float) -> Slope:
    """The derivative of the terms' sum along `direction`, a unit vector; `center` is terms(x)."""
    ahead, behind = terms(x + step * direction), terms(x - step * direction)
    size = float(np.sqrt(np.square(center).sum()))  # terms round independently
    return Slope(
        value=float((ahead - behind).sum()) / (2 * step),
        rounding=4 * EPS * size / step,
        gaps=(ahead - 2 * center + behind) / step,
    )


def kink(terms: Terms, center: np.ndarray, x: np.ndarray, direction: np.ndarray, step: float) -> float:
    """How much of the gap between the slopes before and behind `x` is a kink's, and no curvature's.

    Curvature makes a gap that is proportional to the step. A kink at a distance a within the step makes one
    proportional to 1 - a / step, or none once it is outside; no a gives the ratio of 2 at two doublings.
    """
    half, one, two = (np.abs(slope(terms, center, x, direction, size).gaps) for size in (step / 2, step, 2 * step))
    noise = 1000 * EPS * float(np.abs(center).max()) / step
    smooth = _about_twice(one, half) & _about_twice(two, one)
    return float(one[~smooth & (one > noise)].sum())


def _about_twice(large: np.ndarray, small: np.ndarray) -> np.ndarray:
    return (large > 1.8 * small) & (large < 2.2 * small)


def directions(shape: tuple[int, ...], most: int, number: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Along every element if there are at most `most`, else `number` random unit vectors."""
    size = int(np.prod(shape))
    if size <= most:
        return list(np.eye(size).reshape(size, *shape))
    random = rng.standard_normal((number, size))
    return list((random / np.linalg.norm(random, axis=1, keepdims=True)).reshape(number, *shape))
