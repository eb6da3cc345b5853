"""How parameters begin. Values are drawn on the host, so they are the same to the bit on every backend."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .checks import not_negative


class Initializer(Protocol):
    """Anything that turns a generator and a shape into float64 values on the host."""

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """The values a parameter of that shape begins with."""
        ...


class Zeros:
    """All zeros: the book's biases.

    >>> Zeros().draw(np.random.default_rng(0), (1, 2))
    array([[0., 0.]])
    """

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Zeros of that shape; nothing is taken from the generator."""
        return np.zeros(shape)

    def __repr__(self) -> str:
        return "Zeros()"


class Normal:
    """scale · N(0, 1): the book's weights, with scale 0.01 (chapter 3; 0.1 for the sine of chapter 17).

    >>> Normal(0.01).draw(np.random.default_rng(0), (2, 64)).shape
    (2, 64)
    """

    def __init__(self, scale: float = 0.01) -> None:
        self.scale = not_negative("Normal scale", scale)

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Independent draws in float64."""
        return self.scale * generator.standard_normal(shape)

    def __repr__(self) -> str:
        return f"Normal({self.scale})"
