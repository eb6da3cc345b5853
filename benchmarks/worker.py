"""One peer on one workload, in a process of its own: reads commands on stdin, answers on stdout, a line of JSON each."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import sys
import time
from typing import Any

from .peers import MODULES
from .workloads import workload as workload_of


def load(name: str) -> Any:
    """The peer's class, or None where what it needs is not installed."""
    try:
        return importlib.import_module(f".peers.{MODULES[name]}", __package__).Peer
    except ImportError:
        return None


def peak_memory() -> int:
    """The largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def serve(name: str, workload_name: str) -> None:
    """Answer until stdin is closed."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer

    def answer(**fields: Any) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    workload = workload_of(workload_name)
    began = time.perf_counter()
    kind = load(name)
    if kind is None or not kind.takes(workload):
        answer(absent="not installed" if kind is None else "cannot do this work")
        return
    imported, memory = time.perf_counter() - began, peak_memory()
    peer = kind(workload)
    answer(versions=peer.versions(), import_s=imported, import_bytes=memory)
    for line in sys.stdin:
        command = json.loads(line)
        if "loss_after" in command:
            loss = None
            with contextlib.suppress(NotImplementedError):
                loss = peer.loss_after(command["loss_after"])
            answer(loss=loss)
        else:
            units = command["run"]
            start, cpu = time.perf_counter(), time.process_time()
            peer.run(units)
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
            done = peer.units_done(units) if hasattr(peer, "units_done") else units
            answer(seconds=seconds, cpu_seconds=cpu, units=done, peak_bytes=peak_memory())


if __name__ == "__main__":
    serve(*sys.argv[1:])
