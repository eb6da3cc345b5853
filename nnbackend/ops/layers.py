"""Layers and activations (book, chapters 3, 4, 9 and 15)."""

from __future__ import annotations

from typing import Any

from ..rng import random_words


def dense(xp: Any, inputs: Any, weights: Any, biases: Any, *, out: Any) -> Any:
    """output = inputs · weights + biases"""
    xp.matmul(inputs, weights, out=out)
    return xp.add(out, biases, out=out)


def weights_gradient(xp: Any, inputs: Any, dvalues: Any, *, out: Any) -> Any:
    """dweights = inputsᵀ · dvalues"""
    return xp.matmul(inputs.T, dvalues, out=out)


def biases_gradient(xp: Any, dvalues: Any, *, out: Any) -> Any:
    """dbiases = Σ over samples of dvalues, shape (1, n_neurons)"""
    return dvalues.sum(axis=0, keepdims=True, out=out)


def inputs_gradient(xp: Any, dvalues: Any, weights: Any, *, out: Any) -> Any:
    """dinputs = dvalues · weightsᵀ"""
    return xp.matmul(dvalues, weights.T, out=out)


def relu(xp: Any, inputs: Any, *, out: Any) -> Any:
    """output = max(0, inputs)"""
    return inputs.clip(0, xp.inf, out=out)  # NumPy takes twice as long for maximum(inputs, 0)


def relu_backward(xp: Any, dvalues: Any, output: Any, *, out: Any) -> Any:
    """dinputs = dvalues where output > 0, else 0 (where inputs > 0 is the same place)

    It is the product dvalues · (output > 0): where dvalues is infinite or NaN and the unit is closed, inf · 0 gives NaN.
    """
    return xp.multiply(dvalues, output > 0, out=out)


def dense_relu(xp: Any, inputs: Any, weights: Any, biases: Any, *, out: Any) -> Any:
    """output = max(0, inputs · weights + biases): Dense and ReLU joined"""
    return relu(xp, dense(xp, inputs, weights, biases, out=out), out=out)


def relu_biases_gradient(xp: Any, dvalues: Any, output: Any, *, out: tuple[Any, Any]) -> tuple[Any, Any]:
    """(dlinear, dbiases): ReLU's gradient and the bias gradient of the Dense before it, joined"""
    dlinear, dbiases = out
    relu_backward(xp, dvalues, output, out=dlinear)
    biases_gradient(xp, dlinear, out=dbiases)
    return out


def sigmoid(xp: Any, inputs: Any, *, out: Any) -> Any:
    """output = 1 / (1 + e^-inputs), written so that the exponential never overflows"""
    decay = xp.exp(-xp.abs(inputs))
    return xp.divide(xp.where(inputs >= 0, inputs.dtype.type(1), decay), 1 + decay, out=out)


def sigmoid_backward(xp: Any, dvalues: Any, output: Any, *, out: Any) -> Any:
    """dinputs = dvalues · output · (1 - output)"""
    return xp.multiply(dvalues, output * (1 - output), out=out)


def softmax(xp: Any, inputs: Any, *, out: Any) -> Any:
    """output = e^(inputs - m) / Σ e^(inputs - m), m the largest input of the row"""
    columns = xp.ascontiguousarray(inputs.T)  # the few classes first: NumPy is slow along a short last axis
    powers = xp.exp(columns - columns.max(axis=0))
    powers /= powers.sum(axis=0)
    out[...] = powers.T
    return out


def softmax_backward(xp: Any, dvalues: Any, output: Any, *, out: Any) -> Any:
    """dinputs = output · (dvalues - Σ over classes of dvalues · output): the Jacobian applied, never built"""
    shares = xp.sum(dvalues * output, axis=1, keepdims=True)
    return xp.multiply(output, dvalues - shares, out=out)


def dropout(
    xp: Any, inputs: Any, step: Any, *, rate: float, key: int, stream: int, out: tuple[Any, Any]
) -> tuple[Any, Any]:
    """output = inputs · mask, where mask is 1 / (1 - rate) with probability 1 - rate, else 0; out = (output, mask).

    An element is dropped where its 32-bit random word is below rate · 2³². `step` is an int64 array of shape (1,).
    """
    output, mask = out
    words = random_words(xp, inputs.size, key=key, stream=stream, step=step).reshape(inputs.shape)
    dropout_mask(xp, words >= round(rate * 2**32), rate=rate, out=mask)
    xp.multiply(inputs, mask, out=output)
    return out


def dropout_mask(xp: Any, kept: Any, *, rate: float, out: Any) -> Any:
    """mask = kept / (1 - rate), where kept is 1 or True for what is kept and 0 or False for what is dropped"""
    return xp.multiply(kept, out.dtype.type(1 / (1 - rate)), out=out)


def multiply(xp: Any, left: Any, right: Any, *, out: Any) -> Any:
    """out = left · right, elementwise (dropout's gradient: dvalues · mask)"""
    return xp.multiply(left, right, out=out)
