"""Many loops in one call from Python.

A call from Python into compiled code costs about as much as a small loop takes, so a training step should make one such
call, not twenty. Compiling each step anew would take seconds; instead the step becomes data: a list of entry points and
of the blocks of words that hold their arguments.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from .compile import Step
from .entry import entry_point, runner
from .threads import run_together


class Section(NamedTuple):
    """Steps that are run block by block of their rows: all of them on the first block, then all on the next.

    `edges` says at which rows blocks begin, and where the last ends. Sections that follow each other with the same `team`,
    not 0, do not depend on each other and may run at the same time.
    """

    steps: Sequence[Step]
    edges: np.ndarray
    team: int = 0


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
    """Sections of loops, in order: calling it runs them all. It keeps their arrays alive.

    The arrays must be C-contiguous and stay where they are; what they hold may change between calls.
    """

    def __init__(self, sections: Sequence[Section]) -> None:
        self.sections = list(sections)
        self._kept: list[Any] = []
        self._stages: list[Callable[[], None]] = []
        for team, group in groupby(self.sections, key=lambda section: section.team):
            codes = [self._code(section) for section in group]
            if team:
                self._stages.append(functools.partial(run_together, [self._run(code) for code in codes]))
            else:
                self._stages.append(self._run(np.concatenate(codes)))

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

    def _run(self, code: np.ndarray) -> Callable[[], None]:
        run, compiled = runner()
        self._kept += [code, compiled]
        return functools.partial(run, len(code), code.ctypes.data)

    def __call__(self) -> None:
        for stage in self._stages:
            stage()
