"""The history as a CSV file that grows while training."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..checks import count
from ..checks import path as checked_path
from ..errors import FileError
from ..files import write_file
from ..training import Callback, TrainingRun
from .growing_file import GrowingFile


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

    def __init__(self, path: str | os.PathLike[str], *, every: int | None = None) -> None:
        self.path = checked_path("CSVLog path", path)
        self.report_every = None if every is None else count("CSVLog every", every)
        self._file = GrowingFile(self.path)
        self._header = ""

    def on_train_begin(self, run: TrainingRun) -> None:
        """Keep what the file says of earlier epochs of this model, and drop what a killed run wrote behind its checkpoint."""
        earlier = self._earlier_lines(run.first_epoch)
        self._header = earlier[0].rstrip("\n") if earlier else ""
        data = ("".join(earlier) + self._rows(run.history)).encode()
        write_file(self.path, data)
        self._file = GrowingFile(self.path, len(data))

    def on_report(self, run: TrainingRun, rows: Sequence[dict[str, Any]]) -> None:
        """Write the rows."""
        self._file.add(self._rows({name: [row[name] for row in rows] for name in rows[0]}).encode())

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
