"""What a training run came to, in lines for people and as a document for programs."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from .. import __version__
from ..callbacks import EarlyStopping
from ..errors import printable
from ..history import format_row
from ..model import Evaluation, Model
from .answers import REGRESSION
from .tasks import Task


def describe(model: Model) -> str:
    """A network in a line, with the penalties that its layers do not show."""
    layers = []
    for layer in model.layers:
        penalties = sorted({repr(parameter.regularizer) for parameter in layer.regularized()})
        layers.append(f"{layer!r} with {' and '.join(penalties)}" if penalties else repr(layer))
    return f"network: {', '.join(layers)}; {model.optimizer!r}"


def figures(model: Model, evaluation: Evaluation, kind: str, X: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """What was measured on a data set, with the mean absolute error of a regression."""
    found: dict[str, Any] = {"accuracy": evaluation.accuracy, "data_loss": evaluation.data_loss}
    if kind == REGRESSION:
        found["mean_absolute_error"] = float(np.abs(model.predict(X) - np.reshape(y, (len(X), -1))).mean())
    return {**found, "samples": len(X)}


def sentence(found: dict[str, Any], samples: str) -> str:
    """These figures in a line. The book, too, prints accuracy and data loss on fresh data."""
    loss = found["data_loss"]
    error = f", mean absolute error: {found['mean_absolute_error']:.4f}" if "mean_absolute_error" in found else ""
    what = f"{samples} samples".strip()
    shown = f"{loss:.3f}" if loss >= 0.01 else f"{loss:.2e}"
    return f"acc: {found['accuracy']:.3f}, loss: {shown}{error} ({found['samples']:,} {what})"


@dataclass
class Result:
    """What a run came to."""

    model: Model
    task: Task
    reason: str
    seconds: float
    first_epoch_seconds: float
    #: Epochs of this very run: fewer than the model's where it was resumed.
    epochs: int
    stopping: EarlyStopping | None = None

    def __post_init__(self) -> None:
        self.last = self.model.history.row(-1)
        optimizer = self.model.optimizer
        self.steps = optimizer.iterations if optimizer is not None else 0
        self.validation: Evaluation = self.model.evaluate(*self.task.fresh)

    @property
    def steps_per_second(self) -> float | None:
        """Over all epochs but the first, in which kernels may be compiled. None where no epoch was left to train."""
        if not self.epochs:
            return None
        steps = self.steps * self.epochs / self.last["epoch"]
        if self.epochs == 1:
            return steps / self.seconds
        return steps * (self.epochs - 1) / self.epochs / (self.seconds - self.first_epoch_seconds)

    @property
    def _speed(self) -> str:
        if self.steps_per_second is None:
            return f"nothing was left to train: all {self.last['epoch']:,} epochs were done before"
        waited = f", after {self.first_epoch_seconds:.1f} s for the first epoch" if self._first_was_slow else ""
        resumed = (
            f", resumed after epoch {self.last['epoch'] - self.epochs:,}" if self.epochs < self.last["epoch"] else ""
        )
        epochs = f"{self.epochs:,} epochs in {self.seconds:.2f} s"
        return f"{epochs}{resumed}: {self.steps_per_second:,.0f} steps a second{waited}"

    @property
    def _first_was_slow(self) -> bool:
        """Whether who divides steps by seconds would find another figure, by a tenth or more."""
        others = (self.seconds - self.first_epoch_seconds) / max(self.epochs - 1, 1)
        return self.epochs > 1 and self.first_epoch_seconds - others > 0.1 * self.seconds

    @property
    def best(self) -> dict[str, Any] | None:
        """The best epoch by the loss that was looked at: validation's, or what stopping early went by; else None."""
        stopping, column = self.stopping, "validation_loss"
        if stopping is not None:
            return {"epoch": stopping.best_epoch, "monitor": stopping.monitor, "value": stopping.best}
        history = self.model.history
        measured = zip(history.get(column, []), history["epoch"], strict=False)
        finite = [(value, epoch) for value, epoch in measured if isfinite(value)]
        return {"epoch": min(finite)[1], "monitor": column, "value": min(finite)[0]} if finite else None

    @property
    def stopped_early(self) -> bool:
        """Whether it ended before all epochs, since nothing improved any more."""
        return self.stopping is not None and self.last["epoch"] - self.stopping.best_epoch >= self.stopping.patience

    @property
    def _best_line(self) -> list[str]:
        if self.best is None:
            return []
        when = f"epoch {self.best['epoch']:,} had the best {self.best['monitor']}, {self.best['value']:.4g}"
        if self.stopping is None:
            return [when]
        stopped = f"stopped early after epoch {self.last['epoch']:,}: " if self.stopped_early else ""
        return [f"{stopped}{when}, and the model has its weights"]

    @property
    def _figures(self) -> dict[str, Any]:
        return figures(self.model, self.validation, self.task.kind, *self.task.fresh)

    def lines(self, *, with_training: bool) -> list[str]:
        """For people."""
        what = "training" if self.task.fresh_name == "training" else "validation"
        lines = [f"{what}, {sentence(self._figures, self.task.fresh_name)}", *self._best_line, self._speed]
        return [f"training, {format_row(self.last).split(', ', 1)[1]}", *lines] if with_training else lines

    def record(self, settings: dict[str, Any]) -> dict[str, Any]:
        """How the model was trained, for its file. Without times, so that equal runs give equal files."""
        xp = self.model.xp
        return {
            "data": printable(self.task.name),  # the name of a file need not be text
            "task": self.task.kind,
            **settings,
            "backend": f"{xp.name} ({xp.description}), {xp.dtype}",
            "training": self.last,
            "validation": self._figures,
            "nnbackend": __version__,
        }

    def document(self) -> dict[str, Any]:
        """For programs."""
        xp, model = self.model.xp, self.model
        return {
            "nnbackend": __version__,
            "data": {
                "name": self.task.name,
                "task": self.task.kind,
                "samples": len(self.task.training[0]),
                "notes": list(self.task.notes),
            },
            "backend": {
                "name": xp.name,
                "description": xp.description,
                "dtype": xp.dtype.name,
                "reason": self.reason,
            },
            "model": {
                "layers": [repr(layer) for layer in model.layers],
                "loss": repr(model.loss),
                "optimizer": repr(model.optimizer),
                "parameters": model.parameter_buffer.count,
                "seed": model.seed,
            },
            "training": self.last,
            "validation": self._figures,
            "best": self.best,
            "stopped_early": self.stopped_early,
            "seconds": self.seconds,
            "epochs": self.epochs,
            "steps": self.steps,
            "first_epoch_seconds": self.first_epoch_seconds,
            "steps_per_second": self.steps_per_second,
        }
