"""Losses with their gradients, penalties, and accuracies.

A label outside the classes, which the reference refuses, never reads foreign memory: its loss is NaN. (Labels are checked
where data come in.)
"""

from __future__ import annotations

from math import log, nan
from typing import Any

from ...ops import CLIP
from .activations import flat
from .activations import sigmoid as sigmoid_plan
from .activations import softmax as softmax_plan
from .compile import helper, loop
from .plan import Step, fast


@helper
def clip(value: Any, low: Any, high: Any) -> Any:
    """`value` within [low, high]; NaN comes through"""
    value = low if value < low else value
    return high if value > high else value


@loop
def categorical_crossentropy_loop(predictions: Any, targets: Any, low: Any, high: Any, sample_losses: Any) -> None:
    """sample_loss = -log(clip(predictions[target]))"""
    kind = predictions.dtype.type
    classes, low, high = predictions.shape[1], kind(low), kind(high)
    for i in range(targets.size):
        target = targets[i]
        confidence = predictions[i, target] if 0 <= target < classes else kind(nan)
        sample_losses[i] = -log(clip(confidence, low, high))


@loop
def categorical_crossentropy_backward_loop(
    predictions: Any, targets: Any, low: Any, high: Any, dpredictions: Any
) -> None:
    """dpredictions = -1 / (n · clip(predictions)) at the target, else 0"""
    kind = predictions.dtype.type
    (rows, classes), low, high = predictions.shape, kind(low), kind(high)
    for i in range(rows):
        for j in range(classes):
            dpredictions[i, j] = 0
        target = targets[i]
        if 0 <= target < classes:
            dpredictions[i, target] = kind(-1) / (kind(rows) * clip(predictions[i, target], low, high))


@loop
def softmax_crossentropy_backward_loop(probabilities: Any, targets: Any, dinputs: Any) -> None:
    """dinputs = (probabilities - one_hot(targets)) / n"""
    kind = probabilities.dtype.type
    rows, classes = probabilities.shape
    share = kind(1) / kind(rows)
    for i in range(rows):
        for j in range(classes):
            dinputs[i, j] = (probabilities[i, j] - kind(j == targets[i])) * share


@loop
def binary_crossentropy_loop(predictions: Any, targets: Any, low: Any, high: Any, sample_losses: Any) -> None:
    """sample_loss = mean over outputs of -(t · log p + (1 - t) · log(1 - p)), p clipped"""
    kind = predictions.dtype.type
    (rows, outputs), one, low, high = predictions.shape, kind(1), kind(low), kind(high)
    for i in range(rows):
        total = kind(0)
        for j in range(outputs):
            clipped, target = clip(predictions[i, j], low, high), targets[i, j]
            total += target * log(clipped) + (one - target) * log(one - clipped)
        sample_losses[i] = -total / kind(outputs)


@loop
def binary_crossentropy_backward_loop(predictions: Any, targets: Any, low: Any, high: Any, dpredictions: Any) -> None:
    """dpredictions = -(t / p - (1 - t) / (1 - p)) / (outputs · n), p clipped"""
    kind = predictions.dtype.type
    one, low, high, count = kind(1), kind(low), kind(high), kind(predictions.size)
    for i in range(predictions.size):
        clipped, target = clip(predictions[i], low, high), targets[i]
        dpredictions[i] = ((one - target) / (one - clipped) - target / clipped) / count


@loop
def scaled_difference_loop(left: Any, right: Any, factor: Any, out: Any) -> None:
    """out = (left - right) · factor"""
    factor = left.dtype.type(factor)
    for i in range(left.size):
        out[i] = (left[i] - right[i]) * factor


@loop
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


@loop
def mean_absolute_error_loop(predictions: Any, targets: Any, sample_losses: Any) -> None:
    """sample_loss = mean over outputs of |t - p|"""
    kind = predictions.dtype.type
    rows, outputs = predictions.shape
    for i in range(rows):
        total = kind(0)
        for j in range(outputs):
            total += abs(targets[i, j] - predictions[i, j])
        sample_losses[i] = total / kind(outputs)


@loop
def mean_absolute_error_backward_loop(predictions: Any, targets: Any, dpredictions: Any) -> None:
    """dpredictions = sign(p - t) / (outputs · n)"""
    kind = predictions.dtype.type
    zero, count = kind(0), kind(predictions.size)
    for i in range(predictions.size):
        error = predictions[i] - targets[i]
        sign = kind(1) if error > zero else (kind(-1) if error < zero else error)  # 0 and NaN stay what they are
        dpredictions[i] = sign / count


@loop
def mean_loop(values: Any, out: Any) -> None:
    """out = mean of all values"""
    total = values.dtype.type(0)
    for i in range(values.size):
        total += values[i]
    out[0] = total / values.dtype.type(values.size)


@loop
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


@loop
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


@loop
def categorical_accuracy_loop(predictions: Any, targets: Any, out: Any) -> None:
    """out = the share of samples whose most probable class is the target; a NaN counts as the largest, as in argmax"""
    rows, classes = predictions.shape
    hits = 0
    for i in range(rows):
        best, largest = 0, predictions[i, 0]
        for j in range(1, classes):
            value = predictions[i, j]
            if not value <= largest and largest == largest:
                best, largest = j, value
        hits += best == targets[i]
    out[0] = hits / rows


@loop
def binary_accuracy_loop(predictions: Any, targets: Any, out: Any) -> None:
    """out = the share of outputs on the target's side of one half"""
    hits = 0
    for i in range(predictions.size):
        hits += (predictions[i] > 0.5) == (targets[i] > 0.5)
    out[0] = hits / predictions.size


@loop
def regression_accuracy_loop(predictions: Any, targets: Any, precision: Any, out: Any) -> None:
    """out = the share of outputs closer to the target than `precision`"""
    hits = 0
    for i in range(predictions.size):
        hits += abs(predictions[i] - targets[i]) < precision[0]
    out[0] = hits / predictions.size


@fast("n m, n:int -> n")
def categorical_crossentropy(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """sample_loss = -log(clip(predictions[target]))"""
    return [(categorical_crossentropy_loop, (predictions, targets, CLIP, 1 - CLIP, out))]


@fast("n m, n:int -> n m")
def categorical_crossentropy_backward(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """dpredictions = -1 / (n · clip(predictions)) at the target, else 0"""
    return [(categorical_crossentropy_backward_loop, (predictions, targets, CLIP, 1 - CLIP, out))]


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
    return [(softmax_crossentropy_backward_loop, (probabilities, targets, out))]


@fast("n m, n m -> n")
def binary_crossentropy(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """sample_loss = mean over outputs of -(t · log p + (1 - t) · log(1 - p)), p clipped"""
    return [(binary_crossentropy_loop, (predictions, targets, CLIP, 1 - CLIP, out))]


@fast("*, * -> *")
def binary_crossentropy_backward(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """dpredictions = -(t / p - (1 - t) / (1 - p)) / (outputs · n), p clipped"""
    return [(binary_crossentropy_backward_loop, (*flat(predictions, targets), CLIP, 1 - CLIP, *flat(out)))]


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
    return [(scaled_difference_loop, (*flat(probabilities, targets), 1 / probabilities.size, *flat(out)))]


@fast("n m, n m -> n")
def mean_squared_error(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """sample_loss = mean over outputs of (t - p)²"""
    return [(mean_squared_error_loop, (predictions, targets, out))]


@fast("*, * -> *")
def mean_squared_error_backward(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """dpredictions = 2 (p - t) / (outputs · n)"""
    return [(scaled_difference_loop, (*flat(predictions, targets), 2 / predictions.size, *flat(out)))]


@fast("n m, n m -> n")
def mean_absolute_error(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """sample_loss = mean over outputs of |t - p|"""
    return [(mean_absolute_error_loop, (predictions, targets, out))]


@fast("*, * -> *")
def mean_absolute_error_backward(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """dpredictions = sign(p - t) / (outputs · n)"""
    return [(mean_absolute_error_backward_loop, flat(predictions, targets, out))]


@fast("* -> ()")
def mean(values: Any, *, out: Any) -> list[Step]:
    """out = mean of all values"""
    return [(mean_loop, flat(values, out))]


@fast("* ~ ()")
def penalty(parameters: Any, *, l1: float, l2: float, state: Any) -> list[Step]:
    """state += l1 · Σ|w| + l2 · Σw²"""
    return [(penalty_loop, (*flat(parameters), float(l1), float(l2), *flat(state)))]


@fast("* ~ *")
def penalty_gradient(parameters: Any, *, l1: float, l2: float, state: Any) -> list[Step]:
    """state += l1 · (1 if w ≥ 0 else -1) + 2 · l2 · w"""
    return [(penalty_gradient_loop, (*flat(parameters), float(l1), float(l2), *flat(state)))]


@fast("n m, n:int -> ()")
def categorical_accuracy(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """out = the share of samples whose most probable class is the target"""
    return [(categorical_accuracy_loop, (predictions, targets, *flat(out)))]


@fast("*, * -> ()")
def binary_accuracy(predictions: Any, targets: Any, *, out: Any) -> list[Step]:
    """out = the share of outputs on the target's side of one half"""
    return [(binary_accuracy_loop, flat(predictions, targets, out))]


@fast("*, *, () -> ()")
def regression_accuracy(predictions: Any, targets: Any, precision: Any, *, out: Any) -> list[Step]:
    """out = the share of outputs closer to the target than `precision`"""
    return [(regression_accuracy_loop, flat(predictions, targets, precision, out))]
