"""Matrix products with an inner or outer size of a few, as loops: a BLAS spends longer on getting ready for them.

All others are left to NumPy or to its BLAS (`gemm.py`); only what follows them is a loop. `floor` is 0 for ReLU and -inf for
none, since max(floor, x) is then right for both; it is written so that NaN comes through. `across` is a weight matrix or its
gradient transposed, so that its few columns lie in rows.
"""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from .compile import Step, loop
from .gemm import gemm, inputs_gradient_product_loop, product_loop, weights_gradient_product_loop
from .moving import transpose_loop, zeroed
from .plan import fast

# A product is narrow when its inner size is at most INNER, or its outer size at most OUTER (measured: `--kernels`).
INNER, OUTER = 8, 6

# A single row is multiplied by a loop while the weights are at most so many numbers, which a second-level cache holds.
ONE_ROW = 2**18


@loop(rows="inputs output", writes="output")
def dense_narrow_inner(inputs: Any, weights: Any, biases: Any, floor: Any, output: Any) -> None:
    """output = max(floor, inputs · weights + biases) where inputs has few columns; for two of them, four rows at a time"""
    (rows, inner), columns = inputs.shape, output.shape[1]
    least = inputs.dtype.type(floor)
    fours = rows - rows % 4 if inner == 2 else 0
    for i in range(0, fours, 4):
        a0, b0, c0, d0 = inputs[i, 0], inputs[i + 1, 0], inputs[i + 2, 0], inputs[i + 3, 0]
        a1, b1, c1, d1 = inputs[i, 1], inputs[i + 1, 1], inputs[i + 2, 1], inputs[i + 3, 1]
        for j in range(columns):
            w0, w1, bias = weights[0, j], weights[1, j], biases[0, j]
            a, b = a0 * w0 + a1 * w1 + bias, b0 * w0 + b1 * w1 + bias
            c, d = c0 * w0 + c1 * w1 + bias, d0 * w0 + d1 * w1 + bias
            output[i, j] = least if a <= least else a
            output[i + 1, j] = least if b <= least else b
            output[i + 2, j] = least if c <= least else c
            output[i + 3, j] = least if d <= least else d
    for i in range(fours, rows):
        for j in range(columns):
            output[i, j] = biases[0, j]
        for k in range(inner):
            a = inputs[i, k]
            for j in range(columns):
                output[i, j] += a * weights[k, j]
        for j in range(columns):
            value = output[i, j]
            output[i, j] = least if value <= least else value


@loop(rows="inputs output", writes="output")
def dense_narrow_outer(inputs: Any, across: Any, biases: Any, floor: Any, output: Any) -> None:
    """output = max(floor, inputs · weights + biases) where weights has few columns: three of them and two rows at a time"""
    (rows, inner), columns = inputs.shape, output.shape[1]
    zero, least = inputs.dtype.type(0), inputs.dtype.type(floor)
    for i in range(0, rows, 2):
        upper, lower = inputs[i], inputs[min(i + 1, rows - 1)]  # the last of an odd number of rows twice
        above, below = output[i], output[min(i + 1, rows - 1)]
        for j in range(0, columns - columns % 3, 3):
            a = b = c = d = e = f = zero
            for k in range(inner):
                u, v, x, y, z = upper[k], lower[k], across[j, k], across[j + 1, k], across[j + 2, k]
                a += u * x
                b += u * y
                c += u * z
                d += v * x
                e += v * y
                f += v * z
            above[j], above[j + 1], above[j + 2] = a, b, c
            below[j], below[j + 1], below[j + 2] = d, e, f
        for j in range(columns - columns % 3, columns):
            a = b = zero
            for k in range(inner):
                a += upper[k] * across[j, k]
                b += lower[k] * across[j, k]
            above[j], below[j] = a, b
        for j in range(columns):
            a, bias = above[j] + biases[0, j], biases[0, j]
            above[j] = least if a <= least else a
            if i + 1 < rows:
                b = below[j] + bias
                below[j] = least if b <= least else b


@loop(writes="output")
def dense_one_row(inputs: Any, weights: Any, biases: Any, floor: Any, output: Any) -> None:
    """output = max(floor, inputs · weights + biases) for a single row, four rows of weights at a time"""
    inner, columns = weights.shape
    least = inputs.dtype.type(floor)
    for j in range(columns):
        output[0, j] = biases[0, j]
    for k in range(0, inner - inner % 4, 4):
        a, b, c, d = inputs[0, k], inputs[0, k + 1], inputs[0, k + 2], inputs[0, k + 3]
        for j in range(columns):
            output[0, j] += (a * weights[k, j] + b * weights[k + 1, j]) + (
                c * weights[k + 2, j] + d * weights[k + 3, j]
            )
    for k in range(inner - inner % 4, inner):
        for j in range(columns):
            output[0, j] += inputs[0, k] * weights[k, j]
    for j in range(columns):
        value = output[0, j]
        output[0, j] = least if value <= least else value


@loop(rows="output", writes="output")
def add_biases(biases: Any, floor: Any, output: Any) -> None:
    """output = max(floor, output + biases)"""
    rows, columns = output.shape
    least = output.dtype.type(floor)
    for i in range(rows):
        for j in range(columns):
            value = output[i, j] + biases[0, j]
            output[i, j] = least if value <= least else value


@loop(rows="inputs dvalues", adds="dweights")
def weights_gradient_narrow_inner(inputs: Any, dvalues: Any, dweights: Any) -> None:
    """dweights += inputsᵀ · dvalues where inputs has few columns: two of them and four rows at a time"""
    (rows, inner), columns = inputs.shape, dvalues.shape[1]
    for i in range(0, rows - rows % 4, 4):
        a, b, c, d = inputs[i], inputs[i + 1], inputs[i + 2], inputs[i + 3]
        for k in range(0, inner - inner % 2, 2):
            a0, b0, c0, d0 = a[k], b[k], c[k], d[k]
            a1, b1, c1, d1 = a[k + 1], b[k + 1], c[k + 1], d[k + 1]
            for j in range(columns):
                x, y, z, w = dvalues[i, j], dvalues[i + 1, j], dvalues[i + 2, j], dvalues[i + 3, j]
                dweights[k, j] += a0 * x + b0 * y + c0 * z + d0 * w
                dweights[k + 1, j] += a1 * x + b1 * y + c1 * z + d1 * w
        for k in range(inner - inner % 2, inner):
            a0, b0, c0, d0 = a[k], b[k], c[k], d[k]
            for j in range(columns):
                dweights[k, j] += (
                    a0 * dvalues[i, j] + b0 * dvalues[i + 1, j] + c0 * dvalues[i + 2, j] + d0 * dvalues[i + 3, j]
                )
    for i in range(rows - rows % 4, rows):
        for k in range(inner):
            for j in range(columns):
                dweights[k, j] += inputs[i, k] * dvalues[i, j]


@loop(rows="inputs dvalues", adds="across")
def weights_gradient_narrow_outer(inputs: Any, dvalues: Any, across: Any) -> None:
    """dweights += inputsᵀ · dvalues where dvalues has few columns: three of them and four rows at a time"""
    (rows, inner), columns = inputs.shape, dvalues.shape[1]
    for i in range(0, rows - rows % 4, 4):
        a, b, c, d = dvalues[i], dvalues[i + 1], dvalues[i + 2], dvalues[i + 3]
        for j in range(0, columns - columns % 3, 3):
            a0, a1, a2 = a[j], a[j + 1], a[j + 2]
            b0, b1, b2 = b[j], b[j + 1], b[j + 2]
            c0, c1, c2 = c[j], c[j + 1], c[j + 2]
            d0, d1, d2 = d[j], d[j + 1], d[j + 2]
            for k in range(inner):
                x, y, z, w = inputs[i, k], inputs[i + 1, k], inputs[i + 2, k], inputs[i + 3, k]
                across[j, k] += a0 * x + b0 * y + c0 * z + d0 * w
                across[j + 1, k] += a1 * x + b1 * y + c1 * z + d1 * w
                across[j + 2, k] += a2 * x + b2 * y + c2 * z + d2 * w
        for j in range(columns - columns % 3, columns):
            a0, b0, c0, d0 = a[j], b[j], c[j], d[j]
            for k in range(inner):
                across[j, k] += (
                    a0 * inputs[i, k] + b0 * inputs[i + 1, k] + c0 * inputs[i + 2, k] + d0 * inputs[i + 3, k]
                )
    for i in range(rows - rows % 4, rows):
        for j in range(columns):
            for k in range(inner):
                across[j, k] += inputs[i, k] * dvalues[i, j]


@loop(rows="dvalues dinputs", writes="dinputs")
def inputs_gradient_narrow(dvalues: Any, across: Any, dinputs: Any) -> None:
    """dinputs = dvalues · weightsᵀ where dvalues has few columns: three of them and two rows at a time"""
    (rows, columns), inner = dvalues.shape, across.shape[1]
    pairs, threes = rows - rows % 2, columns - columns % 3
    for i in range(0, pairs, 2):
        for j in range(0, threes, 3):
            a, b, c = dvalues[i, j], dvalues[i, j + 1], dvalues[i, j + 2]
            d, e, f = dvalues[i + 1, j], dvalues[i + 1, j + 1], dvalues[i + 1, j + 2]
            for k in range(inner):
                x, y, z = across[j, k], across[j + 1, k], across[j + 2, k]
                above, below = a * x + b * y + c * z, d * x + e * y + f * z
                dinputs[i, k] = above if j == 0 else dinputs[i, k] + above
                dinputs[i + 1, k] = below if j == 0 else dinputs[i + 1, k] + below
    for i in range(rows):
        for j in range(threes if i < pairs else 0, columns):
            a = dvalues[i, j]
            for k in range(inner):
                dinputs[i, k] = a * across[j, k] if j == 0 else dinputs[i, k] + a * across[j, k]


def _dense(inputs: Any, weights: Any, biases: Any, floor: float, output: Any) -> list[Step]:
    rows = len(inputs)
    if rows == 1 and weights.size <= ONE_ROW:
        return [Step(dense_one_row, (inputs, weights, biases, floor, output))]
    if inputs.shape[1] <= INNER:
        return [Step(dense_narrow_inner, (inputs, weights, biases, floor, output), rows)]
    if weights.shape[1] <= OUTER:
        across = np.empty(weights.shape[::-1], weights.dtype)
        return [
            Step(transpose_loop, (weights, across)),
            Step(dense_narrow_outer, (inputs, across, biases, floor, output), rows),
        ]
    return [_product(inputs, weights, output), Step(add_biases, (biases, floor, output), rows)]


def _product(inputs: Any, weights: Any, output: Any) -> Step:
    """output = inputs · weights"""
    rows, call = len(inputs), gemm(output.dtype)
    if call is None or rows == 1:  # one row: NumPy has a quicker way
        return Step(np.matmul, (inputs, weights, output))
    return Step(product_loop, (*call, inputs, weights, output), rows, rows * weights.size)


@fast("n k, k m, 1 m -> n m")
def dense(inputs: Any, weights: Any, biases: Any, *, out: Any) -> list[Step]:
    """output = inputs · weights + biases"""
    return _dense(inputs, weights, biases, -inf, out)


@fast("n k, k m, 1 m -> n m")
def dense_relu(inputs: Any, weights: Any, biases: Any, *, out: Any) -> list[Step]:
    """output = max(0, inputs · weights + biases)"""
    return _dense(inputs, weights, biases, 0.0, out)


def _narrow_weights(inputs: Any, dvalues: Any) -> bool:
    return bool(inputs.shape[1] <= INNER or dvalues.shape[1] <= OUTER)


@fast(
    "n k, n m -> k m",
    when=lambda inputs, dvalues, out: _narrow_weights(inputs, dvalues) or gemm(out.dtype) is not None,
)
def weights_gradient(inputs: Any, dvalues: Any, *, out: Any) -> list[Step]:
    """dweights = inputsᵀ · dvalues"""
    rows, inner = inputs.shape
    if inner <= INNER:
        return [zeroed(out), Step(weights_gradient_narrow_inner, (inputs, dvalues, out), rows)]
    if dvalues.shape[1] <= OUTER:
        across = np.empty(out.shape[::-1], out.dtype)
        return [
            zeroed(across),
            Step(weights_gradient_narrow_outer, (inputs, dvalues, across), rows),
            Step(transpose_loop, (across, out)),
        ]
    call = gemm(out.dtype)
    if call is None:
        return [Step(np.matmul, (inputs.T, dvalues, out))]
    arguments = *call, inputs, dvalues, np.arange(inner), out
    return [Step(weights_gradient_product_loop, arguments, inner, rows * out.size)]


@fast(
    "n m, k m -> n k",
    when=lambda dvalues, weights, out: dvalues.shape[1] <= OUTER or gemm(out.dtype) is not None,
)
def inputs_gradient(dvalues: Any, weights: Any, *, out: Any) -> list[Step]:
    """dinputs = dvalues · weightsᵀ"""
    rows = len(dvalues)
    if dvalues.shape[1] <= OUTER:
        across = np.empty(weights.shape[::-1], weights.dtype)
        return [
            Step(transpose_loop, (weights, across)),
            Step(inputs_gradient_narrow, (dvalues, across, out), rows),
        ]
    call = gemm(out.dtype)
    if call is None:
        return [Step(np.matmul, (dvalues, weights.T, out))]
    return [Step(inputs_gradient_product_loop, (*call, dvalues, weights, out), rows, rows * weights.size)]
