"""One way through a data set: compiled steps over its batches, and what they measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .backend import Backend
from .batches import Batch, Batches, Data, check_batch_size
from .errors import ArgumentError
from .history import measured_row
from .streams import STREAMED_BATCH, HostRows, StreamedBatches, host_order

if TYPE_CHECKING:
    from .model import Model

# A compiled step, and of how many steps it consists.
Launch = tuple[Callable[[], None], int]

# What a step on a batch consists of, in order.
Parts = Callable[[Batch], dict[str, Callable[[], Any]]]


class Records:
    """What steps measured, a row each, on the device until it is fetched: one transfer for all of them."""

    columns = ("data_loss", "regularization_loss", "accuracy", "learning_rate")

    def __init__(self, xp: Backend, capacity: int) -> None:
        self.xp = xp
        self.capacity = capacity
        table = xp.zeros((capacity, len(self.columns)), dtype="float64")
        self._state = table, xp.zeros(1, dtype=xp.index_dtype), xp.zeros(len(self.columns), dtype="float64")
        self.used = 0

    def write(self, *measured: Any) -> None:
        """Add a row: part of a step."""
        self.xp.ops.record(*measured, state=self._state)

    def fetch(self) -> np.ndarray:
        """All rows since the last fetch."""
        table, cursor, _ = self._state
        rows = self.xp.to_host(table[: self.used])
        cursor.fill(0)
        self.used = 0
        return rows


class Pass:
    """One way through a data set, batch by batch, in compiled steps, each of which writes a record.

    Where a backend likes several steps in one launch (`xp.steps_per_launch`), so many batches of one size follow each other
    in a compiled step; where the data are a single batch, so many epochs.
    """

    def __init__(
        self,
        model: Model,
        batches: Any,
        records: Records,
        step_parts: Parts,
    ) -> None:
        self.batches, self.records = batches, records
        self._model = model
        self._compile(model, step_parts)

    def _compile(self, model: Model, step_parts: Parts) -> None:
        batches = self.batches
        self._buffers = {size: batches.batch(size) for size in dict.fromkeys(batches.sizes)}
        self._steps: dict[tuple[int, int], Callable[[], None]] = {}

        def compiled(size: int, count: int) -> Launch:
            if (size, count) not in self._steps:
                step = self._step(model, step_parts(self._buffers[size]), count)
                self._steps[size, count] = model.xp.compiled_step(step, only_ops=model.only_ops)
            return self._steps[size, count], count

        together = model.xp.steps_per_launch
        self._sequence: list[Launch] = []
        for size in self._buffers:
            times, rest = divmod(batches.sizes.count(size), together)
            self._sequence += [compiled(size, together)] * times + ([compiled(size, rest)] if rest else [])
        #: How many epochs `run` takes at once: more than one where the data are a single batch in a fixed order.
        self.epochs_together = together if batches.whole else 1
        self._epochs = compiled(batches.sizes[0], together) if self.epochs_together > 1 else None

    def _step(self, model: Model, parts: dict[str, Callable[[], Any]], count: int) -> Callable[[], None]:
        def step() -> None:
            for _ in range(count):
                for part in parts.values():
                    part()
                self.records.write(*model.measured)

        return step

    def shuffled(self, epoch: int) -> Any:
        """An order of the samples drawn for an epoch."""
        return self._model.xp.rng(self._model.seed).permutation(len(self.batches.inputs), step=epoch)

    def run(self, order: Any = None) -> None:
        """Enqueue all batches of an epoch."""
        self.batches.start_epoch(order)
        for step, count in self._sequence:
            step()
            self.records.used += count

    def run_epochs(self) -> int:
        """Enqueue `epochs_together` epochs, of which there are more than one, and return how many these are."""
        assert self._epochs is not None
        step, count = self._epochs
        step()
        self.records.used += count
        return count

    def summarize(self, records: np.ndarray) -> dict[str, list[float]]:
        """The records of some epochs (epochs, batches, columns) as columns: means over batches, weighted by their sizes."""
        measured = np.average(records, axis=1, weights=self.batches.sizes) if records.shape[1] > 1 else records[:, 0]
        data_loss, regularization_loss, accuracy = measured[:, 0], measured[:, 1], measured[:, 2]
        row = measured_row(data_loss, regularization_loss, accuracy, records[:, -1, 3])
        return {name: column.tolist() for name, column in row.items()}


class StreamedPass(Pass):
    """The same for samples that stay on the host: a step has its batch in buffers that were filled before."""

    def _compile(self, model: Model, step_parts: Parts) -> None:
        self.epochs_together = 1
        self._slots = [
            {
                size: model.xp.compiled_step(self._step(model, step_parts(batch), 1), only_ops=model.only_ops)
                for size, batch in slot.items()
            }
            for slot in self.batches.slots
        ]

    def shuffled(self, epoch: int) -> Any:
        """The order that the device would draw, on the host."""
        return host_order(self._model.seed, len(self.batches.inputs), epoch)

    def run(self, order: Any = None) -> None:
        """Enqueue all batches of an epoch, each when it has come."""
        self.batches.start_epoch(order)
        for slot, size in self.batches.epoch():
            self._slots[slot][size]()
            self.records.used += 1


def training_size(batch_size: int | None, inputs: Any) -> int:
    """The samples of a step. Data that are streamed since they do not fit have no step on all of them."""
    if batch_size is None and isinstance(inputs, HostRows) and len(inputs) > STREAMED_BATCH:
        raise ArgumentError(
            f"batch_size None with {len(inputs)} samples that are streamed: a step on all of them would need them all at once; "
            "give a batch_size such as 128"
        )
    return check_batch_size(batch_size, len(inputs))


def measuring_size(batch_size: int | None, inputs: Any) -> int:
    """The samples that are measured at a time."""
    if batch_size is None and isinstance(inputs, HostRows):
        return min(STREAMED_BATCH, len(inputs))
    return check_batch_size(batch_size, len(inputs))


def batches_of(xp: Backend, data: Data, batch_size: int) -> Batches | StreamedBatches:
    """The batches of prepared data, wherever these are."""
    kind = StreamedBatches if isinstance(data.inputs, HostRows) else Batches
    return kind(xp, data.inputs, data.targets, batch_size, data.weights)


def pass_of(model: Model, batches: Batches | StreamedBatches, records: Records, step_parts: Parts) -> Pass:
    """A pass over them."""
    kind = StreamedPass if isinstance(batches, StreamedBatches) else Pass
    return kind(model, batches, records, step_parts)
