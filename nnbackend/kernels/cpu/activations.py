"""Activations, their gradients, and the bias gradient that comes on the way."""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np

from .compile import loop
from .plan import Step, fast


@loop
def relu_loop(inputs: Any, output: Any) -> None:
    """output = max(0, inputs); NaN comes through"""
    zero = inputs.dtype.type(0)
    for i in range(inputs.size):
        value = inputs[i]
        output[i] = zero if value <= zero else value


@loop
def relu_backward_loop(dvalues: Any, output: Any, dinputs: Any) -> None:
    """dinputs = dvalues · (output > 0); a product, so that infinity times nothing is NaN as in the reference"""
    zero, one = dvalues.dtype.type(0), dvalues.dtype.type(1)
    for i in range(dvalues.size):
        dinputs[i] = dvalues[i] * (one if output[i] > zero else zero)


@loop
def relu_biases_gradient_loop(dvalues: Any, output: Any, dlinear: Any, dbiases: Any) -> None:
    """relu_backward_loop, and the sums of its columns"""
    rows, columns = dvalues.shape
    zero, one = dvalues.dtype.type(0), dvalues.dtype.type(1)
    for j in range(columns):
        dbiases[0, j] = zero
    for i in range(rows):
        for j in range(columns):
            value = dvalues[i, j] * (one if output[i, j] > zero else zero)
            dlinear[i, j] = value
            dbiases[0, j] += value


@loop
def biases_gradient_loop(dvalues: Any, dbiases: Any) -> None:
    """dbiases = the sums of the columns of dvalues, four rows at a time"""
    rows, columns = dvalues.shape
    for j in range(columns):
        dbiases[0, j] = 0
    for i in range(0, rows - rows % 4, 4):
        for j in range(columns):
            dbiases[0, j] += (dvalues[i, j] + dvalues[i + 1, j]) + (dvalues[i + 2, j] + dvalues[i + 3, j])
    for i in range(rows - rows % 4, rows):
        for j in range(columns):
            dbiases[0, j] += dvalues[i, j]


@loop
def sigmoid_loop(inputs: Any, output: Any) -> None:
    """output = 1 / (1 + e^-inputs), the exponential of a negative number only"""
    one = inputs.dtype.type(1)
    for i in range(inputs.size):
        value = inputs[i]
        decay = exp(-abs(value))
        output[i] = (one if value >= 0 else decay) / (one + decay)


@loop
def sigmoid_backward_loop(dvalues: Any, output: Any, dinputs: Any) -> None:
    """dinputs = dvalues · output · (1 - output)"""
    one = dvalues.dtype.type(1)
    for i in range(dvalues.size):
        dinputs[i] = dvalues[i] * (output[i] * (one - output[i]))


@loop
def softmax_loop(inputs: Any, output: Any) -> None:
    """output = e^(inputs - m) / Σ e^(inputs - m), m the largest input of the row"""
    rows, columns = inputs.shape
    for i in range(rows):
        largest = inputs[i, 0]
        for j in range(1, columns):
            value = inputs[i, j]
            largest = largest if value <= largest else value  # NaN wins, and makes the row NaN
        total = inputs.dtype.type(0)
        for j in range(columns):
            value = exp(inputs[i, j] - largest)
            output[i, j] = value
            total += value
        for j in range(columns):
            output[i, j] /= total


@loop
def softmax_backward_loop(dvalues: Any, output: Any, dinputs: Any) -> None:
    """dinputs = output · (dvalues - Σ dvalues · output)"""
    rows, columns = dvalues.shape
    for i in range(rows):
        shares = dvalues.dtype.type(0)
        for j in range(columns):
            shares += dvalues[i, j] * output[i, j]
        for j in range(columns):
            dinputs[i, j] = output[i, j] * (dvalues[i, j] - shares)


def flat(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """The arrays in one dimension."""
    return tuple(array.reshape(-1) for array in arrays)


@fast("* -> *")
def relu(inputs: Any, *, out: Any) -> list[Step]:
    """output = max(0, inputs)"""
    return [(relu_loop, flat(inputs, out))]


@fast("*, * -> *")
def relu_backward(dvalues: Any, output: Any, *, out: Any) -> list[Step]:
    """dinputs = dvalues where output > 0, else 0"""
    return [(relu_backward_loop, flat(dvalues, output, out))]


@fast("n m, n m -> n m, 1 m")
def relu_biases_gradient(dvalues: Any, output: Any, *, out: Any) -> list[Step]:
    """(dlinear, dbiases): ReLU's gradient and the bias gradient of the Dense before it"""
    return [(relu_biases_gradient_loop, (dvalues, output, *out))]


@fast("n m -> 1 m")
def biases_gradient(dvalues: Any, *, out: Any) -> list[Step]:
    """dbiases = Σ over samples of dvalues"""
    return [(biases_gradient_loop, (dvalues, out))]


@fast("* -> *")
def sigmoid(inputs: Any, *, out: Any) -> list[Step]:
    """output = 1 / (1 + e^-inputs)"""
    return [(sigmoid_loop, flat(inputs, out))]


@fast("*, * -> *")
def sigmoid_backward(dvalues: Any, output: Any, *, out: Any) -> list[Step]:
    """dinputs = dvalues · output · (1 - output)"""
    return [(sigmoid_backward_loop, flat(dvalues, output, out))]


@fast("n m -> n m")
def softmax(inputs: Any, *, out: Any) -> list[Step]:
    """output = e^(inputs - m) / Σ e^(inputs - m)"""
    return [(softmax_loop, (inputs, out))]


@fast("n m, n m -> n m")
def softmax_backward(dvalues: Any, output: Any, *, out: Any) -> list[Step]:
    """dinputs = output · (dvalues - Σ dvalues · output)"""
    return [(softmax_backward_loop, (dvalues, output, out))]
