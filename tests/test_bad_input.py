"""Whatever is given wrong gets one sentence: what was given, what was expected, what to do.

`CALLS` is a table of wrong calls of the API. Each must raise the documented exception, with the given words in a message of one
line. `tests/test_cli_bad_input.py` does the same for the command line.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.parameters import Parameter

NAN, INF = float("nan"), float("inf")
X = np.random.default_rng(0).normal(size=(12, 2))
Y = np.arange(12) % 3
ONE_HOT = np.eye(3)[Y]


def model(*layers: nn.Layer, loss: nn.Loss | None = None, optimizer: nn.Optimizer | None = None) -> nn.Model:
    """A small classifier, or one of the given layers."""
    chain = layers or (nn.Dense(2, 4), nn.ReLU(), nn.Dense(4, 3), nn.Softmax())
    return nn.Model(chain, loss=loss or nn.CategoricalCrossentropy(), optimizer=optimizer or nn.Adam(0.01), seed=0)


def model_without_layers() -> nn.Model:
    """Everything but layers."""
    return nn.Model([], loss=nn.MeanSquaredError(), optimizer=nn.Adam())


def binary() -> nn.Model:
    """A small binary classifier."""
    return model(nn.Dense(2, 4), nn.ReLU(), nn.Dense(4, 1), nn.Sigmoid(), loss=nn.BinaryCrossentropy())


def regression() -> nn.Model:
    """A small regression."""
    return model(nn.Dense(2, 4), nn.ReLU(), nn.Dense(4, 1), nn.Linear(), loss=nn.MeanSquaredError())


def regression_of_three(loss: nn.Loss) -> nn.Model:
    """A network with three probabilities, and a loss that takes a column for each."""
    return model(nn.Dense(2, 3), nn.Softmax(), loss=loss)


def train(X: Any = X, y: Any = Y, network: nn.Model | None = None, **settings: Any) -> Any:
    """Train for an epoch, quietly."""
    return (network or model()).train(X, y, **{"epochs": 1, "print_every": 0, **settings})


def changed(array: np.ndarray, value: float) -> np.ndarray:
    """A copy with one element replaced."""
    array = array.astype(float)
    array.flat[5] = value
    return array


def strict(data: Any, **kwargs: Any) -> Any:
    """An array of another backend."""
    return nn.get_backend("strict").asarray(data, **kwargs)


CPU = nn.get_backend("cpu")


class Other(nn.Backend):
    """A backend of the user's own."""


# name: (call, exception, words of the message)
CALLS: dict[str, tuple[Callable[[], Any], type[Exception], tuple[str, ...]]] = {
    # -- backends
    "unknown backend": (lambda: nn.get_backend("gpuu"), nn.BackendError, ("'gpuu'", "did you mean 'gpu'")),
    "backend with a bad number": (lambda: nn.get_backend("gpu:x"), nn.BackendError, ("'gpu:x'",)),
    "backend with a negative number": (lambda: nn.get_backend("gpu:-1"), nn.BackendError, ("'gpu:-1'",)),
    "cpu with a number": (lambda: nn.get_backend("cpu:0"), nn.BackendError, ("'cpu:0'", "use 'cpu'")),
    "backend of a wrong type": (lambda: nn.get_backend(3), nn.BackendError, ("3",)),  # type: ignore[arg-type]
    "unknown dtype": (lambda: nn.get_backend("cpu", dtype="float16"), nn.ArgumentError, ("float16", "float32, float64")),
    "dtype of a wrong kind": (lambda: nn.get_backend("cpu", dtype="wat"), nn.ArgumentError, ("wat", "float32")),
    "unknown kernel mode": (lambda: nn.get_backend("cpu", kernels="al"), nn.ArgumentError, ("'al'", "all")),
    "register a reserved name": (lambda: nn.register_backend("auto", None), nn.ArgumentError, ("'auto'",)),  # type: ignore[arg-type]
    "register a bad name": (lambda: nn.register_backend("a b", None), nn.ArgumentError, ("'a b'",)),  # type: ignore[arg-type]
    "register another cpu": (lambda: nn.register_backend("cpu", Other), nn.ArgumentError, ("'cpu'", "built-in", "another name")),
    "register another gpu": (lambda: nn.register_backend("gpu", Other), nn.ArgumentError, ("'gpu'", "built-in")),
    "register another strict": (lambda: nn.register_backend("strict", Other), nn.ArgumentError, ("'strict'", "built-in")),
    "register a reserved name with a factory": (lambda: nn.register_backend("auto", Other), nn.ArgumentError, ("'auto'",)),
    "function that CuPy lacks": (lambda: nn.get_backend("strict").lib, AttributeError, ("lib",)),
    "array beside the door": (lambda: CPU.array([1.0]), AttributeError, ("xp.asarray",)),
    "strings through the door": (lambda: CPU.asarray(["a", "b"]), nn.DataError, ("numbers",)),
    "objects through the door": (lambda: CPU.asarray([object()]), nn.DataError, ("numbers",)),
    "ragged lists through the door": (lambda: CPU.asarray([[1.0], [1.0, 2.0]]), nn.DataError, ("numbers",)),
    "complex numbers through the door": (lambda: CPU.asarray([1j]), nn.DataError, ("complex",)),
    "another backend's array out": (lambda: nn.get_backend("strict").to_host(X), nn.DataError, ("strict",)),
    "a list out": (lambda: CPU.to_host([1.0]), nn.DataError, ("list",)),
    # -- settings
    "Dense without inputs": (lambda: nn.Dense(0, 3), nn.ArgumentError, ("n_inputs 0", "at least 1")),
    "Dense with negative neurons": (lambda: nn.Dense(2, -3), nn.ArgumentError, ("n_neurons -3",)),
    "Dense with half a neuron": (lambda: nn.Dense(2, 2.5), nn.ArgumentError, ("2.5", "whole number")),  # type: ignore[arg-type]
    "Dense of strings": (lambda: nn.Dense("2", 3), nn.ArgumentError, ("'2'",)),  # type: ignore[arg-type]
    "Dense with a number as penalty": (
        lambda: nn.Dense(2, 3, weight_regularizer=5e-4), nn.ArgumentError, ("0.0005", "nn.L2(5e-4)"),  # type: ignore[arg-type]
    ),
    "dropout of everything": (lambda: nn.Dropout(1), nn.ArgumentError, ("rate 1", "0 up to")),
    "negative dropout": (lambda: nn.Dropout(-0.1), nn.ArgumentError, ("-0.1",)),
    "NaN dropout": (lambda: nn.Dropout(NAN), nn.ArgumentError, ("nan",)),
    "negative L1": (lambda: nn.L1(-1e-4), nn.ArgumentError, ("l1", "-0.0001")),
    "NaN L2": (lambda: nn.L2(NAN), nn.ArgumentError, ("l2", "nan")),
    "infinite L1L2": (lambda: nn.L1L2(l1=INF), nn.ArgumentError, ("inf",)),
    "string as strength": (lambda: nn.L2("big"), nn.ArgumentError, ("'big'",)),  # type: ignore[arg-type]
    "negative scale": (lambda: nn.Normal(-1), nn.ArgumentError, ("-1",)),
    "negative learning rate": (lambda: nn.Adam(-0.1), nn.ArgumentError, ("Adam learning_rate -0.1", "above 0")),
    "zero learning rate": (lambda: nn.SGD(0), nn.ArgumentError, ("learning_rate 0",)),
    "NaN learning rate": (lambda: nn.Adagrad(NAN), nn.ArgumentError, ("nan",)),
    "infinite learning rate": (lambda: nn.RMSprop(INF), nn.ArgumentError, ("inf",)),
    "learning rate as text": (lambda: nn.Adam("0.1"), nn.ArgumentError, ("'0.1'",)),  # type: ignore[arg-type]
    "learning rate set to zero": (lambda: setattr(nn.Adam(), "learning_rate", 0), nn.ArgumentError, ("learning_rate 0",)),
    "negative decay": (lambda: nn.SGD(decay=-1), nn.ArgumentError, ("decay -1",)),
    "momentum of one": (lambda: nn.SGD(momentum=1.0), nn.ArgumentError, ("momentum 1.0",)),
    "rho above one": (lambda: nn.RMSprop(rho=1.5), nn.ArgumentError, ("rho 1.5",)),
    "beta_1 of one": (lambda: nn.Adam(beta_1=1), nn.ArgumentError, ("beta_1 1",)),
    "negative epsilon": (lambda: nn.Adam(epsilon=-1), nn.ArgumentError, ("epsilon -1",)),
    "negative seed": (lambda: nn.Model([nn.Dense(2, 3)], seed=-1), nn.ArgumentError, ("seed -1",)),
    "fractional seed": (lambda: nn.Model([nn.Dense(2, 3)], seed=0.5), nn.ArgumentError, ("0.5",)),  # type: ignore[arg-type]
    "seed beyond 64 bits": (lambda: CPU.rng(2**64), ValueError, ("2**64",)),
    "negative precision": (lambda: nn.RegressionAccuracy(-1.0), nn.ArgumentError, ("-1.0",)),
    # -- models
    "no layer": (lambda: model_without_layers().train(X, Y), nn.StateError, ("no layers",)),
    "no layer, predicting": (lambda: nn.Model([]).predict(X), nn.StateError, ("no layers",)),
    "a class for a layer": (lambda: model(nn.Dense(2, 3), nn.ReLU), nn.ArgumentError, ("not a layer",)),  # type: ignore[arg-type]
    "a string for a layer": (lambda: nn.Model(["relu"]), nn.ArgumentError, ("'relu'",)),  # type: ignore[list-item]
    "layers that do not fit": (lambda: model(nn.Dense(2, 4), nn.Dense(5, 3)), nn.ArgumentError, ("5 inputs", "give 4")),
    "a layer twice": (lambda: (lambda relu: model(nn.Dense(2, 3), relu, relu))(nn.ReLU()), nn.ArgumentError, ("already",)),
    "a string for a loss": (lambda: model().set(loss="mse"), nn.ArgumentError, ("'mse'", "Loss")),  # type: ignore[arg-type]
    "a class for an optimizer": (lambda: model().set(optimizer=nn.Adam), nn.ArgumentError, ("derived from nn.Optimizer",)),  # type: ignore[arg-type]
    "training without a loss": (
        lambda: nn.Model([nn.Dense(2, 3)], optimizer=nn.Adam()).train(X, Y), nn.StateError, ("no loss", "set(loss="),
    ),
    "training without an optimizer": (
        lambda: nn.Model([nn.Dense(2, 3), nn.Softmax()], loss=nn.CategoricalCrossentropy()).train(X, Y),
        nn.StateError, ("no optimizer",),
    ),
    "evaluating without a loss": (lambda: nn.Model([nn.Dense(2, 3)]).evaluate(X, Y), nn.StateError, ("no loss",)),
    "cross-entropy without probabilities": (
        lambda: train(network=model(nn.Dense(2, 3))), nn.ArgumentError, ("CategoricalCrossentropy", "Softmax"),
    ),
    "cross-entropy behind ReLU": (
        lambda: train(network=model(nn.Dense(2, 3), nn.ReLU())), nn.ArgumentError, ("ReLU", "Softmax"),
    ),
    "binary cross-entropy behind Linear": (
        lambda: train(y=Y % 2, network=model(nn.Dense(2, 1), nn.Linear(), loss=nn.BinaryCrossentropy())),
        nn.ArgumentError, ("BinaryCrossentropy", "Sigmoid"),
    ),
    "cross-entropy with one output": (
        lambda: train(y=Y * 0, network=model(nn.Dense(2, 1), nn.Softmax())), nn.ArgumentError, ("one output",),
    ),
    "two models, one optimizer": (
        lambda: [train(network=model(optimizer=shared)) for shared in [nn.Adam()] * 2], nn.StateError, ("its own optimizer",),
    ),
    "unknown parameter": (lambda: model().set_parameters({"dense_1.weight": 0}), nn.DataError, ("dense_1",)),
    "parameter of a wrong shape": (
        lambda: (lambda m: m.set_parameters({**m.parameters(), "dense_1.biases": np.zeros(4)}))(model()),
        nn.DataError, ("dense_1.biases", "(4,)", "(1, 4)"),
    ),
    "weights of a wrong shape": (lambda: setattr(nn.Dense(2, 3), "weights", X), nn.DataError, ("(12, 2)", "(2, 3)")),
    "no layer in a buffer": (lambda: nn.ParameterBuffer.of(), nn.ArgumentError, ("no layer",)),
    "a layer twice in a buffer": (
        lambda: (lambda layer: nn.ParameterBuffer.of(layer, layer))(nn.Dense(2, 3)), nn.ArgumentError, ("twice",),
    ),
    "backends mixed in a buffer": (
        lambda: nn.ParameterBuffer.of(nn.Dense(2, 3, backend="cpu"), nn.Dense(3, 3, backend="strict")),
        nn.ArgumentError, ("different backends",),
    ),
    # -- calls out of order
    "output before forward": (lambda: nn.ReLU().output, nn.StateError, ("ReLU.output", "forward()")),
    "backward before forward": (lambda: nn.ReLU().backward(CPU.ones((2, 2))), nn.StateError, ("forward()",)),
    "an intermediate that a join leaves out": (
        lambda: (lambda m: (m.predict(X), m.layers[0].output))(model()), nn.StateError, ("fused=False",),
    ),
    "column of an empty history": (lambda: nn.History()["loss"], KeyError, ("'loss'", "it is empty")),
    "unknown column of a history": (lambda: train()["los"], KeyError, ("did you mean 'loss'",)),
    "accuracy without precision": (
        lambda: nn.RegressionAccuracy().calculate(CPU.ones((2, 1)), CPU.ones((2, 1))), nn.StateError, ("precision",),
    ),
    # -- X
    "1-D X": (lambda: train(X=X[:, 0]), nn.DataError, ("(12,)", "reshape(-1, 1)")),
    "3-D X": (lambda: train(X=X.reshape(3, 4, 2)), nn.DataError, ("(3, 4, 2)",)),
    "one sample as 1-D X": (lambda: model().predict(X[0]), nn.DataError, ("(2,)", "for one sample", "reshape(1, -1)")),
    "X the other way round": (lambda: train(X=X.T), nn.DataError, ("(2, 12)", "2 features", "is it X.T?")),
    "a number for X": (lambda: train(X=3.0), nn.DataError, ("()",)),
    "no samples": (lambda: train(X=X[:0], y=Y[:0]), nn.DataError, ("(0, 2)", "at least one sample")),
    "no features": (lambda: train(X=X[:, :0]), nn.DataError, ("(12, 0)",)),
    "too many features": (lambda: train(X=np.ones((12, 5))), nn.DataError, ("(12, 5)", "2 features")),
    "NaN in X": (lambda: train(X=changed(X, NAN)), nn.DataError, ("row 2", "NaN")),
    "infinity in X": (lambda: train(X=changed(X, INF)), nn.DataError, ("row 2",)),
    "too large for float32": (lambda: train(X=changed(X, 1e300)), nn.DataError, ("row 2", "float32")),
    "strings in X": (lambda: train(X=X.astype(str)), nn.DataError, ("numbers",)),
    "objects in X": (lambda: train(X=X.astype(object)), nn.DataError, ("object",)),
    "None for X": (lambda: train(X=None), nn.DataError, ("numbers",)),
    "NaN while predicting": (lambda: model().predict(changed(X, NAN)), nn.DataError, ("row 2",)),
    "wrong width while predicting": (lambda: model().predict(np.ones((2, 3))), nn.DataError, ("(2, 3)",)),
    "NumPy array in a device layer": (
        lambda: nn.Dense(2, 3, backend="strict").forward(X), nn.DataError, ("Dense(2, 3).forward", "xp.asarray"),
    ),
    "another backend's array in a layer": (
        lambda: nn.Dense(2, 3, backend="cpu").forward(strict(X)), nn.DataError, ("Dense(2, 3).forward: inputs", "xp.asarray"),
    ),
    "float64 in a float32 layer": (lambda: nn.Dense(2, 3).forward(X), nn.DataError, ("float64", "float32")),
    "a wide batch in a layer": (lambda: nn.Dense(2, 3).forward(CPU.ones((4, 3))), nn.DataError, ("(4, 3)", "(samples, 2)")),
    "1-D inputs in a layer": (lambda: nn.ReLU().forward(CPU.ones(3)), nn.DataError, ("(3,)", "two axes")),
    "dvalues of a wrong shape": (
        lambda: (lambda d: (d.forward(CPU.ones((4, 2))), d.backward(CPU.ones((4, 2)))))(nn.Dense(2, 3)),
        nn.DataError, ("backward: dvalues", "(4, 2)", "(4, 3)"),
    ),
    # -- y
    "too few targets": (lambda: train(y=Y[:5]), nn.DataError, ("12 samples", "5 entries")),
    "a number for y": (lambda: train(y=1), nn.DataError, ("12 samples",)),
    "negative label": (lambda: train(y=Y - 1), nn.DataError, ("label -1", "row 0", "0 to 2")),
    "labels for a squared error": (
        lambda: train(network=regression_of_three(nn.MeanSquaredError())),
        nn.DataError, ("shape (12,): expected (12, 3)", "labels of classes", "nn.CategoricalCrossentropy()"),
    ),
    "labels for a binary loss of three": (
        lambda: train(network=regression_of_three(nn.BinaryCrossentropy())),
        nn.DataError, ("shape (12,): expected (12, 3)", "nn.CategoricalCrossentropy()"),
    ),
    "label too large": (lambda: train(y=Y + 1), nn.DataError, ("label 3", "3 outputs")),
    "float labels": (lambda: train(y=Y.astype(float)), nn.DataError, ("float64", "astype(int)")),
    "fractional labels": (lambda: train(y=Y + 0.5), nn.DataError, ("0.5", "whole number")),
    "string labels": (lambda: train(y=np.array(list("abcabcabcabc"))), nn.DataError, ("numbers",)),
    "one-hot too narrow": (lambda: train(y=ONE_HOT[:, :2]), nn.DataError, ("2 columns", "expected 3")),
    "one-hot with two ones": (lambda: train(y=np.minimum(ONE_HOT + ONE_HOT[::-1], 1)), nn.DataError, ("row 0", "not one-hot")),
    "probabilities for one-hot": (lambda: train(y=np.full((12, 3), 1 / 3)), nn.DataError, ("not one-hot",)),
    "3-D targets": (lambda: train(y=ONE_HOT.reshape(12, 3, 1)), nn.DataError, ("(12, 3, 1)",)),
    "binary target of 2": (lambda: train(y=Y, network=binary()), nn.DataError, ("binary target 2", "0 or 1")),
    "two columns for one output": (lambda: train(y=ONE_HOT[:, :2], network=binary()), nn.DataError, ("(12, 2)", "(12, 1)")),
    "NaN in regression targets": (lambda: train(y=changed(Y, NAN), network=regression()), nn.DataError, ("row 5",)),
    "labels on a device out of range": (
        lambda: nn.SoftmaxCategoricalCrossentropy().calculate(CPU.ones((2, 3)), CPU.asarray([0, 7])), nn.DataError, ("label 7",),
    ),
    "NumPy labels on a device": (
        lambda: nn.SoftmaxCategoricalCrossentropy(backend="strict").calculate(strict(X), Y),
        nn.DataError, ("targets", "xp.asarray"),
    ),
    # -- files
    "a model in no folder": (
        lambda: model().save("nowhere/m"), nn.FileError, ("cannot write nowhere/m", "name a file in a folder that exists"),
    ),
    # -- training
    "zero epochs": (lambda: train(epochs=0), nn.ArgumentError, ("epochs 0", "at least 1")),
    "negative epochs": (lambda: train(epochs=-1), nn.ArgumentError, ("epochs -1",)),
    "fractional epochs": (lambda: train(epochs=1.5), nn.ArgumentError, ("1.5",)),
    "NaN epochs": (lambda: train(epochs=NAN), nn.ArgumentError, ("nan",)),
    "zero batch size": (lambda: train(batch_size=0), nn.ArgumentError, ("batch_size 0",)),
    "batch larger than the data": (lambda: train(batch_size=13), nn.ArgumentError, ("batch_size 13", "12")),
    "negative print_every": (lambda: train(print_every=-1), nn.ArgumentError, ("print_every -1",)),
    "validation data that are no pair": (lambda: train(validation_data=X), nn.DataError, ("pair (X, y)",)),
    "validation data of another width": (lambda: train(validation_data=(np.ones((3, 4)), Y[:3])), nn.DataError, ("(3, 4)",)),
    "NaN in validation data": (
        lambda: train(validation_data=(changed(X, NAN), Y)), nn.DataError, ("validation_data: row 2 of X holds NaN",),
    ),
    "labels of validation data out of range": (
        lambda: train(validation_data=(X, Y + 1)), nn.DataError, ("validation_data: label 3 in row 2",),
    ),
    "validation data of unequal length": (
        lambda: train(validation_data=(X, Y[:4])), nn.DataError, ("validation_data: X has 12 samples but y has 4",),
    ),
    "a callback class": (lambda: train(callbacks=[nn.Callback]), nn.ArgumentError, ("Callback",)),
    "a loss that turns NaN": (
        lambda: train(network=model(optimizer=nn.SGD(1e30)), epochs=20), nn.NonFiniteLossError, ("step", "learning rate"),
    ),
    "a penalty that is infinite": (
        lambda: train(network=model(nn.Dense(2, 3, weight_regularizer=nn.L2(1e300)), nn.Softmax())),
        nn.NonFiniteLossError, ("step 1", "its penalties alone", "smaller strengths"),
    ),
    "data that are too large at once": (
        lambda: train(X=X * 1e38, network=model(nn.Dense(2, 3, weight_initializer=nn.Normal(9.0)), nn.Softmax())),
        nn.NonFiniteLossError, ("step 1", "scale the data", "smaller initial weights"),
    ),
    # -- data sets
    "no samples of the spiral": (lambda: nn.datasets.spiral(0, 3), nn.ArgumentError, ("samples 0",)),
    "no classes of the spiral": (lambda: nn.datasets.spiral(10, 0), nn.ArgumentError, ("classes 0",)),
    "a spiral's seed too large": (lambda: nn.datasets.spiral(10, 3, seed=2**32), nn.ArgumentError, ("2**32 - 1",)),
    "a spiral's seed below zero": (lambda: nn.datasets.spiral(10, 3, seed=-1), nn.ArgumentError, ("seed -1", "2**32 - 1")),
    "fractional samples of the sine": (lambda: nn.datasets.sine(1.5), nn.ArgumentError, ("1.5",)),  # type: ignore[arg-type]
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_wrong_call_gets_one_sentence(name: str) -> None:
    call, kind, words = CALLS[name]
    with pytest.raises(kind) as raised:
        call()
    message = str(raised.value)
    assert "\n" not in message
    assert len(message) < 300
    for word in words:
        assert word in message


def test_there_are_a_hundred() -> None:
    assert len(CALLS) >= 100


def test_nonfinite_loss_says_when_and_keeps_history() -> None:
    network = model(optimizer=nn.SGD(1e20))
    with pytest.raises(nn.NonFiniteLossError) as raised:
        train(network=network, epochs=50, batch_size=4)
    assert raised.value.epoch == (raised.value.step - 1) // 3 + 1
    assert len(network.history) == raised.value.epoch - 1
    assert all(np.isfinite(network.history["loss"])) if network.history else True


MIB = 2**20


class Greedy(nn.Adam):
    """An optimizer that keeps more than parameters and gradients are."""

    state_names = ("momentum", "cache", "largest")


# name: (call, bytes that are free, words of the message). Each would take more, and must say so before it takes any.
TOO_LARGE: dict[str, tuple[Callable[[], Any], int, tuple[str, ...]]] = {
    "parameters": (
        lambda: nn.Dense(5000, 5000).weights, 150 * MIB,
        ("25005056 parameters and their gradients", "190.8 MiB needed, and backend 'cpu' has 150.0 MiB free", "smaller layers"),
    ),
    "first values": (
        lambda: nn.Dense(5000, 5000).weights, 250 * MIB,
        ("first values of the weights of Dense(5000, 5000)", "this machine has 250.0 MiB free"),
    ),
    "state of an optimizer": (
        lambda: Greedy().bind(nn.ParameterBuffer(CPU, {"a": Parameter((3000, 3000), nn.Zeros())})), 71 * MIB,
        ("state of Greedy for 9000000 parameters", "103.0 MiB needed", "smaller layers"),
    ),
    "outputs": (
        lambda: nn.Dense(1, 2000, backend="cpu").forward(CPU.ones((10_000, 1))), 70 * MIB,
        ("output of shape (10000, 2000)", "76.3 MiB needed", "smaller batches or layers"),
    ),
    "samples": (
        lambda: nn.datasets.spiral(10**6, 3), 100 * MIB,
        ("3000000 samples", "137.3 MiB needed, and this machine has", "ask for less"),
    ),
    "samples of the sine": (
        lambda: nn.datasets.sine(10**10), 2**34, ("10000000000 samples", "447.0 GiB needed", "16.0 GiB free"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_does_not_fit_into_memory_is_refused_before_it_is_taken(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux promises more memory than there is, and ends who writes to it."""
    call, free, words = TOO_LARGE[name]
    for place in ("backend.base", "parameters", "datasets.synthetic"):
        monkeypatch.setattr(f"nnbackend.{place}.free_host_memory", lambda: free)
    tracemalloc.start()
    try:
        with pytest.raises(nn.ArgumentError) as raised:
            call()
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken <= free + MIB
    for word in words:
        assert word in str(raised.value)


def test_a_system_that_does_not_say_what_is_free_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("backend.base", "parameters", "datasets.synthetic"):
        monkeypatch.setattr(f"nnbackend.{place}.free_host_memory", lambda: None)
    assert len(nn.datasets.sine(2 * 10**6)[0]) == 2 * 10**6
