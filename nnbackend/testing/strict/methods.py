"""The methods and operators of `StrictArray`, made from tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import indexing
from .arrays import StrictArray, call, is_operand, refuse_overlap
from .table import ELEMENTWISE, METHOD_SIGNATURES, SYNCHRONIZING


def _method(name: str) -> Callable[..., Any]:
    """NumPy's method of that name, with CuPy's parameters."""
    signature = METHOD_SIGNATURES[name]
    function = _OWN.get(name) or getattr(np.ndarray, name)
    in_place = name in ("fill", "sort")

    def method(self: StrictArray, *args: Any, **kwargs: Any) -> Any:
        if refusal := signature.refusal(len(args), kwargs):
            raise TypeError(f"array.{name} {refusal}")
        if name in SYNCHRONIZING:
            self._xp.transfers.count_out(f"array.{name}, whose result has a size that only the device knows,", 8)
        if kwargs.get("out") is not None and name not in ELEMENTWISE:
            refuse_overlap(f"array.{name}", (self, *args), kwargs["out"])
        return call(self._xp, f"array.{name}", function, (self, *args), kwargs, in_place=in_place)

    method.__name__ = name
    return method


def stable_argsort(raw: np.ndarray, axis: int | None = -1, kind: str | None = None) -> np.ndarray:
    """CuPy's argsort is always stable, and refuses other kinds."""
    _check_kind(kind)
    return np.argsort(raw, axis=axis, kind="stable")


def stable_sort_in_place(raw: np.ndarray, axis: int = -1, kind: str | None = None) -> None:
    """CuPy's sort, likewise."""
    _check_kind(kind)
    raw.sort(axis=axis, kind="stable")


def stable_sort(raw: np.ndarray, axis: int | None = -1, kind: str | None = None) -> np.ndarray:
    """The same as a function, into a new array."""
    _check_kind(kind)
    return np.sort(raw, axis=axis, kind="stable")


def _check_kind(kind: str | None) -> None:
    if kind not in (None, "stable"):
        raise ValueError(f"kind {kind!r}: CuPy sorts with 'stable' only")


def _binary(symbol: str, ufunc: np.ufunc) -> Callable[[StrictArray, Any], Any]:
    def forward(self: StrictArray, other: Any) -> Any:
        if not is_operand(f"operator {symbol}", other):
            return NotImplemented
        return call(self._xp, f"operator {symbol}", ufunc, (self, other))

    return forward


def _reflected(symbol: str, ufunc: np.ufunc) -> Callable[[StrictArray, Any], Any]:
    def backward(self: StrictArray, other: Any) -> Any:
        if not is_operand(f"operator {symbol}", other):
            return NotImplemented
        return call(self._xp, f"operator {symbol}", ufunc, (other, self))

    return backward


def _updating(symbol: str, ufunc: np.ufunc) -> Callable[[StrictArray, Any], Any]:
    def update(self: StrictArray, other: Any) -> Any:
        if not is_operand(f"operator {symbol}", other):
            return NotImplemented
        return call(self._xp, f"operator {symbol}", ufunc, (self, other), {"out": self})

    return update


def _unary(symbol: str, ufunc: np.ufunc) -> Callable[[StrictArray], Any]:
    def apply(self: StrictArray) -> Any:
        return call(self._xp, f"operator {symbol}", ufunc, (self,))

    return apply


_ARITHMETIC = {
    "add": ("+", np.add),
    "sub": ("-", np.subtract),
    "mul": ("*", np.multiply),
    "truediv": ("/", np.true_divide),
    "floordiv": ("//", np.floor_divide),
    "mod": ("%", np.remainder),
    "pow": ("**", np.power),
    "and": ("&", np.bitwise_and),
    "or": ("|", np.bitwise_or),
    "xor": ("^", np.bitwise_xor),
    "lshift": ("<<", np.left_shift),
    "rshift": (">>", np.right_shift),
}
# CuPy's arrays have no in-place form of these: Python then rebinds the name to a new array.
_WITHOUT_UPDATE = {"matmul": ("@", np.matmul), "divmod": ("divmod", np.divmod)}
_COMPARISONS = {
    "eq": ("==", np.equal),
    "ne": ("!=", np.not_equal),
    "lt": ("<", np.less),
    "le": ("<=", np.less_equal),
    "gt": (">", np.greater),
    "ge": (">=", np.greater_equal),
}
_UNARY = {"neg": ("-", np.negative), "pos": ("+", np.positive), "abs": ("abs", np.absolute), "invert": ("~", np.invert)}

# Where NumPy's method is too lenient, or does another thing.
_OWN: dict[str, Callable[..., Any]] = {
    "argsort": stable_argsort,
    "sort": stable_sort_in_place,
    "take": indexing.take,
}


def attach_methods_and_operators() -> None:
    """Give `StrictArray` what the tables list."""
    for name in METHOD_SIGNATURES:
        setattr(StrictArray, name, _method(name))
    for name, (symbol, ufunc) in {**_ARITHMETIC, **_WITHOUT_UPDATE, **_COMPARISONS}.items():
        setattr(StrictArray, f"__{name}__", _binary(symbol, ufunc))
    for name, (symbol, ufunc) in {**_ARITHMETIC, **_WITHOUT_UPDATE}.items():
        setattr(StrictArray, f"__r{name}__", _reflected(symbol, ufunc))
    for name, (symbol, ufunc) in _ARITHMETIC.items():
        setattr(StrictArray, f"__i{name}__", _updating(f"{symbol}=", ufunc))
    for name, (symbol, ufunc) in _UNARY.items():
        setattr(StrictArray, f"__{name}__", _unary(symbol, ufunc))
