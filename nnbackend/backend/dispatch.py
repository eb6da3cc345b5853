"""`xp.ops`: every primitive of `nnbackend.ops`, bound to a backend, with a faster override where one applies.

An `Op` is called like its reference, without `xp`. It runs the first override that accepts the arguments, else the
reference. While a step is being recorded (`xp.compiled_step`) it writes down which implementation is for which
arrays, so that later steps go straight to it: which kernel runs is decided when buffers are bound, not at each call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ArgumentError, StateError, did_you_mean
from ..kernels.override import Override

if TYPE_CHECKING:
    from .base import Backend

KERNEL_MODES = ("auto", "reference", "all")


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
            if (tape := self._xp.tape) is not None:
                return tape.run(self.name, function, args, kwargs)
            return function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<op {self.name} of {self._xp!r}, {len(self.overrides)} override(s)>"


class Ops:
    """The namespace `xp.ops`: an attribute for each function of `nnbackend.ops`."""

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
    """The reference ops of a module or package: its own public functions whose first argument is `xp`."""
    return {
        name: function
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and f"{function.__module__}.".startswith(f"{module.__name__}.")
        and not name.startswith("_")
        and next(iter(inspect.signature(function).parameters), None) == "xp"
    }


class Call(NamedTuple):
    """One op of a recorded step: its implementation and the arrays it was given."""

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def link(self) -> Callable[[Sequence[Call]], Sequence[Callable[[], Any]]]:
        """How calls that follow each other become what is replayed: one by one, unless the implementation knows better.

        An implementation may have an attribute `link`: it is given all calls in a row whose `link` is the same, and
        returns fewer, quicker calls without arguments that do the same.
        """
        return getattr(self.function, "link", _one_by_one)


def _one_by_one(calls: Sequence[Call]) -> list[Callable[[], Any]]:
    return [partial(call.function, *call.args, **call.kwargs) for call in calls]


class Tape:
    """The ops of one step, in order, with the arrays they were given.

    `deferred` ones do not run while they are written down, only when the step is replayed: what is added up in parts there
    must have been added up so in the first step too, or training in two pieces would differ from training in one.
    """

    def __init__(self, *, deferred: bool = False) -> None:
        self.calls: list[Call] = []
        self._deferred = deferred
        self._program: list[Callable[[], Any]] | None = None

    def run(self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Write a call down, and run it unless it is deferred; its result must go into an array that the caller holds."""
        if kwargs.get("out") is None and kwargs.get("state") is None:
            raise StateError(
                f"op {name!r} was called without out= inside a compiled step, which would replay into an array that "
                "nobody holds: give it a fixed buffer"
            )
        call = Call(name, function, args, kwargs)
        self.calls.append(call)
        for part in () if self._deferred else call.link([call]):
            part()
        return kwargs["out"] if kwargs.get("out") is not None else kwargs["state"]

    def replay(self) -> None:
        """Run the step again on the same arrays."""
        if self._program is None:
            self._program = [part for link, calls in groupby(self.calls, key=_link) for part in link(list(calls))]
        try:
            for part in self._program:
                part()
        except Exception as error:  # in a list of calls, far from the layer whose op it is
            error.add_note(f"in {_name(part)}, an op of a recorded step")
            raise


def _name(part: Any) -> str:
    """The op of a reference's call; what a kernel's is."""
    function = getattr(part, "func", part)
    return getattr(getattr(function, "func", function), "__name__", repr(function))


_link = attrgetter("link")
