"""Rows put aside for validation."""

from __future__ import annotations

import numpy as np

from ...checks import seed as checked_seed
from ...errors import DataError, shown
from ...rng import host_generator
from ..split import stratified_split
from .cells import is_number
from .columns import Columns


def split_rows(
    columns: Columns, y: np.ndarray, classes: tuple[str, ...] | None, share: float, seed: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that stay and those put aside, each in the file's order: with every class in its share, else by lot."""
    n = len(y)
    if not share:
        return np.arange(n), np.arange(0)
    if classes is not None:
        counts = np.bincount(y, minlength=len(classes))
        if (counts == 1).any():
            label = int(np.argmax(counts == 1))
            where = columns.row(int(np.argmax(y == label)))
            numbers = ", or task='regression' if the target is a quantity" if all(map(is_number, classes)) else ""
            raise DataError(
                f"{where}: class {shown(classes[label])} has this row only, and a split puts one of each class aside: leave the "
                f"row out, or say validation_split=0{numbers}"
            )
        kept, aside = stratified_split(y, share, seed=seed)
        return np.sort(kept), np.sort(aside)
    size = min(max(round(share * n), 1), n - 1)
    if not size:
        raise DataError(f"{columns.source} has a single row, which cannot be split: say validation_split=0")
    order = host_generator(checked_seed(seed)).permutation(n)
    return np.sort(order[size:]), np.sort(order[:size])
