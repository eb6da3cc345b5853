"""What nobody expects as an argument. `tests/test_mutated_input.py` puts it in the place of every argument there is."""

from __future__ import annotations

import decimal
import fractions
import math
import pathlib
import re
import types
import warnings
from typing import Any

import numpy as np

import nnbackend as nn
from nnbackend.errors import shown

X, Y = nn.datasets.spiral(samples=4, classes=3, seed=0)


class Hostile:
    """Everything that one asks it raises, its own description included."""

    def __repr__(self) -> str:
        raise RuntimeError("no description\nin two lines")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no array")

    def __bool__(self) -> bool:
        raise RuntimeError("neither true nor false")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("neither equal nor different")

    __hash__ = None  # type: ignore[assignment]


class Vague:
    """Has the attributes that one looks at, and none of them is what it should be."""

    shape, dtype, ndim, size, xp, parameters, device, name = 3, "four", None, -1, "cpu", [], 0, 5

    def get(self) -> None:
        return None

    def __dlpack__(self, **kwargs: Any) -> Any:
        return None

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


def recursive_list() -> list[Any]:
    items: list[Any] = [1]
    items.append(items)
    return items


def odd_values() -> dict[str, Any]:
    """By name, made anew for each use: some of them remember that they were used."""
    everything = [*numbers(), *texts(), *arrays(), *containers(), *things()]
    return {f"{i}: {re.sub(' at 0x[0-9A-Fa-f]+', '', shown(value, 60))}": value for i, value in enumerate(everything)}


def numbers() -> list[Any]:
    """Zeros, negative and huge ones, what is no number, and other types of them."""
    return [
        0, 1, -1, 2, 3, 12, 10**18, -(10**18), 2**63, 2**64, 10**400, -(10**5000), 0.0, -0.0, 0.5, 1.0, 1.5, -2.5,
        5e-324, 1e-300, 1e300, 1.7e308, math.nan, math.inf, -math.inf, 1j, True, False,
        np.float16(0.5), np.float32("nan"), np.longdouble(2), np.int8(-3), np.uint64(2**64 - 1), np.bool_(True),
        decimal.Decimal("0.5"), fractions.Fraction(1, 2), np.datetime64("2020"), np.complex64(1),
    ]  # fmt: skip


def texts() -> list[Any]:
    """Names that exist somewhere, and what is no name."""
    return ["", "cpu", "relu", "float32", "gpu:1", "a\nb", "x" * 10_000, "\0", "数", b"cpu", bytearray(b"x")]


def arrays() -> list[Any]:
    """Of many shapes, types and layouts; some of them fit."""
    shapes = [(), (0,), (1,), (12,), (0, 2), (12, 0), (12, 1), (12, 2), (12, 3), (2, 12), (1, 2), (3, 4, 2)]
    rows = ["float16", "float32", "longdouble", "int8", "uint64", "bool", "complex64"]
    flat = ["int64", "uint8", "bool", "float32", "object", "U3", "datetime64[s]", "S2"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matrix = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    read_only = np.zeros((12, 2))
    read_only.flags.writeable = False
    strict = nn.get_backend("strict")
    return [
        *(np.zeros(shape) for shape in shapes),
        *(np.full((12, 2), value) for value in (np.nan, np.inf, 1e300, -1e300)),
        *(np.ones((12, 2), dtype) for dtype in rows),
        *(np.ones(12, dtype) for dtype in flat),
        np.asfortranarray(X), X[::-1], X.astype(">f4"), read_only, matrix, np.ma.array(X, mask=X > 0.5),
        np.zeros(12, [("a", "f4")]), np.arange(12).view(np.recarray), np.broadcast_to(np.float32(1), (12, 2)),
        strict.asarray(X), strict.asarray(Y),
    ]  # fmt: skip


def containers() -> list[Any]:
    """Lists and their like, of the right things and of others."""
    return [
        [], (), {}, set(), [[]], [1, 2], [[1, 2], [3]], [None], ["a"], {"a": 1}, {1: 2, "b": 3}, {1, "a"},
        recursive_list(), (X, Y), (X,), [X, Y], (None, None), range(12), iter([1, 2]), (i for i in range(3)),
        map(int, "123"), slice(3),
    ]  # fmt: skip


def things() -> list[Any]:
    """Classes, functions, modules, and parts of the library where they do not belong."""
    return [
        None, ..., NotImplemented, int, np.ndarray, nn.Dense, nn.Adam, len, np, types.SimpleNamespace(), object(),
        Hostile(), Vague(), nn.Dense(2, 3), nn.ReLU(), nn.L2(1.0), nn.Adam(), nn.MeanSquaredError(),
        nn.BinaryAccuracy(), nn.Zeros(), nn.History(), nn.get_backend("cpu"), nn.Callback(), nn.Model(),
        nn.get_backend("strict", dtype="float64"), pathlib.Path("x"), memoryview(b"ab"), np.dtype("float64"),
        np.random.default_rng(0),
    ]  # fmt: skip
