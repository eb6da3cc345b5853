"""The handwritten digits that come with scikit-learn: 1,797 images of 8 × 8."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import StateError
from .split import stratified_split

if TYPE_CHECKING:
    from .images import ImageSet


def digits(*, test_share: float = 0.2, seed: int | None = None) -> ImageSet:
    """Digits as scikit-learn has them (extra `data`), split into training and test images with every digit in its share.

    Their grey values 0 to 16 are scaled to -1..1. `seed` decides the split and the order (None: fresh entropy).
    Source: Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI (1998).

    >>> import nnbackend as nn
    >>> nn.datasets.digits(seed=0)
    <ImageSet of 1,438 training and 359 test images, 8 × 8, 10 labels: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9>
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise StateError("digits need scikit-learn, which is not installed: pip install 'nnbackend[data]'") from None
    from .images import ImageSet  # after that: it brings what reads files

    X, y = load_digits(return_X_y=True)
    X, y = ((X - 8) / 8).astype(np.float32), y.astype(np.int64)
    train, test = stratified_split(y, test_share, seed=seed)
    return ImageSet(X[train], y[train], X[test], y[test], tuple("0123456789"), (8, 8))
