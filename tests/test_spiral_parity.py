"""Losses and gradients on the spiral data: every layer, loss, regularizer and optimizer, each backend against cpu float64.

The reference is the plainest program there is: a loop by hand over layers that are not joined, on the CPU, in float64, with
the reference ops. It trains for some steps. At a few of them each backend starts from the reference's parameters,
optimizer state and counters, and must find the same outputs, losses and gradients, and from the reference's
gradients the same update: once with the same loop, and once as a `Model` with its joins.

All that is common to both sides is rounded to float32 first, so that both sides really begin with the same numbers.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.batches import Batch
from nnbackend.testing import tolerances
from tests.cases import LAYERS, LOSSES, OPTIMIZERS, REGULARIZERS
from tests.helpers import assert_close, expecting_arrays_of

SAMPLES = 300
STEPS = (0, 1, 10, 40)  # where backends are compared
# A rectifier passes a gradient or not. Where float32 could see a value on the other side of zero, gradients differ and
# nothing is wrong; such a step is put off to the next. Values of size 1 are known to about 1e-6 there.
MARGIN = 1e-5

Named = dict[str, np.ndarray]


# -- what is trained ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Training:
    """The parts of a network for the spiral, and the targets it is given."""

    layers: Callable[[], list[nn.Layer]]
    loss: Callable[[], nn.Loss] = nn.CategoricalCrossentropy
    optimizer: Callable[[], nn.Optimizer] = OPTIMIZERS["Adam"]
    targets: Callable[[np.ndarray], np.ndarray] = np.asarray
    as_model: bool = True  # a loss with its activation inside is for loops by hand
    kinked_loss: bool = False


def dense(n_inputs: int, n_neurons: int, regularizer: nn.Regularizer | None = None) -> nn.Dense:
    """A Dense whose values are of order 1 from the beginning."""
    start = nn.Normal(0.5)
    return nn.Dense(
        n_inputs,
        n_neurons,
        weight_initializer=start,
        bias_initializer=start,
        weight_regularizer=regularizer,
        bias_regularizer=regularizer,
        seed=n_inputs,
    )


def trainings() -> Mapping[str, Training]:
    """One for each case of `cases.py`."""
    found: dict[str, Training] = {}
    for name, case in LAYERS.items():

        def around(case=case) -> list[nn.Layer]:
            layer = case.make()
            return [dense(2, case.features), layer, dense(layer.n_outputs or case.features, 3), nn.Softmax()]

        if case.training:
            found[f"layer-{name}"] = Training(around)
    for name, case in LOSSES.items():

        def before(case=case) -> list[nn.Layer]:
            return [dense(2, 12), nn.ReLU(), dense(12, case.outputs), *([case.activation()] if case.activation else [])]

        inside = case.activation is None
        found[f"loss-{name}"] = Training(
            before, case.make, targets=case.targets, as_model=not inside, kinked_loss=case.kinked
        )
    for name, make in REGULARIZERS.items():
        found[f"regularizer-{name}"] = Training(
            lambda make=make: [dense(2, 12, make()), nn.ReLU(), dense(12, 3, make()), nn.Softmax()]
        )
    for name, make in OPTIMIZERS.items():
        found[f"optimizer-{name}"] = Training(
            lambda: [dense(2, 16), nn.ReLU(), dense(16, 3), nn.Softmax()], optimizer=make
        )
    return found


TRAININGS = trainings()


def data(training: Training) -> tuple[np.ndarray, np.ndarray]:
    """The spiral's points, as float32 holds them, and the targets."""
    X, y = nn.datasets.spiral(samples=SAMPLES // 3, classes=3, seed=0)
    return single(X), training.targets(y)


def single(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32).astype(np.float64)


# -- how it is trained: by hand, or as a model --------------------------------------------------------------------------------


@dataclass
class Start:
    """What a step begins with."""

    values: Named
    state: dict[str, Named]
    iterations: int
    masks: int  # how many masks each dropout has drawn


class Side:
    """A network on one backend, in the middle of training."""

    layers: list[nn.Layer]
    optimizer: nn.Optimizer
    parameters: nn.ParameterBuffer

    def begin_with(self, start: Start) -> None:
        xp = self.parameters.xp
        self.parameters.load(start.values)
        for name, values in start.state.items():
            for key, parameter in self.parameters.named.items():
                view = self.optimizer.state[name][parameter.offset : parameter.offset + parameter.size]
                view[...] = xp.asarray(values[key].ravel())
        self.optimizer.iterations = start.iterations
        for layer in self.layers:
            if isinstance(layer, nn.Dropout):
                layer.step.fill(start.masks)

    def update(self, gradients: Named) -> None:
        """A step of the optimizer along these gradients."""
        for key, parameter in self.parameters.named.items():
            parameter.grad[...] = self.parameters.xp.asarray(gradients[key])
        with self.parameters.xp.quiet(), self.parameters.xp.no_transfers():
            self.optimizer.update(self.parameters)

    def gradients(self) -> dict[str, Any]:
        return {key: parameter.grad for key, parameter in self.parameters.named.items()}

    def values(self) -> dict[str, Any]:
        return {key: parameter.value for key, parameter in self.parameters.named.items()}


class ByHand(Side):
    """The loop that a reader of the book writes."""

    def __init__(self, training: Training, xp: nn.Backend) -> None:
        self.layers, self.loss, self.optimizer = training.layers(), training.loss(), training.optimizer()
        for position, layer in enumerate(self.layers):
            layer.stream = position  # as in a model, so that a dropout draws the same masks
            layer.seed = position if layer.seed is None else layer.seed  # the same training in every run of the tests
        for part in (*self.layers, self.loss):
            part.place(xp)
        self.parameters = nn.ParameterBuffer.of(*self.layers)
        self.optimizer.bind(self.parameters)
        X, y = data(training)
        self.inputs, self.targets = xp.asarray(X), xp.asarray(y)
        self.penalty = xp.zeros(())

    def forward_and_backward(self) -> dict[str, Any]:
        xp, output = self.parameters.xp, self.inputs
        with xp.quiet():
            for layer in self.layers:
                output = layer.forward(output, training=True)
            data_loss = self.loss.calculate(output, self.targets)
            self.penalty.fill(0)
            for layer in self.layers:
                for parameter in layer.regularized():
                    parameter.regularizer.penalty(xp, parameter.value, state=self.penalty)
            dvalues = self.loss.backward(vars(self.loss).get("output", output), self.targets)
            for layer in reversed(self.layers):
                dvalues = layer.backward(dvalues)
        return {"data_loss": data_loss, "regularization_loss": self.penalty, "output": output}


class AsModel(Side):
    """The same as a `Model`, which joins neighbours."""

    def __init__(self, training: Training, xp: nn.Backend) -> None:
        model = nn.Model(training.layers(), loss=training.loss(), optimizer=training.optimizer(), backend=xp, seed=0)
        self.layers, self.optimizer, self.parameters = model.layers, model.optimizer, model.parameter_buffer
        self.model = model
        self.inputs, self.targets = model.built.prepare(*data(training), for_training=True)

    def forward_and_backward(self) -> dict[str, Any]:
        with self.model.xp.quiet(), self.model.xp.no_transfers():
            self.model.built.measure(Batch(self.inputs, self.targets, len(self.inputs)), training=True)
            self.model.built.backward(self.targets)
        data_loss, regularization_loss = self.model.measured[:2]
        return {
            "data_loss": data_loss,
            "regularization_loss": regularization_loss,
            "output": self.model.layers[-1].output,
        }


# -- the reference ----------------------------------------------------------------------------------------------------------


@dataclass
class Step:
    """What the reference began a step with, and what it found."""

    number: int
    start: Start
    results: Named
    gradients: Named  # rounded to float32: what all sides update by
    exact_gradients: Named
    summed: dict[str, float]  # the size of what was summed for each gradient
    values: Named = field(default_factory=dict)
    state: dict[str, Named] = field(default_factory=dict)


@functools.cache
def reference_steps(name: str) -> list[Step]:
    """The steps at which backends are compared. Between them the reference trains on."""
    training = TRAININGS[name]
    side = ByHand(training, nn.get_backend("cpu", dtype="float64", kernels="reference"))
    steps: list[Step] = []
    for number in range(3 * STEPS[-1]):
        start = Start(
            {key: single(value) for key, value in side.values().items()},
            {
                kind: {key: single(part) for key, part in side.parameters.split(array).items()}
                for kind, array in side.optimizer.state.items()
            },
            iterations=number,
            masks=number,
        )
        side.begin_with(start)
        step = reference_step(side, number, start)
        side.update(step.gradients)
        step.values = {key: value.copy() for key, value in side.values().items()}
        step.state = {kind: side.parameters.split(array) for kind, array in side.optimizer.state.items()}
        if number >= STEPS[len(steps)] and margin(side, training) > MARGIN:
            steps.append(step)
        if len(steps) == len(STEPS):
            return steps
    raise AssertionError(f"{name}: no {len(STEPS)} steps were found that are away from kinks")


def reference_step(side: ByHand, number: int, start: Start) -> Step:
    results = {key: np.array(value) for key, value in side.forward_and_backward().items()}
    exact = {key: value.copy() for key, value in side.gradients().items()}
    rounded = {key: single(value) for key, value in exact.items()}
    return Step(number, start, results, rounded, exact, summed(side, exact))


def summed(side: ByHand, gradients: Named) -> dict[str, float]:
    """Σ over the samples of |each one's share| of a gradient, the largest element: a gradient may be a small remainder of
    that, and is known to a part of the sum only."""
    names = {id(parameter): key for key, parameter in side.parameters.named.items()}
    found = {key: float(abs(gradient).max()) for key, gradient in gradients.items()}
    behind = [layer.dinputs for layer in side.layers[1:]] + [side.loss.dinputs]
    for layer, dvalues in zip(side.layers, behind, strict=True):
        shares = shares_of_dense(layer, dvalues) if type(layer) is nn.Dense else shares_one_by_one(layer, dvalues)
        for name, parameter in layer.parameters.items():
            key = names[id(parameter)]
            found[key] = max(found[key], float(shares[name].max()))
    return found


def shares_of_dense(layer: nn.Dense, dvalues: np.ndarray) -> Named:
    """The sums of the shares' sizes: Σ|inputs|ᵀ·|dvalues| and Σ|dvalues|."""
    return {"weights": abs(layer.inputs).T @ abs(dvalues), "biases": abs(dvalues).sum(axis=0)}


def shares_one_by_one(layer: nn.Layer, dvalues: np.ndarray) -> Named:
    """The same of any layer, whose backward is asked for each sample alone. The layer itself is left as it is."""
    if not layer.parameters:
        return {}
    alone = copy.deepcopy(layer)
    sums = {name: np.zeros(parameter.shape) for name, parameter in alone.parameters.items()}
    for row in range(len(dvalues)):
        alone.forward(layer.inputs[row : row + 1], training=True)
        alone.backward(dvalues[row : row + 1])
        for name, parameter in alone.parameters.items():
            sums[name] += abs(parameter.grad)
    return sums


def margin(side: ByHand, training: Training) -> float:
    """How near to a kink anything is, relative to the largest value. Points at the origin are exact on all sides."""
    moved = side.inputs.any(axis=1)
    looked_at = [layer.inputs[moved] for layer in side.layers if isinstance(layer, nn.ReLU)]
    if training.kinked_loss:
        looked_at.append(side.layers[-1].output - side.loss._targets)
    return min([float(abs(values).min() / abs(values).max()) for values in looked_at], default=1.0)


# -- the comparison ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ByHand, AsModel], ids=["by-hand", "as-model"])
@pytest.mark.parametrize("name", TRAININGS)
def test_spiral_parity(xp_any, name, kind):
    training = TRAININGS[name]
    if kind is AsModel and not training.as_model:
        with pytest.raises(nn.ArgumentError, match="loops by hand"):
            kind(training, xp_any)
        return
    side = kind(training, xp_any)
    for step in reference_steps(name):
        compare(step, side)


def compare(step: Step, side: Side) -> None:
    """One step of a side with the reference's, part by part, each from common numbers."""
    dtype = side.parameters.xp.dtype
    side.begin_with(step.start)
    compare_results(step, side.forward_and_backward(), dtype)
    compare_gradients(step, side.gradients(), dtype)
    side.update(step.gradients)
    compare_update(step, side, dtype)


def compare_results(step: Step, found: dict[str, Any], dtype: Any) -> None:
    for key in ("data_loss", "regularization_loss"):
        allowed = tolerances.tolerance("loss", dtype, SAMPLES)
        # The loss of a sample whose probability is near 1 is off by some eps, whatever it is relative to.
        floor = tolerances.LOSS_FLOOR_IN_EPS * tolerances.eps(dtype) / allowed
        assert_close(
            found[key], step.results[key], allowed, f"{key} at step {step.number}", scale=step.results[key] + floor
        )
    allowed = tolerances.tolerance("output", dtype, length=17)  # the most neurons before an output
    assert_close(found["output"], step.results["output"], allowed, f"output at step {step.number}")


def compare_gradients(step: Step, found: dict[str, Any], dtype: Any) -> None:
    allowed = tolerances.tolerance("gradient", dtype, SAMPLES)
    assert found.keys() == step.exact_gradients.keys()
    for key, expected in step.exact_gradients.items():
        what = f"gradient of {key} at step {step.number}"
        assert_close(found[key], expected, allowed, what, scale=step.summed[key])


def compare_update(step: Step, side: Side, dtype: Any) -> None:
    for key, value in side.values().items():
        what = f"{key} after step {step.number}"
        assert_close(value, step.values[key], tolerances.tolerance("update", dtype), what)
    for kind, array in side.optimizer.state.items():
        for key, value in side.parameters.split(array).items():
            what = f"{kind} of {key} after step {step.number}"
            tolerances.assert_close(value, step.state[kind][key], tolerances.tolerance("state", dtype), what)


def test_every_case_is_trained_on_the_spiral():
    """Whoever adds a line to `cases.py` need not come here."""
    names = {f"layer-{name}" for name, case in LAYERS.items() if case.training}
    names |= {f"loss-{name}" for name in LOSSES} | {f"regularizer-{name}" for name in REGULARIZERS}
    assert set(TRAININGS) == names | {f"optimizer-{name}" for name in OPTIMIZERS}


def test_training_gets_somewhere():
    """Steps that change nothing would be compared in vain."""
    for name in TRAININGS:
        first, *_, last = reference_steps(name)
        assert last.results["data_loss"] < first.results["data_loss"], name


@pytest.mark.parametrize(("dtype", "size"), [("float32", 1e-3), ("float64", 1e-11)])
@pytest.mark.parametrize("fault", ["loss", "gradient", "update"])
def test_a_small_fault_is_noticed(monkeypatch, fault, dtype, size):
    """What rounding explains is smaller than any fault that matters."""
    name, xp = "optimizer-Adam", nn.get_backend("strict", dtype)
    op = {"loss": "mean", "gradient": "weights_gradient", "update": "adam"}[fault]
    right = getattr(xp.ops, op)

    def wrong(*args, **kwargs):
        result = right(*args, **kwargs)
        part = result[0] if isinstance(result, tuple) else result
        part *= 1 + size
        return result

    monkeypatch.setattr(xp.ops, op, wrong)
    side, step = ByHand(TRAININGS[name], xp), reference_steps(name)[-1]
    with expecting_arrays_of(xp), pytest.raises(AssertionError, match="relative difference"):
        compare(step, side)
