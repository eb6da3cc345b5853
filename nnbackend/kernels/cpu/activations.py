"""Activations, their gradients, and the bias gradient that comes on the way."""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from .compile import Step, helper, loop
from .moving import zeroed
from .plan import fast, flat


@helper(fastmath={"contract"})  # the steps below must not be reordered
def _exp_float32(x: Any) -> Any:
    """e^x for x ≤ 0: x = n · log 2 + r, so e^x = 2^n · e^r, with a polynomial for e^r (Cephes' expf).

    Right to 0.7 units in the last place, NumPy's own to 1.7. What would be too small for a normal number is zero.
    """
    f = np.float32
    n = np.rint(x * f(1.44269504))
    n = n if n > f(-126) else f(-126)  # of NaN too, which has no integer
    r = (x - n * f(0.693359375)) + n * f(2.12194440e-4)
    p = f(1.9875691500e-4) * r + f(1.3981999507e-3)
    p = p * r + f(8.3334519073e-3)
    p = p * r + f(4.1665795894e-2)
    p = p * r + f(1.6666665459e-1)
    p = p * r + f(5.0000001201e-1)
    power_of_two = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return f(0) if x < f(-87.3) else (p * (r * r) + r + f(1)) * power_of_two


def exp_below_zero(x: Any) -> Any:
    """e^x for x ≤ 0, in a form that the compiler can vectorize where there is one. For use inside loops."""
    raise NotImplementedError


@overload(exp_below_zero)
def _overload_exp(x):  # type: ignore[no-untyped-def]
    if x == types.float32:
        return lambda x: _exp_float32(x)
    return lambda x: exp(x)


@loop(rows="inputs output", writes="output")
def relu_loop(inputs: Any, output: Any) -> None:
    """output = max(0, inputs); NaN comes through"""
    zero = inputs.dtype.type(0)
    for i in range(inputs.size):
        value = inputs[i]
        output[i] = zero if value <= zero else value


@loop(rows="dvalues output dinputs", writes="dinputs")
def relu_backward_loop(dvalues: Any, output: Any, dinputs: Any) -> None:
    """dinputs = dvalues · (output > 0); a product, so that infinity times nothing is NaN as in the reference"""
    zero, one = dvalues.dtype.type(0), dvalues.dtype.type(1)
    for i in range(dvalues.size):
        dinputs[i] = dvalues[i] * (one if output[i] > zero else zero)


@loop(rows="dvalues output dlinear", writes="dlinear", adds="dbiases")
def relu_biases_gradient_loop(dvalues: Any, output: Any, dlinear: Any, dbiases: Any) -> None:
    """relu_backward_loop, and the sums of its columns"""
    rows, columns = dvalues.shape
    zero, one = dvalues.dtype.type(0), dvalues.dtype.type(1)
    for i in range(rows):
        for j in range(columns):
            value = dvalues[i, j] * (one if output[i, j] > zero else zero)
            dlinear[i, j] = value
            dbiases[0, j] += value


@loop(rows="dvalues", adds="dbiases")
def biases_gradient_loop(dvalues: Any, dbiases: Any) -> None:
    """dbiases += the sums of the columns of dvalues, four rows at a time"""
    rows, columns = dvalues.shape
    for i in range(0, rows - rows % 4, 4):
        for j in range(columns):
            dbiases[0, j] += (dvalues[i, j] + dvalues[i + 1, j]) + (dvalues[i + 2, j] + dvalues[i + 3, j])
    for i in range(rows - rows % 4, rows):
        for j in range(columns):
            dbiases[0, j] += dvalues[i, j]


@loop(rows="inputs output", writes="output")
def sigmoid_loop(inputs: Any, output: Any) -> None:
    """output = 1 / (1 + e^-inputs), the exponential of a negative number only"""
    one = inputs.dtype.type(1)
    for i in range(inputs.size):
        value = inputs[i]
        decay = exp_below_zero(-abs(value))
        output[i] = (one if value >= 0 else decay) / (one + decay)


@loop(rows="dvalues output dinputs", writes="dinputs")
def sigmoid_backward_loop(dvalues: Any, output: Any, dinputs: Any) -> None:
    """dinputs = dvalues · output · (1 - output)"""
    one = dvalues.dtype.type(1)
    for i in range(dvalues.size):
        dinputs[i] = dvalues[i] * (output[i] * (one - output[i]))


@loop(rows="inputs output", writes="output")
def softmax_loop(inputs: Any, output: Any) -> None:
    """output = e^(inputs - m) / Σ e^(inputs - m), m the largest input of the row; all exponentials in one go"""
    rows, columns = inputs.shape
    for i in range(rows):
        largest = inputs[i, 0]
        for j in range(1, columns):
            value = inputs[i, j]
            largest = largest if value <= largest else value  # NaN wins, and makes the row NaN
        for j in range(columns):
            output[i, j] = inputs[i, j] - largest
    values = output.reshape(-1)
    for i in range(values.size):
        values[i] = exp_below_zero(values[i])
    for i in range(rows):
        total = inputs.dtype.type(0)
        for j in range(columns):
            total += output[i, j]
        for j in range(columns):
            output[i, j] /= total


@loop(rows="dvalues output dinputs", writes="dinputs")
def softmax_backward_loop(dvalues: Any, output: Any, dinputs: Any) -> None:
    """dinputs = output · (dvalues - Σ dvalues · output)"""
    rows, columns = dvalues.shape
    for i in range(rows):
        shares = dvalues.dtype.type(0)
        for j in range(columns):
            shares += dvalues[i, j] * output[i, j]
        for j in range(columns):
            dinputs[i, j] = output[i, j] * (dvalues[i, j] - shares)


@fast("* -> *")
def relu(inputs: Any, *, out: Any) -> list[Step]:
    """output = max(0, inputs)"""
    return [Step(relu_loop, flat(inputs, out), len(inputs))]


@fast("*, * -> *")
def relu_backward(dvalues: Any, output: Any, *, out: Any) -> list[Step]:
    """dinputs = dvalues where output > 0, else 0"""
    return [Step(relu_backward_loop, flat(dvalues, output, out), len(dvalues))]


@fast("n m, n m -> n m, 1 m")
def relu_biases_gradient(dvalues: Any, output: Any, *, out: Any) -> list[Step]:
    """(dlinear, dbiases): ReLU's gradient and the bias gradient of the Dense before it"""
    dlinear, dbiases = out
    return [
        zeroed(dbiases),
        Step(relu_biases_gradient_loop, (dvalues, output, dlinear, dbiases), len(dvalues)),
    ]


@fast("n m -> 1 m")
def biases_gradient(dvalues: Any, *, out: Any) -> list[Step]:
    """dbiases = Σ over samples of dvalues"""
    return [zeroed(out), Step(biases_gradient_loop, (dvalues, out), len(dvalues))]


@fast("* -> *")
def sigmoid(inputs: Any, *, out: Any) -> list[Step]:
    """output = 1 / (1 + e^-inputs)"""
    return [Step(sigmoid_loop, flat(inputs, out), len(inputs))]


@fast("*, * -> *")
def sigmoid_backward(dvalues: Any, output: Any, *, out: Any) -> list[Step]:
    """dinputs = dvalues · output · (1 - output)"""
    return [Step(sigmoid_backward_loop, flat(dvalues, output, out), len(dvalues))]


@fast("n m -> n m")
def softmax(inputs: Any, *, out: Any) -> list[Step]:
    """output = e^(inputs - m) / Σ e^(inputs - m)"""
    return [Step(softmax_loop, (inputs, out), len(inputs))]


@fast("n m, n m -> n m")
def softmax_backward(dvalues: Any, output: Any, *, out: Any) -> list[Step]:
    """dinputs = output · (dvalues - Σ dvalues · output)"""
    return [Step(softmax_backward_loop, (dvalues, output, out), len(dvalues))]
