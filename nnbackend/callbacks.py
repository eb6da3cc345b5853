"""What people want to happen while training: stopping in time, logs, learning-rate schedules, checkpoints.

Nothing crosses between host and device within an epoch, so callbacks act at reports (see `Callback`); each asks for the
reports it needs. Give them to `Model.train(callbacks=[...])`.
"""

from __future__ import annotations

import csv
import io
import math
import os
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .checks import count, flag, not_negative, positive
from .checks import path as checked_path
from .errors import ArgumentError, FileError, did_you_mean, shown
from .training import Callback, TrainingRun

Path = str | os.PathLike[str]
Rows = Sequence[dict[str, Any]]


class EarlyStopping(Callback):
    """Ends training when a column of the history has not improved for `patience` epochs, and brings the best weights back.

    `monitor` is a column such as "validation_loss" or "loss" (smaller is better) or "validation_accuracy" (larger is). Only
    an improvement by more than `minimum_change` counts. The column is looked at every `every` epochs; each look costs a
    transfer of what was measured, and each improvement one of the parameters. With `restore_best` the model has the best
    parameters at the end of training, whether it ended early or not. `best` and `best_epoch` say what they are.

    Raises `ArgumentError` when there is no such column.

    >>> import nnbackend as nn
    >>> X, y = nn.datasets.spiral(samples=20, classes=3, seed=0)
    >>> model = nn.Model([nn.Dense(2, 3), nn.Softmax()], loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(), seed=0)
    >>> stopping = nn.EarlyStopping("validation_loss", patience=20)
    >>> history = model.train(X, y, epochs=1000, validation_data=(X, y), callbacks=[stopping], print_every=0)
    >>> len(history) == stopping.best_epoch + 20
    True
    """

    def __init__(
        self,
        monitor: str = "validation_loss",
        *,
        patience: int = 10,
        minimum_change: float = 0.0,
        every: int = 1,
        restore_best: bool = True,
    ) -> None:
        if not isinstance(monitor, str):
            raise ArgumentError(
                f"EarlyStopping monitor {shown(monitor)}: expected the name of a column, such as 'loss'"
            )
        self.monitor = monitor
        self.patience = count("EarlyStopping patience", patience)
        self.minimum_change = not_negative("EarlyStopping minimum_change", minimum_change)
        self.report_every = count("EarlyStopping every", every)
        self.restore_best = flag("EarlyStopping restore_best", restore_best)
        self.best: float | None = None
        self.best_epoch = 0
        self._parameters: dict[str, np.ndarray] = {}

    def on_train_begin(self, run: TrainingRun) -> None:
        """Forget an earlier training; in a resumed run, do not."""
        if run.epoch < run.first_epoch:
            self.best, self.best_epoch, self._parameters = None, run.epoch, {}

    def on_report(self, run: TrainingRun, rows: Rows) -> None:
        """Look whether the latest epoch is the best, and stop if that was too long ago."""
        row, every = rows[-1], self.report_every or 1
        if self.monitor not in row:
            hint = "; give validation_data" if self.monitor.startswith("validation") else ""
            raise ArgumentError(
                f"EarlyStopping monitor {shown(self.monitor)} is not measured: {did_you_mean(self.monitor, row)}{hint}"
            )
        if row["epoch"] % every:
            return
        if self._improves(row[self.monitor]):
            self.best, self.best_epoch = row[self.monitor], row["epoch"]
            if self.restore_best:
                self._parameters = run.model.parameters()
        elif row["epoch"] - self.best_epoch >= self.patience:
            run.stop = True

    def on_train_end(self, run: TrainingRun) -> None:
        """Bring the best parameters back."""
        if self._parameters:
            run.model.set_parameters(self._parameters)

    def _improves(self, value: float) -> bool:
        if self.best is None or not math.isfinite(value):
            return math.isfinite(value)
        gain = value - self.best if self.monitor.endswith("accuracy") else self.best - value
        return gain > self.minimum_change

    def state(self) -> dict[str, Any]:
        """The best so far."""
        return {"best": self.best, "best_epoch": self.best_epoch, **self._parameters}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        best = state.pop("best")
        self.best = None if best is None else float(best)
        self.best_epoch = int(state.pop("best_epoch"))
        self._parameters = state


class Schedule(Callback):
    """The base of learning-rate schedules: a subclass says in `rate` which rate an epoch has.

    The rate depends on the epoch alone, counted over all training of the model, so a resumed run has the same. It is the
    rate before the optimizer's own decay, which still applies.

    >>> import nnbackend as nn
    >>> class Halving(nn.Schedule):
    ...     def rate(self, epoch):
    ...         return 0.1 * 0.5 ** (epoch - 1)
    >>> X, y = nn.datasets.spiral(samples=20, classes=3, seed=0)
    >>> model = nn.Model([nn.Dense(2, 3), nn.Softmax()], loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(), seed=0)
    >>> model.train(X, y, epochs=3, callbacks=[Halving()], print_every=0)["learning_rate"]
    [0.1, 0.05, 0.025]
    """

    def rate(self, epoch: int) -> float:
        """The learning rate of that epoch; the first is 1."""
        raise NotImplementedError(f"{type(self).__name__} needs a method rate(epoch)")

    def on_train_begin(self, run: TrainingRun) -> None:
        """The first rate."""
        self._set(run)

    def on_epoch(self, run: TrainingRun) -> None:
        """The next rate: it is written on the device, behind the steps of this epoch."""
        self._set(run)

    def _set(self, run: TrainingRun) -> None:
        optimizer = run.model.optimizer
        if optimizer is not None and run.epoch < run.last_epoch:
            optimizer.learning_rate = max(self.rate(run.epoch + 1), sys.float_info.min)


class StepSchedule(Schedule):
    """learning_rate · factor^⌊(epoch - 1) / every⌋: the rate falls by `factor` every so many epochs.

    >>> import nnbackend as nn
    >>> schedule = nn.StepSchedule(0.1, every=100, factor=0.5)
    >>> [schedule.rate(epoch) for epoch in (1, 100, 101, 201)]
    [0.1, 0.1, 0.05, 0.025]
    """

    def __init__(self, learning_rate: float, *, every: int, factor: float = 0.1) -> None:
        self.learning_rate = positive("StepSchedule learning_rate", learning_rate)
        self.every = count("StepSchedule every", every)
        self.factor = positive("StepSchedule factor", factor)

    def rate(self, epoch: int) -> float:
        """learning_rate · factor^⌊(epoch - 1) / every⌋"""
        return self.learning_rate * self.factor ** ((epoch - 1) // self.every)


class CosineSchedule(Schedule):
    """minimum + (learning_rate - minimum) · (1 + cos(π t)) / 2, where t goes from 0 to 1 over the epochs.

    In the first `warmup` epochs the rate rises in equal steps to `learning_rate` instead; behind the last of `epochs` it stays.
    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    >>> import nnbackend as nn
    >>> schedule = nn.CosineSchedule(0.1, epochs=100)
    >>> [round(schedule.rate(epoch), 4) for epoch in (1, 51, 100)]
    [0.1, 0.05, 0.0]
    """

    def __init__(self, learning_rate: float, *, epochs: int, minimum: float = 0.0, warmup: int = 0) -> None:
        self.learning_rate = positive("CosineSchedule learning_rate", learning_rate)
        self.epochs = count("CosineSchedule epochs", epochs)
        self.minimum = not_negative("CosineSchedule minimum", minimum)
        self.warmup = count("CosineSchedule warmup", warmup, least=0)
        if self.warmup >= self.epochs:
            raise ArgumentError(f"CosineSchedule warmup {warmup}: expected fewer than its epochs, which are {epochs}")

    def rate(self, epoch: int) -> float:
        """minimum + (learning_rate - minimum) · (1 + cos(π t)) / 2"""
        if epoch <= self.warmup:
            return self.learning_rate * epoch / (self.warmup + 1)
        t = (min(epoch, self.epochs) - 1 - self.warmup) / (self.epochs - self.warmup)
        return self.minimum + (self.learning_rate - self.minimum) * (1 + math.cos(math.pi * t)) / 2


class CSVLog(Callback):
    """Writes the history to a CSV file while training, a line for each epoch, in full precision.

    Lines come with every report; `every` asks for reports at least that often. Training a model further continues its
    log, and a resumed run's log is that of a run that was never stopped. A disk that is full later ends nothing: there is
    a warning, and what is missing is written with the next report.

    Raises `FileError`, before training, where the file cannot be written or is no such log.

    >>> import nnbackend as nn
    >>> X, y = nn.datasets.spiral(samples=20, classes=3, seed=0)
    >>> model = nn.Model([nn.Dense(2, 3), nn.Softmax()], loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(), seed=0)
    >>> history = model.train(X, y, epochs=3, callbacks=[nn.CSVLog("log.csv")], print_every=0)
    >>> import pathlib
    >>> pathlib.Path("log.csv").read_text().splitlines()[0]
    'epoch,loss,data_loss,regularization_loss,accuracy,learning_rate'
    """

    def __init__(self, path: Path, *, every: int | None = None) -> None:
        self.path = checked_path("CSVLog path", path)
        self.report_every = None if every is None else count("CSVLog every", every)
        self._size = 0  # the bytes that are known to be good
        self._missing = ""
        self._header = ""

    def on_train_begin(self, run: TrainingRun) -> None:
        """Keep what the file says of earlier epochs of this model, and drop what a killed run wrote behind its checkpoint."""
        from .storage.files import write_file

        self._missing = ""
        earlier = self._earlier_lines(run.first_epoch)
        self._header = earlier[0].rstrip("\n") if earlier else ""
        data = ("".join(earlier) + self._rows(run.history)).encode()
        write_file(self.path, data)
        self._size = len(data)

    def on_report(self, run: TrainingRun, rows: Rows) -> None:
        """Write the rows."""
        self._missing += self._rows({name: [row[name] for row in rows] for name in rows[0]})
        try:
            self._append()
        except OSError as error:
            warnings.warn(f"cannot write {self.path}: {error.strerror}; trying again at the next report", stacklevel=2)

    def _append(self) -> None:
        data = self._missing.encode()
        with open(self.path, "r+b") as file:
            file.seek(self._size)  # and so over half a line, where the disk was full
            file.write(data)
        self._size += len(data)
        self._missing = ""

    def _rows(self, columns: Mapping[str, Sequence[Any]]) -> str:
        """Columns as lines, and a header before the first."""
        if not columns:
            return ""
        text, header = io.StringIO(newline=""), ",".join(columns)
        writer = csv.writer(text, lineterminator="\n")
        if self._header not in ("", header):
            raise FileError(
                f"{self.path} has the columns {self._header}, and this training has {header}: use another file"
            )
        if not self._header:
            writer.writerow(columns)
        self._header = header
        writer.writerows(zip(*columns.values(), strict=True))
        return text.getvalue()

    def _earlier_lines(self, first_epoch: int) -> list[str]:
        """The header and the lines of epochs before this training, if the file has them all."""
        try:
            with open(self.path, encoding="utf-8", newline="") as file:
                header, *lines = file.readlines() or [""]
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise FileError(
                f"cannot read {self.path}: {getattr(error, 'strerror', None) or 'it is no text'}"
            ) from error
        if header and not header.startswith("epoch,loss,"):
            raise FileError(f"{self.path} is no log of training, and is not overwritten: choose another name")
        whole = [line for line in lines if line.endswith("\n") and line.partition(",")[0].isdecimal()]
        earlier = [line for line in whole if int(line.partition(",")[0]) < first_epoch]
        return [header, *earlier] if earlier else []


class Checkpoint(Callback):
    """Saves a run while it trains, so that one that was killed can be resumed and ends in the same bits.

    A checkpoint is written to `folder` every `every` epochs, every `minutes` minutes (neither given: 5), and at the end; the
    last `keep` are kept. Each is a model file that `Model.load` reads, with what the run needs to go on beside it. With
    `resume=True` the run goes on from the newest good one: start the same script again.

        model.train(X, y, epochs=10_000, callbacks=[nn.Checkpoint("runs/spiral", every=100, resume=True)])

    The model, seeds included, is brought back in place, and training ends at the epoch where it would have ended;
    `resumed_epoch` says where it went on (None: it began anew). A damaged file is passed over with a warning. A full disk ends
    nothing: there is a warning, the files that are there stay, and the next checkpoint is tried. Parameters
    that are no longer finite are not saved, so the last checkpoint before a loss of NaN stays.

    Raises `FileError` when another process uses the folder, when it holds checkpoints and `resume` is not set, and when they are
    of another run: another network, other data, other epochs.

    >>> import nnbackend as nn
    >>> X, y = nn.datasets.spiral(samples=20, classes=3, seed=0)
    >>> def train(epochs):
    ...     model = nn.Model([nn.Dense(2, 3), nn.Softmax()], loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD())
    ...     checkpoint = nn.Checkpoint("run", every=10, resume=True)
    ...     history = model.train(X, y, epochs=epochs, callbacks=[checkpoint], print_every=0)
    ...     return checkpoint.resumed_epoch, len(history)
    >>> train(20), train(30)
    ((None, 20), (20, 30))
    """

    last = True

    def __init__(
        self,
        folder: Path,
        *,
        every: int | None = None,
        minutes: float | None = None,
        keep: int = 3,
        resume: bool = False,
    ) -> None:
        self.report_every = None if every is None else count("Checkpoint every", every)
        self.minutes = 5.0 if every is None and minutes is None else minutes
        if self.minutes is not None:
            self.minutes = positive("Checkpoint minutes", self.minutes)
        self.keep = count("Checkpoint keep", keep)
        self.resume = flag("Checkpoint resume", resume)
        self.folder = checked_path("Checkpoint folder", folder)
        self.resumed_epoch: int | None = None
        self._files: Any = None
        self._chosen: dict[str, Any] = {}

    def on_restore(self, run: TrainingRun) -> None:
        """Take the folder, and go on from what is there."""
        from .storage.checkpoints import CheckpointFolder
        from .storage.models import naming
        from .storage.runs import chosen_settings, restore_run

        self._files = CheckpointFolder(self.folder, self.keep)
        self._files.open()
        self._chosen = chosen_settings(run)
        self.resumed_epoch = None
        self._written_at = time.monotonic()
        if (epochs := self._files.epochs()) and not self.resume:
            raise FileError(
                f"{self.folder} holds checkpoints of an earlier run, the last of epoch {epochs[-1]}: go on from there with "
                "resume=True, or use another folder"
            )
        if (contents := self._files.newest()) is not None:
            with naming(self.folder):
                restore_run(run, contents, self._chosen)
            self.resumed_epoch = run.epoch

    def on_epoch(self, run: TrainingRun) -> None:
        """Ask for a report when the time has come."""
        if self._time_has_come():
            run.report_soon()

    def on_report(self, run: TrainingRun, rows: Rows) -> None:
        """Write a checkpoint if one is due."""
        at_end = run.stop or run.epoch == run.last_epoch
        if at_end or self._time_has_come() or (self.report_every and run.epoch % self.report_every == 0):
            self._write(run)

    def on_close(self, run: TrainingRun) -> None:
        """Let others have the folder."""
        if self._files is not None:
            self._files.close()

    def _time_has_come(self) -> bool:
        return self.minutes is not None and time.monotonic() - self._written_at >= 60 * self.minutes

    def _write(self, run: TrainingRun) -> None:
        from .storage.runs import run_contents

        self._written_at = time.monotonic()
        contents = run_contents(run, self._chosen)
        for name, array in contents.arrays.items():
            if name.startswith("parameters/") and not np.isfinite(array).all():
                warnings.warn(f"{name} is not finite after epoch {run.epoch}: no checkpoint is written", stacklevel=2)
                return
        try:
            self._files.write(run.epoch, contents)
        except FileError as error:  # the model is worth more than its checkpoint
            warnings.warn(f"{error}; training goes on without this checkpoint", stacklevel=2)
