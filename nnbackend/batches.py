"""Data on the device, in batches that always use the same buffers.

`prepare` checks what the user gave and brings it in, once. `Batches` then hands out batches without another transfer:
which samples make up a batch is decided on the device, by a shuffled order and a position that ticks along it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .backend import Backend
from .backend.base import host_array
from .checks import count
from .errors import ArgumentError, DataError
from .losses import Loss


def prepare_inputs(xp: Backend, data: Any, n_inputs: int | None, *, first: int = 0) -> Any:
    """Inputs (samples, features) as an array of the backend, or `DataError` that says what is wrong with them.

    `first` is the number of the first of them, for messages. To be called inside `xp.quiet()`.
    """
    if type(data) is np.ndarray and data.dtype == xp.dtype:
        inputs = data
    else:
        data = xp.adopt(data)
        inputs = data if xp.is_array(data) else host_array(data)
    check_inputs_shape(inputs.shape, n_inputs)
    inputs = xp.asarray(inputs, dtype=xp.dtype)
    if not xp.all_finite(inputs):
        rows = xp.to_host(xp.isfinite(inputs).all(axis=1))
        row = first + int(np.argmin(rows))
        raise DataError(
            f"row {row} of X holds NaN, infinity or a number too large for {xp.dtype}: remove or repair that sample"
        )
    return inputs


def check_inputs_shape(shape: tuple[int, ...], n_inputs: int | None) -> None:
    """Raise `DataError` for inputs that are no table of samples and features, or have other features than the model takes."""
    if len(shape) != 2:
        hint = ""
        if len(shape) == 1 and shape[0]:
            one_sample = shape[0] == n_inputs
            hint = (
                "; for one sample, use X.reshape(1, -1)"
                if one_sample
                else "; for one feature a sample, use X.reshape(-1, 1)"
            )
        raise DataError(f"X has shape {shape}: expected two axes, (samples, features){hint}")
    if not shape[0] or not shape[1]:
        raise DataError(f"X has shape {shape}: expected at least one sample and one feature")
    if n_inputs is not None and shape[1] != n_inputs:
        hint = "; is it X.T?" if shape[0] == n_inputs else ""
        raise DataError(
            f"X has shape {shape}: the first layer expects {n_inputs} features, (samples, {n_inputs}){hint}"
        )


def host_targets(xp: Backend, targets: Any, n_samples: int, n_outputs: int, loss: Loss) -> np.ndarray:
    """Targets as the loss takes them, on the host, or `DataError`."""
    targets = xp.adopt(targets)
    on_device = xp.is_array(targets) and not isinstance(targets, np.ndarray)
    host = xp.to_host(targets) if on_device else host_array(targets)
    if host.ndim == 0 or len(host) != n_samples:
        found = "no axis" if host.ndim == 0 else f"{len(host)} entries"
        raise DataError(f"X has {n_samples} samples but y has {found}: expected one target a sample")
    return loss.check_targets(host, n_outputs)


def about_validation(error: DataError) -> DataError:
    """The error with the data that it is about: X alone would be taken for those to train on."""
    return DataError(f"validation_data: {error}")


def check_batch_size(batch_size: Any, n_samples: int) -> int:
    """The batch size, with None for all samples; `ArgumentError` where it does not fit the data."""
    if batch_size is None:
        return n_samples
    size = count("batch_size", batch_size)
    if size > n_samples:
        raise ArgumentError(
            f"batch_size {size} is larger than the data: expected at most {n_samples}, the number of samples"
        )
    return size


def batch_sizes(n_samples: int, batch_size: int) -> list[int]:
    """The sizes of an epoch's batches: full ones, and a last short one where the size does not divide."""
    rest = n_samples % batch_size
    return [batch_size] * (n_samples // batch_size) + ([rest] if rest else [])


class Data(NamedTuple):
    """Samples that were checked: inputs, targets, and weights relative to their mean, if they have any."""

    inputs: Any
    targets: Any
    weights: Any = None


@dataclass
class Batch:
    """The buffers of one batch size, and how to fill them; `load` is part of a step."""

    inputs: Any
    targets: Any
    size: int
    weights: Any = None
    source: Batches | None = None
    offsets: Any = None
    indices: Any = None

    def load(self) -> None:
        """Fill the buffers with the next samples in order, and move on. All data in one batch need no copying."""
        if (source := self.source) is None:
            return
        ops = source.xp.ops
        ops.batch_indices(source.order, source.position, self.offsets, out=self.indices)
        ops.gather(source.inputs, self.indices, out=self.inputs)
        ops.gather(source.targets, self.indices, out=self.targets)
        if self.weights is not None:
            ops.gather(source.weights, self.indices, out=self.weights)
        ops.advance(self.size, state=source.position)


class Batches:
    """The batches of a data set on the device: full ones, and a last short one where the size does not divide."""

    def __init__(self, xp: Backend, inputs: Any, targets: Any, batch_size: int, weights: Any = None) -> None:
        self.xp = xp
        self.inputs, self.targets, self.weights = inputs, targets, weights
        n = len(inputs)
        self.sizes = batch_sizes(n, batch_size)
        self.whole = batch_size == n
        self.order = xp.arange(n, dtype=xp.index_dtype)
        self.position = xp.zeros(1, dtype=xp.index_dtype)

    def batch(self, size: int) -> Batch:
        """The buffers for a batch of that size."""
        if self.whole:
            return Batch(self.inputs, self.targets, size, self.weights)
        xp = self.xp
        return Batch(
            inputs=xp.empty((size, *self.inputs.shape[1:]), dtype=self.inputs.dtype),
            targets=xp.empty((size, *self.targets.shape[1:]), dtype=self.targets.dtype),
            size=size,
            weights=None if self.weights is None else xp.empty(size),
            source=self,
            offsets=xp.arange(size, dtype=xp.index_dtype),
            indices=xp.empty(size, dtype=xp.index_dtype),
        )

    def start_epoch(self, order: Any = None) -> None:
        """Begin at the front again, in a new order if one is given."""
        if self.whole:
            return
        if order is not None:
            self.order[...] = order
        self.position.fill(0)
