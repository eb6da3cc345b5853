"""Samples that do not fit: they stay on the host, and come to the device batch by batch, one while the last is computed.

The batches are those that `Batches` would have made, in the same order, so a streamed run gives the same bits as one whose
data are on the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .backend import Backend, get_backend
from .backend.base import describe
from .batches import Batch, batch_sizes
from .errors import ArgumentError, DataError

if TYPE_CHECKING:
    from concurrent.futures import Future

# How much of the free memory the data may take before they are streamed: layers and the rest need some as well.
RESIDENT_SHARE = 0.5

# Data below this size are brought in without a question: to ask what is free takes a while.
SMALL = 2**24

# Samples at a time where nobody said how many and it makes no difference: evaluating and predicting.
STREAMED_BATCH = 8192

# Which samples: a stretch of them, or their numbers.
Selection = slice | np.ndarray


class HostRows:
    """Samples on the host, (samples, features), read where they are needed: an array, or a file mapped into memory.

    A subclass may compute its rows: it overrides `read`.

    >>> import numpy as np
    >>> from nnbackend.streams import HostRows
    >>> rows = HostRows(np.arange(6).reshape(3, 2))
    >>> out = np.empty((2, 2), "float32")
    >>> rows.read(np.array([2, 0]), out)
    >>> out.tolist()
    [[4.0, 5.0], [0.0, 1.0]]
    """

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape: tuple[int, ...] = array.shape
        self.ndim = len(self.shape)
        self.nbytes = int(array.nbytes)

    def __len__(self) -> int:
        return self.shape[0]

    def number(self, row: int) -> int:
        """The number that a row has for its owner, for messages."""
        return row

    def read(self, selection: Selection, out: np.ndarray) -> None:
        """The selected rows into `out`, in its dtype."""
        if isinstance(selection, slice) or self.array.dtype != out.dtype:
            np.copyto(out, self.array[selection], casting="same_kind" if self.array.dtype.kind == "f" else "unsafe")
        else:
            np.take(self.array, selection, axis=0, out=out, mode="clip")  # with a mode, NumPy writes straight into out


class KeptRows(HostRows):
    """Some rows of others."""

    def __init__(self, rows: HostRows, kept: np.ndarray) -> None:
        self.rows, self.kept = rows, kept
        self.shape = (len(kept), *rows.shape[1:])
        self.ndim = rows.ndim
        self.nbytes = rows.nbytes // len(rows) * len(kept)

    def number(self, row: int) -> int:
        """The number of the row among all of them."""
        return self.rows.number(int(self.kept[row]))

    def read(self, selection: Selection, out: np.ndarray) -> None:
        """The selected rows into `out`, in its dtype."""
        self.rows.read(self.kept[selection], out)


def selected(xp: Backend, inputs: Any, kept: np.ndarray) -> Any:
    """These samples, wherever they are."""
    if isinstance(inputs, HostRows):
        return KeptRows(inputs, kept)
    return xp.take(inputs, xp.asarray(kept), axis=0)


def rows_to_stream(xp: Backend, data: Any, stream: bool | None) -> HostRows | None:
    """The samples as rows that stay on the host, or None where they are to be brought in as a whole.

    `stream=None` decides by what fits: a file mapped into memory, or an array that must be copied to the device, may take
    half of the memory that is free there. Raises `ArgumentError` where something else than an array is to be streamed.
    """
    if stream is None and type(data) is np.ndarray and data.nbytes <= SMALL:
        return None
    if isinstance(data, HostRows):
        return data
    if not isinstance(data, np.ndarray) or data.dtype.kind not in "biuf" or data.ndim != 2:
        if stream:
            raise ArgumentError(
                f"stream=True with X as {describe(data)}: expected a NumPy array (samples, features), such as "
                "numpy.load(file, mmap_mode='r') gives"
            )
        return None
    if stream is None:
        stream = data.nbytes > SMALL and not _fits(xp, data)
    return HostRows(data) if stream else None


def _fits(xp: Backend, data: np.ndarray) -> bool:
    if data.dtype == xp.dtype and xp.is_array(data) and not isinstance(data, np.memmap):
        return True  # it is there already
    free = xp.free_memory()
    return free is None or data.size * xp.dtype.itemsize <= free * RESIDENT_SHARE


class StreamedBatches:
    """The batches of samples on the host. `epoch` hands them out, each in one of two sets of buffers that take turns."""

    def __init__(
        self, xp: Backend, inputs: HostRows, targets: np.ndarray, batch_size: int, weights: np.ndarray | None = None
    ) -> None:
        self.xp, self.inputs, self.targets, self.weights = xp, inputs, targets, weights
        self.sizes = batch_sizes(len(inputs), batch_size)
        self.batch_size = batch_size
        self.whole = batch_size == len(inputs)
        self._order: np.ndarray | None = None
        self._looked_at = False
        n_slots = 2 if xp.uploads_overlap else 1
        self._uploads = [
            {size: self._make(size) for size in dict.fromkeys(self.sizes)} for _ in range(min(n_slots, len(self.sizes)))
        ]
        #: The batches by size, for each set of buffers.
        self.slots = [
            {
                size: Batch(inputs.array, targets.array, size, weights[0].array if weights else None)
                for size, (inputs, targets, *weights) in slot.items()
            }
            for slot in self._uploads
        ]

    def _make(self, size: int) -> list[Any]:
        targets, xp = self.targets, self.xp
        made = [
            xp.upload((size, *self.inputs.shape[1:]), xp.dtype),
            xp.upload((size, *targets.shape[1:]), targets.dtype),
        ]
        return made if self.weights is None else [*made, xp.upload((size,), xp.dtype)]

    def start_epoch(self, order: np.ndarray | None = None) -> None:
        """Begin at the front again, in a new order if one is given."""
        self._order = order if order is not None else self._order

    def epoch(self) -> Iterator[tuple[int, int]]:
        """All batches of an epoch in turn: the number of the buffers that hold it, and its size.

        A batch's work must have been asked of the device when the next is asked for.
        """
        from concurrent.futures import ThreadPoolExecutor  # takes longer to import than most of nnbackend

        sizes, n_slots = self.sizes, len(self._uploads)
        ahead = n_slots - 1
        with ThreadPoolExecutor(1, "nnbackend-stream") as reader:
            reading: list[Future[None]] = [
                reader.submit(self._refill, number) for number in range(min(ahead, len(sizes)))
            ]
            for number, size in enumerate(sizes):
                if number + ahead < len(sizes):
                    reading.append(reader.submit(self._refill, number + ahead))
                reading[number].result()
                uploads = self._uploads[number % n_slots][size]
                for upload in uploads:
                    upload.wait()
                yield number % n_slots, size
                for upload in uploads:
                    upload.used()
        self._looked_at = True

    def _refill(self, number: int) -> None:
        start, size = number * self.batch_size, self.sizes[number]
        selection: Selection = slice(start, start + size)
        if self._order is not None:
            selection = self._order[selection]
        inputs, targets, *weights = self._uploads[number % len(self._uploads)][size]
        inputs.refill(lambda out: self._read(selection, out))
        targets.refill(lambda out: np.copyto(out, self.targets[selection]))
        if self.weights is not None:
            given = self.weights[selection]
            weights[0].refill(lambda out: np.copyto(out, given))

    def _read(self, selection: Selection, out: np.ndarray) -> None:
        with np.errstate(all="ignore"):
            self.inputs.read(selection, out)
            if self._looked_at or np.isfinite(out.sum()):
                return
        rows = np.isfinite(out).all(axis=1)
        if not rows.all():
            bad = int(np.argmin(rows))
            row = self.inputs.number(selection.start + bad if isinstance(selection, slice) else int(selection[bad]))
            raise DataError(
                f"row {row} of X holds NaN, infinity or a number too large for {out.dtype}: remove or repair that sample"
            )


def host_order(seed: int, count: int, epoch: int) -> np.ndarray:
    """The order of an epoch's samples, the same as a device would make: random numbers do not depend on the backend."""
    return get_backend("cpu", kernels="reference").rng(seed).permutation(count, step=epoch)
