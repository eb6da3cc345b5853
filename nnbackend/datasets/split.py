"""A part of a data set put aside, with every class in its share."""

from __future__ import annotations

import numpy as np

from ..checks import fraction
from ..checks import seed as checked_seed
from ..errors import DataError
from ..rng import host_generator


def stratified_split(labels: np.ndarray, share: float, *, seed: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the samples that stay and of those put aside, both in random order.

    Of every class `share` is put aside, rounded, but at least one sample of each class stays and one goes. Raises
    `DataError` for a class with a single sample.

    >>> kept, aside = stratified_split(np.array([0, 0, 0, 0, 1, 1]), 0.25, seed=0)
    >>> len(kept), len(aside)
    (4, 2)
    """
    share = fraction("share", share)
    generator = host_generator(checked_seed(seed))
    kept, aside = [], []
    for label in np.unique(labels):
        indices = generator.permutation(np.flatnonzero(labels == label))
        if len(indices) < 2:
            raise DataError(f"class {label} has a single sample: expected two or more, one for each side of a split")
        size = min(max(round(share * len(indices)), 1), len(indices) - 1)
        aside.append(indices[:size])
        kept.append(indices[size:])
    return generator.permutation(np.concatenate(kept)), generator.permutation(np.concatenate(aside))
