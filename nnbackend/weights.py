"""Weights of samples and classes: how much each sample counts in the loss.

A sample's weight is the product of its own and its class's. The data loss is the weighted mean of the samples' losses,

    data_loss = Σ wᵢ · lossᵢ / Σ wᵢ

over a batch of all samples. In smaller batches weights are relative to their mean w̄ over all samples,

    data_loss of a batch = 1/n · Σ (wᵢ / w̄) · lossᵢ

so that the mean over an epoch is the weighted mean of all samples, and gradients of batches are right on average,
however rare heavy samples are. So only ratios of weights matter, and a learning rate suits weighted data as it suits others.
(PyTorch's losses divide by the weights of the batch, and Keras's by its size.) A sample of weight zero is left out, as if it
were not there; equal weights are none. Penalties have no weights. Accuracies count each sample once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .backend import Backend
from .backend.base import host_array
from .checks import not_negative
from .errors import ArgumentError, DataError, shown
from .losses import BinaryCrossentropy, Loss


@dataclass(frozen=True)
class Weights:
    """The weights that somebody gave: for samples, for classes, or both."""

    samples: Any = None
    classes: Any = None

    def __post_init__(self) -> None:
        if self.classes is None or (isinstance(self.classes, str) and self.classes == "balanced"):
            return
        if not isinstance(self.classes, Mapping):
            raise ArgumentError(
                f"class_weights {shown(self.classes)}: expected 'balanced' or a dict such as {{0: 1.0, 1: 5.0}}"
            )
        for label, weight in self.classes.items():
            not_negative(f"class_weights[{shown(label)}]", weight)

    @property
    def given(self) -> bool:
        """Whether there are any."""
        return self.samples is not None or self.classes is not None

    def settle(self, xp: Backend, targets: np.ndarray, loss: Loss, n_outputs: int) -> Settled:
        """What they come to for targets on the host. Raises `DataError`, or `ArgumentError` for classes."""
        weights = np.ones(len(targets)) if self.samples is None else _checked(xp, self.samples, len(targets))
        kept = None if weights.all() else np.flatnonzero(weights)
        if self.classes is not None:
            labels, classes = _labels(targets, loss, n_outputs)
            weights = weights * _of_classes(self.classes, labels, classes, weights > 0)[labels]
            kept = None if weights.all() else np.flatnonzero(weights)
        if kept is not None:
            weights = weights[kept]
        if not len(weights):
            raise DataError("all samples have a weight of 0: expected at least one above it")
        relative = weights / weights.max()  # first, for their sum may be too large
        return Settled(kept, None if (relative == relative[0]).all() else relative / relative.mean())


NO_WEIGHTS = Weights()


@dataclass(frozen=True)
class Settled:
    """Which samples are left (None: all), and their weights relative to the mean (None: all the same), in float64."""

    kept: np.ndarray | None
    relative: np.ndarray | None


def digest(weights: np.ndarray) -> str:
    """A few letters that tell weights from others, for a run that is resumed."""
    return hashlib.sha256(np.ascontiguousarray(weights).tobytes()).hexdigest()[:16]


def _checked(xp: Backend, given: Any, n_samples: int) -> np.ndarray:
    given = xp.adopt(given)
    on_device = xp.is_array(given) and not isinstance(given, np.ndarray)
    weights = xp.to_host(given) if on_device else host_array(given)
    if weights.shape == (n_samples, 1):
        weights = weights.reshape(-1)
    if weights.shape != (n_samples,):
        raise DataError(
            f"sample_weights have shape {weights.shape}: expected ({n_samples},), one for each of the samples"
        )
    if weights.dtype.kind not in "biuf":
        raise DataError(f"sample_weights have dtype {weights.dtype}: expected numbers")
    weights = weights.astype(np.float64)
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(f"sample_weights[{row}] is {weights[row]:g}: expected finite numbers of at least 0")
    return weights


def _labels(targets: np.ndarray, loss: Loss, n_outputs: int) -> tuple[np.ndarray, int]:
    """The class of each sample, and how many there are."""
    if targets.dtype.kind == "i" and targets.ndim == 1:
        return targets, n_outputs
    if isinstance(loss, BinaryCrossentropy) and n_outputs == 1:
        return targets[:, 0].astype(np.int64), 2
    raise ArgumentError(
        f"class_weights with {loss!r} on {n_outputs} outputs: expected a classification with one class a sample; "
        "give sample_weights instead"
    )


def _of_classes(given: Any, labels: np.ndarray, classes: int, counted: np.ndarray) -> np.ndarray:
    """A weight for each class: 1 for those that are not named; balanced ones make all classes count as much."""
    if isinstance(given, str):
        counts = np.bincount(labels[counted], minlength=classes)
        present = np.count_nonzero(counts)
        return np.where(counts, counts.sum() / (max(present, 1) * np.maximum(counts, 1)), 1.0)
    weights = np.ones(classes)
    for label, weight in given.items():
        known = isinstance(label, (int, np.integer)) and not isinstance(label, bool)
        if not known or not 0 <= label < classes:
            raise ArgumentError(f"class_weights name the class {shown(label)}: expected labels from 0 to {classes - 1}")
        weights[label] = weight
    return weights
