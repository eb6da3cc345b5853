"""What a difference is relative to: the largest element, or the largest of what was summed (see testing/tolerances.py).

A sum can cancel, and then its own size says nothing about its rounding. The judge's arrays say what was summed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..layers import Dense
from ..regularizers import Regularizer
from ..testing.tolerances import largest_element
from .side import Side

# The gradient of a well-fitted sample is a difference of nearly equal numbers, rounded by eps of the prediction, so at
# least this share of prediction / n counts as a summand.
REMAINDER = 1 / 32


@dataclass(frozen=True)
class Scale:
    """What to measure a tensor against, and how many products were summed for one element."""

    size: float
    length: int = 1


def output_scales(judge: Side) -> dict[str, Scale]:
    """For each layer's output: what a Dense sums, and behind it what its error is passed on from."""
    scale = Scale(largest_element(judge.xp.to_host(judge.batch.inputs)))
    scales = {}
    for name, layer in judge.layers.items():
        inputs = judge.kept(name, "inputs")
        if isinstance(layer, Dense) and inputs is not None:
            weights, biases = (np.abs(judge.xp.to_host(values)) for values in (layer.weights, layer.biases))
            scale = Scale(largest_element(np.abs(inputs) @ weights + biases), len(weights))
        else:
            scale = Scale(max(scale.size, _size(judge.kept(name, "output"))), scale.length)
        scales[name] = scale
    return scales


def loss_scale(judge: Side, scales: dict[str, Scale]) -> Scale:
    """What the rounding of the sums before the loss is passed on by: their size times √Σ(gradient of the loss by them)².

    Each of them is off by itself, so that the errors of many samples do not simply add up.
    """
    last, before = (*reversed(judge.layers), "")[:2]
    dvalues = judge.kept(last, "dinputs")
    if dvalues is None:  # no activation at the end
        before, dvalues = last, _of_the_loss(judge, judge.predictions())
    scale = scales.get(before, Scale(0.0))  # the inputs are the same on both sides
    return Scale(scale.size * float(np.sqrt(np.square(dvalues).sum())), scale.length)


def gradient_scales(judge: Side) -> dict[str, dict[str, Scale]]:
    """For each layer's `dinputs`, and for the gradient of each of its parameters: what was summed, from the last layer on."""
    predictions = judge.predictions()
    remainder = REMAINDER * largest_element(predictions * judge.weights()) / len(predictions)
    dvalues = _of_the_loss(judge, predictions)  # with respect to the layer's output
    scales: dict[str, dict[str, Scale]] = {}
    length = 1  # of the longest sum on the way
    for name, layer in reversed(judge.layers.items()):
        dinputs = judge.kept(name, "dinputs")
        sizes = _sizes_of(judge, name, dinputs, np.abs(dvalues) + remainder)
        length = max(length, layer.n_outputs or 1)
        scales[name] = {key: Scale(size, length if key == "dinputs" else len(dvalues)) for key, size in sizes.items()}
        dvalues = dvalues if dinputs is None else dinputs
    return scales


def _of_the_loss(judge: Side, predictions: np.ndarray) -> np.ndarray:
    """The gradient that the last layer gets, or zero where the loss is joined with it."""
    value = vars(judge.model.loss).get("dinputs")
    return np.zeros_like(predictions) if value is None else judge.xp.to_host(value)


def _sizes_of(judge: Side, name: str, dinputs: np.ndarray | None, dvalues: np.ndarray) -> dict[str, float]:
    """The largest sums of absolute values; for a layer of which nothing is known, those that a Dense would have."""
    layer, kept = judge.layers[name], judge.kept(name, "inputs")
    inputs = np.ones((len(dvalues), 1)) if kept is None else np.abs(kept)
    sizes = {}
    for key, parameter in layer.parameters.items():
        summed = dvalues.sum(axis=0) if key == "biases" else inputs.T @ dvalues
        sizes[key] = largest_element(summed) + _penalty(parameter.regularizer, judge.xp.to_host(parameter.value))
    passed_on = dvalues @ np.abs(judge.xp.to_host(layer.weights)).T if isinstance(layer, Dense) else dvalues
    return {**sizes, "dinputs": max(_size(dinputs), largest_element(passed_on))}


def _penalty(regularizer: Regularizer | None, values: np.ndarray) -> float:
    """The largest gradient of a penalty, as far as its strengths are known."""
    return float(getattr(regularizer, "l1", 0.0) + 2 * getattr(regularizer, "l2", 0.0) * largest_element(values))


def _size(array: np.ndarray | None) -> float:
    """The largest element of what is kept, zero of what is not."""
    return 0.0 if array is None else largest_element(array)
