"""`nnbackend train`: from data to a trained network."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass

from ...backend import Backend
from ...callbacks import Callback, EarlyStopping
from ...checks import count
from ...model import Model
from ..output import Clock, Header, backend_line, on_terminal, progress_bar, settle_backend, write_lines_at_once
from ..result import Result, describe
from ..tasks import Task
from .learning import LearningOptions
from .network import NetworkOptions
from .output import OutputOptions, named_as_option
from .profiling import Profile
from .table import TableOptions
from .watching import WatchingOptions


@dataclass
class Train(
    OutputOptions, WatchingOptions, LearningOptions, NetworkOptions, TableOptions
):  # the last one's options come first
    """Train a network on one of the book's data sets, or on a table of your own.

    The data decide the last layer, the loss, the accuracy and the defaults. The spiral without options is the book's chapter-14
    run: 2-64-3, L2 on the hidden layer, Adam; fashion-mnist is chapter 19's: 784-128-128-10 in batches, checked on the test set.
    A .csv, .parquet, .npz or .npy file is a table, whose last column is the target: what is made of it is said, with the option
    that says otherwise.
    """

    def __call__(self) -> int:
        """Do it."""
        write_lines_at_once()
        task = self.load()
        self.settle(task)
        xp, reason = settle_backend(self.backend, self.dtype, self.kernels, self.matmul_precision)
        model = self.build(task, xp)
        self.check_files(task)
        with self.history_kept(model, self.epochs):
            stopping = self.stopping(task)
            times = self._train(model, task, stopping, [backend_line(xp, reason), str(task), describe(model)])
            task.finish(model)
            result = Result(model, task, reason, *times, stopping=stopping)
            names = ("seed", "samples", "classes", "epochs", "batch_size")
            self.keep(result, {name: getattr(self, name) for name in names})
            self._report(result)
        return 0

    def settle(self, task: Task) -> None:
        """Settle what the task decides and nobody asked for otherwise."""
        super().settle(task)
        lines = task.defaults.print_every if self.print_every is None else self.print_every
        self.print_every = count("print_every", lines, least=0)  # with --quiet, which prints none, too

    def build(self, task: Task, xp: Backend) -> Model:
        """The model for a task."""
        optimizer = self.make_optimizer(task)
        if self.schedule is not None and self.decay is None:
            optimizer.decay = 0.0  # the schedule takes its place
        return Model(self.layers(task), loss=task.ending.loss(), optimizer=optimizer, backend=xp, seed=self.seed)

    def _callbacks(self, model: Model, stopping: EarlyStopping | None) -> list[Callback]:
        """Those that were asked for; a checkpoint hears of reports last wherever it stands."""
        assert model.optimizer is not None
        schedules = self.schedules(model.optimizer, self.epochs)
        return [*schedules, *([] if stopping is None else [stopping]), *self.logs()]

    def _train(
        self, model: Model, task: Task, stopping: EarlyStopping | None, header: list[str]
    ) -> tuple[float, float, int]:
        """Train, and return the seconds it took, how many of them the first epoch, and how many epochs it trained."""
        silent = self.quiet or self.json
        shown = on_terminal(sys.stderr if self.json else sys.stdout) and not self.quiet
        started, clock = time.perf_counter(), Clock()
        checkpoints, animations = self.checkpoints(), self.animations(task, self.epochs)
        asked_for = self._callbacks(model, stopping)
        with progress_bar(shown=shown, to_stderr=self.json) as bar, named_as_option():
            model.train(
                *task.training,
                epochs=self.epochs,  # type: ignore[arg-type]  # settled by `settle`
                batch_size=self.batch_size,
                validation_data=task.validation,
                class_weights=self.weights_of_classes(task),
                print_every=0 if silent else self.print_every,
                callbacks=[*([] if silent else [Header(header)]), clock, *bar, *asked_for, *animations, *checkpoints],
            )
        seconds = time.perf_counter() - started
        for animation in animations:
            animation.save(os.fspath(self.animate))  # type: ignore[arg-type]
        resumed = next((checkpoint.resumed_epoch or 0 for checkpoint in checkpoints), 0)
        return seconds, clock.first_epoch, model.epoch - resumed

    def _report(self, result: Result) -> None:
        profile = self._profile(result)
        if self.json:
            more = {} if profile is None else {"profile": profile.document()}
            print(json.dumps({**result.document(), **more}, indent=2))
            return
        print(*result.lines(with_training=self.quiet or not self.print_every), sep="\n")
        if profile is not None:
            print(*profile.lines(), sep="\n")

    def _profile(self, result: Result) -> Profile | None:
        if not self.profile:
            return None
        rate = result.steps_per_second
        return Profile(result.model, result.task, self.batch_size, 1 / rate if rate else None)
