"""One peer on one workload, in a process of its own: reads commands on stdin, answers on stdout, a line of JSON each."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .peers import MODULES, BasePeer
from .settings import Setting
from .workloads import Workload
from .workloads import workload as workload_of


def load(name: str) -> Any:
    """The peer's class, or `ImportError` where what it needs is not installed."""
    return importlib.import_module(f".peers.{MODULES[name]}", __package__).Peer


def peak_memory() -> int | None:
    """The largest resident memory of this process so far, in bytes; None where the system does not say."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):  # unlike getrusage's figure, it begins anew when a program is started
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # on Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Session:
    """A peer at work."""

    def __init__(self, kind: type[BasePeer], workload: Workload, setting: Setting) -> None:
        self.kind, self.workload, self.setting = kind, workload, setting
        self.peer: BasePeer | None = None

    def begin(self) -> dict[str, Any]:
        """Build the peer and check what it computes, before anything is timed."""
        peer = self.peer = self.kind(self.workload, self.setting)
        first = peer.loss_now()
        loss = peer.loss_after(self.workload.checked_steps) if self.workload.training else first
        return {"loss": loss, "first_loss": first, "versions": peer.versions()}

    def run(self, units: int) -> dict[str, Any]:
        """A turn."""
        assert self.peer is not None
        start, cpu = time.perf_counter(), time.process_time()
        self.peer.run(units)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        return {"seconds": seconds, "cpu_seconds": cpu, "units": self.peer.units_done(units)}

    def end(self) -> dict[str, Any]:
        """What became of it: how much memory it took, and whether it has learned."""
        assert self.peer is not None
        memory = {"peak_bytes": peak_memory(), "device_peak_bytes": self.peer.device_peak()}
        return {**memory, "last_loss": self.peer.loss_now()}


def serve(name: str, workload: Workload, setting: Setting, answer: Callable[..., None]) -> None:
    """Answer until stdin is closed."""
    try:
        kind = load(name)
    except ImportError as error:
        answer(absent=f"not installed ({error})")
        return
    if reason := kind.refusal(workload, setting):
        answer(absent=reason)
        return
    session = Session(kind, workload, setting)
    answer(import_bytes=peak_memory())
    for line in sys.stdin:
        command = json.loads(line)
        answer(**getattr(session, command.pop("do"))(**command))


def main(name: str, workload_name: str, settings: str) -> None:
    """A failure is an answer too: the others go on."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer

    def answer(**fields: Any) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    setting = Setting(**json.loads(settings))
    try:
        serve(name, workload_of(workload_name, setting), setting, answer)
    except Exception as error:
        answer(failed=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}")
        raise


if __name__ == "__main__":
    main(*sys.argv[1:])
