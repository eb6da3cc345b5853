"""`from nnbackend.book import np`: NumPy on the CPU, and on a device what a book script needs of NumPy there.

On the CPU it is NumPy itself. On a device it gives the device's functions under NumPy's names. Lists and NumPy arrays
are brought in where a script hands them over, random numbers come from NumPy's global random state, so that a seed gives
the same numbers everywhere, and what is about printing or dtypes stays NumPy's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from .arrays import Place, float_dtype

# Names that make an array of data.
_MAKING = frozenset({"array", "asarray", "asanyarray", "ascontiguousarray"})

# Names that are about the host alone: printing, warnings, dtypes.
_OF_THE_HOST = frozenset(
    {
        "array2string",
        "array_repr",
        "array_str",
        "dtype",
        "errstate",
        "generic",
        "get_printoptions",
        "integer",
        "ndarray",
    }
    | {"printoptions", "random", "seterr", "set_printoptions", "testing"}
)

# Functions whose arguments are shapes and numbers.
_CREATING = frozenset({"arange", "empty", "eye", "full", "identity", "linspace", "ones", "tri", "zeros"})

# Functions of one list of arrays, which stays a list; its members are brought in.
_JOINING = frozenset({"column_stack", "concat", "concatenate", "dstack", "hstack", "stack", "vstack"})

# Functions whose second argument is data too. That of the others is an axis, a shape, or a number.
_SECOND_IS_DATA = frozenset(
    {"add", "allclose", "array_equal", "divide", "dot", "equal", "greater", "inner", "isclose", "less", "matmul"}
    | {"maximum", "minimum", "multiply", "not_equal", "outer", "power", "subtract"}
)


def device_numpy(place: Place) -> Any:
    """What `np` is at a place."""
    return numpy if place.on_cpu else DeviceNumPy(place)


class DeviceNumPy:
    """The functions of a device under NumPy's names."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.random = DeviceRandom(place)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _MAKING:
            return self._array
        if name in _OF_THE_HOST:
            return getattr(numpy, name)
        # looked up anew each time: which dtype is the default depends on whether nnfs.init() was called
        function = getattr(self._place.backend(float_dtype()), name)
        if not callable(function) or isinstance(function, type):
            return function
        return self._taking_host_data(name, function)

    def _array(self, data: Any, dtype: Any = None) -> Any:
        """A new device array from data on the host or on the device."""
        if isinstance(data, list) and data and isinstance(data[0], str):
            return DeviceText(self._place, data)
        array = self._place.bring(data, dtype)
        return (array if dtype is None else array.astype(dtype)).copy()

    def _taking_host_data(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        bring = self._bring

        def call(*arguments: Any, **keywords: Any) -> Any:
            given = list(arguments)
            if name in _JOINING and given:
                given[0] = [bring(item) for item in given[0]]
            elif name not in _CREATING:
                data = 2 if name in _SECOND_IS_DATA else 1
                given[:data] = [bring(argument) for argument in given[:data]]
            return function(*given, **keywords)

        call.__name__ = name
        return call

    def _bring(self, argument: Any) -> Any:
        return self._place.bring(argument) if isinstance(argument, (list, tuple, numpy.ndarray)) else argument


class DeviceText:
    """What `np.array` makes of a list of strings: chapter 19's labels, which no device holds before they are numbers."""

    def __init__(self, place: Place, words: list[str]) -> None:
        self._place = place
        self._words = numpy.array(words)

    def astype(self, dtype: Any) -> Any:
        """The numbers that the strings spell, on the device."""
        return self._place.bring(self._words.astype(dtype))

    def __repr__(self) -> str:
        return repr(self._words)


class DeviceRandom:
    """`np.random` on a device: NumPy's global random state, its arrays brought in."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def __getattr__(self, name: str) -> Any:
        function = getattr(numpy.random, name)
        if not callable(function) or isinstance(function, type):
            return function

        def call(*arguments: Any, **keywords: Any) -> Any:
            host = [self._to_host(argument) for argument in arguments]
            drawn = function(*host, **keywords)
            return self._place.bring(drawn) if isinstance(drawn, numpy.ndarray) else drawn

        call.__name__ = name
        return call

    def shuffle(self, array: Any) -> None:
        """Shuffle a device array along its first axis, in place, in the order that NumPy draws."""
        host = self._to_host(array)
        numpy.random.shuffle(host)  # noqa: NPY002 - the script's own random state
        array[...] = self._place.bring(host, array.dtype)

    def _to_host(self, argument: Any) -> Any:
        xp = self._place.backend(float_dtype())
        return xp.to_host(argument) if xp.is_array(argument) else argument
