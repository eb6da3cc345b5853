"""What a training run was like, epoch by epoch."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping
from typing import Any

from .checks import path as checked_path
from .errors import DataError, FileError, did_you_mean, shown
from .files import read_file, write_file


class History(Mapping[str, list[Any]]):
    """Columns with one entry an epoch: epoch, loss, data_loss, regularization_loss, accuracy, learning_rate, and
    validation_loss and validation_accuracy where there were validation data.

    loss = data_loss + regularization_loss, measured before the update of each step, and averaged over an epoch's batches
    with the batch sizes as weights; learning_rate is that of the epoch's last step; validation_loss is the data loss.

    >>> history = History()
    >>> history.append({"epoch": 1, "loss": 1.0986})
    >>> history["loss"][-1], len(history)
    (1.0986, 1)
    """

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {}

    def append(self, row: Mapping[str, Any]) -> None:
        """Add an epoch."""
        for name, value in row.items():
            self._columns.setdefault(name, []).append(value)

    def extend(self, columns: Mapping[str, list[Any]]) -> None:
        """Add epochs: for each column, its new entries."""
        for name, values in columns.items():
            self._columns.setdefault(name, []).extend(values)

    def row(self, index: int) -> dict[str, Any]:
        """One epoch as a dictionary; -1 is the latest."""
        return {name: column[index] for name, column in self._columns.items()}

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the columns to a CSV file, with a header line; an old file is replaced in one step. Numbers are in full.

        Raises `FileError`, and leaves the old file as it was.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self._columns)
        writer.writerows(zip(*self._columns.values(), strict=True))
        write_file(checked_path("path", path), text.getvalue().encode())

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str]) -> History:
        """The history of a file that `to_csv` or the callback `CSVLog` wrote. Raises `FileError` for any other.

        >>> history = History()
        >>> history.append({"epoch": 1, "loss": 1.0986})
        >>> history.to_csv("history.csv")
        >>> History.from_csv("history.csv")["loss"]
        [1.0986]
        """
        source = checked_path("path", path)
        try:
            rows = list(csv.reader(io.StringIO(read_file(source).decode("utf-8-sig"), newline="")))
        except (UnicodeDecodeError, csv.Error) as error:
            raise FileError(f"{source} is no history: expected lines of numbers with commas between them") from error
        history = cls()
        if not rows or "loss" not in rows[0]:
            raise FileError(f"{source} is no history: expected a first line of names, with epoch and loss among them")
        for line, fields in enumerate(rows[1:], 2):
            history.append(_read_row(rows[0], fields, f"{source}, line {line}"))
        return history

    def __getitem__(self, name: str) -> list[Any]:
        try:
            return self._columns[name]
        except KeyError:
            hint = did_you_mean(name, self._columns) if self._columns else "it is empty, train first"
            raise KeyError(f"no column {name!r} in this history: {hint}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        """The number of epochs."""
        return len(next(iter(self._columns.values()), ()))

    def __bool__(self) -> bool:
        return len(self) > 0

    def __repr__(self) -> str:
        return f"<History of {len(self)} epochs: {', '.join(self._columns)}>"


def _read_row(names: list[str], fields: list[str], where: str) -> dict[str, Any]:
    """The numbers of one line of a file, or `FileError` that says which is none."""
    if len(fields) != len(names):
        raise FileError(f"{where}: {len(fields)} values, but {len(names)} names in the first line")
    row: dict[str, Any] = {}
    for name, field in zip(names, fields, strict=True):
        try:
            row[name] = int(field) if name == "epoch" else float(field)
        except ValueError:
            raise FileError(f"{where}: {name} is {shown(field)}, which is no number") from None
    return row


def measured_row(data_loss: Any, regularization_loss: Any, accuracy: Any, learning_rate: Any) -> dict[str, Any]:
    """What a step or an epoch measured, by column, with the whole loss."""
    return {
        "loss": data_loss + regularization_loss,
        "data_loss": data_loss,
        "regularization_loss": regularization_loss,
        "accuracy": accuracy,
        "learning_rate": learning_rate,
    }


def format_measured(row: Mapping[str, Any]) -> str:
    """The part that the book's lines have in common.

    >>> format_measured(measured_row(0.68, 0.031, 0.713, 0.02))
    'acc: 0.713, loss: 0.711 (data_loss: 0.680, reg_loss: 0.031), lr: 0.02'
    """
    return (
        f"acc: {row['accuracy']:.3f}, loss: {row['loss']:.3f} "
        f"(data_loss: {row['data_loss']:.3f}, reg_loss: {row['regularization_loss']:.3f}), lr: {row['learning_rate']}"
    )


def format_row(row: Mapping[str, Any]) -> str:
    """An epoch in one line, saying what the book's lines say.

    >>> format_row({"epoch": 100, **measured_row(0.68, 0.031, 0.713, 0.02)})
    'epoch: 100, acc: 0.713, loss: 0.711 (data_loss: 0.680, reg_loss: 0.031), lr: 0.02'
    """
    if not {"loss", "accuracy"} <= row.keys():
        raise DataError(f"a row with {', '.join(row)} cannot be printed: expected loss and accuracy among them")
    line = f"epoch: {row['epoch']}, {format_measured(row)}"
    if "validation_loss" in row:
        line += f", validation acc: {row['validation_accuracy']:.3f}, loss: {row['validation_loss']:.3f}"
    return line
