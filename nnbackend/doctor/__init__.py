"""What this machine can run, and what to do about the rest.

`examine()` looks at the machine and lets every backend compute something whose result is known. It changes nothing.
`nnbackend doctor` shows what it finds:

    Machine
    CPU           AMD EPYC, 64 thread(s), of which this process may use 8
    ...
    Backend      Verdict
    cpu          works    NumPy 2.4.6
    cpu kernels  works    Numba 0.68.1, 44 operations
    gpu          fails    see below
    strict       works    NumPy 2.4.6 behind the rules of a GPU

    gpu: the driver sees no GPU; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --backend cpu
        $ unset CUDA_VISIBLE_DEVICES

    cpu works.

>>> import nnbackend.doctor
>>> report = nnbackend.doctor.examine()
>>> report.passed
True
>>> [verdict.name for verdict in report.verdicts if verdict.works][:1]
['cpu']

fact.py       one thing that is known of the machine
host.py       Python, CPU, memory, NumPy, BLAS, Numba, cache folders, extras
driver.py     the NVIDIA driver and its GPUs, without CuPy
device.py     CuPy, NVRTC, headers, TF32
verdict.py    whether a backend works
remedy.py     the command for a GPU that does not
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .device import device_facts
from .driver import read_driver
from .fact import Fact
from .host import host_facts
from .verdict import KERNELS, Verdict, verdicts

__all__ = ["KERNELS", "Fact", "Report", "Verdict", "examine"]


@dataclass(frozen=True)
class Report:
    """What was found: facts about the machine, and a verdict for each backend. `decisive` is the one that has to work."""

    facts: tuple[Fact, ...]
    verdicts: tuple[Verdict, ...]
    decisive: str

    @property
    def passed(self) -> bool:
        """Whether the decisive backend works."""
        return any(verdict.works for verdict in self.verdicts if verdict.name == self.decisive)

    def remedies(self) -> list[tuple[str, str, str]]:
        """(what, sentence, command) for everything that is not as it should be, backends first."""
        found = [(v.name, v.reason, v.command or "") for v in self.verdicts if not v.works]
        return found + [(f.name, f.warning, f.command or "") for f in self.facts if f.warning is not None]

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "passed": self.passed,
            "decisive": self.decisive,
            "backends": [verdict.document() for verdict in self.verdicts],
            "machine": {fact.key: fact.document() for fact in self.facts},
        }


def examine(backend: str = "cpu", *, trying: Callable[[str], None] = lambda name: None) -> Report:
    """Look at this machine, and try every backend; `backend` is the one that has to work for `Report.passed`.

    `trying` is called with the name of each before its turn, so that one that hangs can be told. Takes a few seconds, most of
    them for importing Numba and CuPy. Raises `BackendError` for a name that nobody knows.
    """
    driver = read_driver()
    judged = tuple(verdicts(driver, None if backend == "auto" else backend, trying))
    if backend == "auto":  # takes the GPU where it works
        backend = "gpu" if any(verdict.works for verdict in judged if verdict.name == "gpu") else "cpu"
    return Report((*host_facts(), *device_facts(driver)), judged, backend)
