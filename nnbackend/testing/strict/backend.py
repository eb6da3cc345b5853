"""`StrictBackend`: the pretend GPU as a backend, with a namespace that holds only what CuPy has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend.base import Backend, describe
from ...backend.transfers import Transfers
from ...backend.uploads import CopiedUpload
from ...errors import DataError, StateError, TransferError
from . import indexing
from .arrays import StrictArray, call, refuse_overlap, unwrap
from .methods import attach_methods_and_operators, stable_argsort, stable_sort
from .recording import ReplayedStep, device
from .table import (
    CONSTANTS,
    CREATION,
    ELEMENTWISE,
    FACTS,
    FUNCTIONS,
    SEQUENCES,
    SIGNATURES,
    SYNCHRONIZING,
    UFUNC_KEYWORDS,
    UFUNCS,
)

attach_methods_and_operators()


class StrictBackend(Backend):
    """A GPU's rules on a CPU, so that code which would fail or go silently wrong on one fails here.

    >>> import nnbackend as nn
    >>> xp = nn.get_backend("strict")
    >>> total = xp.asarray([1.0, 2.0]).sum()
    >>> with xp.no_transfers():
    ...     float(total)  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    TransferError: float() of a device array moves data between host and device inside xp.no_transfers()
    """

    def __init__(self, *, dtype: str, kernels: str) -> None:
        super().__init__("strict", StrictNamespace(self), dtype=dtype, kernels=kernels)
        self.transfers = StrictTransfers()
        self.op_scope = device
        self.uploads_overlap = False  # what a thread does on the side would be written down as part of a step
        self.refuses_float64 = self.dtype == np.float32

    def is_array(self, value: Any) -> bool:
        return isinstance(value, StrictArray)

    def _to_device(self, host: np.ndarray) -> StrictArray:
        return StrictArray(np.array(host), self)

    def _from_device(self, array: StrictArray) -> np.ndarray:
        return np.array(array._raw)

    def aligned_zeros(self, size: int) -> StrictArray:
        return call(self, "xp.aligned_zeros", super().aligned_zeros, (size,))

    def upload(self, shape: tuple[int, ...], dtype: Any) -> CopiedUpload:
        return CopiedUpload(self, shape, np.dtype(dtype))

    def synchronize(self) -> None:
        if device.recording is not None:
            raise StateError(
                "xp.synchronize inside a compiled step: a CUDA graph cannot capture it; call it after the step"
            )

    def compiled_step(self, step: Callable[[], None], *, only_ops: bool = False) -> Callable[[], None]:
        """`step`, whose array calls are written down the first time and run again on the same memory afterwards."""
        return ReplayedStep(self, step, only_ops=only_ops)

    @property
    def description(self) -> str:
        return f"NumPy {np.__version__} behind the rules of a GPU"


class StrictTransfers(Transfers):
    """The counter at the doors, which are shut while a compiled step is being recorded."""

    def _refuse(self, what: str) -> None:
        if device.recording is not None:
            raise TransferError(
                f"{what} moves data between host and device inside a compiled step, which a CUDA graph cannot capture: keep the "
                "value in a device array, or move it before or after the step"
            )
        super()._refuse(what)


class StrictNamespace:
    """The functions of the tables in `table.py`, each made when it is first asked for."""

    def __init__(self, xp: StrictBackend) -> None:
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        if name in UFUNCS:
            return _elementwise(self._xp, name)
        if name in SIGNATURES:
            return _function(self._xp, name)
        if name in FACTS:
            return _fact(name)
        if name in CONSTANTS:
            return getattr(np, name)
        raise AttributeError(name)


def _elementwise(xp: StrictBackend, name: str) -> Callable[..., Any]:
    ufunc = getattr(np, name)
    label = f"xp.{name}"

    def elementwise(*args: Any, **kwargs: Any) -> Any:
        if len(args) != ufunc.nin:
            raise TypeError(
                f"{label} was given {len(args)} arguments by position, and takes {ufunc.nin}; give out by keyword"
            )
        for argument in args:
            if not isinstance(argument, (StrictArray, int, float, complex, np.generic)):
                raise DataError(
                    f"{label} was given {describe(argument)}: expected device arrays and numbers; use xp.asarray"
                )
        if kwargs:
            _check_ufunc_keywords(label, kwargs)
        return call(xp, label, ufunc, args, kwargs)

    elementwise.__name__ = name
    return elementwise


def _check_ufunc_keywords(label: str, kwargs: dict[str, Any]) -> None:
    for keyword in kwargs:
        if keyword not in UFUNC_KEYWORDS:
            raise TypeError(
                f"{label} has no keyword {keyword!r} here: CuPy takes {', '.join(sorted(UFUNC_KEYWORDS))} only"
            )
    if isinstance(kwargs.get("out"), tuple) and any(part is None for part in kwargs["out"]):
        raise TypeError(f"{label}: give every out= or none")


def _function(xp: StrictBackend, name: str) -> Callable[..., Any]:
    signature, function, label = SIGNATURES[name], _OWN.get(name) or getattr(np, name), f"xp.{name}"
    check = _check_creation if name in CREATION else _check_function if name in FUNCTIONS else _check_variadic

    def offered(*args: Any, **kwargs: Any) -> Any:
        if refusal := signature.refusal(len(args), kwargs):
            raise TypeError(f"{label} {refusal}")
        args = check(xp, name, args, kwargs)
        return call(xp, label, function, args, kwargs)

    offered.__name__ = name
    return offered


def _check_creation(xp: StrictBackend, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Shapes and bounds are numbers on the host: CuPy fetches what is given as a device array, all but a fill value."""
    _check_variadic(xp, name, args, kwargs)
    host = 1 if name == "full" else len(args)
    fetched = [argument.item() if isinstance(argument, StrictArray) else argument for argument in args[:host]]
    return (*fetched, *args[host:])


def _check_function(xp: StrictBackend, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    if not (args and isinstance(args[0], (StrictArray, tuple, list))):
        raise DataError(
            f"xp.{name} was given {describe(args[0]) if args else 'nothing'}: expected an array of the device"
        )
    _check_variadic(xp, name, args, kwargs)
    if name in SYNCHRONIZING or (name == "where" and len(args) == 1):
        xp.transfers.count_out(f"xp.{name}, which must know values to give its result,", 8)
    if kwargs.get("out") is not None and name not in ELEMENTWISE:
        refuse_overlap(f"xp.{name}", args, kwargs["out"])
    return args


def _check_variadic(xp: StrictBackend, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """A list of numbers where an array belongs would be a third door."""
    for position, argument in enumerate(args):
        if not isinstance(argument, (tuple, list)) or SIGNATURES[name].parameter(position) in SEQUENCES:
            continue
        if not all(isinstance(item, StrictArray) for item in argument):
            raise DataError(f"xp.{name} was given {describe(argument)} of host data: bring it in with xp.asarray")
    return args


def _fact(name: str) -> Callable[..., Any]:
    fact = getattr(np, name)
    if isinstance(fact, type):  # finfo and iinfo
        return fact

    def asked(*args: Any, **kwargs: Any) -> Any:
        return fact(*unwrap(f"xp.{name}", args), **kwargs)

    asked.__name__ = name
    return asked


def _empty(shape: Any, **kwargs: Any) -> np.ndarray:
    return _poisoned(np.empty(shape, **kwargs))


def _empty_like(prototype: np.ndarray, *args: Any, **kwargs: Any) -> np.ndarray:
    return _poisoned(np.empty_like(prototype, *args, **kwargs))


def _poisoned(raw: np.ndarray) -> np.ndarray:
    """Fresh memory often holds zeros on a CPU and rarely does on a GPU: reading it before writing must show."""
    if raw.dtype.kind in "fc":
        raw.fill(np.nan)
    elif raw.dtype.kind in "iu":
        raw.fill(np.iinfo(raw.dtype).max)
    return raw


# Where NumPy's function of the same name is too lenient, or does another thing.
_OWN: dict[str, Callable[..., Any]] = {
    "argsort": stable_argsort,
    "empty": _empty,
    "empty_like": _empty_like,
    "sort": stable_sort,
    "take": indexing.take,
    "take_along_axis": indexing.take_along_axis,
}
