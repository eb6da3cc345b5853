"""The history as TensorBoard reads it, written while training."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from ..checks import count
from ..checks import path as checked_path
from ..errors import FileError
from ..files import reason
from ..training import Callback, TrainingRun
from .event_file import named_file, numbers, records_from, restart
from .growing_file import GrowingFile


class TensorBoardLog(Callback):
    """Writes every column of the history as a curve for TensorBoard, a point for each epoch.

    Needs the extra `tensorboard`. Look at them, while training or later, with `tensorboard --logdir runs`. Give
    each run a folder of its own in there; every training adds a file to it. Points come with every report; `every` asks for
    reports at least that often. Training a model further continues its curves, and a resumed run's curves are those of
    a run that was never stopped. A disk that is full later ends nothing: there is a warning, and what is missing is
    written with the next report. Numbers are float32 there: `CSVLog` keeps them in full.

    Raises `StateError` where TensorBoard is not installed, and `FileError`, before training, where the folder cannot be written.

    >>> import nnbackend as nn
    >>> X, y = nn.datasets.spiral(samples=20, classes=3, seed=0)
    >>> model = nn.Model([nn.Dense(2, 3), nn.Softmax()], loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(), seed=0)
    >>> log = nn.TensorBoardLog("runs/first")
    >>> history = model.train(X, y, epochs=3, callbacks=[log], print_every=0)
    >>> import pathlib
    >>> len(list(pathlib.Path("runs/first").glob("*.tfevents.*")))
    1
    """

    def __init__(self, folder: str | os.PathLike[str], *, every: int | None = None) -> None:
        self.folder = checked_path("TensorBoardLog folder", folder)
        self.report_every = None if every is None else count("TensorBoardLog every", every)
        self._file: GrowingFile | None = None

    def on_train_begin(self, run: TrainingRun) -> None:
        """Begin a file. Earlier files' points of these epochs, which a killed run left, no longer count."""
        now = time.time()
        history = [run.history.row(index) for index in range(len(run.history))]
        data = [records_from(now), restart(run.first_epoch, now), *(_point(row, now) for row in history)]
        path = os.path.join(self.folder, named_file(now, os.getpid()))
        self._file = GrowingFile(path)
        try:
            os.makedirs(self.folder, exist_ok=True)
            with open(path, "xb"):
                pass
            self._file.write(b"".join(data))
        except OSError as error:
            raise FileError(f"cannot write {path}: {reason(error)}") from error

    def on_report(self, run: TrainingRun, rows: Sequence[dict[str, Any]]) -> None:
        """Write the points."""
        now = time.time()
        assert self._file is not None
        self._file.add(b"".join(_point(row, now) for row in rows))


def _point(row: dict[str, Any], now: float) -> bytes:
    return numbers({name: value for name, value in row.items() if name != "epoch"}, row["epoch"], now)
