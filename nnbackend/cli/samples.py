"""Data for a model that there is already: those of a data set, or a file of the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.tables import ENDINGS, has_table, is_table, labelled_rows
from ..errors import ArgumentError, did_you_mean
from ..model import Model
from .answers import BINARY, kind_of
from .rows import SAMPLES, numbers_only, read_samples
from .tables import in_options
from .tasks import DATA_SETS, IMAGES, load_task


@dataclass(frozen=True)
class Samples:
    """Inputs, targets, and what they are: fresh, or the test set; empty for a file."""

    X: np.ndarray
    y: np.ndarray
    name: str = ""


def samples_for(
    model: Model,
    data: str,
    *,
    path: Path | None = None,
    samples: int | None = None,
    seed: int | None = None,
    targets: Path | None = None,
    header: bool | None = None,
) -> Samples:
    """What a name or a file on the command line stands for, for this model.

    Of a data set, points that the model was not trained on are drawn, by default as many as in training, or the test
    images are taken. `path` is where Fashion-MNIST is.
    """
    file, own = Path(data), has_table(model.preprocessing)
    if is_table(file) if own else file.suffix.lower() in SAMPLES:
        if path is not None or samples is not None or seed is not None:
            raise ArgumentError(f"--data, --samples and --seed are for data sets: {file} is a file, leave them out")
        if own:
            with in_options():
                return Samples(
                    *labelled_rows(model.preprocessing, file, targets=targets, header=header, dtype=model.xp.dtype)
                )
        if header is not None:
            raise ArgumentError(f"--header and --no-header go with a model of a table: for {file} leave them out")
        if targets is not None:
            raise ArgumentError(
                f"--targets {targets} goes with a model of a table: {file} holds its targets, leave it out"
            )
        X, y = read_samples(file)
        return Samples(numbers_only(X, file), numbers_only(y, file))
    if data not in DATA_SETS:
        endings = ", ".join(ENDINGS) if own else ".npz or .csv"
        raise ArgumentError(f"unknown data {data!r}: {did_you_mean(data, DATA_SETS)}, or a file that ends in {endings}")
    if header is not None:
        raise ArgumentError(f"--header and --no-header are for files: for {data} leave them out")
    if targets is not None:
        raise ArgumentError(f"--targets {targets} goes with a .npy file: {data} has its own, leave it out")
    task = load_task(data, **_settings(model, data, samples, seed), path=path)
    return Samples(*task.fresh, task.fresh_name)


def _settings(model: Model, data: str, samples: int | None, seed: int | None) -> dict[str, Any]:
    """What to draw: by default what training drew, where it was this data set."""
    record = model.training_record if model.training_record.get("data") == data else {}
    points = data not in (*IMAGES, "sine")
    binary = points and kind_of(model) == BINARY
    return {
        "samples": _whole(record.get("samples")) if samples is None else samples,
        "seed": _whole(record.get("seed")) or 0 if seed is None else seed,
        "classes": model.n_outputs if points and not binary else None,
        "binary": binary,
    }


def _whole(value: Any) -> int | None:
    """A number of a record, which may say anything."""
    return value if type(value) is int and value >= 0 else None
