"""Losses with their gradients, penalties, and accuracies.

A label outside the classes, which the reference refuses, never reads foreign memory: its loss is NaN. (Labels are checked
where data come in.)
"""

from __future__ import annotations

from math import log, nan
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from ...ops import CLIP
from .activations import sigmoid as sigmoid_plan
from .activations import softmax as softmax_plan
from .compile import Step, helper, loop
from .plan import fast, flat


@helper(fastmath={"contract"})  # the steps below must not be reordered
def _log_float32(x: Any) -> Any:
    """log(x) for normal x > 0: x = 2^n · (1 + m), with a polynomial for log(1 + m) (Cephes' logf); NaN comes through.

    Right to 0.7 units in the last place.
    """
    f = np.float32
    bits = np.float32(x).view(np.int32)
    n = (bits - np.int32(0x3F3504F3)) >> np.int32(23)
    m = np.int32(bits - (n << np.int32(23))).view(np.float32) - f(1)
    p = f(7.0376836292e-2) * m - f(1.1514610310e-1)
    p = p * m + f(1.1676998740e-1)
    p = p * m - f(1.2420140846e-1)
    p = p * m + f(1.4249322787e-1)
    p = p * m - f(1.6668057665e-1)
    p = p * m + f(2.0000714765e-1)
    p = p * m - f(2.4999993993e-1)
    p = p * m + f(3.3333331174e-1)
    square, whole = m * m, f(n)
    logarithm = m + (m * square * p - whole * f(2.12194440e-4) - f(0.5) * square) + whole * f(0.693359375)
    return logarithm if x == x else x


def log_of_clipped(x: Any) -> Any:
    """log(x) for x that was clipped, in a form that the compiler can vectorize where there is one. For use inside loops."""
    raise NotImplementedError


@overload(log_of_clipped)
def _overload_log(x):  # type: ignore[no-untyped-def]
    if x == types.float32:
        return lambda x: _log_float32(x)
    return lambda x: log(x)


@helper()
def clip(value: Any, low: Any, high: Any) -> Any:
    """`value` within [low, high]; NaN comes through"""
    value = low if value < low else value
    return high if value > high else value


@loop(rows="predictions targets sample_losses", writes="sample_losses")
def categorical_crossentropy_loop(predictions: Any, targets: Any, low: Any, high: Any, sample_losses: Any) -> None:
    """sample_loss = -log(clip(predictions[target]))"""
    kind = predictions.dtype.type
    classes, low, high = predictions.shape[1], kind(low), kind(high)
    for i in range(targets.size):
        target = targets[i]
        sample_losses[i] = predictions[i, target] if 0 <= target < classes else kind(nan)
    for i in range(targets.size):
        sample_losses[i] = -log_of_clipped(clip(sample_losses[i], low, high))


@loop(rows="predictions targets dpredictions", writes="dpredictions")
def categorical_crossentropy_backward_loop(
    predictions: Any, targets: Any, low: Any, high: Any, count: Any, dpredictions: Any
) -> None:
    """dpredictions = -1 / (n · clip(predictions)) at the target, else 0"""
    kind = predictions.dtype.type
    (rows, classes), low, high, count = predictions.shape, kind(low), kind(high), kind(count)
    for i in range(rows):
        for j in range(classes):
            dpredictions[i, j] = 0
        target = targets[i]
        if 0 <= target < classes:
            dpredictions[i, target] = kind(-1) / (count * clip(predictions[i, target], low, high))


@loop(rows="probabilities targets dinputs", writes="dinputs")
def softmax_crossentropy_backward_loop(probabilities: Any, targets: Any, share: Any, dinputs: Any) -> None:
    """dinputs = (probabilities - one_hot(targets)) · share"""
    kind = probabilities.dtype.type
    rows, classes = probabilities.shape
    share, values, results = kind(share), probabilities.reshape(-1), dinputs.reshape(-1)
    for i in range(values.size):
        results[i] = values[i] * share
    for i in range(rows):
        target = targets[i]
        if 0 <= target < classes:
            dinputs[i, target] = (probabilities[i, target] - kind(1)) * share


@loop(rows="predictions targets sample_losses", writes="sample_losses")
def binary_crossentropy_loop(predictions: Any, targets: Any, low: Any, high: Any, sample_losses: Any) -> None:
    """sample_loss = mean over outputs of -(t · log p + (1 - t) · log(1 - p)), p clipped"""
    kind = predictions.dtype.type
    (rows, outputs), one, low, high = predictions.shape, kind(1), kind(low), kind(high)
    for i in range(rows):
        total = kind(0)
        for j in range(outputs):
            clipped, target = clip(predictions[i, j], low, high), targets[i, j]
            total += target * log_of_clipped(clipped) + (one - target) * log_of_clipped(one - clipped)
        sample_losses[i] = -total / kind(outputs)


@loop(rows="predictions targets dpredictions", writes="dpredictions")
def binary_crossentropy_backward_loop(
    predictions: Any, targets: Any, low: Any, high: Any, count: Any, dpredictions: Any
) -> None:
    """dpredictions = -(t / p - (1 - t) / (1 - p)) / (outputs · n), p clipped"""
    kind = predictions.dtype.type
    one, low, high, count = kind(1), kind(low), kind(high), kind(count)
    for i in range(predictions.size):
        clipped, target = clip(predictions[i], low, high), targets[i]
        dpredictions[i] = ((one - target) / (one - clipped) - target / clipped) / count


@loop(rows="left right out", writes="out")
def scaled_difference_loop(left: Any, right: Any, factor: Any, out: Any) -> None:
    """out = (left - right) · factor"""
    factor = left.dtype.type(factor)
    for i in range(left.size):
        out[i] = (left[i] - right[i]) * factor


@loop(rows="predictions targets sample_losses", writes="sample_losses")
def mean_squared_error_loop(predictions: Any, targets: Any, sample_losses: Any) -> None:
    """sample_loss = mean over outputs of (t - p)²"""
    kind = predictions.dtype.type
    rows, outputs = predictions.shape
    for i in range(rows):
        total = kind(0)
        for j in range(outputs):
            error = targets[i, j] - predictions[i, j]
            total += error * error
        sample_losses[i] = total / kind(outputs)


@loop(rows="predictions targets sample_losses", writes="sample_losses")
def mean_absolute_error_loop(predictions: Any, targets: Any, sample_losses: Any) -> None:
    """sample_loss = mean over outputs of |t - p|"""
    kind = predictions.dtype.type
    rows, outputs = predictions.shape
    for i in range(rows):
        total = kind(0)
        for j in range(outputs):
            total += abs(targets[i, j] - predictions[i, j])
        sample_losses[i] = total / kind(outputs)


@loop(rows="predictions targets dpredictions", writes="dpredictions")
def mean_absolute_error_backward_loop(predictions: Any, targets: Any, count: Any, dpredictions: Any) -> None:
    """dpredictions = sign(p - t) / (outputs · n)"""
    kind = predictions.dtype.type
    zero, count = kind(0), kind(count)
    for i in range(predictions.size):
        error = predictions[i] - targets[i]
        sign = kind(1) if error > zero else (kind(-1) if error < zero else error)  # 0 and NaN stay what they are
        dpredictions[i] = sign / count


@loop(writes="out")
def weighted_mean_loop(values: Any, weights: Any, out: Any) -> None:
    """out = 1/n · Σ w · v"""
    total = values.dtype.type(0)
    for i in range(values.size):
        total += values[i] * weights[i]
    out[0] = total / values.dtype.type(values.size)


@loop(rows="values weights out", writes="out")
def weigh_loop(values: Any, weights: Any, out: Any) -> None:
    """out = w · values, row by row"""
    rows, columns = values.shape
    for i in range(rows):
        for j in range(columns):
            out[i, j] = weights[i] * values[i, j]


@loop(writes="out")
def mean_loop(values: Any, out: Any) -> None:
    """out = mean of all values"""
    total = values.dtype.type(0)
    for i in range(values.size):
        total += values[i]
    out[0] = total / values.dtype.type(values.size)


@loop(writes="state")
def penalty_loop(parameters: Any, l1: Any, l2: Any, state: Any) -> None:
    """state += l1 · Σ|w| + l2 · Σw²; a strength of zero adds nothing, not even NaN"""
    kind = parameters.dtype.type
    total, squares = kind(0), kind(0)
    for i in range(parameters.size):
        value = parameters[i]
        total += abs(value)
        squares += value * value
    if l1 != 0:
        state[0] += kind(l1) * total
    if l2 != 0:
        state[0] += kind(l2) * squares


@loop(writes="state")
def penalty_gradient_loop(parameters: Any, l1: Any, l2: Any, state: Any) -> None:
    """state += l1 · (1 if w ≥ 0 else -1) + 2 · l2 · w"""
    kind = parameters.dtype.type
    plus, double, zero = kind(l1), kind(2 * l2), kind(0)
    if l1 != 0:
        for i in range(parameters.size):
            state[i] += plus if parameters[i] >= zero else -plus
    if l2 != 0:
        for i in range(parameters.size):
            state[i] += double * parameters[i]


@loop(writes="out")
def categorical_accuracy_loop(predictions: Any, targets: Any, out: Any) -> None:
    """out = the share of samples whose most probable class is the target; a NaN counts as the largest, as in argmax"""
    rows, classes = predictions.shape
    hits = 0
    for i in range(rows):
        best, largest = 0, predictions[i, 0]
        for j in range(1, classes):
            value = predictions[i, j]
            more = value > largest or (value != value and largest == largest)
            best, largest = (j if more else best), (value if more else largest)
        hits += best == targets[i]
    out[0] = hits / rows


@loop(writes="out")
def binary_accuracy_loop(predictions: Any, targets: Any, out: Any) -> None:
    """out = the share of outputs on the target's side of one half"""
    hits = 0
    for i in range(predictions.size):
        hits += (predictions[i] > 0.5) == (targets[i] > 0.5)
    out[0] = hits / predictions.size


@loop(writes="out")
def regression_accuracy_loop(predictions: Any, targets: Any, precision: Any, out: Any) -> None:
    """out = the share of outputs closer to the target than `precision`"""
    hits = 0
    for i in range(predictions.size):
        hits += abs(predictions[i] - targets[i]) < precision[0]
    out[0] = hits / predictions.size


@fast("n m, n:int -> n")
def categorical_crossentropy(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """sample_loss = -log(clip(predictions[target]))"""
    return [Step(categorical_crossentropy_loop, (predictions, targets, CLIP, 1 - CLIP, out), len(out))]


@fast("n m, n:int -> n m")
def categorical_crossentropy_backward(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """dpredictions = -1 / (n · clip(predictions)) at the target, else 0"""
    rows = len(targets)
    arguments = predictions, targets, CLIP, 1 - CLIP, float(rows), out
    return [Step(categorical_crossentropy_backward_loop, arguments, rows)]


@fast("n m, n:int -> n m, n")
def softmax_crossentropy(inputs: Any, targets: Any, *, out: Any) -> list[Step]:
    """(probabilities, sample_losses)"""
    probabilities, sample_losses = out
    return [
        *softmax_plan(inputs, out=probabilities),
        *categorical_crossentropy(probabilities, targets, out=sample_losses),
    ]


@fast("n m, n:int -> n m")
def softmax_crossentropy_backward(probabilities: Any, targets: Any, *, out: Any) -> list[Step]:
    """dinputs = (probabilities - one_hot(targets)) / n"""
    return [Step(softmax_crossentropy_backward_loop, (probabilities, targets, 1 / len(out), out), len(out))]


@fast("n m, n m -> n")
def binary_crossentropy(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """sample_loss = mean over outputs of -(t · log p + (1 - t) · log(1 - p)), p clipped"""
    return [Step(binary_crossentropy_loop, (predictions, targets, CLIP, 1 - CLIP, out), len(out))]


@fast("*, * -> *")
def binary_crossentropy_backward(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """dpredictions = -(t / p - (1 - t) / (1 - p)) / (outputs · n), p clipped"""
    arguments = *flat(predictions, targets), CLIP, 1 - CLIP, float(out.size), *flat(out)
    return [Step(binary_crossentropy_backward_loop, arguments, len(out))]


@fast("n m, n m -> n m, n")
def sigmoid_crossentropy(inputs: Any, targets: Any, *, out: Any) -> list[Step]:
    """(probabilities, sample_losses)"""
    probabilities, sample_losses = out
    return [
        *sigmoid_plan(inputs, out=probabilities),
        *binary_crossentropy(probabilities, targets, out=sample_losses),
    ]


@fast("*, * -> *")
def sigmoid_crossentropy_backward(probabilities: Any, targets: Any, *, out: Any) -> list[Step]:
    """dinputs = (probabilities - targets) / (outputs · n)"""
    return [Step(scaled_difference_loop, (*flat(probabilities, targets), 1 / out.size, *flat(out)), len(out))]


@fast("n m, n m -> n")
def mean_squared_error(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """sample_loss = mean over outputs of (t - p)²"""
    return [Step(mean_squared_error_loop, (predictions, targets, out), len(out))]


@fast("*, * -> *")
def mean_squared_error_backward(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """dpredictions = 2 (p - t) / (outputs · n)"""
    return [Step(scaled_difference_loop, (*flat(predictions, targets), 2 / out.size, *flat(out)), len(out))]


@fast("n m, n m -> n")
def mean_absolute_error(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """sample_loss = mean over outputs of |t - p|"""
    return [Step(mean_absolute_error_loop, (predictions, targets, out), len(out))]


@fast("*, * -> *")
def mean_absolute_error_backward(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """dpredictions = sign(p - t) / (outputs · n)"""
    return [
        Step(mean_absolute_error_backward_loop, (*flat(predictions, targets), float(out.size), *flat(out)), len(out))
    ]


@fast("* -> ()")
def mean(values: Any, *, out: Any) -> list[Step]:
    """out = mean of all values"""
    return [Step(mean_loop, flat(values, out))]


@fast("n, n -> ()")
def weighted_mean(values: Any, weights: Any, *, out: Any) -> list[Step]:
    """out = 1/n · Σ w · v"""
    return [Step(weighted_mean_loop, (values, weights, *flat(out)))]


@fast("n m, n -> n m")
def weigh(values: Any, weights: Any, *, out: Any) -> list[Step]:
    """out = w · values, row by row"""
    return [Step(weigh_loop, (values, weights, out), len(out))]


@fast("* ~ ()")
def penalty(parameters: Any, *, l1: float, l2: float, state: Any) -> list[Step]:
    """state += l1 · Σ|w| + l2 · Σw²"""
    return [Step(penalty_loop, (*flat(parameters), float(l1), float(l2), *flat(state)))]


@fast("* ~ *")
def penalty_gradient(parameters: Any, *, l1: float, l2: float, state: Any) -> list[Step]:
    """state += l1 · (1 if w ≥ 0 else -1) + 2 · l2 · w"""
    return [Step(penalty_gradient_loop, (*flat(parameters), float(l1), float(l2), *flat(state)))]


@fast("n m, n:int -> ()")
def categorical_accuracy(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """out = the share of samples whose most probable class is the target"""
    return [Step(categorical_accuracy_loop, (predictions, targets, *flat(out)))]


@fast("*, * -> ()")
def binary_accuracy(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """out = the share of outputs on the target's side of one half"""
    return [Step(binary_accuracy_loop, flat(predictions, targets, out))]


@fast("*, *, () -> ()")
def regression_accuracy(predictions: Any, targets: Any, precision: Any, *, out: Any) -> list[Step]:
    """out = the share of outputs closer to the target than `precision`"""
    return [Step(regression_accuracy_loop, flat(predictions, targets, precision, out))]
