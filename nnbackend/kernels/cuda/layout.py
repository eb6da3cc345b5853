"""What arrays a CUDA kernel takes: dtypes, shapes that fit each other, C-contiguous memory.

A kernel trusts its arguments, so everything the reference would broadcast, convert or refuse has to be turned away here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import EllipsisType
from typing import Any

from .compile import REALS


@dataclass(frozen=True)
class Kind:
    """An array: its dtype ("real": the one dtype of all real arrays of a call), and its dimensions.

    A dimension is a number or a name; a name stands for the same size throughout a call. `...` alone stands for any shape,
    the same throughout the call; `ONE` for a single number, of shape () or (1,).
    """

    dtype: str
    dims: tuple[int | str | EllipsisType, ...]

    def fits(self, array: Any, known: dict[Any, Any]) -> bool:
        """Whether the array is of this kind; `known` holds what names stand for, and grows."""
        if not hasattr(array, "flags") or not array.flags.c_contiguous:
            return False
        return self._dtype_fits(array.dtype.name, known) and self._shape_fits(array.shape, known)

    def _dtype_fits(self, name: str, known: dict[Any, Any]) -> bool:
        if self.dtype == "real":
            return name in REALS and known.setdefault("dtype", name) == name
        return name == self.dtype

    def _shape_fits(self, shape: tuple[int, ...], known: dict[Any, Any]) -> bool:
        if self.dims == ONE:
            return shape in ((), (1,))
        if self.dims == (...,):
            return known.setdefault("shape", shape) == shape
        if len(shape) != len(self.dims):
            return False
        return all(
            size == dim if isinstance(dim, int) else known.setdefault(("size", dim), size) == size
            for size, dim in zip(shape, self.dims, strict=True)
        )


ONE = ("one number",)


def real(*dims: int | str | EllipsisType) -> Kind:
    """An array of the call's floating-point dtype."""
    return Kind("real", dims)


def int64(*dims: int | str | EllipsisType) -> Kind:
    """An array of labels, indices or counts."""
    return Kind("int64", dims)


NUMBER = Kind("real", ONE)
DOUBLE = Kind("float64", ONE)
INTEGER = Kind("int64", ONE)

Kinds = Kind | tuple[Kind, ...] | None


def accepts(*positional: Kinds, **named: Kinds) -> Callable[..., bool]:
    """A test of an op's arguments; None is an argument that is no array, and so are those that are not named here."""

    def test(*args: Any, **kwargs: Any) -> bool:
        if len(args) != len(positional) or not named.keys() <= kwargs.keys():
            return False
        known: dict[Any, Any] = {}
        pairs = [*zip(positional, args, strict=True), *((kind, kwargs[name]) for name, kind in named.items())]
        return all(_fit(kind, value, known) for kind, value in pairs)

    return test


def _fit(kind: Kinds, value: Any, known: dict[Any, Any]) -> bool:
    if kind is None:
        return True
    if isinstance(kind, Kind):
        return kind.fits(value, known)
    if not isinstance(value, tuple) or len(value) != len(kind):
        return False
    return all(part.fits(array, known) for part, array in zip(kind, value, strict=True))
