"""What the outputs of a network say: a class and how sure it is, or the numbers themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..datasets.tables import from_document, has_table
from ..model import Model
from ..plots.tasks import BINARY, CLASSES, REGRESSION, kind_of

__all__ = ["BINARY", "CLASSES", "REGRESSION", "Answers", "kind_of"]


def _target(model: Model) -> str:
    """What a regression gives: the target's name, where it learned from a table."""
    table = from_document(model.preprocessing) if has_table(model.preprocessing) else None
    return table.target.name if table is not None and table.target is not None else "output"


class Answers:
    """The predictions of a model for some rows, with the names of its classes."""

    def __init__(self, model: Model, outputs: np.ndarray) -> None:
        self.kind, self.outputs = kind_of(model), np.asarray(outputs, float)
        width = self.outputs.shape[1]
        several = width if self.kind == CLASSES else 2
        names = model.class_names
        self.target = _target(model)
        self.class_names = (
            list(names) if names and len(names) == several else [str(number) for number in range(several)]
        )

    @property
    def columns(self) -> list[str]:
        """The head of the table."""
        width = self.outputs.shape[1]
        numbers = [""] if width == 1 else [f" {number}" for number in range(width)]
        if self.kind == CLASSES:
            return ["class", *(f"probability of {name}" for name in self.class_names)]
        if self.kind == BINARY:
            yes = self.class_names[1]
            return [f"class{n}" for n in numbers] + [f"probability of {yes}{n}" for n in numbers]
        return [f"{self.target}{n}" for n in numbers]

    def rows(self) -> list[list[Any]]:
        """The table, a row for each sample."""
        if self.kind == REGRESSION:
            return self.outputs.tolist()
        if self.kind == CLASSES:
            return [[self.class_names[row.argmax()], *row.tolist()] for row in self.outputs]
        return [[*(self.class_names[int(value > 0.5)] for value in row), *row.tolist()] for row in self.outputs]

    def sentence(self) -> str:
        """The first answer for people."""
        row, values = self.rows()[0], self.outputs[0]
        if self.kind == CLASSES:
            return f"{row[0]} ({100 * values.max():.1f} %)"
        if self.kind == BINARY and len(values) == 1:
            return f"{row[0]} ({100 * max(values[0], 1 - values[0]):.1f} %)"
        return ", ".join(f"{name}: {value}" for name, value in zip(self.columns, row, strict=True))
