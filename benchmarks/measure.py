"""Runs peers side by side: each in a process of its own, taking turns, several rounds; then medians of ratios."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import quiet
from .machine import ROOT
from .settings import Setting
from .workloads import Workload

# Cores that others may use during a turn.
DISTURBANCE = 0.1

# A peer that does not answer for so many seconds is ended. Compiling and a long turn take a tenth of it.
LIMIT = 900.0


@dataclass(frozen=True)
class Pace:
    """How often and how long peers have their turns."""

    rounds: int = 9
    seconds: float = 0.5  # about, for a turn
    patience: float = 0.0  # for which a turn that other programs disturb is repeated


class PeerError(Exception):
    """A peer that cannot go on, with the reason."""


class Worker:
    """A peer's process, and what it has measured so far."""

    def __init__(self, peer: str, workload: Workload, setting: Setting) -> None:
        self.peer = peer
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed in `close`; shown where the peer fails)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", peer, workload.name, setting.to_json()],
            cwd=ROOT, env=os.environ | setting.environment(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
        )  # fmt: skip
        self.about: dict[str, Any] = {}
        self.times: list[float] = []  # seconds a unit, one entry a round
        self.others: list[float] = []  # how many cores other programs used meanwhile
        self.least = workload.least_units
        self.units = workload.least_units

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """One command and its answer."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
            self.process.stdin.flush()
        except OSError:
            pass  # it has ended: the answer says why
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """The next line of the worker's, or `PeerError`."""
        assert self.process.stdout is not None
        late = threading.Timer(LIMIT, self.process.kill)
        late.start()
        try:
            line = self.process.stdout.readline()
        finally:
            late.cancel()
        if not line:
            raise PeerError(f"its process ended with status {self.process.wait()}{self._last_words()}")
        found = json.loads(line)
        if "failed" in found:
            raise PeerError(found["failed"])
        return found

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return f" ({lines[-1]})" if lines else ""

    def warm_up(self, seconds: float) -> None:
        """Run until compiled, then find how many units take about `seconds`."""
        self.run(self.units)
        for _ in range(12):
            self.run(self.units)  # the first time it compiles
            took = self.run(self.units)
            if (self.units == self.least and took > seconds) or 0.7 * seconds <= took <= 1.4 * seconds:
                break
            # By steps: a single unit may be all overhead.
            self.units = max(self.least, round(self.units * min(10.0, seconds / max(took, 1e-9))))
        self.times.clear()
        self.others.clear()

    def run(self, units: int, patience: float = 0.0) -> float:
        """A turn: seconds it took for `units`. While patience lasts, one that others disturbed is repeated."""
        end = time.perf_counter() + patience
        turns = []
        while True:
            if patience:
                quiet.wait(end - time.perf_counter(), DISTURBANCE)
            watch = quiet.Watch()
            result = self.ask("run", units=units)
            turns.append((watch.others(result["cpu_seconds"]), result["seconds"] / result["units"]))
            if turns[-1][0] <= DISTURBANCE or time.perf_counter() > end:
                break
        others, seconds = min(turns)
        self.times.append(seconds)
        self.others.append(others)
        return seconds * units

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
            self.process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._errors.close()


@dataclass
class Result:
    """What a workload's run gave."""

    workload: str
    unit: str
    peers: dict[str, dict[str, Any]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)  # who did not learn the same
    measured: dict[str, Any] = field(default_factory=dict)  # when, from which commit, ...

    def ratio(self, peer: str, other: str) -> float | None:
        """The median, over rounds, of `peer`'s time divided by `other`'s in the same round."""
        if not {peer, other} <= self.peers.keys():
            return None
        return statistics.median(
            a / b for a, b in zip(self.peers[peer]["times"], self.peers[other]["times"], strict=True)
        )


def measure(workload: Workload, peers: list[str], setting: Setting, pace: Pace) -> Result:
    """All peers on one workload. One that fails is left out, by name and with the reason."""
    result = Result(workload.name, workload.unit)
    workers = [Worker(peer, workload, setting) for peer in peers]
    try:
        for worker in workers:
            _try(result, worker, lambda worker=worker: _begin(worker, pace))  # type: ignore[misc]
        for turn in range(pace.rounds):
            present = [worker for worker in workers if worker.peer not in result.absent]
            for i in range(len(present)):
                worker = present[(i + turn) % len(present)]
                _try(result, worker, lambda worker=worker: worker.run(worker.units, pace.patience))  # type: ignore[misc]
                time.sleep(0.05)  # threads of a BLAS keep a core for a moment after their work
        for worker in workers:
            if worker.peer not in result.absent:
                _try(result, worker, lambda worker=worker: worker.about.update(worker.ask("end")))  # type: ignore[misc]
            if worker.peer not in result.absent:
                result.peers[worker.peer] = _figures(worker)
    finally:
        for worker in workers:
            worker.close()
    result.wrong = disagreements(result, workload)
    return result


def _try(result: Result, worker: Worker, work: Callable[[], Any]) -> None:
    try:
        work()
    except PeerError as error:
        result.absent[worker.peer] = str(error) if worker.about.get("absent") else f"failed: {error}"


def _begin(worker: Worker, pace: Pace) -> None:
    worker.about = worker.answer()
    if reason := worker.about.get("absent"):
        raise PeerError(reason)
    worker.about.update(worker.ask("begin"))
    worker.warm_up(pace.seconds)


def _figures(worker: Worker) -> dict[str, Any]:
    return {
        "seconds": statistics.median(worker.times),
        "times": worker.times,
        "others_busy_cores": worker.others,
        "units": worker.units,
        **worker.about,
    }


# scikit-learn penalizes no single layer and places epsilon elsewhere: it learns nearly the same.
_TOLERANCES = {"sklearn": 0.03}


def disagreements(result: Result, workload: Workload) -> list[str]:
    """Peers whose loss after equal steps is not that of the plain transcription, or that did not learn in their turns."""
    losses = {name: peer["loss"] for name, peer in result.peers.items() if peer["loss"] is not None}
    expected = losses.get("plain-float32", next(iter(losses.values()), None))
    found = []
    for name, loss in losses.items():
        allowed = _TOLERANCES.get(name, workload.tolerance) * abs(expected)
        if not abs(loss - expected) <= allowed:  # so that NaN is a disagreement
            found.append(f"{name}: loss {loss:.6f} after {workload.checked_steps} steps, expected {expected:.6f}")
        first, last = result.peers[name]["first_loss"], result.peers[name]["last_loss"]
        if workload.training and not (math.isfinite(last) and last < first):
            found.append(f"{name}: loss {last:.6f} after all its turns, {first:.6f} before: it has not learned")
    return found
