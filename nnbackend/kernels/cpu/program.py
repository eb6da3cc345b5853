"""Many loops in one call from Python.

A call from Python into compiled code costs about as much as a small loop takes, so a training step should make one such
call, not twenty. Compiling each step anew would take seconds; instead the step becomes data: lists of entry points and
of the blocks of words that hold their arguments.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .compile import Step
from .cores import thread_count
from .entry import entry_point
from .team import Shared, team
from .walk import run_alone


class Section(NamedTuple):
    """Steps that are run block by block of their rows: all of them on the first block, then all on the next.

    `edges` says at which rows blocks begin, and where the last ends.
    """

    steps: Sequence[Step]
    edges: np.ndarray


Item = Sequence[Section]  # one after the other


def _words(step: Step, edges: np.ndarray) -> np.ndarray:
    """The step's arguments in words, one row of them for each block."""
    columns: list[Any] = []
    for position, argument in enumerate(step.arguments):
        if not isinstance(argument, np.ndarray):
            word = int(np.float64(argument).view(np.int64)) if isinstance(argument, float) else int(argument)
            columns.append(word)
        elif step.rows and position in step.function.rows:  # type: ignore[attr-defined]
            each = len(argument) // step.rows
            columns.append(argument.ctypes.data + edges[:-1] * (each * argument.strides[0]))
            columns += [np.diff(edges) * each, *argument.shape[1:]]
        else:
            columns += [argument.ctypes.data, *argument.shape]
    words = np.empty((len(edges) - 1, len(columns)), np.int64)
    for position, column in enumerate(columns):
        words[:, position] = column
    return words


class Program:
    """Stages, each of items that do not depend on each other: calling it runs them all. It keeps their arrays alive.

    The arrays must be C-contiguous and stay where they are; what they hold may change between calls.
    """

    def __init__(self, stages: Sequence[Sequence[Item]]) -> None:
        self.stages = [[list(item) for item in stage] for stage in stages]
        self._kept: list[Any] = []
        codes = [[np.concatenate([self._code(section) for section in item]) for item in stage] for stage in self.stages]
        together = np.concatenate([code for stage in codes for code in stage])
        self._kept.append(together)
        self._alone: Callable[[], int] = functools.partial(run_alone(), None, len(together), together.ctypes.data)
        self._shared = Shared(codes) if any(len(stage) > 1 for stage in codes) and thread_count() > 1 else None

    def _code(self, section: Section) -> np.ndarray:
        """Pairs of an entry point and the address of its words, as the section is run."""
        blocks = len(section.edges) - 1
        code = np.empty((blocks, len(section.steps), 2), np.int64)
        for position, step in enumerate(section.steps):
            words = _words(step, section.edges)
            self._kept.append(words)
            code[:, position, 0] = entry_point(step.function, step.arguments)  # type: ignore[arg-type]
            code[:, position, 1] = words.ctypes.data + np.arange(blocks) * words.strides[0]
        return code.reshape(-1, 2)

    def __call__(self) -> None:
        if self._shared is None or not team().run(self._shared):
            self._alone()
