"""`xp.ops`: every primitive of `ops.py`, bound to a backend, with a faster override where one applies.

An `Op` is called like its reference, without `xp`. It runs the first override that accepts the arguments, else the
reference. While a step is being recorded (`xp.compiled_step`) it also writes down which implementation ran on which
arrays, so that later steps go straight to it: which kernel runs is decided when buffers are bound, not at each call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, StateError, did_you_mean

if TYPE_CHECKING:
    from .base import Backend

KERNEL_MODES = ("auto", "reference", "all")


@dataclass(frozen=True)
class Override:
    """A faster implementation of one op on one backend.

    `function` takes what the reference takes, without `xp`. `accepts(*args, **kwargs)` looks at dtypes and layouts
    only, never at values. `proved` is False for GPU code that no GPU has run yet: it stays off unless kernels="all".
    """

    function: Callable[..., Any]
    accepts: Callable[..., bool]
    proved: bool = True


class Op:
    """One primitive on one backend: `xp.ops.relu(inputs, out=output)`."""

    def __init__(
        self, xp: Backend, name: str, reference: Callable[..., Any], overrides: Iterable[Override] = ()
    ) -> None:
        self.name = name
        self.reference = partial(reference, xp)
        self.overrides = tuple(overrides)
        self.__doc__ = reference.__doc__
        self._xp = xp

    def implementation(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """The function that runs for these arguments."""
        for override in self.overrides:
            if override.accepts(*args, **kwargs):
                return override.function
        return self.reference

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        function = self.implementation(*args, **kwargs) if self.overrides else self.reference
        with self._xp.op_scope:
            result = function(*args, **kwargs)
        if (tape := self._xp.tape) is not None:
            tape.append(self.name, function, args, kwargs)
        return result

    def __repr__(self) -> str:
        return f"<op {self.name} of {self._xp!r}, {len(self.overrides)} override(s)>"


class Ops:
    """The namespace `xp.ops`: an attribute for each function of `ops.py`."""

    def __init__(self, xp: Backend, reference: ModuleType, overrides: Mapping[str, Iterable[Override]]) -> None:
        functions = references(reference)
        if unknown := set(overrides) - set(functions):
            name = min(unknown)
            raise ArgumentError(f"override of an unknown op {name!r}: {did_you_mean(name, functions)}")
        for name, function in functions.items():
            usable = [o for o in overrides.get(name, ()) if xp.kernels == "all" or (xp.kernels == "auto" and o.proved)]
            setattr(self, name, Op(xp, name, function, usable))

    def __iter__(self) -> Iterator[Op]:
        return iter(vars(self).values())

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Op: ...


def references(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The reference ops of a module: its own public functions whose first argument is `xp`."""
    return {
        name: function
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and not name.startswith("_")
        and next(iter(inspect.signature(function).parameters), None) == "xp"
    }


@dataclass
class Tape:
    """The ops of one step, in order, with the arrays they were given."""

    calls: list[Callable[[], Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def append(self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Write one call down; its result must have gone into an array that the caller holds."""
        if kwargs.get("out") is None and kwargs.get("state") is None:
            raise StateError(
                f"op {name!r} was called without out= inside a compiled step, which would replay into an array that "
                "nobody holds: give it a fixed buffer"
            )
        self.calls.append(partial(function, *args, **kwargs))
        self.names.append(name)

    def replay(self) -> None:
        """Run the step again on the same arrays."""
        for call in self.calls:
            call()
