"""Checkpoints: a run that was killed goes on."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..checks import count, flag, positive
from ..checks import path as checked_path
from ..errors import FileError
from ..training import Callback, TrainingRun


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
        folder: str | os.PathLike[str],
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
        from ..storage.checkpoints import CheckpointFolder
        from ..storage.models import naming
        from ..storage.runs import chosen_settings, restore_run

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

    def on_report(self, run: TrainingRun, rows: Sequence[dict[str, Any]]) -> None:
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
        from ..storage.runs import run_contents

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
