"""`Model`: putting it together, forward, predict and evaluate, joined neighbours, and what it says about itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.testing import tolerances
from tests import helpers

X, Y = nn.datasets.spiral(samples=15, classes=3, seed=0)
SINE = nn.datasets.sine(60)

TASKS: dict[str, tuple[Callable[[], list[nn.Layer]], type[nn.Loss], tuple[np.ndarray, np.ndarray]]] = {
    "categorical": (
        lambda: [nn.Dense(2, 16, weight_regularizer=nn.L2(5e-4)), nn.ReLU(), nn.Dense(16, 3), nn.Softmax()],
        nn.CategoricalCrossentropy, (X, Y),
    ),
    "one-hot": (
        lambda: [nn.Dense(2, 16), nn.ReLU(), nn.Dense(16, 3), nn.Softmax()],
        nn.CategoricalCrossentropy, (X, np.eye(3)[Y]),
    ),
    "binary": (
        lambda: [nn.Dense(2, 16), nn.ReLU(), nn.Dense(16, 1), nn.Sigmoid()],
        nn.BinaryCrossentropy, (X[:30], Y[:30]),
    ),
    "two binary outputs": (
        lambda: [nn.Dense(2, 16, weight_regularizer=nn.L1(1e-4)), nn.ReLU(), nn.Dense(16, 2), nn.Sigmoid()],
        nn.BinaryCrossentropy, (X, np.stack([Y == 1, Y == 2], axis=1)),
    ),
    "regression": (
        lambda: [nn.Dense(1, 16, weight_initializer=nn.Normal(0.5)), nn.ReLU(), nn.Dense(16, 1), nn.Linear()],
        nn.MeanSquaredError, SINE,
    ),
    "absolute regression": (
        lambda: [nn.Dense(1, 16, weight_initializer=nn.Normal(0.5)), nn.ReLU(), nn.Dense(16, 1), nn.Linear()],
        nn.MeanAbsoluteError, SINE,
    ),
}  # fmt: skip


def build(task: str, backend: Any = None, **settings: Any) -> nn.Model:
    layers, loss, _ = TASKS[task]
    return nn.Model(layers(), **{"loss": loss(), "optimizer": nn.Adam(0.02), "backend": backend, "seed": 0, **settings})


# -- putting it together --------------------------------------------------------------------------------------------------


def test_the_list_and_the_book_s_way_are_the_same_model(xp) -> None:
    listed = build("categorical", xp)
    model = nn.Model(backend=xp, seed=0)
    for layer in TASKS["categorical"][0]():
        model.add(layer)
    model.set(loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.02), accuracy=nn.CategoricalAccuracy())
    model.finalize()
    model.finalize()
    assert dict(listed.train(X, Y, epochs=5, print_every=0)) == dict(model.train(X, Y, epochs=5, print_every=0))
    assert listed.predict(X).tolist() == model.predict(X).tolist()


def test_parts_are_exchanged_one_by_one(xp) -> None:
    model = build("categorical", xp)
    loss, optimizer = model.loss, model.optimizer
    model.set(optimizer=nn.SGD(0.5))
    assert model.loss is loss
    assert model.optimizer is not optimizer
    model.set()
    history = model.train(X, Y, epochs=3, print_every=0)
    assert history["learning_rate"] == [0.5] * 3
    model.set(optimizer=nn.Adam(0.01))  # state of the old one is nobody's any more
    assert model.train(X, Y, epochs=2, print_every=0)["epoch"] == [4, 5]
    model.set(accuracy=nn.CategoricalAccuracy(), loss=nn.CategoricalCrossentropy())
    assert model.train(X, Y, epochs=1, print_every=0)["epoch"] == [6]
    assert model.optimizer.iterations == 3


def test_a_layer_added_later_counts(xp) -> None:
    model = nn.Model([nn.Dense(2, 4)], backend=xp, seed=0)
    first = model.predict(X)
    model.add(nn.ReLU())
    assert (model.predict(X) == np.maximum(first, 0)).all()
    model.add(nn.Dense(4, 3))
    assert model.predict(X).shape == (45, 3)
    assert (
        model.parameters()["dense_1.weights"] == nn.Model([nn.Dense(2, 4)], seed=0).parameters()["dense_1.weights"]
    ).all()


@pytest.mark.parametrize("layers", [nn.Dense(2, 3), None, 3, nn.ReLU, 1.5])
def test_layers_that_are_no_list(layers: Any) -> None:
    with pytest.raises(nn.ArgumentError, match="expected a list of layers"):
        nn.Model(layers)


@pytest.mark.parametrize("setting", ["fused", "shuffle"])
@pytest.mark.parametrize("value", [0, "no", None, np.ones(2)])
def test_yes_and_no(setting: str, value: Any) -> None:
    with pytest.raises(nn.ArgumentError, match=f"{setting} .*: expected True or False"):
        build("categorical", fused=value) if setting == "fused" else build("categorical").train(X, Y, shuffle=value)


class Squares(nn.Layer):
    """inputs and their squares: a layer that changes the number of features and takes any."""

    def __init__(self, n_inputs: int) -> None:
        super().__init__()
        self.n_outputs = 2 * n_inputs

    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        self.inputs = inputs
        self.output = self.xp.concatenate([inputs, inputs * inputs], axis=1)
        return self.output

    def backward(self, dvalues: Any) -> Any:
        left, right = dvalues[:, : self.inputs.shape[1]], dvalues[:, self.inputs.shape[1] :]
        self.dinputs = left + 2 * self.inputs * right
        return self.dinputs


def test_the_number_of_features_is_that_of_the_first_layer(xp) -> None:
    assert nn.Model([nn.Dropout(0.1), nn.ReLU(), nn.Dense(5, 3)], backend=xp).n_inputs == 5
    assert nn.Model([nn.ReLU()], backend=xp).n_inputs is None
    model = nn.Model(
        [Squares(2), nn.Dense(4, 3), nn.Softmax()],
        loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.1), backend=xp, seed=0,
    )  # fmt: skip
    assert (model.n_inputs, model.n_outputs) == (None, 3)
    history = model.train(X, Y, epochs=20, print_every=0)
    assert history["loss"][-1] < history["loss"][0]
    with pytest.raises(nn.DataError, match=r"expected \(samples, 4\)"):
        model.predict(np.ones((3, 3)))


# -- using it -------------------------------------------------------------------------------------------------------------


def expected_outputs(model: nn.Model, inputs: np.ndarray) -> np.ndarray:
    """The categorical network by formula, in float64."""
    p = {name: value.astype(np.float64) for name, value in model.parameters().items()}
    hidden = np.maximum(inputs @ p["dense_1.weights"] + p["dense_1.biases"], 0)
    logits = hidden @ p["dense_2.weights"] + p["dense_2.biases"]
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("fused", [True, False])
def test_forward_predict_and_evaluate_by_formula(xp_any, fused: bool) -> None:
    model = build("categorical", xp_any, fused=fused)
    model.train(X, Y, epochs=50, print_every=0)
    expected = expected_outputs(model, X)
    outputs = tolerances.tolerance("output", xp_any.dtype, 16)
    helpers.assert_close(model.forward(xp_any.asarray(X, dtype=xp_any.dtype)), expected, outputs)
    tolerances.assert_close(model.predict(X), expected, outputs)
    assert model.predict(X).dtype == xp_any.dtype
    found = model.evaluate(X, Y)
    loss = tolerances.tolerance("loss", xp_any.dtype, len(X))
    weights = model.parameters()["dense_1.weights"].astype(np.float64)
    tolerances.assert_close(found.data_loss, -np.log(expected[np.arange(45), Y]).mean(), loss)
    tolerances.assert_close(found.regularization_loss, 5e-4 * (weights**2).sum(), loss)
    assert found.loss == found.data_loss + found.regularization_loss
    assert found.accuracy == pytest.approx((expected.argmax(axis=1) == Y).mean(), abs=1e-7)  # one division in float32
    assert all(type(value) is float for value in vars(found).values())


@pytest.mark.parametrize("batch_size", [1, 7, 15, 44, 45, None])
@pytest.mark.parametrize("task", TASKS)
def test_evaluating_in_batches_is_evaluating_the_whole(xp, task: str, batch_size: int | None) -> None:
    data = TASKS[task][2]
    model = build(task, xp)
    model.train(*data, epochs=2, print_every=0)
    if batch_size is not None and batch_size > len(data[0]):
        batch_size = len(data[0])
    whole, batched = model.evaluate(*data), model.evaluate(*data, batch_size=batch_size)
    tolerance = tolerances.tolerance("loss", xp.dtype, len(data[0]))
    for name in ("loss", "data_loss", "regularization_loss"):
        tolerances.assert_close(getattr(batched, name), getattr(whole, name), tolerance, name)
    assert batched.accuracy == pytest.approx(whole.accuracy, abs=1e-6)  # counts divided, in float32


def test_batches_count_by_their_size(xp) -> None:
    """Three samples in batches of two and one: the mean over samples is not the mean over batches."""
    model = nn.Model([nn.Dense(1, 1)], loss=nn.MeanSquaredError(), accuracy=nn.RegressionAccuracy(0.5), backend=xp)
    model.layers[0].weights, model.layers[0].biases = [[1.0]], [[0.0]]
    found = model.evaluate([[1.0], [2.0], [3.0]], [1.0, 2.0, 6.0], batch_size=2)
    assert found.data_loss == 3.0
    assert found.accuracy == pytest.approx(2 / 3)


@pytest.mark.parametrize("task", TASKS)
def test_predicting_in_batches_gives_all_rows_in_order(xp, task: str) -> None:
    model, (inputs, _) = build(task, xp), TASKS[task][2]
    whole = model.predict(inputs)
    tolerance = tolerances.tolerance("output", xp.dtype, 16)
    for batch_size in (1, 4, len(inputs) - 1, len(inputs)):
        batched = model.predict(inputs, batch_size=batch_size)
        assert batched.shape == whole.shape
        tolerances.assert_close(batched, whole, tolerance)  # a product of fewer rows may be added up in another order


def test_predictions_are_the_caller_s_own(xp) -> None:
    for model in (build("categorical", xp), nn.Model([nn.Linear()], backend=xp)):
        inputs = X.astype(np.float32)
        first = model.predict(inputs)
        kept = first.copy()
        model.predict(-inputs)
        assert (first == kept).all()
        assert first.flags.owndata
        first.fill(7)
        assert inputs.max() < 7
        assert (model.predict(inputs) == kept).all()


def test_what_forward_gives_is_valid_until_the_next_call(xp) -> None:
    model, batch = build("categorical", xp), xp.asarray(X, dtype=xp.dtype)
    first = model.forward(batch)
    kept = xp.to_host(first)
    assert model.forward(-batch) is first  # the same buffer
    assert not (xp.to_host(first) == kept).all()


def test_inputs_are_not_touched(xp) -> None:
    inputs, targets = X.astype(np.float32), Y.copy()
    inputs.flags.writeable = targets.flags.writeable = False
    model = build("categorical", xp)
    for batch_size in (7, None):  # without one, a step is given the user's own array on the CPU
        model.train(inputs, targets, epochs=2, batch_size=batch_size, print_every=0)
    model.evaluate(inputs, targets)
    model.predict(inputs)
    assert (inputs == X.astype(np.float32)).all()  # compiled loops know addresses only, and no flags
    assert (targets == Y).all()


def test_data_in_whatever_form(xp) -> None:
    model = build("categorical", xp)
    expected = model.evaluate(X.astype(np.float32), Y)
    strict = nn.get_backend("strict", dtype="float64")
    for inputs, targets in (
        (X.tolist(), Y.tolist()), (np.asfortranarray(X), Y.astype("uint8")), (strict.asarray(X), strict.asarray(Y)),
        (xp.asarray(X), xp.asarray(Y)), (tuple(map(tuple, X)), Y.reshape(-1, 1)), (X[::-1][::-1], np.eye(3)[Y]),
    ):  # fmt: skip
        assert model.evaluate(inputs, targets) == expected


def test_gradients_by_hand(xp) -> None:
    """A measured step and `backward` give all gradients, for what training does not offer."""
    model, batch, targets = build("categorical", xp), xp.asarray(X, dtype=xp.dtype), xp.asarray(Y)
    model.evaluation_step(batch, targets)
    model.backward(targets)
    taken = xp.to_host(model.parameter_buffer.grads)
    model.training_step(batch, targets)
    helpers.assert_same(model.parameter_buffer.grads, taken)
    data_loss, regularization_loss, accuracy, learning_rate = model.measured
    assert data_loss.shape == regularization_loss.shape == accuracy.shape == ()
    assert learning_rate.shape == (1,)


def test_backward_needs_a_loss_and_a_forward(xp) -> None:
    with pytest.raises(nn.StateError, match="the model has no loss"):
        nn.Model([nn.Dense(2, 3)], backend=xp).backward(xp.asarray([0]))
    with pytest.raises(nn.StateError, match=r"call forward\(\) first"):
        build("categorical", xp).backward(xp.asarray(Y))


@pytest.mark.parametrize("targets", [(4,), (4, 1)])
def test_accuracies_by_hand(xp, targets: tuple[int, ...]) -> None:
    """Flat targets beside one column of predictions would broadcast into a table, and an accuracy above one."""
    y = xp.asarray(np.array([1.0, 1.0, 0.0, 0.0]).reshape(targets))
    predictions = xp.asarray([[0.9], [0.2], [0.1], [0.3]])
    for accuracy, expected in ((nn.BinaryAccuracy(xp), 0.75), (nn.RegressionAccuracy(0.25, backend=xp), 0.5)):
        helpers.assert_same(accuracy.calculate(predictions, y), np.float32(expected))
    classes, labels = (
        xp.asarray([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]]),
        xp.asarray(xp.to_host(y).astype(int)),
    )
    helpers.assert_same(nn.CategoricalAccuracy(xp).calculate(classes, labels), np.float32(0.5))
    for wrong in (xp.ones((4, 3)), xp.ones((4, 2, 1)), xp.ones(5)):
        for accuracy in (nn.BinaryAccuracy(xp), nn.RegressionAccuracy(0.2, backend=xp), nn.CategoricalAccuracy(xp)):
            with pytest.raises(nn.DataError, match=r"targets have|predictions but"):
                accuracy.calculate(classes, wrong)


# -- joined neighbours ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["categorical", "two binary outputs"])
def test_joined_or_not_the_gradients_are_the_same(xp_any, task: str) -> None:
    """From common parameters at every step, since rounding grows. Σ|summands| of every gradient is of order one here."""
    joined, apart = build(task, xp_any, optimizer=nn.SGD(0.5)), build(task, xp_any, fused=False, optimizer=nn.SGD(0.5))
    data = TASKS[task][2]
    for _ in range(8):
        apart.set_parameters(joined.parameters())
        left, right = (model.train(*data, epochs=1, print_every=0) for model in (joined, apart))
        tolerance = tolerances.tolerance("loss", xp_any.dtype, len(X))
        tolerances.assert_close(left["loss"], right["loss"], tolerance, "loss")
        grads = xp_any.to_host(joined.parameter_buffer.grads)
        expected = xp_any.to_host(apart.parameter_buffer.grads)
        tolerances.assert_close(grads, expected, tolerances.tolerance("gradient", xp_any.dtype, len(X)), scale=1.0)


LEFT_OUT = {
    "dense.output": lambda model: model.layers[0].output,
    "relu.inputs": lambda model: model.layers[1].inputs,
    "first dense.dinputs": lambda model: model.layers[0].dinputs,
    "loss.dinputs": lambda model: model.loss.dinputs,
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_a_join_leaves_out_is_named(xp, name: str) -> None:
    joined, apart = build("categorical", xp), build("categorical", xp, fused=False)
    for model in (joined, apart):
        model.train(X, Y, epochs=1, print_every=0)
    assert LEFT_OUT[name](apart) is not None
    with pytest.raises(nn.StateError, match=r"build the model with Model\(\.\.\., fused=False\)"):
        LEFT_OUT[name](joined)
    shown = joined.layers[1].output, joined.layers[2].inputs, joined.layers[2].dinputs, joined.layers[3].output
    assert all(xp.is_array(value) for value in shown)


def test_what_was_not_computed_yet_is_named(xp) -> None:
    model = build("categorical", xp, fused=False)
    for layer in model.layers:
        for name, call in (("output", "forward"), ("dinputs", "backward")):
            with pytest.raises(
                nn.StateError, match=rf"{type(layer).__name__}\.{name} is not there yet: call {call}\(\)"
            ):
                getattr(layer, name)
    with pytest.raises(nn.StateError, match=r"CategoricalCrossentropy\.dinputs is not there yet: call backward\(\)"):
        _ = model.loss.dinputs
    with pytest.raises(AttributeError, match="'Dense' object has no attribute 'weight'"):
        _ = model.layers[0].weight
    with pytest.raises(AttributeError, match="'CategoricalCrossentropy' object has no attribute 'weights'"):
        _ = model.loss.weights


def test_a_loss_moves_from_a_joined_model_to_one_that_keeps_everything(xp) -> None:
    loss = nn.CategoricalCrossentropy()
    build("categorical", xp, loss=loss).train(X, Y, epochs=1, print_every=0)
    build("categorical", xp, loss=loss, fused=False).train(X, Y, epochs=1, print_every=0)
    assert loss.dinputs.shape == (45, 3)


# -- what it says about itself ----------------------------------------------------------------------------------------------


def test_summary() -> None:
    model = build("categorical", "cpu", dtype="float64")
    assert model.summary().splitlines() == [
        "layer      type          output   parameters",
        "---------  ------------  -------  ----------",
        "dense_1    Dense(2, 16)  (n, 16)  48",
        "relu_1     ReLU()        (n, 16)  0",
        "dense_2    Dense(16, 3)  (n, 3)   51",
        "softmax_1  Softmax()     (n, 3)   0",
        "99 parameters on cpu (float64)",
        "loss: CategoricalCrossentropy()",
        "optimizer: Adam(learning_rate=0.02, decay=0, epsilon=1e-07, beta_1=0.9, beta_2=0.999)",
    ]
    wide = nn.Model([nn.Dropout(0.25), nn.Dense(784, 1000)], accuracy=nn.BinaryAccuracy())
    assert "(n, ?)" in wide.summary()
    assert "785,000" in wide.summary()
    assert "accuracy: BinaryAccuracy()" in wide.summary()
    assert not wide.layers[1].has_values  # to describe is not to draw
    assert nn.Model([]).summary().endswith("0 parameters on cpu (float32)")


def test_repr() -> None:
    model = build("categorical", "cpu")
    assert repr(model) == (
        "<Model Dense(2, 16) → ReLU() → Dense(16, 3) → Softmax() on get_backend('cpu', dtype='float32')>"
    )


@pytest.mark.parametrize("fused", [True, False])
def test_layers_show_the_latest_prediction(xp, fused):
    """Small batches replay a recorded pass for each shape, past the layers; what they show must follow."""
    model = nn.Model([nn.Dense(2, 4), nn.ReLU(), nn.Dense(4, 3), nn.Softmax()], backend=xp, seed=0, fused=fused)
    five, seven = (np.random.default_rng(n).normal(size=(n, 2)) for n in (5, 7))
    for X in (five, seven, five, seven, five):
        predictions = model.predict(X)
        np.testing.assert_array_equal(xp.to_host(model.layers[-1].output), predictions)
        assert xp.to_host(model.layers[1].output).shape == (len(X), 4)
        assert xp.to_host(model.layers[-1].inputs).shape == (len(X), 3)
