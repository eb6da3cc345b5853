"""A verdict for each backend: an operation whose result is known really runs on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import Backend, Fault, get_backend, is_built_in, known_backends, parse_name
from ..backend.cupy_probe import fault_of
from ..errors import BackendError
from ..kernels.cpu import why_none as why_no_cpu_kernels
from .driver import Driver
from .fact import first_line, version_of
from .remedy import USE_CPU, gpu_remedy

KERNELS = "cpu kernels"
REINSTALL = "pip install --force-reinstall nnbackend"
NO_NUMBA = "numba-not-installed"
MISSING = (Fault.NOT_INSTALLED, NO_NUMBA)  # packages that one can do without


@dataclass(frozen=True)
class Verdict:
    """Whether a backend works; if so what runs underneath, else why not, in a word and in a sentence, and what mends it."""

    name: str
    works: bool
    description: str = ""
    fault: str | None = None
    reason: str = ""
    command: str | None = None

    @property
    def word(self) -> str:
        """The verdict in one word: works, fails, or missing (a package that is optional)."""
        return "works" if self.works else "missing" if self.fault in MISSING else "fails"

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "name": self.name,
            "verdict": self.word,
            "works": self.works,
            "description": self.description or None,
            "fault": self.fault,
            "reason": self.reason or None,
            "command": self.command,
        }


class WrongResultError(Exception):
    """An operation ran, and what it computed is not what it should be."""


def verdicts(driver: Driver | None, also: str | None, trying: Callable[[str], None]) -> Iterator[Verdict]:
    """One for each known backend and for `also`, such as "gpu:1". Raises `BackendError` if nobody knows that name.

    `trying` is told a name before its turn: a library that hangs or crashes says nothing itself.
    """
    if also is not None:
        parse_name(also)
    for name in dict.fromkeys([*known_backends(), *([also] if also else [])]):
        trying(name)
        yield verdict(name, driver)
        if name == "cpu":
            trying(KERNELS)
            yield kernels_verdict()


def verdict(name: str, driver: Driver | None) -> Verdict:
    """Whether that backend computes what it should."""
    try:
        xp = get_backend(name)
        run_known(xp)
        return Verdict(name, True, description=xp.description)
    except BackendError as error:
        fault, reason = error.fault, str(error)
    except WrongResultError as error:
        fault, reason = Fault.WRONG_RESULT, f"backend {name!r} cannot be used: {error}"
    except Exception as error:  # a library that is broken, or somebody's own backend
        no_memory = fault_of(error) is Fault.NO_MEMORY or isinstance(error, MemoryError)
        fault = Fault.NO_MEMORY if no_memory else Fault.OPERATION_FAILS
        reason = f"backend {name!r} cannot be used: an operation failed ({first_line(error)})"
    command = _remedy(name, fault, driver)
    if command == USE_CPU:
        reason += "; no NVIDIA device is in this machine, so no command makes this one work"
    return Verdict(name, False, fault=fault and str(fault), reason=reason, command=command)


def _remedy(name: str, fault: str | None, driver: Driver | None) -> str:
    family = name.partition(":")[0]
    if family == "gpu":
        return gpu_remedy(fault, driver)
    if name != family:
        return f"nnbackend doctor --backend {family}"  # it has no numbers
    if family == "cpu":
        return "pip install --force-reinstall numpy" if _reference_fails() else "pip install --upgrade numba"
    if is_built_in(family):
        return REINSTALL
    return f"python -c \"import nnbackend; nnbackend.get_backend('{name}')\""  # its author's: see the whole error


def _reference_fails() -> bool:
    try:
        run_known(get_backend("cpu", kernels="reference"))
    except Exception:
        return True
    return False


def kernels_verdict() -> Verdict:
    """Whether Numba's kernels run. Without them the backend `cpu` computes the same, only slower."""
    version, fault = version_of("numba"), why_no_cpu_kernels()
    if fault is not None and version is None:
        reason = (
            "Numba is not installed: the backend 'cpu' works without it, and training is several times faster with it"
        )
        return Verdict(KERNELS, False, fault=NO_NUMBA, reason=reason, command="pip install 'nnbackend[jit]'")
    if fault is not None:
        reason = f"Numba {version} does not import ({first_line(fault)}): the backend 'cpu' runs without its kernels"
        return Verdict(
            KERNELS, False, fault="numba-does-not-import", reason=reason, command="pip install --upgrade numba"
        )
    try:
        xp = get_backend("cpu", kernels="all")
        count = sum(bool(op.overrides) for op in xp.ops)
        run_known(xp, need_kernel=True)
    except Exception as error:
        word = Fault.WRONG_RESULT if isinstance(error, WrongResultError) else Fault.KERNEL_FAILS
        reason = f"a kernel compiled by Numba {version} fails ({first_line(error)})"
        return Verdict(KERNELS, False, fault=str(word), reason=reason, command="pip install --upgrade numba")
    return Verdict(KERNELS, True, description=f"Numba {version}, {count} operations")


def run_known(xp: Backend, *, need_kernel: bool = False) -> None:
    """max(0, inputs · weights + biases) of small integers, in two forms; raises `WrongResultError` if it is not exact.

    All sums stay below 2¹¹, so every order of summation and every precision from half to double gives the same result, and
    nothing but a fault gives another. The product asks for the BLAS of the device, the rest for a kernel.
    """
    generator = np.random.default_rng(0)
    inputs, weights = generator.integers(-4, 5, (7, 64)), generator.integers(-4, 5, (64, 5))
    biases = generator.integers(-4, 5, (1, 5))
    expected = np.maximum(inputs @ weights + biases, 0)  # of integers: no BLAS has a hand in it
    a, b, c = (xp.asarray(values, dtype=xp.dtype) for values in (inputs, weights, biases))
    unset = -1  # what no result is, so that nothing left over in memory passes for one
    out = xp.full(expected.shape, unset)
    if need_kernel and xp.ops.dense_relu.implementation(a, b, c, out=out) is xp.ops.dense_relu.reference:
        raise WrongResultError("no kernel takes part")
    joined = xp.to_host(xp.ops.dense_relu(a, b, c, out=out))
    apart = xp.to_host(xp.ops.relu(xp.ops.dense(a, b, c, out=out), out=xp.full(expected.shape, unset)))
    for form, found in (("joined", joined), ("apart", apart)):
        if wrong := int(np.sum(found != expected)):
            raise WrongResultError(f"it computed {wrong} of {expected.size} numbers of a dense layer wrongly ({form})")
