"""`gradcheck`: gradients against differences of the loss, for layers, losses and whole models."""

from __future__ import annotations

import copy
from typing import Any, Protocol

import numpy as np

from ..backend import Backend, get_backend
from ..backend.base import describe, host_array
from ..batches import Batch
from ..checks import seed as checked_seed
from ..errors import ArgumentError, CheckError, NonDifferentiableError
from ..layers import Layer
from ..losses import Loss
from ..model import Model
from ..parameters import ParameterBuffer
from ..weights import Weights
from . import tolerances
from .differences import SUSPICIOUS, Slope, Terms, directions, kink, slope


def gradcheck(
    subject: Layer | Loss | Model,
    inputs: Any,
    targets: Any = None,
    *,
    sample_weights: Any = None,
    training: bool = True,
    step: float = 1e-5,
    tolerance: float = tolerances.GRADIENT_CHECK,
    max_elements: int = 200,
    number: int = 10,
    seed: int = 0,
) -> dict[str, float]:
    """Compare gradients with central differences in float64, and raise `CheckError` where they differ.

        difference = (loss(x + step · u) - loss(x - step · u)) / (2 · step),  gradient = Σ u · dx

    For a layer the loss is a random weighted sum of its outputs plus its penalties, and x is its inputs and each of its
    parameters; for a loss x is the predictions; for a model it is its inputs and all its parameters. u runs through all
    elements of arrays of at most `max_elements`, and is `number` random directions in larger ones.

    `subject` is copied, with its parameters, to float64 on its own backend, and stays as it is. `inputs` has shape
    (samples, features), as data of any kind; `targets` is for losses and models, and `sample_weights` for models, as in
    `Model.train`. Random masks are the same in all
    evaluations; `training=False` checks without them.

    Returns the largest difference for each array, relative to its largest derivative. It is held to `tolerance`: with
    a step of 1e-5 and values of order 1 the differences themselves are right to 1e-10, and gradients a thousand times
    smaller than the loss lose three digits of that. Raises `NonDifferentiableError` within a step of a kink (ReLU or
    L1 at zero): choose values away from it. A joined cross-entropy takes its gradient unclipped, as the book does, so
    probabilities should stay within [1e-7, 1 - 1e-7] as well.

    >>> import nnbackend as nn
    >>> from nnbackend.testing import gradcheck
    >>> errors = gradcheck(nn.Dense(2, 3, weight_regularizer=nn.L2(0.1), seed=0), [[1.0, 2.0], [0.5, -1.0]])
    >>> sorted(errors), max(errors.values()) < 1e-7
    (['biases', 'inputs', 'weights'], True)
    """
    rng = np.random.default_rng(seed)
    if sample_weights is not None and not isinstance(subject, Model):
        raise ArgumentError(
            f"gradcheck of {describe(subject)} with sample_weights: expected a model, whose loss has weights"
        )
    checked = _subject(subject, inputs, targets, sample_weights, training, rng)
    gradients = checked.gradients()
    errors = {}
    for name, gradient in gradients.items():
        where = f"{subject!r}: the gradient of {name}"
        value = checked.values[name]
        if gradient.shape != value.shape:
            raise CheckError(f"{where} has shape {gradient.shape}: expected {value.shape}, as {name} has")
        if not np.isfinite(gradient).all():
            raise CheckError(f"{where} holds NaN or infinity: choose values for which it is finite, or mend backward")
        along = directions(value.shape, max_elements, number, rng)
        errors[name] = _compare(where, checked.terms_of(name), value, gradient, along, step, tolerance)
    return errors


def _compare(
    where: str,
    terms: Terms,
    value: np.ndarray,
    gradient: np.ndarray,
    along: list[np.ndarray],
    step: float,
    tolerance: float,
) -> float:
    """The largest difference of one array, relative to its largest derivative; raises where it is too large."""
    center = terms(value)
    slopes = [slope(terms, center, value, direction, step) for direction in along]
    numerical = np.array([found.value for found in slopes])
    analytical = np.array([float((gradient * direction).sum()) for direction in along])
    errors = np.abs(numerical - analytical)
    largest = max(float(np.abs(numerical).max()), float(np.abs(analytical).max()))
    allowed = np.array([tolerance * largest + found.rounding for found in slopes])
    bad = errors > allowed
    for index in np.flatnonzero(bad | (np.array([found.gap for found in slopes]) > SUSPICIOUS * largest)):
        _refuse_kink(where, terms, center, value, along[index], step, slopes[index], errors[index] if bad[index] else 0)
    if bad.any():
        worst = int(np.argmax(errors - allowed))
        raise CheckError(
            f"{where} is {analytical[worst]:.6g} {_place(along[worst])} but differences of the loss give "
            f"{numerical[worst]:.6g}, which is {errors[worst] / largest:.2g} of the largest derivative apart: expected at "
            f"most {tolerance:g}; mend backward or forward"
        )
    return float(errors.max()) / largest if largest else 0.0


def _refuse_kink(
    where: str,
    terms: Terms,
    center: np.ndarray,
    value: np.ndarray,
    direction: np.ndarray,
    step: float,
    found: Slope,
    error: float,
) -> None:
    """Raise `NonDifferentiableError` if a kink explains the error (it explains half its size), or is there at all."""
    size = kink(terms, center, value, direction, step)
    if size and size >= error:
        raise NonDifferentiableError(
            f"{where} cannot be checked {_place(direction)}: within {2 * step:g} of that point the slope changes by "
            f"{size:.3g} at a kink; choose values away from it"
        )


def _place(direction: np.ndarray) -> str:
    """An element, or a random direction, in words."""
    if np.count_nonzero(direction) > 1:
        return "along a random direction"
    return "at " + str([int(index) for index in np.unravel_index(int(np.argmax(direction)), direction.shape)])


# -- what is checked: terms of a loss as a function of named arrays ---------------------------------------------------


class _Subject(Protocol):
    """What `gradcheck` needs to know of a layer, a loss or a model."""

    values: dict[str, np.ndarray]

    def terms_of(self, name: str) -> Terms:
        """The terms of the loss as a function of one of the values."""
        ...

    def gradients(self) -> dict[str, np.ndarray]:
        """The gradients that are to be checked, by name of the value."""
        ...


def _subject(
    subject: Any, inputs: Any, targets: Any, weights: Any, training: bool, rng: np.random.Generator
) -> _Subject:
    if isinstance(subject, Layer):
        return _LayerSubject(subject, inputs, training, rng)
    if isinstance(subject, (Loss, Model)):
        if targets is None:
            raise ArgumentError(f"gradcheck of {subject!r} needs targets: gradcheck(subject, inputs, targets)")
        if isinstance(subject, Loss):
            return _LossSubject(subject, inputs, targets, training)
        return _ModelSubject(subject, inputs, targets, Weights(weights), training)
    raise ArgumentError(f"gradcheck was given {describe(subject)}: expected a layer, a loss or a model")


class _LayerSubject:
    """A random weighted sum of a layer's outputs, plus its penalties.

    Every evaluation works on a fresh copy, so that a layer which remembers (dropout counts its masks) is the same in all.
    """

    def __init__(self, layer: Layer, inputs: Any, training: bool, rng: np.random.Generator) -> None:
        self.layer = in_float64(layer)
        self.xp, self.training = self.layer.xp, training
        parameters = {name: self.xp.to_host(p.value) for name, p in self.layer.parameters.items()}
        self.values = {"inputs": float64_on_host(layer.xp, inputs), **parameters}
        output = self._forward(self.values)[1]
        if not self.xp.is_array(output):
            raise CheckError(f"{layer!r}.forward returned {describe(output)}: expected output, a device array")
        self.dvalues = rng.standard_normal(output.shape)

    def _forward(self, values: dict[str, np.ndarray]) -> tuple[Layer, Any]:
        layer = copy.deepcopy(self.layer)
        for name, parameter in layer.parameters.items():
            parameter.value[...] = self.xp.asarray(values[name])
        with self.xp.quiet():
            return layer, layer.forward(self.xp.asarray(values["inputs"]), training=self.training)

    def terms_of(self, name: str) -> Terms:
        def terms(value: np.ndarray) -> np.ndarray:
            layer, output = self._forward({**self.values, name: value})
            return np.concatenate([(self.xp.to_host(output) * self.dvalues).ravel(), penalties(self.xp, [layer])])

        return terms

    def gradients(self) -> dict[str, np.ndarray]:
        layer, _ = self._forward(self.values)
        with self.xp.quiet():
            dinputs = layer.backward(self.xp.asarray(self.dvalues))
        if not self.xp.is_array(dinputs):
            raise CheckError(f"{layer!r}.backward returned {describe(dinputs)}: expected dinputs, a device array")
        parameters = {name: self.xp.to_host(parameter.grad) for name, parameter in layer.parameters.items()}
        return {"inputs": self.xp.to_host(dinputs), **parameters}


class _LossSubject:
    """The mean of a loss over the samples."""

    def __init__(self, loss: Loss, predictions: Any, targets: Any, training: bool) -> None:
        self.loss = copy.deepcopy(loss)
        self.loss.place(get_backend(loss.xp, dtype="float64"))
        self.xp = self.loss.xp
        self.values = {"predictions": float64_on_host(loss.xp, predictions)}
        self.targets = self.xp.asarray(on_host(loss.xp, targets))

    def terms_of(self, name: str) -> Terms:
        def terms(predictions: np.ndarray) -> np.ndarray:
            samples = self.loss.forward(self.xp.asarray(predictions), self.targets)
            return self.xp.to_host(samples) / len(predictions)

        return terms

    def gradients(self) -> dict[str, np.ndarray]:
        predictions = self.xp.asarray(self.values["predictions"])
        self.loss.calculate(predictions, self.targets)
        # A joined loss takes its gradient from the activation's output, which it keeps.
        dinputs = self.loss.backward(vars(self.loss).get("output", predictions), self.targets)
        return {"predictions": self.xp.to_host(dinputs)}


class _ModelSubject:
    """The loss of a model on some data, with its penalties. Gradients are those of its own backward, joins included."""

    def __init__(self, model: Model, X: Any, y: Any, weights: Weights, training: bool) -> None:
        self.model = Model(
            copy.deepcopy(model.layers),
            loss=copy.deepcopy(model.loss),
            accuracy=copy.deepcopy(model.accuracy),
            backend=get_backend(model.xp, dtype="float64"),
            seed=model.seed,
            fused=model.fused,
        )
        self.model.built.need(loss=True)
        self.xp, self.training = self.model.xp, training
        X, y = float64_on_host(model.xp, X), on_host(model.xp, y)
        data = self.model.built.data(X, y, weights, for_training=True, stream=False)
        inputs, self.targets, self.weights = data
        self.model.accuracy = self.model.built.accuracy  # which has looked at the targets
        self.values = {"inputs": self.xp.to_host(inputs), **self.model.parameters()}

    def _copy(self, values: dict[str, np.ndarray]) -> tuple[Model, Any]:
        model = copy.deepcopy(self.model)
        model.set_parameters({name: value for name, value in values.items() if name != "inputs"})
        return model, self.xp.asarray(values["inputs"])

    def terms_of(self, name: str) -> Terms:
        return lambda value: self._terms({**self.values, name: value})

    def _terms(self, values: dict[str, np.ndarray]) -> np.ndarray:
        model, inputs = self._copy(values)
        assert model.loss is not None
        with self.xp.quiet():
            predictions = model.built.forward(inputs, training=self.training)
            samples = self.xp.to_host(model.loss.sample_losses(predictions, self.targets))
        if self.weights is not None:
            samples = samples * self.xp.to_host(self.weights)
        return np.concatenate([samples / len(samples), penalties(self.xp, model.layers)])

    def gradients(self) -> dict[str, np.ndarray]:
        model, inputs = self._copy(self.values)
        with self.xp.quiet():
            model.built.measure(Batch(inputs, self.targets, len(inputs), self.weights), training=self.training)
            dinputs = model.built.backward(self.targets, self.weights)
        self._compare_losses(model)
        buffer = model.parameter_buffer
        gradients = buffer.split(buffer.grads)
        return gradients if dinputs is None else {"inputs": self.xp.to_host(dinputs), **gradients}

    def _compare_losses(self, model: Model) -> None:
        """A step's loss may come from a join, and must be the loss whose differences are taken."""
        stepped = sum(float(self.xp.to_host(part)) for part in model.measured[:2])
        expected = float(self._terms(self.values).sum())
        if not abs(stepped - expected) <= 1e-12 * max(1.0, abs(expected)):
            raise CheckError(
                f"{model!r}: a training step measures the loss {stepped:.15g}, but predictions and loss alone give "
                f"{expected:.15g}: expected the same; mend the join"
            )


# -- helpers ------------------------------------------------------------------------------------------------------------


def in_float64(layer: Layer) -> Layer:
    """A copy of a layer with its parameters in float64, on the same backend."""
    return copy_to(layer, get_backend(layer.xp, dtype="float64"))


def copy_to(layer: Layer, xp: Backend) -> Layer:
    """A copy of a layer on a backend, with the values of its parameters (drawn, if they were not yet) in one buffer."""
    layer.settle()
    copied = copy.deepcopy(layer)
    copied.seed = checked_seed(copied.seed)  # so that copies of the copy draw the same masks
    copied.place(xp)
    ParameterBuffer.of(copied)
    return copied


def penalties(xp: Backend, layers: list[Layer]) -> np.ndarray:
    """The penalty on each regularized parameter, on the host."""
    found = []
    for layer in layers:
        for parameter in layer.regularized():
            total = xp.zeros(())
            parameter.regularizer.penalty(xp, parameter.value, state=total)  # type: ignore[union-attr]
            found.append(float(xp.to_host(total)))
    return np.array(found, dtype=np.float64)


def on_host(xp: Backend, data: Any) -> np.ndarray:
    """Data of any kind as a NumPy array."""
    return xp.to_host(data) if xp.is_array(data) else host_array(data)


def float64_on_host(xp: Backend, data: Any) -> np.ndarray:
    """The same, in float64."""
    return np.array(on_host(xp, data), dtype=np.float64)
