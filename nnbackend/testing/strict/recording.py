"""Compiled steps on the pretend GPU: the array calls of a first step, run again on the same memory.

A CUDA graph repeats kernels with the arguments they had when it was captured: the same addresses, the same numbers.
So does a `Recording`, and a step whose Python numbers change from call to call gives a wrong result on a CPU already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ...backend.dispatch import Tape
from ...errors import StateError

if TYPE_CHECKING:
    from .backend import StrictBackend


class Recording:
    """Every array call of one step, in order, with the memory that it reads and writes."""

    def __init__(self, *, only_ops: bool, op_depth: int) -> None:
        self.calls: list[Callable[[], Any]] = []
        self._only_ops = only_ops
        self._op_depth = op_depth

    def add(
        self,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        results: list[np.ndarray],
        *,
        in_place: bool,
    ) -> None:
        """Write one call down, unless all its results are views of its arguments, which need no second run."""
        arguments = list(arrays_in((args, kwargs)))
        fresh = [not any(np.may_share_memory(result, argument) for argument in arguments) for result in results]
        if not in_place and not any(fresh):
            return
        if self._only_ops and device.op_depth <= self._op_depth and name not in _ALLOCATIONS:
            raise StateError(
                f"{name} computes outside of an op in a compiled step that promised only_ops: the CPU replays ops alone and "
                "would leave it out; make it an op, or do it before the step"
            )
        self.calls.append(_rerun(function, args, kwargs, results, fresh, in_place=in_place))

    def replay(self) -> None:
        """Run the step again."""
        for call in self.calls:
            call()


# They compute nothing: what is in such memory is nobody's business, on the first run and on later ones.
_ALLOCATIONS = ("xp.empty", "xp.empty_like")


def _rerun(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    results: list[np.ndarray],
    fresh: list[bool],
    *,
    in_place: bool,
) -> Callable[[], Any]:
    """A call without arguments that does the same and puts the results where they were the first time."""
    if in_place:
        return lambda: function(*args, **kwargs)
    if isinstance(function, np.ufunc):
        out = {**kwargs, "out": tuple(results)}
        return lambda: function(*args, **out)

    def rerun() -> None:
        again = function(*args, **kwargs)
        parts = again if isinstance(again, (tuple, list)) else (again,)
        for result, part, is_fresh in zip(results, parts, fresh, strict=True):
            if is_fresh:
                result[...] = part

    return rerun


def arrays_in(value: Any) -> Iterator[np.ndarray]:
    """The NumPy arrays among arguments, however deep in tuples, lists and keywords."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from arrays_in(item)
    elif isinstance(value, dict):
        yield from arrays_in(tuple(value.values()))


class Device:
    """The one pretend device behind all strict backends: what is being recorded, and how deep in ops we are."""

    def __init__(self) -> None:
        self.recording: Recording | None = None
        self.op_depth = 0

    # `xp.op_scope`, which is entered around every op
    def __enter__(self) -> None:
        self.op_depth += 1

    def __exit__(self, *exception: object) -> None:
        self.op_depth -= 1


device = Device()


class ReplayedStep:
    """A step that records its array calls the first time and replays them afterwards."""

    def __init__(self, xp: StrictBackend, step: Callable[[], None], *, only_ops: bool) -> None:
        self._xp = xp
        self._step = step
        self._only_ops = only_ops
        self.recording: Recording | None = None

    def __call__(self) -> None:
        if device.recording is not None:  # inside another compiled step, and so a part of it
            self._step()
        elif self.recording is not None:
            self.recording.replay()
        else:
            self.recording = self._record()

    def _record(self) -> Recording:
        recording = device.recording = Recording(only_ops=self._only_ops, op_depth=device.op_depth)
        self._xp.tape = Tape()  # only for its refusal of ops that are given no buffer
        try:
            self._step()
        finally:
            device.recording = None
            self._xp.tape = None
        return recording
