"""Losses (book, chapters 5, 9, 16 and 17): each gives the loss of every sample, shape (n,), and the mean goes over them."""

from __future__ import annotations

from typing import Any

from .layers import sigmoid, softmax

# Predictions are kept this far away from 0 and 1 before a logarithm (book, chapter 5).
CLIP = 1e-7


def categorical_crossentropy(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """sample_loss = -log(clip(predictions[target]))"""
    confidences = predictions[xp.arange(len(targets)), targets]
    xp.log(confidences.clip(CLIP, 1 - CLIP), out=out)
    return xp.negative(out, out=out)


def categorical_crossentropy_backward(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """dpredictions = -1 / (n · clip(predictions)) at the target, else 0"""
    rows = xp.arange(len(targets))
    out.fill(0)
    out[rows, targets] = -1 / (len(targets) * xp.clip(predictions[rows, targets], CLIP, 1 - CLIP))
    return out


def softmax_crossentropy(xp: Any, inputs: Any, targets: Any, *, out: tuple[Any, Any]) -> tuple[Any, Any]:
    """(probabilities, sample_losses): softmax and categorical cross-entropy joined"""
    probabilities, sample_losses = out
    softmax(xp, inputs, out=probabilities)
    categorical_crossentropy(xp, probabilities, targets, out=sample_losses)
    return out


def softmax_crossentropy_backward(xp: Any, probabilities: Any, targets: Any, *, out: Any) -> Any:
    """dinputs = (probabilities - one_hot(targets)) / n"""
    out[...] = probabilities
    out[xp.arange(len(targets)), targets] -= 1  # exact where the probability is close to 1; only then divide
    return xp.divide(out, len(targets), out=out)


def binary_crossentropy(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """sample_loss = mean over outputs of -(t · log p + (1 - t) · log(1 - p)), p clipped"""
    clipped = xp.clip(predictions, CLIP, 1 - CLIP)
    losses = targets * xp.log(clipped) + (1 - targets) * xp.log(1 - clipped)
    return xp.negative(xp.mean(losses, axis=1), out=out)


def binary_crossentropy_backward(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """dpredictions = -(t / p - (1 - t) / (1 - p)) / (outputs · n), p clipped"""
    clipped = xp.clip(predictions, CLIP, 1 - CLIP)
    return xp.divide((1 - targets) / (1 - clipped) - targets / clipped, predictions.size, out=out)


def sigmoid_crossentropy(xp: Any, inputs: Any, targets: Any, *, out: tuple[Any, Any]) -> tuple[Any, Any]:
    """(probabilities, sample_losses): sigmoid and binary cross-entropy joined"""
    probabilities, sample_losses = out
    sigmoid(xp, inputs, out=probabilities)
    binary_crossentropy(xp, probabilities, targets, out=sample_losses)
    return out


def sigmoid_crossentropy_backward(xp: Any, probabilities: Any, targets: Any, *, out: Any) -> Any:
    """dinputs = (probabilities - targets) / (outputs · n)"""
    return xp.divide(probabilities - targets, probabilities.size, out=out)


def mean_squared_error(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """sample_loss = mean over outputs of (t - p)²"""
    return xp.mean(xp.square(targets - predictions), axis=1, out=out)


def mean_squared_error_backward(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """dpredictions = 2 (p - t) / (outputs · n)"""
    return xp.multiply(predictions - targets, 2 / predictions.size, out=out)


def mean_absolute_error(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """sample_loss = mean over outputs of |t - p|"""
    return xp.mean(xp.abs(targets - predictions), axis=1, out=out)


def mean_absolute_error_backward(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """dpredictions = sign(p - t) / (outputs · n)"""
    return xp.divide(xp.sign(predictions - targets), predictions.size, out=out)


def mean(xp: Any, values: Any, *, out: Any) -> Any:
    """out = mean of all values, shape (): the data loss, from the losses of the samples"""
    return xp.divide(values.sum(), values.size, out=out)


def weighted_mean(xp: Any, values: Any, weights: Any, *, out: Any) -> Any:
    """out = 1/n · Σ w · v, shape (): the data loss of samples with weights relative to their mean"""
    return mean(xp, values * weights, out=out)


def weigh(xp: Any, values: Any, weights: Any, *, out: Any) -> Any:
    """out = w · values, row by row: the gradient of that loss, from that of the mean"""
    return xp.multiply(values, weights[:, xp.newaxis], out=out)
