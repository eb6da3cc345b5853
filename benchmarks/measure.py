"""Runs peers side by side: each in a process of its own, taking turns, several rounds; then medians of ratios."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from . import quiet
from .machine import ROOT
from .workloads import Workload

# Cores that others may use during a turn.
DISTURBANCE = 0.1


class Worker:
    """A peer's process, and what it has measured so far."""

    def __init__(self, peer: str, workload: Workload) -> None:
        self.peer = peer
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", peer, workload.name],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.about: dict[str, Any] = {}
        self.loss: float | None = None
        self.times: list[float] = []  # seconds a unit, one entry a round
        self.others: list[float] = []  # how many cores other programs used meanwhile
        self.least = workload.least_units
        self.units = workload.least_units
        self.peak_bytes = 0

    def ask(self, **command: Any) -> dict[str, Any]:
        """One command and its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """The next line of the worker's."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker of {self.peer} ended with status {self.process.wait()}: see above for why")
        return json.loads(line)

    def warm_up(self, seconds: float) -> None:
        """Run until compiled, then find how many units take about `seconds`."""
        self.run(self.units)
        took = 0.0
        while took < seconds / 4 and self.units < 10**6:
            self.run(self.units)  # the first time it compiles
            took = self.run(self.units)
            if took < seconds / 4:
                self.units *= max(2, min(10, round(seconds / 4 / max(took, 1e-6))))
        self.units = max(self.least, round(self.units * seconds / max(took, 1e-9)))
        self.run(self.units)
        self.times.clear()
        self.others.clear()

    def run(self, units: int, patience: float = 0.0) -> float:
        """A turn: seconds it took in all. While patience lasts, one that others disturbed is repeated."""
        end = time.perf_counter() + patience
        turns = []
        while True:
            if patience:
                quiet.wait(end - time.perf_counter(), DISTURBANCE)
            watch = quiet.Watch()
            result = self.ask(run=units)
            turns.append((watch.others(result["cpu_seconds"]), result["seconds"] / result["units"]))
            if turns[-1][0] <= DISTURBANCE or time.perf_counter() > end:
                break
        others, seconds = min(turns)
        self.times.append(seconds)
        self.others.append(others)
        self.peak_bytes = result["peak_bytes"]
        return result["seconds"]

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@dataclass
class Result:
    """What a workload's run gave."""

    workload: str
    unit: str
    peers: dict[str, dict[str, Any]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def ratio(self, peer: str, other: str) -> float | None:
        """The median, over rounds, of `peer`'s time divided by `other`'s in the same round."""
        if not {peer, other} <= self.peers.keys():
            return None
        return statistics.median(
            a / b for a, b in zip(self.peers[peer]["times"], self.peers[other]["times"], strict=True)
        )


def measure(workload: Workload, peers: list[str], *, rounds: int, seconds: float, patience: float = 0.0) -> Result:
    """All peers on one workload."""
    result = Result(workload.name, workload.unit)
    workers = []
    for peer in peers:
        worker = Worker(peer, workload)
        worker.about = worker.answer()
        if reason := worker.about.get("absent"):
            result.absent[peer] = reason
            worker.close()
            continue
        workers.append(worker)
        worker.loss = worker.ask(loss_after=workload.checked_steps)["loss"]
        worker.warm_up(seconds)
    for turn in range(rounds):
        for i in range(len(workers)):
            worker = workers[(i + turn) % len(workers)]
            worker.run(worker.units, patience)
            time.sleep(0.05)  # threads of a BLAS keep a core for a moment after their work
    for worker in workers:
        worker.close()
        result.peers[worker.peer] = {
            "seconds": statistics.median(worker.times),
            "times": worker.times,
            "others_busy_cores": worker.others,
            "units": worker.units,
            "loss": worker.loss,
            "peak_bytes": worker.peak_bytes,
            **worker.about,
        }
    return result


def disagreements(result: Result, workload: Workload) -> list[str]:
    """Peers whose loss after equal steps is not that of the plain transcription, within the tolerance."""
    losses = {name: peer["loss"] for name, peer in result.peers.items() if peer["loss"] is not None}
    expected = losses.get("plain-float32", next(iter(losses.values()), None))
    # scikit-learn penalizes no single layer and places epsilon elsewhere: it learns nearly the same.
    tolerances = {"sklearn": 0.03}
    return [
        f"{name}: loss {loss:.6f} after {workload.checked_steps} steps, expected {expected:.6f}"
        for name, loss in losses.items()
        if not math.isnan(loss) and abs(loss - expected) > tolerances.get(name, workload.tolerance) * abs(expected)
    ]
