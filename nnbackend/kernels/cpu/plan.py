"""How an op becomes loops: `@fast("n k, k m, 1 m -> n m")` makes an override out of a plan.

A plan takes what the op's reference takes, without `xp`, and gives a list of steps, each a function and its arguments: loops,
and matrix products of NumPy's where they are quicker. The text in front says which arrays it accepts; for all others
the reference runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..override import Override
from .compile import Step

OVERRIDES: dict[str, list[Override]] = {}

_REAL = (np.dtype("float32"), np.dtype("float64"))
_KINDS = {"int": np.dtype("int64"), "double": np.dtype("float64")}


class Shapes:
    """What arrays an override accepts: "n k, k m, 1 m -> n m" for three inputs and an output, "~" before state.

    Letters stand for lengths, which must agree; `*` for any shape, the same everywhere; `()` for an array of one number.
    `:int` is int64 and `:double` float64; all others share one dtype, float32 or float64. Arrays are C-contiguous,
    aligned and not empty, and those that are written to writeable; only an elementwise op may write into its input.

    >>> Shapes("n k, n:int -> n").accepts(np.ones((2, 3)), np.ones(2, np.int64), out=np.ones(2))
    True
    """

    def __init__(self, text: str) -> None:
        before, arrow, after = text.replace("~", "->").partition("->")
        self.written = "state" if "~" in text else "out"
        self.inputs = [_parse(item) for item in before.split(",") if item.strip()]
        self.outputs = [_parse(item) for item in after.split(",")] if arrow else []
        self.elementwise = all(dimensions == "*" for dimensions, _ in self.outputs)

    def accepts(self, *arguments: Any, **settings: Any) -> bool:
        """Whether these arguments fit; only dtypes, shapes and layouts are looked at."""
        written = settings[self.written]
        outputs = written if isinstance(written, tuple) else (written,)
        arrays = [array for argument in arguments for array in _arrays(argument)]
        if len(arrays) != len(self.inputs) or len(outputs) != len(self.outputs):
            return False
        if any(np.may_share_memory(output, array) for output in outputs for array in arrays) and not (
            self.elementwise and all(_one_or_apart(output, array) for output in outputs for array in arrays)
        ):
            return False
        lengths: dict[str, Any] = {}
        return all(_fits(array, item, lengths, False) for array, item in zip(arrays, self.inputs, strict=True)) and all(
            _fits(array, item, lengths, True) for array, item in zip(outputs, self.outputs, strict=True)
        )


def _one_or_apart(output: Any, array: Any) -> bool:
    """Whether two arrays begin at the same place, or have no memory in common."""
    return output.ctypes.data == array.ctypes.data or not np.may_share_memory(output, array)


def _arrays(argument: Any) -> tuple[Any, ...]:
    """The arrays of an argument: itself, those of a tuple, none of a number."""
    if isinstance(argument, (int, float)):
        return ()
    return argument if isinstance(argument, tuple) else (argument,)


def _parse(item: str) -> tuple[Any, np.dtype | None]:
    dimensions, _, kind = item.strip().partition(":")
    if dimensions in ("*", "()"):
        return dimensions, _KINDS.get(kind)
    return tuple(int(name) if name.isdigit() else name for name in dimensions.split()), _KINDS.get(kind)


def _fits(array: Any, item: tuple[Any, np.dtype | None], lengths: dict[str, Any], written: bool) -> bool:
    if not isinstance(array, np.ndarray):
        return False
    shape, flags, (dimensions, dtype) = array.shape, array.flags, item
    if not (array.size and flags.c_contiguous and flags.aligned and (flags.writeable or not written)):
        return False
    if array.dtype != (dtype or lengths.setdefault("dtype", array.dtype)) or not (dtype or array.dtype in _REAL):
        return False
    if dimensions == "()":
        return array.size == 1
    if dimensions == "*":
        return len(shape) > 0 and lengths.setdefault("*", shape) == shape
    return len(shape) == len(dimensions) and all(
        length == (name if isinstance(name, int) else lengths.setdefault(name, length))
        for length, name in zip(shape, dimensions, strict=True)
    )


def flat(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """The arrays in one dimension."""
    return tuple(array.reshape(-1) for array in arrays)


class Planned:
    """An op run by its plan."""

    def __init__(self, plan: Callable[..., list[Step]]) -> None:
        self.plan = plan
        self.__doc__ = plan.__doc__

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        for step in self.plan(*arguments, **settings):
            step.function(*step.arguments)
        return settings["out"] if "out" in settings else settings["state"]

    @staticmethod
    def link(calls: Sequence[Any]) -> list[Callable[[], Any]]:
        """Planned calls that follow each other in a recorded step, as fewer ones: see `link.py`."""
        from .link import link_steps

        return link_steps([step for call in calls for step in call.function.plan(*call.args, **call.kwargs)])

    def __repr__(self) -> str:
        return f"<plan of {self.plan.__name__}>"


def fast(
    accepts: str | Callable[..., bool], when: Callable[..., bool] | None = None
) -> Callable[[Callable[..., list[Step]]], Callable[..., list[Step]]]:
    """Make an override of the op with the plan's name.

    `accepts` is a text for `Shapes`, or a function of the op's arguments; `when` may then say no to some sizes.
    """
    fits = Shapes(accepts).accepts if isinstance(accepts, str) else accepts

    def accepted(*arguments: Any, **settings: Any) -> bool:
        return fits(*arguments, **settings) and (when is None or when(*arguments, **settings))

    def register(plan: Callable[..., list[Step]]) -> Callable[..., list[Step]]:
        OVERRIDES.setdefault(plan.__name__, []).append(Override(Planned(plan), accepted))
        return plan

    return register
