"""`nnbackend train`: how long, in which steps, and by which optimizer."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import typer

from ...errors import ArgumentError, did_you_mean
from ...optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from ..tasks import Task

# The optimizers with the book's best settings for the spiral (chapter 10); those of Adam and AdamW depend on the task.
OPTIMIZERS: dict[str, tuple[type[Optimizer], dict[str, float]]] = {
    "sgd": (SGD, {"learning_rate": 1.0, "decay": 1e-3, "momentum": 0.9}),
    "adagrad": (Adagrad, {"learning_rate": 1.0, "decay": 1e-4}),
    "rmsprop": (RMSprop, {"learning_rate": 0.02, "decay": 1e-5}),
    "adam": (Adam, {}),
    "adamw": (AdamW, {}),
}

# The group of these options in the help.
_training = partial(typer.Option, rich_help_panel="Training")


@dataclass
class LearningOptions:
    """Epochs, batches and the optimizer."""

    epochs: Annotated[
        int | None,
        _training(
            metavar="N", help="Passes over the data (default: 10000; digits: 20; fashion-mnist: 10; tables: by size)."
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        _training(metavar="N", help="Samples a step (default: all of them; images: 128; tables: 32, large ones 128)."),
    ] = None
    optimizer: Annotated[str, _training(metavar="|".join(OPTIMIZERS), help="How gradients change parameters.")] = "adam"
    learning_rate: Annotated[
        float | None,
        _training(metavar="RATE", help="The first learning rate (default: the book's for optimizer and data)."),
    ] = None
    decay: Annotated[
        float | None, _training(metavar="RATE", help="Learning-rate decay (default: the book's for both).")
    ] = None
    momentum: Annotated[float | None, _training(metavar="M", help="Momentum of sgd (default: 0.9).")] = None
    weight_decay: Annotated[
        float | None, _training(metavar="RATE", help="How fast adamw lets all parameters shrink (default: 0.01).")
    ] = None
    clip_norm: Annotated[
        float | None,
        _training(metavar="NORM", help="Shorten gradients that are longer than this (default: leave them)."),
    ] = None

    def settle(self, task: Task) -> None:
        """Settle what the task decides and nobody asked for otherwise."""
        defaults, samples = task.defaults, len(task.training[0])
        self.epochs = defaults.epochs if self.epochs is None else self.epochs
        if self.batch_size is None and defaults.batch_size is not None:
            self.batch_size = min(defaults.batch_size, samples)

    def make_optimizer(self, task: Task) -> Optimizer:
        """The optimizer for a task, with what was asked for."""
        if self.optimizer not in OPTIMIZERS:
            raise ArgumentError(f"unknown optimizer {self.optimizer!r}: {did_you_mean(self.optimizer, OPTIMIZERS)}")
        kind, settings = OPTIMIZERS[self.optimizer]
        settings = settings or {"learning_rate": task.defaults.learning_rate, "decay": task.defaults.decay}
        names = ("learning_rate", "decay", "momentum", "weight_decay", "clip_norm")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        for name, optimizer in (("momentum", "sgd"), ("weight_decay", "adamw")):
            if name in given and self.optimizer != optimizer:
                option = f"--{name.replace('_', '-')} {given[name]:g}"
                raise ArgumentError(f"{option} is for --optimizer {optimizer}: {self.optimizer} has none")
        return kind(**settings | given)
