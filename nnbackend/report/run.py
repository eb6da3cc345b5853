"""What a report is about: a model, its data, how it was trained, and on what machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import __version__
from ..history import History
from ..model import Evaluation, Model
from ..plots.tasks import CLASSES, REGRESSION, ROWS_AT_ONCE, kind_of

Data = tuple[Any, Any]

# What decides how many threads compute.
_THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# The gradients of training are shown for parts of a large data set, its figures for all of it.
MOST_SAMPLES_DRAWN = 5000


@dataclass
class Run:
    """All that the sections ask for."""

    model: Model
    training: Data
    validation: Data | None = None
    validation_name: str = "validation"
    title: str = "Training run"
    class_names: Sequence[str] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None

    def __post_init__(self) -> None:
        self.kind = kind_of(self.model)
        outputs = self.model.n_outputs or 1
        self.n_classes = 0 if self.kind == REGRESSION else max(2, outputs)
        names = self.class_names if self.class_names is not None else self.model.class_names
        self.names = [str(name) for name in names] if names and len(names) == self.n_classes else None
        self.checked, self.checked_name = (
            (self.training, "training") if self.validation is None else (self.validation, self.validation_name)
        )
        self.evaluation = self._evaluate()

    @property
    def history(self) -> History:
        """The epochs of the last call of `train`."""
        return self.model.history

    def class_name(self, number: int) -> str:
        """What a class is called."""
        return self.names[number] if self.names else str(number)

    def some(self, data: Data) -> Data:
        """At most a few thousand samples of a data set, evenly spread."""
        step = slice(None, None, -(-len(data[0]) // MOST_SAMPLES_DRAWN) or 1)
        return np.asarray(data[0][step]), np.asarray(data[1][step])

    def one_answer_a_sample(self) -> bool:
        """Whether each sample has one class, so that there is a confusion matrix."""
        return self.kind == CLASSES or (self.kind != REGRESSION and self.model.n_outputs == 1)

    def _evaluate(self) -> Evaluation | None:
        if self.model.loss is None:
            return None
        X, y = self.checked
        return self.model.evaluate(X, y, batch_size=min(len(X), ROWS_AT_ONCE) or None)


def environment(model: Model) -> dict[str, str]:
    """What results depend on beside the settings: libraries and machine. No times, no names of people or folders."""
    xp = model.xp
    threads = {name: os.environ[name] for name in _THREADS if name in os.environ}
    return {
        "nnbackend": __version__,
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "NumPy": np.__version__,
        "backend": f"{xp.name} ({xp.description})",
        "dtype": xp.dtype.name,
        "system": f"{platform.system()} on {platform.machine()}",
        "processors": str(os.cpu_count() or "unknown"),
        **threads,
    }
