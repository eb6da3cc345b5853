"""`StrictArray`: an array of the pretend GPU, and `call`, through which every computation on it goes.

The array holds a NumPy array and is none itself: a subclass could not refuse `np.asarray`. Methods and operators are
made from tables, in `methods.py`, because each does the same few things: refuse what is not on the device, run NumPy's
function, wrap the result, and tell a compiled step that is being recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ...backend.base import describe
from ...errors import DataError
from . import indexing
from .recording import arrays_in, device
from .table import CONVERSIONS

if TYPE_CHECKING:
    from .backend import StrictBackend

_NUMBERS = (int, float, complex, np.number, np.bool_)
_PLAIN = frozenset({int, float, bool, complex, str, slice, type, type(None), type(Ellipsis)})


class StrictArray:
    """An array on the pretend GPU: what `cupy.ndarray` offers, and a `TransferError` where it would go to the host unseen."""

    __slots__ = ("__weakref__", "_raw", "_xp")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, raw: np.ndarray, xp: StrictBackend) -> None:
        self._raw = raw
        self._xp = xp

    # -- what the host knows without asking the device ------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self._raw.shape

    @property
    def dtype(self) -> np.dtype:
        return self._raw.dtype

    @property
    def ndim(self) -> int:
        return self._raw.ndim

    @property
    def size(self) -> int:
        return self._raw.size

    @property
    def nbytes(self) -> int:
        return self._raw.nbytes

    @property
    def itemsize(self) -> int:
        return self._raw.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        return self._raw.strides

    @property
    def flags(self) -> Flags:
        return Flags(self._raw.flags)

    @property
    def device(self) -> str:
        return "strict"

    def __len__(self) -> int:
        return len(self._raw)

    # -- views ----------------------------------------------------------------------------------------------------------

    @property
    def T(self) -> StrictArray:  # noqa: N802
        return StrictArray(self._raw.T, self._xp)

    @property
    def mT(self) -> StrictArray:  # noqa: N802
        return StrictArray(self._raw.mT, self._xp)

    # -- indexing -------------------------------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> StrictArray:
        return call(self._xp, "array[index]", indexing.read, (self, self._checked(index)))

    def __setitem__(self, index: Any, value: Any) -> None:
        if not is_operand("array[index] = value", value):
            raise TypeError(f"array[index] = value: a {type(value).__name__} is no number and no device array")
        call(self._xp, "array[index] = value", indexing.write, (self, self._checked(index), value), in_place=True)

    def _checked(self, index: Any) -> Any:
        """The index, after refusing host data in it and counting what CuPy fetches for a mask."""
        for item in index if isinstance(index, tuple) else (index,):
            if isinstance(item, StrictArray):
                if item.dtype.kind == "b":
                    self._xp.transfers.count_out("indexing with a mask, whose True elements must be counted,", 8)
            elif isinstance(item, (list, tuple, np.ndarray)):
                raise DataError(f"an index is {describe(item)} on the host: bring it in with xp.asarray")
        return index

    # -- the ways out: each is a transfer -------------------------------------------------------------------------------

    def _fetch(self, what: str) -> np.ndarray:
        self._xp.transfers.count_out(f"{what} of a device array", self._raw.nbytes)
        return self._raw

    def get(self) -> np.ndarray:
        return np.array(self._fetch("get()"))

    def item(self) -> Any:
        return self._fetch("item()").item()

    def tolist(self) -> Any:
        return self._fetch("tolist()").tolist()

    def __float__(self) -> float:
        return float(self._fetch("float()"))

    def __int__(self) -> int:
        return int(self._fetch("int()"))

    def __complex__(self) -> complex:
        return complex(self._fetch("complex()"))

    def __bool__(self) -> bool:
        return bool(self._fetch("bool()"))

    def __format__(self, specification: str) -> str:
        return format(self._fetch("format()"), specification)

    def __str__(self) -> str:
        return str(self._fetch("print()"))

    def __repr__(self) -> str:
        return "strict" + repr(self._fetch("repr()"))

    def __iter__(self) -> Iterator[StrictArray]:
        rows = len(self)  # a TypeError for an array without dimensions, before anything is counted
        self._fetch("iterating over the elements")
        return (self[row] for row in range(rows))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed: take the array out with xp.to_host")

    # -- NumPy's own functions, called with this array ------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        _refuse_host_arrays(f"np.{ufunc.__name__}", (inputs, kwargs))
        if method != "__call__":
            raise TypeError(f"np.{ufunc.__name__}.{method} does not take arrays of the device: use a function of xp")
        if len(kwargs.get("out", ())) == 1:
            kwargs["out"] = kwargs["out"][0]
        return _from_namespace(self._xp, ufunc)(*inputs, **kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        _refuse_host_arrays(f"np.{function.__name__}", (args, kwargs))
        return _from_namespace(self._xp, function)(*args, **kwargs)

    # -- copies ---------------------------------------------------------------------------------------------------------

    def __copy__(self) -> StrictArray:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> StrictArray:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return StrictArray, (self._fetch("pickling"), self._xp)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class Flags:
    """What CuPy says of an array's layout; it has no `writeable`."""

    def __init__(self, flags: Any) -> None:
        self.c_contiguous = flags.c_contiguous
        self.f_contiguous = flags.f_contiguous
        self.forc = flags.forc
        self.fnc = flags.fnc
        self.owndata = flags.owndata

    def __getitem__(self, name: str) -> bool:
        return getattr(self, name.lower())

    def __repr__(self) -> str:
        return f"Flags({vars(self)})"


# -- every computation ------------------------------------------------------------------------------------------------------


def call(
    xp: StrictBackend,
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    *,
    in_place: bool = False,
) -> Any:
    """Run NumPy's `function` on device arrays and give back device arrays.

    `in_place` says that the function writes to its first argument and returns nothing of interest.
    """
    raw_args = tuple([unwrap(name, argument) for argument in args])
    raw_kwargs = {keyword: unwrap(name, argument) for keyword, argument in kwargs.items()} if kwargs else {}
    out = kwargs.get("out") if kwargs else None
    result = function(*raw_args, **raw_kwargs)
    if in_place or out is not None:
        wrapped = out
    else:
        wrapped = wrap(xp, result)
        if xp.refuses_float64 and "dtype" not in raw_kwargs:
            _refuse_promotion(name, wrapped, raw_args, raw_kwargs)
    if (recording := device.recording) is not None:
        results = list(arrays_in(unwrap(name, wrapped)))
        recording.add(name, function, raw_args, raw_kwargs, results, in_place=in_place or out is not None)
    return wrapped


def unwrap(name: str, value: Any) -> Any:
    """The NumPy array in a device array, also within tuples and lists; other arrays are refused."""
    if isinstance(value, StrictArray):
        return value._raw
    if type(value) in _PLAIN:
        return value
    if isinstance(value, (tuple, list)):
        return type(value)([unwrap(name, item) for item in value])
    if not isinstance(value, (np.generic, type)) and (hasattr(value, "__array__") or hasattr(value, "__dlpack__")):
        raise DataError(
            f"{name} was given {describe(value)}, which is not on the device of backend 'strict': bring it in with xp.asarray"
        )
    return value


def wrap(xp: StrictBackend, value: Any) -> Any:
    """Device arrays for what NumPy returned; its scalars become arrays without dimensions, as on a GPU."""
    if isinstance(value, np.ndarray):
        return StrictArray(value, xp)
    if isinstance(value, (*_NUMBERS, bool)):
        return StrictArray(np.asarray(value), xp)
    if isinstance(value, (tuple, list)):
        return type(value)([wrap(xp, item) for item in value])
    return value


def _refuse_promotion(name: str, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """`DataError` when float32 arrays gave a float64 array: twice the memory and, on most GPUs, a fraction of the speed.

    Single numbers (schedules are computed in float64) and dtypes that the caller asked for are fine.
    """
    if not isinstance(result, StrictArray) or result._raw.dtype != np.float64 or result._raw.size <= 1:
        return
    if name.rpartition(".")[2] in CONVERSIONS:
        return
    operands = list(arrays_in((args, kwargs)))
    if any(array.dtype == np.float32 for array in operands):
        dtypes = ", ".join(sorted({str(array.dtype) for array in operands}))
        raise DataError(
            f"{name} of {dtypes} operands quietly gave float64 elements, shape {result.shape}, on a float32 backend: "
            "convert the wider operand first"
        )


def refuse_overlap(name: str, args: tuple[Any, ...], out: Any) -> None:
    """`DataError` where `out` is memory that the function still reads: only elementwise functions read before they write."""
    raw_out = unwrap(name, out)
    for argument in arrays_in(unwrap(name, args)):
        if np.shares_memory(argument, raw_out):
            raise DataError(
                f"{name} was given an out= that overlaps an input: a GPU may overwrite what it has yet to read"
            )


def _refuse_host_arrays(name: str, arguments: Any) -> None:
    for array in arrays_in(arguments):
        raise DataError(f"{name} was given {describe(array)} beside a device array: bring it in with xp.asarray")


def _from_namespace(xp: StrictBackend, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of `xp` that stands for one of NumPy's, as CuPy finds its own by name."""
    name = function.__name__
    if getattr(np, name, None) is not function or not hasattr(xp, name):
        raise TypeError(
            f"np.{name} does not take arrays of the device: use a function that NumPy and CuPy share, through xp"
        )
    return getattr(xp, name)


def is_operand(name: str, value: Any) -> bool:
    """Whether a value may stand beside a device array in an expression; `DataError` for arrays from elsewhere."""
    if isinstance(value, (StrictArray, *_NUMBERS)):
        return True
    if hasattr(value, "__array__") or isinstance(value, (list, tuple)):
        raise DataError(f"{name} was given {describe(value)} beside a device array: bring it in with xp.asarray")
    return False
