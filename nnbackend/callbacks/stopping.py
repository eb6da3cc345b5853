"""Ending training in time: when it no longer helps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..checks import count, flag, not_negative
from ..errors import ArgumentError, NonFiniteLossError, did_you_mean, shown
from ..training import Callback, TrainingRun


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
            raise ArgumentError(f"EarlyStopping monitor {shown(self.monitor)} is not measured: {self._instead(row)}")
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

    def _instead(self, row: Mapping[str, Any]) -> str:
        """What to do about a column that is not measured; Keras's names are understood, `val_loss` and so on."""
        validation = ("validation_loss", "validation_accuracy")
        if self.monitor in validation:
            return "give validation_data to train"
        name = self.monitor
        if isinstance(name, str) and name.startswith("val_"):
            name = f"validation_{name.removeprefix('val_')}"
        return did_you_mean(name, {*row, *validation})

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


class StopOnNonFinite(Callback):
    """Ends training when the loss turns into NaN or infinity, and brings the last good weights back, instead of raising.

    Without it `Model.train` raises `NonFiniteLossError`, and the parameters are as they became. With it the history ends with
    the last epoch whose losses were all finite, and the model can be used. With `restore` it has the parameters and the
    optimizer's state (its iteration too) of an earlier epoch: they are kept every `every` epochs, one transfer of
    each, and the newest are taken that a later epoch has shown to give finite losses; where there are none yet, those that
    training began with. An `EarlyStopping` beside it that restores the best weights still does. The learning rate is left
    as it is: train on with a smaller one.

    `error` is what would have been raised (None: all went well), and `restored_epoch` the epoch the weights are of (0: before
    the first).

    >>> import nnbackend as nn
    >>> model = nn.Model([nn.Dense(1, 1)], loss=nn.MeanSquaredError(), optimizer=nn.SGD(100.0), seed=0)
    >>> stopping = nn.StopOnNonFinite(every=5)
    >>> history = model.train([[1.0], [2.0]], [[2.0], [4.0]], epochs=1000, callbacks=[stopping], print_every=0)
    >>> len(history) == stopping.error.epoch - 1, stopping.restored_epoch
    (True, 5)
    >>> bool(abs(model.predict([[1.0]])) < 1e30)
    True
    """

    def __init__(self, *, restore: bool = True, every: int = 10) -> None:
        self.restore = flag("StopOnNonFinite restore", restore)
        self.every = count("StopOnNonFinite every", every)
        self.report_every = self.every if self.restore else None
        self.error: NonFiniteLossError | None = None
        self.restored_epoch: int | None = None
        self._kept: list[tuple[int, dict[str, np.ndarray]]] = []  # the oldest first, two at most

    def on_train_begin(self, run: TrainingRun) -> None:
        """Forget an earlier training; in a resumed run, do not."""
        if run.epoch < run.first_epoch:
            self.error, self.restored_epoch, self._kept = None, None, []
            self._keep(run)

    def on_report(self, run: TrainingRun, rows: Sequence[dict[str, Any]]) -> None:
        """Keep the weights if it is time to."""
        if run.epoch % self.every == 0 and self.error is None:
            self._keep(run)

    def on_non_finite(self, run: TrainingRun, error: NonFiniteLossError) -> bool:
        """Bring the weights back, and say that training may end here."""
        self.error = error
        if self.restore and self._kept:
            # The last update of an epoch is judged by the losses of the next.
            good = [kept for kept in self._kept if kept[0] < error.epoch - 1] or self._kept[:1]
            self.restored_epoch, arrays = good[-1]
            self._bring_back(run, arrays)
        return True

    def _keep(self, run: TrainingRun) -> None:
        if not self.restore:
            return
        built, xp = run.model.built, run.model.xp
        arrays = {name: xp.to_host(array) for name, array in built.optimizer.state.items()}
        arrays["parameters"] = xp.to_host(built.parameters.values)
        if all(np.isfinite(array).all() for array in arrays.values()):
            arrays["iterations"] = np.array(built.optimizer.iterations)
            self._kept = [*self._kept[-1:], (run.epoch, arrays)]

    def _bring_back(self, run: TrainingRun, arrays: dict[str, np.ndarray]) -> None:
        built, xp = run.model.built, run.model.xp
        for name, array in {**built.optimizer.state, "parameters": built.parameters.values}.items():
            array[...] = xp.asarray(arrays[name])
        built.optimizer.iterations = int(arrays["iterations"])

    def state(self) -> dict[str, Any]:
        """What happened, and what is kept."""
        error = self.error
        found = None if error is None else [str(error), error.step, error.epoch]
        arrays = {f"{i}/{name}": array for i, (_, kept) in enumerate(self._kept) for name, array in kept.items()}
        epochs = [epoch for epoch, _ in self._kept]
        return {"error": found, "restored_epoch": self.restored_epoch, "epochs": epochs, **arrays}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        if state["error"] is None:
            self.error = None
        else:
            message, step, epoch = state["error"]
            self.error = NonFiniteLossError(str(message), step=int(step), epoch=int(epoch))
        self.restored_epoch = state["restored_epoch"]
        self._kept = []
        for i, epoch in enumerate(state["epochs"]):
            found = {name.partition("/")[2]: array for name, array in state.items() if name.startswith(f"{i}/")}
            self._kept.append((int(epoch), found))
