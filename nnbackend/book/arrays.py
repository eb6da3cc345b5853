"""Where the arrays of a book script live: NumPy on the CPU, or the device that NNBACKEND names.

The book's classes decide nothing about dtypes: they compute in whatever `np.random.randn` gave them, float64 in plain
NumPy and float32 after `nnfs.init()`. So do the adapters: a `Place` has a backend for each dtype, and every call takes
that of its arrays.

On the CPU matrix products go through `np.dot` as it is at that moment, because `nnfs.init()` replaces it by one that
multiplies in float64 and rounds. The other operations are the reference ones, the same NumPy calls as the book's, so
that its numbers come out.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from ..backend import Backend, get_backend
from ..backend.base import describe, host_array
from ..errors import DataError


class _DotNumPy:
    """NumPy, where `matmul` is whatever `np.dot` is at that moment."""

    @staticmethod
    def matmul(left: Any, right: Any, *, out: Any) -> Any:
        """left · right into `out`"""
        out[...] = np.dot(left, right)
        return out

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


class BookBackend(Backend):
    """The CPU as the book's classes use it."""

    def __init__(self, dtype: str) -> None:
        super().__init__("cpu", _DotNumPy(), dtype=dtype, kernels="reference")

    def __reduce__(self) -> tuple[Any, ...]:
        return _book_backend, (self.dtype.name,)


class Place:
    """One array library, with a backend for each dtype."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.on_cpu = name == "cpu"
        self._backends: dict[str, Backend] = {}

    def backend(self, dtype: Any) -> Backend:
        """The backend that computes in that dtype; in float64 for what is neither float32 nor float64, as NumPy does."""
        name = "float32" if np.dtype(dtype) == np.float32 else "float64"
        if name not in self._backends:
            self._backends[name] = _book_backend(name) if self.on_cpu else get_backend(self.name, dtype=name)
        return self._backends[name]

    def check(self, value: Any, who: str) -> Any:
        """An array that a script gave to `who`, as it is; lists become arrays.

        On a device an array that lives elsewhere is refused with `DataError`: a script that mixes NumPy and device arrays
        would copy at every step, and nobody would see why it is slow.
        """
        if self.on_cpu:
            plain = type(value) is np.ndarray and value.dtype.kind in "fiub"
            return value if plain else host_array(value)
        xp = self.backend(np.float64)
        if isinstance(value, (list, tuple, int, float)):
            return xp.asarray(value)
        if not xp.is_array(value):
            raise DataError(
                f"{who} was given {describe(value)}, but this script runs on {self.name!r}: take NumPy and the data from "
                "the book package, 'from nnbackend.book import np, spiral_data', in place of 'import numpy as np'"
            )
        return value

    def take(self, value: Any, who: str, dtype: Any = None) -> tuple[Backend, Any]:
        """The backend for an array that a script gave to `who`, and the array in its dtype; `dtype` says another.

        On the CPU the array keeps its own dtype, as it does in the book's classes: NumPy mixes them.
        """
        array = self.check(value, who)
        xp = self.backend(array.dtype if dtype is None else dtype)
        return xp, array if self.on_cpu else xp.asarray(array, dtype=xp.dtype)

    def promoted(self, xp: Backend, *dtypes: Any) -> Backend:
        """The backend for a result where NumPy mixes these dtypes: on the CPU that of the widest, else `xp`.

        The book's classes leave it to NumPy, and so do their float32 runs: a mask is an integer divided by a number,
        float64, and what it touches is float64 too, up to the next product.
        """
        return self.backend(np.result_type(*dtypes)) if self.on_cpu else xp

    def bring(self, data: Any, dtype: Any = None) -> Any:
        """An array of this place from data on the host, or from a device array (as it is)."""
        if self.on_cpu:
            return host_array(data)
        xp = self.backend(float_dtype())
        return data if xp.is_array(data) else xp.asarray(self._on_host(data), dtype=dtype)

    def _on_host(self, data: Any) -> Any:
        """Data without device arrays in them: lists may hold some, such as the losses of a script's epochs."""
        if isinstance(data, (list, tuple)):
            return [self._on_host(item) for item in data]
        xp = self.backend(np.float64)
        return xp.to_host(data) if xp.is_array(data) else data

    def number(self, scalar: Any) -> Any:
        """An array without dimensions as a script gets it: NumPy's number on the CPU, as it is on a device."""
        return scalar[()] if self.on_cpu else scalar

    def __deepcopy__(self, memo: dict[int, Any]) -> Place:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _place, (self.name,)


class OnPlace:
    """What every class of the book package is: an object that knows where its arrays live.

    That is settled when it is built, and not in `__init__`: a script's own subclass need not call a constructor that the
    book's classes do not have.
    """

    place: Place

    def __new__(cls, *arguments: Any, **keywords: Any) -> Self:
        instance = super().__new__(cls)
        instance.place = current_place()
        return instance


_backends: dict[str, BookBackend] = {}
_places: dict[str, Place] = {}


def _book_backend(dtype: str) -> BookBackend:
    return _backends.setdefault(dtype, BookBackend(dtype))


def _place(name: str) -> Place:
    return _places.setdefault(name, Place(name))


def current_place() -> Place:
    """The place of the innermost `use_backend`, else of NNBACKEND, else the CPU."""
    # the reference kernels: only the name is wanted, and others would be loaded for nothing
    return _place(get_backend(kernels="reference").name)


def float_dtype() -> np.dtype:
    """The dtype of random numbers at this moment, which the book's classes inherit. Draws none."""
    return np.random.randn(0).dtype  # noqa: NPY002 - the book's own source of weights
