"""The data sets of the book's package nnfs, drawn from NumPy's global random state as there, on the script's device."""

from __future__ import annotations

from typing import Any

from .arrays import current_place


def spiral_data(samples: int, classes: int) -> tuple[Any, Any]:
    """`nnfs.datasets.spiral_data`: points on spiral arms, (samples · classes, 2), and their classes.

    >>> from nnbackend.book import spiral_data
    >>> X, y = spiral_data(samples=100, classes=3)
    >>> X.shape, y.shape
    ((300, 2), (300,))
    """
    from nnfs import datasets

    return _brought(datasets.spiral_data(samples, classes))


def vertical_data(samples: int, classes: int) -> tuple[Any, Any]:
    """`nnfs.datasets.vertical_data`: points in vertical clouds, (samples · classes, 2), and their classes.

    >>> from nnbackend.book import vertical_data
    >>> vertical_data(samples=10, classes=3)[0].shape
    (30, 2)
    """
    from nnfs import datasets

    return _brought(datasets.vertical_data(samples, classes))


def sine_data(samples: int = 1000) -> tuple[Any, Any]:
    """`nnfs.datasets.sine_data`: x from 0 to 1 and sin(2πx), both (samples, 1).

    >>> from nnbackend.book import sine_data
    >>> X, y = sine_data()
    >>> X.shape, y.shape
    ((1000, 1), (1000, 1))
    """
    from nnfs import datasets

    return _brought(datasets.sine_data(samples))


def _brought(data: tuple[Any, Any]) -> tuple[Any, Any]:
    place = current_place()
    X, y = data
    return place.bring(X), place.bring(y)
