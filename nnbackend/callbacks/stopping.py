"""Ending training in time: when it no longer helps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..checks import count, flag, not_negative
from ..errors import ArgumentError, did_you_mean, shown
from ..training import Callback, TrainingRun

if TYPE_CHECKING:
    import numpy as np


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

    def on_report(self, run: TrainingRun, rows: Sequence[dict[str, Any]]) -> None:
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
