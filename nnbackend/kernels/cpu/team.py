"""Threads that run a program together.

A program is a list of stages, a stage a list of items that do not depend on each other. Every thread walks through the
stages, takes items that nobody has taken, and waits at the end of a stage until all are done (`walk.py`). How the work is cut
does not depend on how many threads there are, nor does it matter who does what: the results are the same to the bit.

The thread that calls never needs the others. They join in where they can; if none comes, it does everything itself. So a busy
machine costs little: only for an item that another thread has begun is there something to wait for, and where such
waits are long, the others are left out for a while.

Between two programs the others look out for the next for a tenth of a millisecond or two, then they sleep. A step takes
less than it takes the system to wake a thread, so sharing it pays only with threads that are awake.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Sequence
from time import perf_counter

import numpy as np

from . import walk
from .atomics import yielding
from .cores import thread_count
from .walk import LINE

# Work is cut into so many parts at most, so more threads would be of no use.
MOST_PARTS = 8

# A run that takes so many times as long as the quickest, and so many seconds more, has waited for a thread that did not get a
# core. Then programs are run alone for a while: at first for so many seconds, for longer if it happens again.
STALLED, STALL_SECONDS = 3.0, 5e-4
ALONE_SECONDS, MOST_ALONE_SECONDS = 0.05, 2.0


def lines(count: int) -> np.ndarray:
    """Words in so many cache lines, all zero."""
    words = np.zeros((count + 1) * LINE, np.int64)
    begin = -words.ctypes.data // 8 % LINE
    return words[begin : begin + count * LINE]


class Team:
    """The calling thread and its helpers. One program at a time is run by a team; a second one beside it is run alone."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.words = lines(3 + threads)
        self.words[walk.TEAM_YIELD], self.words[walk.TEAM_THREADS] = yielding(), threads
        self.address = self.words.ctypes.data
        self._lead, self._help, self._forget = walk.lead(), walk.join_in(), walk.forget()
        self.leading = threading.Lock()
        self._calls = [threading.Semaphore(0) for _ in range(threads - 1)]
        self._asleep = [walk.TEAM_HELPERS + LINE * number + walk.HELPER_ASLEEP for number in range(threads - 1)]
        self._alone_until, self._alone_seconds = 0.0, ALONE_SECONDS
        self._helpers = [
            threading.Thread(target=self._serve, args=(number,), name=f"nnbackend-{number + 1}", daemon=True)
            for number in range(threads - 1)
        ]
        for helper in self._helpers:
            helper.start()
        atexit.register(self.stop)  # a thread in compiled code must not outlive it

    def run(self, program: Shared) -> bool:
        """Run a program together; False where it must be run alone, since the team is at another, or the machine is busy."""
        begin = perf_counter()
        if begin < self._alone_until or not self.leading.acquire(blocking=False):
            return False
        try:
            for number, asleep in enumerate(self._asleep):
                if self.words[asleep]:
                    self.words[asleep] = 0
                    self._calls[number].release()
            self._lead(None, self.address, program.address)
        finally:
            self.leading.release()
        self._judge(program, perf_counter() - begin)
        return True

    def _judge(self, program: Shared, seconds: float) -> None:
        if seconds < program.quickest:
            program.quickest = seconds
        elif seconds > STALLED * program.quickest + STALL_SECONDS:
            now = perf_counter()
            recently = now < self._alone_until + 4 * self._alone_seconds
            self._alone_seconds = min(2 * self._alone_seconds, MOST_ALONE_SECONDS) if recently else ALONE_SECONDS
            self._alone_until = now + self._alone_seconds

    def forget(self, program: Shared) -> None:
        """See the function below."""
        self._forget(None, self.address, program.address)

    def _serve(self, number: int) -> None:
        while not self.words[walk.TEAM_STOP]:
            self._help(None, self.address, number + 1)
            self._calls[number].acquire()

    def stop(self) -> None:
        """Let all helpers end."""
        atexit.unregister(self.stop)
        self.words[walk.TEAM_STOP] = 1
        for call in self._calls:
            call.release()
        for helper in self._helpers:
            helper.join()


_making = threading.Lock()
_team: Team | None = None


def team() -> Team:
    """The team of this process, made when it is first needed."""
    global _team
    if _team is None:
        with _making:  # two would each have helpers that look at the other's programs
            if _team is None:
                _team = Team(min(thread_count(), MOST_PARTS))
    return _team


def disband() -> None:
    """End the helpers; the next program that is run has a new team."""
    global _team
    if _team is not None:
        _team.stop()
        _team = None


def _before_fork() -> None:
    """A child must not begin with half a program, whose other half nobody there would do."""
    _making.acquire()
    if _team is not None:
        _team.leading.acquire()


def _in_parent() -> None:
    if _team is not None:
        _team.leading.release()
    _making.release()


def _in_child() -> None:
    """Threads do not come along, so a child has a team of its own."""
    global _team
    _team = None
    _making.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)


def forget(program: Shared) -> None:
    """Return when no helper looks at a program any more, so that its memory may be freed."""
    if _team is not None:
        _team.forget(program)


class Shared:
    """Stages of items in the form that a team runs. An item is a list of entry points and the blocks they take.

    It does not keep alive what the items use; whoever does must `forget` it before.
    """

    def __init__(self, stages: Sequence[Sequence[np.ndarray]]) -> None:
        items = sum(len(stage) for stage in stages)
        self._kept = [code for stage in stages for code in stage]
        self._codes = np.array([(len(code), code.ctypes.data) for code in self._kept], np.int64)
        self._taken, self._done = lines(items), lines(len(stages))
        self._words = lines(2 + -(-walk.STAGE_WORDS * len(stages) // LINE))
        self._words[walk.PROGRAM_STAGES] = len(stages)
        first = 0
        for number, stage in enumerate(stages):
            at = walk.PROGRAM_FIRST + walk.STAGE_WORDS * number
            self._words[at : at + walk.STAGE_WORDS] = (
                len(stage),
                self._codes[first:].ctypes.data,
                self._taken[first * LINE :].ctypes.data,
                self._done[number * LINE :].ctypes.data,
            )
            first += len(stage)
        self.address = self._words.ctypes.data
        self.quickest = float("inf")
