"""NumPy's own BLAS, called from within a program: matrix products beside loops, in parts that threads share.

`np.matmul` is a call from Python, and its BLAS decides by itself how many threads take part. Here the same library is
called at the address of its C function, `cblas_sgemm` or `cblas_dgemm`, for as many rows as the program says. Only in a
block in which that library takes one thread a call (`calling`): threads are shared out by the program (`team.py`), whose
parts are the same on every machine.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compile import helper, loop
from .openblas import openblas

# Fewer rows than these in one call, and a BLAS spends much of its time on packing the other factor
# (784 × 128 weights, AVX-512: 7 % more time a row with 64 rows than with 128, 38 % more with 32).
ROWS = 64

# What is shared out here: up to so many multiplications (128 samples through 784 × 512 weights), or through so many weights, as
# many samples as there may be. Of larger ones, a BLAS packs weights once for all its threads, here each part would: with
# 512 × 512 weights and 512 samples a step took a third longer.
MULTIPLICATIONS, WEIGHTS = 2**26, 2**17

_ROW_MAJOR, _AS_IT_IS, _TRANSPOSED = 101, 111, 112  # CBLAS_LAYOUT, CBLAS_TRANSPOSE


class Gemm(NamedTuple):
    """A product's function, as a loop takes it: its address, and 1 where its integers have 64 bits."""

    address: int
    wide: int


class _Thread(threading.local):
    calling = False


_thread = _Thread()


@contextlib.contextmanager
def calling(samples: int, weights: int) -> Iterator[None]:
    """A block of this thread whose products are of at most so many samples and weights: they are called here, or left to NumPy.

    What is decided when a program is made must hold when it is run: both are done in blocks of the same sizes.
    """
    before = _thread.calling
    library = openblas()
    _thread.calling = library is not None and shares(samples, weights) and library.get_threads() == 1
    try:
        yield
    finally:
        _thread.calling = before


def shares(samples: int, weights: int) -> bool:
    """Whether products of so many samples and weights are better called here than left to NumPy."""
    return available() and (samples * weights <= MULTIPLICATIONS or weights <= WEIGHTS)


def gemm(dtype: Any) -> Gemm | None:
    """The product of two matrices of a dtype, or None where products are left to NumPy."""
    if not _thread.calling:
        return None
    library = openblas()
    assert library is not None
    return Gemm(library.products[np.dtype(dtype)], int(library.wide))


def available() -> bool:
    """Whether there is a library that can be called."""
    return openblas() is not None


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


@helper()
def _product(
    gemm: Any, wide: Any, sizes: Any, left: Any, left_order: Any, right: Any, right_order: Any, out: Any
) -> None:
    """out = left · right, either transposed or as it is; sizes = (rows, columns and inner size of the product, row of left)"""
    rows, columns, inner, left_row = sizes
    row = right.shape[1]
    if wide:
        _call_64(gemm, left_order, right_order, rows, columns, inner, left, left_row, right, row, out, columns)
    else:
        _call_32(gemm, left_order, right_order, rows, columns, inner, left, left_row, right, row, out, columns)


@loop(rows="inputs output", writes="output", least_rows=ROWS)
def product_loop(gemm: Any, wide: Any, inputs: Any, weights: Any, output: Any) -> None:
    """output = inputs · weights"""
    (rows, inner), columns = inputs.shape, weights.shape[1]
    _product(gemm, wide, (rows, columns, inner, inner), inputs, _AS_IT_IS, weights, _AS_IT_IS, output)


@loop(rows="dvalues dinputs", writes="dinputs", least_rows=ROWS)
def inputs_gradient_product_loop(gemm: Any, wide: Any, dvalues: Any, weights: Any, dinputs: Any) -> None:
    """dinputs = dvalues · weightsᵀ"""
    (rows, columns), inner = dvalues.shape, weights.shape[0]
    _product(gemm, wide, (rows, inner, columns, columns), dvalues, _AS_IT_IS, weights, _TRANSPOSED, dinputs)


@loop(rows="columns dweights", writes="dweights", least_rows=ROWS, kind="columns")
def weights_gradient_product_loop(gemm: Any, wide: Any, inputs: Any, dvalues: Any, columns: Any, dweights: Any) -> None:
    """dweights = inputsᵀ · dvalues, for some rows of dweights: `columns` are the columns of inputs that belong to them"""
    (samples, inner), (rows, outer) = inputs.shape, dweights.shape
    left = inputs.reshape(-1)[columns[0] :]
    _product(gemm, wide, (rows, outer, samples, inner), left, _TRANSPOSED, dvalues, _AS_IT_IS, dweights)
