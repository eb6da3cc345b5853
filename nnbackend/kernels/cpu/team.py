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
import contextlib
import os
import threading
from collections.abc import Sequence
from time import perf_counter, sleep

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
        self.words = lines(4 + threads)
        self.words[walk.TEAM_YIELD], self.words[walk.TEAM_THREADS] = yielding(), threads
        self.address = self.words.ctypes.data
        self._lead, self._help, self._pass_on = walk.lead(), walk.join_in(), walk.pass_on()
        self._alone_until, self._alone_seconds = 0.0, ALONE_SECONDS
        self._helpers: list[_Helper] = []
        atexit.register(self.stop)  # a thread in compiled code must not outlive it
        with contextlib.suppress(RuntimeError):  # no more threads for this process, or it is about to end
            for number in range(1, threads):
                self._helpers.append(_Helper(self, number))
        self.words[walk.TEAM_THREADS] = self.threads = 1 + len(self._helpers)

    def run(self, program: Shared) -> bool:
        """Run a program together; False where it must be run alone, since the team is at another, or the machine is busy."""
        begin = perf_counter()
        if begin < self._alone_until:
            return False
        for helper in self._helpers:
            helper.wake()
        if not self._lead(None, self.address, program.address):
            return False
        self._judge(program, perf_counter() - begin)
        return True

    def _judge(self, program: Shared, seconds: float) -> None:
        stalled = seconds > STALLED * program.quickest + STALL_SECONDS
        # Slowly forgotten: a program may have become slower for good, when its numbers did.
        program.quickest = min(seconds, program.quickest * (1.1 if stalled else 1.001))
        if stalled:
            now = perf_counter()
            recently = now < self._alone_until + 4 * self._alone_seconds
            self._alone_seconds = min(2 * self._alone_seconds, MOST_ALONE_SECONDS) if recently else ALONE_SECONDS
            self._alone_until = now + self._alone_seconds

    def pass_on(self, before: int, after: int) -> bool:
        """Make `after` the leader where it was `before`."""
        return bool(self._pass_on(None, self.address, before << 32 | after))

    def help(self, number: int) -> bool:
        """Join in until nothing is run for a while; whether to go on after a sleep."""
        self._help(None, self.address, number)
        return not self.words[walk.TEAM_STOP]

    def stop(self) -> None:
        """Let all helpers end."""
        atexit.unregister(self.stop)
        self.words[walk.TEAM_STOP] = 1
        for helper in self._helpers:
            helper.end()


class _Helper:
    """A thread that joins in, and sleeps while there is nothing to do."""

    def __init__(self, team: Team, number: int) -> None:
        self._words = team.words
        self._asleep = walk.TEAM_HELPERS + LINE * (number - 1) + walk.HELPER_ASLEEP
        self._sleep = threading.Lock()  # held while there is no reason to wake
        self._sleep.acquire()
        self._thread = threading.Thread(
            target=self._serve, args=(team, number), name=f"nnbackend-{number}", daemon=True
        )
        self._thread.start()

    def _serve(self, team: Team, number: int) -> None:
        while team.help(number):
            self._sleep.acquire()

    def wake(self) -> None:
        """Wake it if it sleeps."""
        if self._words[self._asleep]:  # until it is awake: to call twice does no harm
            with contextlib.suppress(RuntimeError):  # was called, and is on its way
                self._sleep.release()

    def end(self) -> None:
        """Return when it has ended, having been told to stop."""
        while self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                self._sleep.release()
            self._thread.join(0.01)


_making = threading.RLock()
_team: Team | None = None


def team() -> Team:
    """The team of this process, made when it is first needed."""
    global _team
    if _team is None:
        with _making:
            if _team is None:
                _team = Team(min(thread_count(), MOST_PARTS))
    return _team


# A child process must not begin with half a program, whose other half nobody there would do: so a fork waits for the run that is
# under way, though not for ever.
_FORK_SECONDS = 5.0


def _before_fork() -> None:
    _making.acquire()
    end = perf_counter() + _FORK_SECONDS
    while _team is not None and not _team.pass_on(walk.LED_BY_NOBODY, walk.LED_BY_A_FORK) and perf_counter() < end:
        sleep(0)


def _in_parent() -> None:
    if _team is not None:
        _team.pass_on(walk.LED_BY_A_FORK, walk.LED_BY_NOBODY)
    _making.release()


def _in_child() -> None:
    """Threads do not come along, so a child has a team of its own, and none of the parent's to end."""
    global _team
    if _team is not None:
        atexit.unregister(_team.stop)
        _team = None
    _making.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)


class Shared:
    """Stages of items in the form that a team runs. An item is a list of entry points and the blocks they take.

    It does not keep alive what the items use.
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
