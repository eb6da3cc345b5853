"""Copies of models and layers are whole and apart, and layers move from one model, buffer or backend to another."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.parameters import ALIGNMENT
from nnbackend.testing import tolerances
from tests import helpers
from tests.test_parameters import X, Y, classifier, same, train

# -- copies ---------------------------------------------------------------------------------------------------------------

COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
}  # fmt: skip


@pytest.mark.parametrize("how", COPIES)
def test_a_copied_model_is_whole_and_apart(xp, how: str) -> None:
    model = classifier(xp)
    train(model, batch_size=10)
    twin = COPIES[how](model)
    before = twin.parameters()
    assert same(before, model.parameters())
    assert (twin.epoch, twin.seed, twin.xp) == (model.epoch, model.seed, xp)
    assert twin.optimizer.iterations == model.optimizer.iterations == 12
    continued, expected = train(twin, batch_size=10), train(model, batch_size=10)  # Adam's state, dropout, order
    assert dict(continued) == dict(expected)
    assert same(twin.parameters(), model.parameters())
    assert not same(twin.parameters(), before)
    twin.layers[0].weights = np.zeros((2, 7))
    twin.parameter_buffer.values.fill(1)
    assert model.parameters()["dense_1.weights"].any()
    helpers.assert_same(twin.layers[0].weights, np.ones((2, 7)))


@pytest.mark.parametrize("how", COPIES)
def test_copies_start_at_boundaries_too(how: str) -> None:
    model = classifier()
    train(model)
    twin = COPIES[how](model)
    flat = [twin.parameter_buffer.values, twin.parameter_buffer.grads, *twin.optimizer.state.values()]
    assert len(flat) == 4
    assert all(array.ctypes.data % ALIGNMENT == 0 for array in flat)


@pytest.mark.parametrize("how", COPIES)
def test_a_copied_layer_is_apart(how: str) -> None:
    dense = nn.Dense(2, 3, seed=0)
    dense.forward(dense.xp.ones((4, 2)))
    twin = COPIES[how](dense)
    assert (twin.weights == dense.weights).all()
    twin.weights *= 2
    assert (twin.weights == 2 * dense.weights).all()
    assert (twin.forward(dense.xp.ones((4, 2))) == 2 * dense.forward(dense.xp.ones((4, 2)))).all()
    nn.ParameterBuffer.of(twin).values.fill(1)
    assert (dense.weights != 1).all()


def test_a_layer_copied_out_of_a_model_leaves_it_alone(xp) -> None:
    model = classifier(xp)
    before = model.parameters()
    twin = copy.deepcopy(model.layers[0])
    other = nn.Model([twin, nn.ReLU(), nn.Dense(7, 2)], backend=xp, seed=1)
    assert list(other.parameters()) == ["dense_1.weights", "dense_1.biases", "dense_2.weights", "dense_2.biases"]
    assert (other.parameters()["dense_1.weights"] == before["dense_1.weights"]).all()
    twin.weights = np.zeros((2, 7))
    assert same(model.parameters(), before)


# -- layers that move -----------------------------------------------------------------------------------------------------


def test_a_layer_moves_to_another_backend_with_its_values(xp_any) -> None:
    source = classifier("cpu")
    train(source)
    values = source.parameters()
    moved = nn.Model(source.layers, loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.02), backend=xp_any)
    found = moved.parameters()
    assert all((found[name] == values[name].astype(xp_any.dtype)).all() for name in values)
    assert all(layer.xp is xp_any for layer in moved.layers)
    assert moved.parameter_buffer.values.dtype == xp_any.dtype
    train(moved)
    assert moved.layers[2].step.shape == (1,)
    assert int(xp_any.to_host(moved.layers[2].step)[0]) == 6  # dropout goes on counting its masks


def test_layers_of_several_backends_become_one_model_s(xp) -> None:
    layers = [nn.Dense(2, 3, backend="cpu", seed=0), nn.ReLU(), nn.Dense(3, 3, backend="strict", seed=1), nn.Softmax()]
    weights = [np.array(layers[0].weights), layers[2].weights.get()]
    model = nn.Model(layers, backend=xp)
    found = model.parameters()
    assert (found["dense_1.weights"] == weights[0]).all()
    assert (found["dense_2.weights"] == weights[1]).all()
    assert model.predict(X).shape == (36, 3)


def test_without_a_backend_a_model_lives_where_its_layers_do(xp_any) -> None:
    assert nn.Model([nn.ReLU(), nn.Dense(2, 3, backend=xp_any)]).xp is xp_any
    assert nn.Model([nn.ReLU(), nn.Dense(2, 3)]).xp is nn.get_backend()


def test_some_layers_may_be_looked_at_by_another_model(xp) -> None:
    """A model of the first layers shows what they give; the first one trains on as if nothing had been."""
    model, undisturbed = classifier(xp), classifier(xp)
    train(model)
    train(undisturbed)
    hidden = nn.Model(model.layers[:2])
    assert hidden.xp is xp
    assert hidden.predict(X).shape == (36, 7)
    assert list(hidden.parameters()) == ["dense_1.weights", "dense_1.biases"]
    assert hidden.layers[0].weights is model.layers[0].weights
    train(model)
    train(undisturbed)
    assert same(model.parameters(), undisturbed.parameters())
    weights, biases = xp.to_host(model.layers[0].weights), xp.to_host(model.layers[0].biases)
    expected = np.maximum(X.astype(np.float32) @ weights + biases, 0)
    # one sum of two products and a bias, in another order
    tolerances.assert_close(hidden.predict(X), expected, tolerances.tolerance("sum", xp.dtype, 3))
    hidden.set_parameters({name: np.zeros_like(value) for name, value in hidden.parameters().items()})
    assert not model.parameters()["dense_1.weights"].any()
    assert model.parameters()["dense_2.weights"].any()


def test_a_model_may_look_while_another_trains(xp) -> None:
    class Unpromised(nn.Adam):
        """Steps with it are called, not replayed."""

    class Look(nn.Callback):
        shapes: Any = None

        def on_report(self, run: Any, rows: Any) -> None:
            layers, hidden = run.model.layers, np.ones((36, 7))
            parts = nn.Model(layers[:2]), nn.Model(layers[2:]), nn.Model(layers[3:])  # the last begins with a Dense
            self.shapes = [model.predict(data).shape for model, data in zip(parts, (X, hidden, hidden), strict=True)]

    for promise in (True, False):
        model, undisturbed, look = classifier(xp), classifier(xp), Look()
        if not promise:
            for one in (model, undisturbed):
                one.set(optimizer=Unpromised(0.02))
        model.train(X, Y, epochs=4, print_every=2, callbacks=[look])
        train(undisturbed, 4)
        assert look.shapes == [(36, 7), (36, 3), (36, 3)]
        assert same(model.parameters(), undisturbed.parameters())


def test_layers_may_be_trained_by_two_models_in_turns(xp) -> None:
    """Each takes the layers back with the values that the other left, and its optimizer goes on."""
    first = classifier(xp)
    train(first)
    first.layers[0].biases = np.full((1, 7), 0.5)  # the penalties have switched its units off by now
    head = [nn.Dense(7, 3, seed=3), nn.Softmax()]
    second = nn.Model([*first.layers[:2], *head], loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(0.1), seed=1)
    for model, other in ((second, first), (first, second), (second, first)):
        before = model.parameters()
        iterations = model.optimizer.iterations
        train(model)
        after = model.parameters()
        assert model.optimizer.iterations == iterations + 3
        assert not any((before[name] == after[name]).all() for name in before)
        assert (other.parameters()["dense_1.weights"] == after["dense_1.weights"]).all()
        assert (other.predict(X) == other.predict(X)).all()
        assert model.layers[0] is other.layers[0]


def test_a_first_layer_becomes_an_inner_one(xp) -> None:
    """In a model, a first Dense spares the gradient of its inputs; behind another layer it is needed."""
    model = classifier(xp)
    train(model)
    with pytest.raises(nn.StateError, match="needs no gradient of its own inputs"):
        _ = model.layers[0].dinputs
    new = nn.Model(
        [nn.Dense(2, 2, seed=8), *model.layers], loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.02), seed=0
    )
    before = new.parameters()["dense_1.weights"]
    train(new)
    assert not (new.parameters()["dense_1.weights"] == before).all()
    assert new.layers[1].dinputs.shape == (36, 2)
    by_hand = nn.Model(model.layers, fused=False)  # and on its own again
    by_hand.forward(xp.asarray(X, dtype=xp.dtype))
    assert model.layers[0].output.shape == (36, 7)


def test_an_optimizer_follows_its_parameters_into_a_new_buffer(xp) -> None:
    model, undisturbed = classifier(xp), classifier(xp)
    train(model)
    train(undisturbed)
    nn.ParameterBuffer.of(*model.layers)
    train(model)
    train(undisturbed)
    assert same(model.parameters(), undisturbed.parameters())


def test_an_optimizer_takes_no_other_parameters(xp) -> None:
    first, second = nn.Dense(2, 3, backend=xp), nn.Dense(2, 3, backend=xp)
    optimizer = nn.SGD()
    optimizer.update(nn.ParameterBuffer.of(first))
    with pytest.raises(nn.StateError, match="give every network its own optimizer"):
        optimizer.update(nn.ParameterBuffer.of(second))
    with pytest.raises(nn.StateError, match="give every network its own optimizer"):
        optimizer.update(nn.ParameterBuffer.of(first, second))
