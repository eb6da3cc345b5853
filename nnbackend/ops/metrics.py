"""Accuracies (book, chapters 5, 16 and 17)."""

from __future__ import annotations

from typing import Any

from .moving import assign


def categorical_accuracy(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """out = the share of samples whose most probable class is the target, shape ()"""
    return xp.divide((predictions.argmax(axis=1) == targets).sum(), len(targets), out=out)


def binary_accuracy(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """out = the share of outputs on the target's side of one half, shape ()"""
    return xp.divide(((predictions > 0.5) == (targets > 0.5)).sum(), predictions.size, out=out)


def regression_accuracy(xp: Any, predictions: Any, targets: Any, precision: Any, *, out: Any) -> Any:
    """out = the share of outputs closer to the target than `precision`, shape ()"""
    return xp.divide((xp.abs(predictions - targets) < precision).sum(), predictions.size, out=out)


def labels_from_one_hot(xp: Any, one_hot: Any, *, out: Any) -> Any:
    """out = the index of the largest element of each row"""
    return assign(xp, xp.argmax(one_hot, axis=1), out=out)
