"""Layers, losses, optimizers, penalties and accuracies of the user's own, which promise nothing, train like the built-in ones.

Each of them here is a built-in one written with `xp` directly, so that there is something to compare with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.layers import Gradient, Value
from nnbackend.parameters import Parameter
from nnbackend.testing import tolerances

X, Y = nn.datasets.spiral(samples=15, classes=3, seed=0)


class OwnReLU(nn.Layer):
    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        self.inputs = inputs
        self.output = self.xp.maximum(inputs, 0)
        return self.output

    def backward(self, dvalues: Any) -> Any:
        self.dinputs = dvalues * (self.inputs > 0)
        return self.dinputs


class OwnSoftmax(nn.Layer):
    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        xp = self.xp
        self.inputs = inputs
        powers = xp.exp(inputs - xp.max(inputs, axis=1, keepdims=True))
        self.output = powers / xp.sum(powers, axis=1, keepdims=True)
        return self.output

    def backward(self, dvalues: Any) -> Any:
        shares = self.xp.sum(dvalues * self.output, axis=1, keepdims=True)
        self.dinputs = self.output * (dvalues - shares)
        return self.dinputs


class OwnDense(nn.Layer):
    weights, biases = Value("weights"), Value("biases")
    dweights, dbiases = Gradient("weights"), Gradient("biases")

    def __init__(self, n_inputs: int, n_neurons: int, regularizer: nn.Regularizer | None = None) -> None:
        super().__init__()
        self.n_inputs, self.n_outputs = n_inputs, n_neurons
        self.parameters = {
            "weights": Parameter((n_inputs, n_neurons), nn.Normal(0.01), regularizer),
            "biases": Parameter((1, n_neurons), nn.Zeros()),
        }

    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        self.inputs = inputs
        self.output = inputs @ self.weights + self.biases
        return self.output

    def backward(self, dvalues: Any) -> Any:
        self.dweights[...] = self.inputs.T @ dvalues
        self.dbiases[...] = self.xp.sum(dvalues, axis=0, keepdims=True)
        self.add_penalty_gradients()
        self.dinputs = dvalues @ self.weights.T
        return self.dinputs


class OwnCrossentropy(nn.Loss):
    """On one-hot targets, which it makes itself."""

    def check_targets(self, targets: np.ndarray, n_outputs: int) -> np.ndarray:
        return np.eye(n_outputs)[targets]

    def sample_losses(self, predictions: Any, targets: Any) -> Any:
        xp = self.xp
        return -xp.log(xp.clip(xp.sum(predictions * targets, axis=1), 1e-7, 1 - 1e-7))

    def gradient(self, predictions: Any, targets: Any) -> Any:
        return -targets / self.xp.clip(predictions, 1e-7, 1 - 1e-7) / len(predictions)


class OwnL2(nn.Regularizer):
    def __init__(self, strength: float) -> None:
        self.strength = strength

    def penalty(self, xp: nn.Backend, parameters: Any, *, state: Any) -> None:
        state += self.strength * xp.sum(parameters * parameters)

    def gradient(self, xp: nn.Backend, parameters: Any, *, state: Any) -> None:
        state += 2 * self.strength * parameters


class OwnMomentum(nn.Optimizer):
    state_names = ("momentums",)

    def step(self, xp: nn.Backend, grads: Any, values: Any) -> None:
        momentums = self.state["momentums"]
        momentums *= 0.9
        momentums -= self.rate(xp) * grads
        values += momentums


class OwnAccuracy(nn.Accuracy):
    def measure(self, predictions: Any, targets: Any, *, out: Any) -> Any:
        xp = self.xp
        labels = xp.argmax(targets, axis=1) if targets.ndim == 2 else targets
        out[...] = xp.mean(xp.argmax(predictions, axis=1) == labels, dtype=xp.dtype)
        return out


def model(backend: Any, own: str = "", **settings: Any) -> nn.Model:
    """A classifier with one part of the user's own, or all of them, or none."""
    has = lambda name: own in (name, "everything")  # noqa: E731
    dense = OwnDense if has("dense") else lambda n, m, penalty=None: nn.Dense(n, m, weight_regularizer=penalty)
    relu, softmax = OwnReLU() if has("relu") else nn.ReLU(), OwnSoftmax() if has("softmax") else nn.Softmax()
    penalty = OwnL2(5e-3) if has("penalty") else nn.L2(5e-3)
    optimizer = OwnMomentum(0.5, 1e-2) if has("optimizer") else nn.SGD(0.5, decay=1e-2, momentum=0.9)
    return nn.Model(
        [dense(2, 16, penalty), relu, dense(16, 3), softmax],
        loss=OwnCrossentropy() if has("loss") else nn.CategoricalCrossentropy(),
        optimizer=optimizer,
        accuracy=OwnAccuracy() if has("accuracy") else nn.CategoricalAccuracy(),
        **{"backend": backend, "seed": 0, **settings},
    )


OWN = ["dense", "relu", "softmax", "loss", "penalty", "optimizer", "accuracy", "everything"]


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("settings", [{}, {"batch_size": 16}], ids=["full batch", "mini-batches"])
def test_own_parts_train_as_the_built_in_ones_do(xp_any, own: str, settings: dict[str, Any]) -> None:
    """Each epoch from common parameters. Sums of gradients and momentums are of order one at most, hence the scale."""
    mine, built_in = model(xp_any, own), model(xp_any)
    assert not mine.only_ops
    assert built_in.only_ops
    eps_of = lambda quantity: tolerances.tolerance(quantity, xp_any.dtype, len(X))  # noqa: E731
    for _ in range(4):
        mine.set_parameters(dict(zip(mine.parameters(), built_in.parameters().values(), strict=True)))
        found, expected = (m.train(X, Y, epochs=1, print_every=0, **settings).row(0) for m in (mine, built_in))
        for name in ("data_loss", "regularization_loss"):
            # a few steps of mini-batches, each of which rounds
            tolerances.assert_close(found[name], expected[name], 4 * eps_of("loss"), name)
        assert found["accuracy"] == pytest.approx(expected["accuracy"], abs=1e-6)  # counts, divided in float32
        assert found["learning_rate"] == expected["learning_rate"]
        for left, right in zip(mine.parameters().values(), built_in.parameters().values(), strict=True):
            tolerances.assert_close(left, right, 4 * eps_of("gradient"), "parameters", scale=1.0)
    assert mine.evaluate(X, Y).accuracy == pytest.approx(built_in.evaluate(X, Y).accuracy, abs=0.05)


def test_everything_of_one_s_own_learns(xp) -> None:
    mine = model(xp, "everything")
    history = mine.train(X, Y, epochs=150, print_every=0)
    expected = model(xp).train(X, Y, epochs=150, print_every=0)
    # It has hardly begun after 150 epochs with so strong a penalty, so free runs have not parted yet.
    assert history["loss"][-1] == pytest.approx(expected["loss"][-1], rel=1e-3)
    assert history["loss"][-1] < history["loss"][0] - 0.03
    assert list(mine.parameters()) == [f"owndense_{i}.{name}" for i in (1, 2) for name in ("weights", "biases")]


# -- subclasses of the built-in ones --------------------------------------------------------------------------------------


def counting(kind: type, method: str) -> type:
    """A subclass that counts how often a method of it is called."""

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        subclass.calls += 1
        return getattr(super(subclass, self), method)(*args, **kwargs)

    subclass = type(f"My{kind.__name__}", (kind,), {"calls": 0, method: counted})
    return subclass


SUBCLASSES: dict[str, tuple[type, str, Callable[[Any], dict[str, Any]]]] = {
    "Dense": (nn.Dense, "backward", lambda kind: {"dense": kind(2, 8)}),
    "ReLU": (nn.ReLU, "backward", lambda kind: {"relu": kind()}),
    "Softmax": (nn.Softmax, "backward", lambda kind: {"softmax": kind()}),
    "loss": (nn.CategoricalCrossentropy, "gradient", lambda kind: {"loss": kind()}),
    "optimizer": (nn.Adam, "step", lambda kind: {"optimizer": kind(0.02)}),
    "accuracy": (nn.CategoricalAccuracy, "measure", lambda kind: {"accuracy": kind()}),
    "penalty": (nn.L2, "gradient", lambda kind: {"dense": nn.Dense(2, 8, weight_regularizer=kind(1e-3))}),
}  # fmt: skip


@pytest.mark.parametrize("part", SUBCLASSES)
def test_a_subclass_does_not_inherit_the_promise(xp, part: str) -> None:
    """What it adds is run at every step, and it is joined with nothing. Only `strict` replays it like the rest."""
    kind, method, arguments = SUBCLASSES[part]
    subclass = counting(kind, method)
    parts = {"dense": nn.Dense(2, 8), "relu": nn.ReLU(), "softmax": nn.Softmax(), **arguments(subclass)}
    mine = nn.Model(
        [parts["dense"], parts["relu"], nn.Dense(8, 3), parts["softmax"]],
        loss=parts.get("loss", nn.CategoricalCrossentropy()), optimizer=parts.get("optimizer", nn.SGD(0.1)),
        accuracy=parts.get("accuracy"), backend=xp, seed=0,
    )  # fmt: skip
    assert not mine.only_ops
    mine.train(X, Y, epochs=5, print_every=0)
    assert subclass.calls == (1 if xp.name == "strict" else 5)
    if part in ("Dense", "ReLU"):
        assert mine.layers[0].output.shape == (45, 8)
        assert mine.layers[1].inputs.shape == (45, 8)
    if part in ("Softmax", "loss"):
        assert mine.loss.dinputs.shape == (45, 3)


def test_the_promise_is_the_class_s_own(xp) -> None:
    class Promising(nn.ReLU):
        only_ops = True

    class Deeper(Promising):
        pass

    for kind, expected in ((nn.ReLU, True), (Promising, True), (Deeper, False), (OwnReLU, False)):
        network = nn.Model([nn.Dense(2, 3), kind(), nn.Linear()], loss=nn.MeanSquaredError(), backend=xp)
        assert network.only_ops is expected
    own = OwnReLU()
    own.only_ops = True  # type: ignore[attr-defined]
    assert not nn.Model([nn.Dense(2, 3), own], loss=nn.MeanSquaredError(), backend=xp).only_ops


class Warming(nn.Layer):
    """Scales by a Python number that grows from call to call: what only calling can do."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        if training:
            self.calls += 1
        self.inputs, self.output = inputs, inputs * self.calls
        return self.output

    def backward(self, dvalues: Any) -> Any:
        self.dinputs = dvalues * self.calls
        return self.dinputs


def test_state_in_python_works_where_steps_are_called() -> None:
    for kernels in ("auto", "reference"):
        xp = nn.get_backend("cpu", kernels=kernels)
        layer = Warming()
        network = nn.Model(
            [layer, nn.Dense(1, 1)], loss=nn.MeanSquaredError(), optimizer=nn.SGD(1e-30), backend=xp, seed=0
        )
        network.layers[1].weights = [[1.0]]
        history = network.train([[1.0]], [0.0], epochs=4, print_every=0, validation_data=([[1.0]], [0.0]))
        assert history["data_loss"] == [1.0, 4.0, 9.0, 16.0]
        assert history["validation_loss"] == [1.0, 4.0, 9.0, 16.0]
        assert layer.calls == 4


def test_state_in_python_shows_on_strict() -> None:
    """There the first step is replayed, as a CUDA graph would: a person who develops for a GPU sees it on the CPU."""
    network = nn.Model(
        [Warming(), nn.Dense(1, 1)], loss=nn.MeanSquaredError(), optimizer=nn.SGD(1e-30), backend="strict", seed=0
    )
    network.layers[1].weights = [[1.0]]
    assert network.train([[1.0]], [0.0], epochs=3, print_every=0)["data_loss"] == [1.0, 1.0, 1.0]


# -- what is missing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.Layer().forward(np.ones((1, 1))), r"Layer needs a method forward\(inputs"),
        (lambda: nn.Layer().backward(np.ones((1, 1))), r"Layer needs a method backward\(dvalues"),
        (lambda: nn.Loss().sample_losses(None, None), r"Loss needs a method sample_losses"),
        (lambda: nn.Loss().gradient(None, None), r"Loss needs a method gradient"),
        (lambda: nn.Loss().check_targets(np.ones(1), 1), r"Loss needs a method check_targets"),
        (lambda: nn.Accuracy().measure(None, None, out=None), r"Accuracy needs a method measure"),
        (lambda: nn.Optimizer(1.0).step(None, None, None), r"Optimizer needs a method step"),
        (lambda: nn.Regularizer().penalty(None, None, state=None), r"Regularizer needs a method penalty"),
        (lambda: nn.Regularizer().gradient(None, None, state=None), r"Regularizer needs a method gradient"),
    ],
)
def test_a_part_without_its_methods_is_named(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(NotImplementedError, match=words):
        call()


def test_own_layers_by_hand(xp) -> None:
    """A loop like the book's, with a layer of one's own in it."""
    dense, relu, loss = nn.Dense(2, 3, backend=xp, seed=0), OwnReLU(backend=xp), nn.MeanSquaredError(xp)
    optimizer, parameters = OwnMomentum(0.1), nn.ParameterBuffer.of(dense)
    inputs, targets = xp.asarray(X, dtype=xp.dtype), xp.ones((45, 3))
    losses = []
    for _ in range(30):
        losses.append(float(xp.to_host(loss.calculate(relu.forward(dense.forward(inputs)), targets))))
        dense.backward(relu.backward(loss.backward(relu.output, targets)))
        optimizer.update(parameters)
    assert losses[-1] < 0.5 * losses[0]
    assert optimizer.iterations == 30
