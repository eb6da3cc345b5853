"""The training loop: compiled steps over batches, records on the device, and a history that is fetched now and then.

Within an epoch nothing crosses between host and device. Each step writes what it measured into a table on the device;
the table is fetched for a printed line, or when it is full.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from .batches import Data, about_validation
from .errors import DataError, NonFiniteLossError, StateError
from .history import History, format_row
from .passes import Records, batches_of, measuring_size, pass_of, training_size
from .weights import digest

if TYPE_CHECKING:
    from .model import Model

# How many rows the table on the device holds, unless one epoch alone needs more: 8192 rows are 256 KiB.
RECORDS = 8192


class Callback:
    """What may happen while training. Subclass it and pass instances to `Model.train(callbacks=[...])`.

    `on_epoch` is called after each epoch was started, and knows numbers of the host only; fetching anything from the
    device there would break the rule above. `on_report` gets the epochs since the last report, measured; there the device
    may be asked. Setting `run.stop = True` ends training after the current epoch, with a report.

    A callback that acts at certain epochs asks for reports: `report_every = 10` gives one at every tenth epoch of the model
    (and at others, which other callbacks asked for: look at `run.epoch`). `run.report_soon()` in `on_epoch` gives one
    after that epoch. What a callback must not forget when a run is killed and resumed from a checkpoint goes through
    `state` and `load_state`.
    """

    #: Ask for a report at every so many epochs.
    report_every: int | None = None
    #: Whether it hears of reports after all others: a checkpoint does, which stores what they know.
    last = False

    def on_restore(self, run: TrainingRun) -> None:
        """Before all else: a checkpoint brings the model and the run back to where they were."""

    def on_train_begin(self, run: TrainingRun) -> None:
        """Before the first epoch; in a resumed run, before its next."""

    def on_epoch(self, run: TrainingRun) -> None:
        """After each epoch; `run.epoch` says which."""

    def on_report(self, run: TrainingRun, rows: Sequence[dict[str, Any]]) -> None:
        """After epochs were fetched: their rows, oldest first."""

    def on_non_finite(self, run: TrainingRun, error: NonFiniteLossError) -> bool:
        """When the loss turned into NaN or infinity: True ends training after the last good epoch, else `error` is raised."""
        return False

    def on_train_end(self, run: TrainingRun) -> None:
        """After the last epoch; not after an error."""

    def on_close(self, run: TrainingRun) -> None:
        """After everything, an error too: let go of files and locks."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of this callback: JSON values and NumPy arrays by name."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a `state`; called before `on_train_begin`."""


class PrintLines(Callback):
    """Prints the first epoch, every `every`th and the last, as the book does."""

    def __init__(self, every: int) -> None:
        self._every = every

    def on_report(self, run: TrainingRun, rows: Sequence[dict[str, Any]]) -> None:
        """One line, unless this report only empties a full table."""
        epoch = rows[-1]["epoch"]
        if epoch % self._every == 0 or epoch in (run.first_epoch, run.last_epoch) or run.stop:
            print(format_row(rows[-1]))


class TrainingRun:
    """One call of `Model.train`: what callbacks are given."""

    def __init__(
        self,
        model: Model,
        data: Data,
        *,
        epochs: int,
        batch_size: int | None,
        shuffle: bool,
        validation: Data | None,
        report_every: int,
        callbacks: Sequence[Callback],
    ) -> None:
        xp = model.xp
        self.model, self.epochs = model, epochs
        self.callbacks = sorted(callbacks, key=lambda callback: callback.last)
        self.first_epoch = model.epoch + 1
        self.last_epoch = model.epoch + epochs
        self.history = History()
        self.stop = False
        batches = batches_of(xp, data, training_size(batch_size, data.inputs))
        sizes = [len(batches.sizes)]
        self._shuffles = shuffle and not batches.whole
        #: What the data and their order are like: a resumed run must have the same.
        self.settings: dict[str, Any] = {
            "samples": len(data.inputs),
            "batch_size": batches.sizes[0],
            "shuffle": shuffle,
            "validation_samples": None if validation is None else len(validation.inputs),
        }
        if data.weights is not None:
            host = data.weights if isinstance(data.weights, np.ndarray) else xp.to_host(data.weights)
            self.settings["weights"] = digest(host)
        if validation is not None:
            size = batch_size and min(batch_size, len(validation.inputs))
            checking = batches_of(xp, validation, measuring_size(size, validation.inputs))
            sizes.append(len(checking.sizes))
        self.steps_per_epoch = sizes[0]
        self._rows_per_epoch = sum(sizes)
        self._report_every = report_every
        self._report_asked = False
        self._periods = {report_every, *(callback.report_every or report_every for callback in callbacks)}
        self._chunk = max(1, min(*self._periods, RECORDS // self._rows_per_epoch))
        self._records = Records(xp, self._chunk * self._rows_per_epoch)
        self._training = pass_of(model, batches, self._records, model.built.training_step)
        self._validation = (
            None if validation is None else pass_of(model, checking, self._records, model.built.evaluation_step)
        )

    @property
    def epoch(self) -> int:
        """The number of the epoch that ran last, counted over all training of the model."""
        return self.model.epoch

    @property
    def steps(self) -> int:
        """How many steps the run has made."""
        return (self.model.epoch - self.first_epoch + 1) * self.steps_per_epoch

    def report_soon(self) -> None:
        """Ask for a report after the current epoch."""
        self._report_asked = True

    def run(self) -> History:
        """Train to the end, until a callback says stop, or until the loss is not finite."""
        try:
            self._tell("on_restore")
            self._tell("on_train_begin")
            self._train()
            self._tell("on_train_end")
        finally:
            self._tell("on_close")
        return self.history

    def _train(self) -> None:
        model = self.model
        with model.built.computing(self._training.batches.sizes[0]):
            try:
                while model.epoch < self.last_epoch and not self.stop:
                    self._run_chunk(self._next_report())
                    self._report()
                    self._check_layers()
            except KeyboardInterrupt:
                self._collect()  # so that the history has what was finished
                raise

    def _next_report(self) -> int:
        """The epoch of the next report: the first, every one that was asked for, the last, or when the table is full."""
        epoch = self.model.epoch
        if epoch + 1 == self.first_epoch and self._report_every > 1:
            return epoch + 1
        due = min(epoch + period - epoch % period for period in self._periods)
        return min(due, epoch + self._chunk, self.last_epoch)

    def _run_chunk(self, until: int) -> None:
        model = self.model
        tickers = [callback for callback in self.callbacks if type(callback).on_epoch is not Callback.on_epoch]
        self._report_asked = False
        together = self._training.epochs_together
        if together == 1 or tickers or self._validation is not None:
            together = until + 1  # never: something happens after each epoch
        with model.xp.no_transfers():
            while model.epoch < until and not (self._report_asked or self.stop):
                if until - model.epoch >= together:
                    model.epoch += self._training.run_epochs()
                    continue
                self._training.run(self._training.shuffled(model.epoch) if self._shuffles else None)
                if self._validation is not None:
                    try:
                        self._validation.run()
                    except DataError as error:  # in rows that stayed on the host until now
                        raise about_validation(error) from None
                model.epoch += 1
                for callback in tickers:
                    callback.on_epoch(self)

    def _report(self) -> None:
        reported = len(self.history)
        try:
            rows = self._collect()
        except NonFiniteLossError as error:
            answers = [callback.on_non_finite(self, error) for callback in self.callbacks]
            if not any(answers):
                raise
            self.model.epoch, self.stop = error.epoch - 1, True
            rows = [self.history.row(index) for index in range(reported, len(self.history))]
        if rows:
            for callback in self.callbacks:
                callback.on_report(self, rows)

    def _collect(self) -> list[dict[str, Any]]:
        """Fetch the table into the history, all epochs at once; raise if a loss was not finite."""
        table = self._records.fetch()
        records = table[: len(table) // self._rows_per_epoch * self._rows_per_epoch]
        records = records.reshape(-1, self._rows_per_epoch, table.shape[1])
        training = records[:, : self.steps_per_epoch]
        finite = np.isfinite(training[..., 0] + training[..., 1]).all(axis=1)
        good = len(finite) if finite.all() else int(np.argmin(finite))
        first = self.first_epoch + len(self.history)
        columns: dict[str, list[Any]] = {
            "epoch": list(range(first, first + good)),
            **self._training.summarize(training[:good]),
        }
        if self._validation is not None:
            checked = self._validation.summarize(records[:good, self.steps_per_epoch :])
            columns |= {"validation_loss": checked["data_loss"], "validation_accuracy": checked["accuracy"]}
        self.history.extend(columns)
        if good < len(finite):
            self._fail(training[good], first + good, later=len(table) - good * self._rows_per_epoch)
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _fail(self, training: np.ndarray, epoch: int, *, later: int) -> NoReturn:
        """Name the first step of an epoch whose loss is not finite; `later` records were written since it began."""
        losses = training[:, 0] + training[:, 1]
        bad = int(np.argmin(np.isfinite(losses)))
        optimizer = self.model.built.optimizer
        epochs, begun = divmod(later, self._rows_per_epoch)
        steps = epochs * self.steps_per_epoch + min(begun, self.steps_per_epoch)
        step = optimizer.iterations - steps + bad + 1  # earlier training may have had batches of another size
        value = "NaN" if math.isnan(losses[bad]) else "infinite"
        slower = f"a smaller learning rate than {optimizer.learning_rate:g}"
        if np.isfinite(training[bad, 0]):
            advice = "its penalties alone are, so try smaller strengths l1 and l2" + (
                f" or {slower}" if step > 1 else ""
            )
        elif step > 1:
            advice = f"try {slower}, scale the data, and check them for very large values"
        else:  # nothing has been learned yet
            advice = "scale the data, check them for very large values, and try smaller initial weights"
        raise NonFiniteLossError(
            f"the loss became {value} at step {step} (epoch {epoch}): {advice}", step=step, epoch=epoch
        )

    def _check_layers(self) -> None:
        """A recorded step goes on with the arrays it was recorded with, which would be nobody's parameters any more."""
        if not self.model.built.is_current():
            raise StateError(
                "layers of this model were taken into another model or ParameterBuffer while it was trained: give that one "
                "copies, as from copy.deepcopy(model.layers)"
            )

    def _tell(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)
