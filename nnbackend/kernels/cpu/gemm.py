"""NumPy's own BLAS, called from within a program: matrix products beside loops, in parts that threads share.

`np.matmul` is a call from Python, and its BLAS decides by itself how many threads take part. Here the same library is
called at the address of its C function, `cblas_sgemm` or `cblas_dgemm`, for as many rows as the program says. Only while that
library takes one thread a call: threads are shared out by the program (`team.py`), whose parts are the same on every machine.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compile import loop

# Fewer rows than these in one call, and a BLAS spends much of its time on packing the other factor
# (784 × 128 weights, AVX-512: 8 % more time a row with 64 rows than with 128, 35 % more with 32).
ROWS = 64

# What is shared out here: up to so many multiplications (128 samples through 784 × 512 weights), or through so many weights, as
# many samples as there may be. Of larger ones, a BLAS packs weights once for all its threads, here each part would: with
# 512 × 512 weights and 512 samples a step took a third longer.
MULTIPLICATIONS, WEIGHTS = 2**26, 2**17

_ROW_MAJOR, _AS_IT_IS, _TRANSPOSED = 101, 111, 112  # CBLAS_LAYOUT, CBLAS_TRANSPOSE

# How builds of OpenBLAS name their functions (prefix, suffix, whether integers have 64 bits): that in NumPy's wheels; that of
# distributions, with 64 bits and with 32. Other libraries (MKL, Accelerate) are left to NumPy: nobody has tried them here.
_NAMES = (
    ("scipy_", "64_", True),
    ("", "64_", True),
    ("scipy_", "", False),
    ("", "", False),
)


class Library(NamedTuple):
    """A BLAS: its products by dtype, whether their integers have 64 bits, and how many threads it takes now."""

    products: dict[np.dtype, int]
    wide: bool
    threads: Any


class Gemm(NamedTuple):
    """A product's function, as a loop takes it: its address, and 1 where its integers have 64 bits."""

    address: int
    wide: int


def gemm(dtype: Any) -> Gemm | None:
    """The product of two matrices of a dtype, or None where products are NumPy's: no OpenBLAS, or one with several threads."""
    library = _library()
    if library is None or library.threads() != 1:
        return None
    return Gemm(library.products[np.dtype(dtype)], int(library.wide))


def found() -> bool:
    """Whether there is a library that can be called."""
    return _library() is not None


def shares(samples: int, weights: int) -> bool:
    """Whether products of so many samples and weights are shared out here."""
    return samples * weights <= MULTIPLICATIONS or weights <= WEIGHTS


@functools.cache
def _library() -> Library | None:
    """NumPy's OpenBLAS: the one in its wheel, else the only one that is loaded. (SciPy's wheel brings another.)"""
    from threadpoolctl import ThreadpoolController

    paths = [found.filepath for found in ThreadpoolController().select(internal_api="openblas").lib_controllers]
    own = [path for path in paths if "numpy" in Path(path).parent.name or "numpy" in Path(path).parent.parent.name]
    for path in own or paths if len(own or paths) == 1 else ():
        library = ctypes.CDLL(path)  # no second copy: the one that is loaded
        for prefix, suffix, wide in _NAMES:
            try:
                products = [getattr(library, f"{prefix}cblas_{kind}gemm{suffix}") for kind in "sd"]
                threads = getattr(library, f"{prefix}openblas_get_num_threads{suffix}")
            except AttributeError:
                continue
            single, double = (ctypes.cast(product, ctypes.c_void_p).value or 0 for product in products)
            return Library({np.dtype("float32"): single, np.dtype("float64"): double}, wide, threads)
    return None


def _caller(integer: Any) -> Any:
    """The function that calls gemm with integers of a size, on matrices given by where they begin and how long their rows are."""

    @intrinsic
    def call(  # type: ignore[no-untyped-def]
        typing_context, address, left_order, right_order, m, n, k, left, left_row, right, right_row, out, out_row
    ):
        number = ir.FloatType() if out.dtype == types.float32 else ir.DoubleType()
        enum, whole, pointer = ir.IntType(32), ir.IntType(integer.bitwidth), number.as_pointer()
        parameters = [
            enum,
            enum,
            enum,
            whole,
            whole,
            whole,
            number,
            pointer,
            whole,
            pointer,
            whole,
            number,
            pointer,
            whole,
        ]

        def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
            kinds = dict(zip(parameter_names, signature.args, strict=True))
            given = dict(zip(parameter_names, values, strict=True))

            def size(name: str) -> Any:
                return given[name] if integer.bitwidth == 64 else builder.trunc(given[name], whole)

            def begin(name: str) -> Any:
                return context.make_array(kinds[name])(context, builder, given[name]).data

            def order(name: str) -> Any:
                return builder.trunc(given[name], enum)

            function = builder.inttoptr(given["address"], ir.FunctionType(ir.VoidType(), parameters).as_pointer())
            builder.call(
                function,
                [
                    *(ir.Constant(enum, _ROW_MAJOR), order("left_order"), order("right_order")),
                    *(size("m"), size("n"), size("k")),
                    *(ir.Constant(number, 1.0), begin("left"), size("left_row")),
                    *(begin("right"), size("right_row")),
                    *(ir.Constant(number, 0.0), begin("out"), size("out_row")),
                ],
            )
            return context.get_dummy_value()

        word = types.int64
        return types.void(word, word, word, word, word, word, left, word, right, word, out, word), generate

    parameter_names = [
        *("address", "left_order", "right_order", "m", "n", "k"),
        *("left", "left_row", "right", "right_row", "out", "out_row"),
    ]
    return call


_call_64 = _caller(types.int64)
_call_32 = _caller(types.int32)


@loop(rows="inputs output", writes="output", least_rows=ROWS)
def product_loop(gemm: Any, wide: Any, inputs: Any, weights: Any, output: Any) -> None:
    """output = inputs · weights"""
    (rows, inner), columns = inputs.shape, weights.shape[1]
    if wide:
        _call_64(
            gemm, _AS_IT_IS, _AS_IT_IS, rows, columns, inner, inputs, inner, weights, columns, output, columns
        )  # fmt: skip
    else:
        _call_32(
            gemm, _AS_IT_IS, _AS_IT_IS, rows, columns, inner, inputs, inner, weights, columns, output, columns
        )  # fmt: skip


@loop(rows="dvalues dinputs", writes="dinputs", least_rows=ROWS)
def inputs_gradient_product_loop(gemm: Any, wide: Any, dvalues: Any, weights: Any, dinputs: Any) -> None:
    """dinputs = dvalues · weightsᵀ"""
    (rows, columns), inner = dvalues.shape, weights.shape[0]
    if wide:
        _call_64(
            gemm, _AS_IT_IS, _TRANSPOSED, rows, inner, columns, dvalues, columns, weights, columns, dinputs, inner
        )  # fmt: skip
    else:
        _call_32(
            gemm, _AS_IT_IS, _TRANSPOSED, rows, inner, columns, dvalues, columns, weights, columns, dinputs, inner
        )  # fmt: skip


@loop(rows="columns dweights", writes="dweights", least_rows=ROWS, kind="columns")
def weights_gradient_product_loop(gemm: Any, wide: Any, inputs: Any, dvalues: Any, columns: Any, dweights: Any) -> None:
    """dweights = inputsᵀ · dvalues, for some rows of dweights: `columns` are the columns of inputs that belong to them"""
    (samples, inner), (rows, outer) = inputs.shape, dweights.shape
    left = inputs.reshape(-1)[columns[0] :]
    if wide:
        _call_64(gemm, _TRANSPOSED, _AS_IT_IS, rows, outer, samples, left, inner, dvalues, outer, dweights, outer)
    else:
        _call_32(gemm, _TRANSPOSED, _AS_IT_IS, rows, outer, samples, left, inner, dvalues, outer, dweights, outer)
