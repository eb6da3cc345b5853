"""What a training run came to, in lines for people and as a document for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import __version__
from ..history import format_row
from ..model import Evaluation, Model
from .tasks import Task


def describe(model: Model) -> str:
    """A network in a line, with the penalties that its layers do not show."""
    layers = []
    for layer in model.layers:
        penalties = sorted({repr(parameter.regularizer) for parameter in layer.regularized()})
        layers.append(f"{layer!r} with {' and '.join(penalties)}" if penalties else repr(layer))
    return f"network: {', '.join(layers)}; {model.optimizer!r}"


@dataclass
class Result:
    """What a run came to."""

    model: Model
    task: Task
    reason: str
    seconds: float
    first_epoch_seconds: float

    def __post_init__(self) -> None:
        self.last = self.model.history.row(-1)
        self.steps = self.model.optimizer.iterations if self.model.optimizer is not None else 0
        self.validation: Evaluation = self.model.evaluate(*self.task.fresh)

    @property
    def steps_per_second(self) -> float:
        """Over all epochs but the first, in which kernels may be compiled."""
        epochs = len(self.model.history)
        if epochs == 1:
            return self.steps / self.seconds
        return self.steps * (epochs - 1) / epochs / (self.seconds - self.first_epoch_seconds)

    @property
    def _speed(self) -> str:
        waited = self.first_epoch_seconds
        compiled = f", after {waited:.1f} s for the first epoch" if waited > 0.5 + 0.1 * self.seconds else ""
        epochs = f"{self.last['epoch']:,} epochs in {self.seconds:.2f} s"
        return f"{epochs}: {self.steps_per_second:,.0f} steps a second{compiled}"

    @property
    def validation_error(self) -> float | None:
        """The mean absolute error on fresh data, of a regression."""
        if self.task.kind != "regression":
            return None
        X, y = self.task.fresh
        return float(np.abs(self.model.predict(X) - y).mean())

    def lines(self, *, with_training: bool) -> list[str]:
        """For people. The book, too, prints accuracy and data loss on fresh data."""
        loss = self.validation.data_loss
        validation = f"validation, acc: {self.validation.accuracy:.3f}, loss: {loss:{'.3f' if loss >= 0.01 else '.2e'}}"
        if self.validation_error is not None:
            validation += f", mean absolute error: {self.validation_error:.4f}"
        lines = [
            f"{validation} ({len(self.task.fresh[0]):,} fresh samples)",
            self._speed,
        ]
        return [f"training, {format_row(self.last).split(', ', 1)[1]}", *lines] if with_training else lines

    def document(self) -> dict[str, Any]:
        """For programs."""
        xp, model = self.model.xp, self.model
        validation = {"accuracy": self.validation.accuracy, "data_loss": self.validation.data_loss}
        if self.validation_error is not None:
            validation["mean_absolute_error"] = self.validation_error
        return {
            "nnbackend": __version__,
            "data": {"name": self.task.name, "task": self.task.kind, "samples": len(self.task.training[0])},
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
            "validation": {**validation, "samples": len(self.task.fresh[0])},
            "seconds": self.seconds,
            "steps": self.steps,
            "first_epoch_seconds": self.first_epoch_seconds,
            "steps_per_second": self.steps_per_second,
        }
