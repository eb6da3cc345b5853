"""`nnbackend train`: what happens while it trains: schedules, stopping early, curves, and how samples are weighed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Annotated, Any

import typer

from ...callbacks import CosineSchedule, EarlyStopping, Schedule, StepSchedule, TensorBoardLog
from ...checks import count
from ...errors import ArgumentError, did_you_mean
from ...optimizers import Optimizer
from ..answers import REGRESSION
from ..tasks import Task

SCHEDULES = ("cosine", "step")

# How many times a rate that falls in steps falls, unless somebody says how often.
FALLS = 3

# The group of these options in the help.
_watching = partial(typer.Option, rich_help_panel="While training")


@dataclass
class WatchingOptions:
    """Callbacks."""

    schedule: Annotated[
        str | None,
        _watching(
            metavar="|".join(SCHEDULES),
            help="Let the learning rate fall to zero like a cosine, or to a tenth every third of the epochs "
            "(default: by --decay only).",
        ),
    ] = None
    warmup: Annotated[
        int | None,
        _watching(metavar="N", help="Epochs in which the rate of --schedule cosine rises first (default: 0)."),
    ] = None
    step_every: Annotated[int | None, _watching(metavar="N", help="Epochs between the falls of --schedule step.")] = (
        None
    )
    early_stopping: Annotated[
        int | None,
        _watching(
            metavar="PATIENCE",
            help="Stop when the loss (that of validation, where it is measured after every epoch) has not improved for so "
            "many epochs, and keep the best weights.",
        ),
    ] = None
    tensorboard: Annotated[
        Path | None, _watching(metavar="FOLDER", help="Write curves for TensorBoard here while training.")
    ] = None
    class_weights: Annotated[
        str | None,
        _watching(
            metavar="balanced|CLASS=W,...",
            help="How much the samples of each class count, such as 0=1,1=5; balanced: all classes as much.",
        ),
    ] = None

    def schedules(self, optimizer: Optimizer, epochs: Any) -> list[Schedule]:
        """The schedule that was asked for."""
        self._check_schedule()
        rate, epochs = optimizer.learning_rate, count("epochs", epochs)
        if self.schedule == "cosine":
            return [CosineSchedule(rate, epochs=epochs, warmup=self.warmup or 0)]
        if self.schedule == "step":
            every = max(1, epochs // FALLS) if self.step_every is None else self.step_every
            return [StepSchedule(rate, every=every)]
        return []

    def _check_schedule(self) -> None:
        if self.schedule not in (None, *SCHEDULES):
            raise ArgumentError(f"unknown schedule {self.schedule!r}: {did_you_mean(self.schedule, SCHEDULES)}")
        for option, given, schedule in (("--warmup", self.warmup, "cosine"), ("--step-every", self.step_every, "step")):
            if given is not None and self.schedule != schedule:
                raise ArgumentError(f"{option} {given} is for --schedule {schedule}: add it, or leave {option} out")

    def stopping(self, task: Task) -> EarlyStopping | None:
        """The callback that stops early, if it was asked for."""
        if self.early_stopping is None:
            return None
        monitor = "loss" if task.validation is None else "validation_loss"
        return EarlyStopping(monitor, patience=count("early_stopping", self.early_stopping))

    def logs(self) -> list[TensorBoardLog]:
        """The callback that writes curves, if they were asked for."""
        return [] if self.tensorboard is None else [TensorBoardLog(self.tensorboard)]

    def weights_of_classes(self, task: Task) -> dict[int, float] | str | None:
        """What `Model.train` takes as class_weights."""
        given = self.class_weights
        if given is not None and task.kind == REGRESSION:
            raise ArgumentError(f"--class-weights {given} is for classification, and {task.name} is a regression")
        if given is None or given == "balanced":
            return given
        names = list(task.class_names or map(str, range(max(2, task.n_outputs))))
        return dict(_class_and_weight(pair, names, given) for pair in given.split(","))


def _class_and_weight(pair: str, names: Sequence[str], given: str) -> tuple[int, float]:
    name, _, number = pair.rpartition("=")
    try:
        weight = float(number)
    except ValueError:
        weight = -1.0
    if not name or not 0 <= weight < inf:
        raise ArgumentError(
            f"--class-weights {given!r}: expected 'balanced', or a class and a number of at least 0 such as {names[0]}=2, "
            "with commas in between"
        )
    if name not in names:
        raise ArgumentError(f"--class-weights {pair!r}: unknown class {name!r}: {did_you_mean(name, names)}")
    return names.index(name), weight


def parse_interval(text: str | None) -> dict[str, Any]:
    """How often to keep a checkpoint, as `Checkpoint` takes it.

    >>> parse_interval("10 epochs"), parse_interval("1 epoch"), parse_interval("0.5 minutes"), parse_interval(None)
    ({'every': 10}, {'every': 1}, {'minutes': 0.5}, {})
    """
    if text is None:
        return {}
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(epochs?|minutes?|hours?)\s*", text)
    number = float(found[1]) if found else 0.0
    if not found or not number or (found[2].startswith("epoch") and not number.is_integer()):
        raise ArgumentError(f"--checkpoint-every {text!r}: expected an interval such as '10 epochs' or '5 minutes'")
    if found[2].startswith("epoch"):
        return {"every": int(number)}
    return {"minutes": number * (60 if found[2].startswith("hour") else 1)}
