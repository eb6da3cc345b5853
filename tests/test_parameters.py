"""All parameters in one flat buffer: layout, views, first values, and the way out and in."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.parameters import ALIGNMENT
from nnbackend.rng import host_generator
from tests import helpers

X, Y = nn.datasets.spiral(samples=12, classes=3, seed=0)

OPTIMIZERS: dict[str, Callable[[], nn.Optimizer]] = {
    "SGD": lambda: nn.SGD(0.5),
    "SGD with momentum": lambda: nn.SGD(0.5, momentum=0.9),
    "Adagrad": lambda: nn.Adagrad(0.1),
    "RMSprop": lambda: nn.RMSprop(0.02),
    "Adam": lambda: nn.Adam(0.02, decay=1e-3),
}


def classifier(backend: Any = None, *, hidden: int = 7, seed: int | None = 0, **settings: Any) -> nn.Model:
    """A network with every kind of parameter: penalized or not, in sizes that fill no 256 bytes."""
    layers = [
        nn.Dense(2, hidden, weight_regularizer=nn.L1L2(1e-4, 5e-4), bias_regularizer=nn.L1(1e-4)), nn.ReLU(),
        nn.Dropout(0.1), nn.Dense(hidden, 5), nn.ReLU(), nn.Dense(5, 3), nn.Softmax(),
    ]  # fmt: skip
    return nn.Model(
        layers,
        **{
            "loss": nn.CategoricalCrossentropy(),
            "optimizer": nn.Adam(0.02),
            "backend": backend,
            "seed": seed,
            **settings,
        },
    )


def train(model: nn.Model, epochs: int = 3, **settings: Any) -> nn.History:
    return model.train(X, Y, epochs=epochs, print_every=0, **settings)


def same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    return list(left) == list(right) and all(np.array_equal(left[name], right[name]) for name in left)


# -- layout ---------------------------------------------------------------------------------------------------------------


def test_parameters_start_at_boundaries(xp_any) -> None:
    parameters = classifier(xp_any).parameter_buffer
    step = ALIGNMENT // xp_any.dtype.itemsize
    assert list(parameters.named) == [f"dense_{i}.{name}" for i in (1, 2, 3) for name in ("weights", "biases")]
    offsets = [parameter.offset for parameter in parameters.named.values()]
    assert offsets == sorted(set(offsets))
    assert all(offset % step == 0 for offset in offsets)
    ends = [parameter.offset + parameter.size for parameter in parameters.named.values()]
    assert all(end <= start < end + step for end, start in zip(ends, offsets[1:], strict=False))
    assert parameters.values.shape == parameters.grads.shape
    assert parameters.values.dtype == parameters.grads.dtype == xp_any.dtype
    assert ends[-1] <= parameters.values.size < ends[-1] + step
    assert parameters.count == sum(parameter.size for parameter in parameters.named.values()) == 2 * 7 + 7 + 40 + 18
    assert "of 79 parameters" in repr(parameters)


def padding(parameters: nn.ParameterBuffer) -> np.ndarray:
    """Which elements of the flat array are no parameter's."""
    free = np.ones(parameters.values.size, bool)
    for parameter in parameters.named.values():
        free[parameter.offset : parameter.offset + parameter.size] = False
    return free


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_padding_stays_zero(xp, name: str) -> None:
    model = classifier(xp, optimizer=OPTIMIZERS[name]())
    train(model, 5)
    parameters, optimizer = model.parameter_buffer, model.optimizer
    free = padding(parameters)
    assert free.sum() > 100
    for flat in (parameters.values, parameters.grads, *optimizer.state.values()):
        values = xp.to_host(flat)
        assert not values[free].any()
        assert values[~free].any()


def test_views_are_views(xp) -> None:
    """What is written to the flat array is the layer's, and the other way round; the same for gradients."""
    model = classifier(xp)
    dense, parameters = model.layers[3], model.parameter_buffer
    parameters.values.fill(2)
    helpers.assert_same(dense.weights, np.full((7, 5), 2))
    dense.weights[0, 0] = 3
    dense.biases = [[1, 2, 3, 4, 5]]
    weights, biases = (parameters.named[f"dense_2.{name}"] for name in ("weights", "biases"))
    flat = xp.to_host(parameters.values)
    assert flat[weights.offset : weights.offset + 2].tolist() == [3, 2]
    assert flat[biases.offset : biases.offset + 5].tolist() == [1, 2, 3, 4, 5]
    parameters.grads.fill(4)
    helpers.assert_same(dense.dbiases, np.full((1, 5), 4))
    dense.dweights[1] = 5
    assert xp.to_host(parameters.grads)[weights.offset + 5] == 5


def test_assigning_copies(xp) -> None:
    dense, new = nn.Dense(2, 3, backend=xp), np.ones((2, 3))
    view = dense.weights
    dense.weights = new
    new[...] = 7
    helpers.assert_same(view, np.ones((2, 3)))
    assert dense.weights is view
    device = xp.full((2, 3), 4.0)
    dense.weights = device
    device.fill(9)
    helpers.assert_same(view, np.full((2, 3), 4.0))
    dense.weights -= 1
    dense.weights *= 2
    helpers.assert_same(view, np.full((2, 3), 6.0))
    for wrong in (np.ones(3), np.ones((3, 2)), 1.0):
        with pytest.raises(nn.DataError, match=r"Dense\(2, 3\)\.weights was given shape"):
            dense.weights = wrong
    helpers.assert_same(view, np.full((2, 3), 6.0))


# -- ParameterBuffer.of ---------------------------------------------------------------------------------------------------


def test_of_moves_layers_and_keeps_their_values(xp) -> None:
    first, second, fresh = (nn.Dense(2, 3, backend=xp, seed=seed) for seed in (1, 2, 3))
    drawn, alone = xp.to_host(first.weights), first.weights
    second.weights = np.arange(6).reshape(2, 3)
    first.dweights = np.ones((2, 3))
    parameters = nn.ParameterBuffer.of(first, nn.ReLU(backend=xp), second, fresh)
    assert first.weights is not alone
    helpers.assert_same(first.weights, drawn)
    helpers.assert_same(second.weights, np.arange(6).reshape(2, 3))
    helpers.assert_same(fresh.weights, xp.to_host(nn.Dense(2, 3, backend=xp, seed=3).weights))
    helpers.assert_same(first.dweights, np.zeros((2, 3)))
    parameters.values.fill(1)
    assert all(xp.to_host(layer.weights).all() for layer in (first, second, fresh))


def test_of_layers_without_parameters_is_empty(xp) -> None:
    parameters = nn.ParameterBuffer.of(nn.ReLU(backend=xp), nn.Softmax(backend=xp))
    assert (parameters.count, parameters.values.size, parameters.to_host()) == (0, 0, {})
    nn.Adam().update(parameters)
    model = nn.Model([nn.Softmax()], loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(), backend=xp)
    assert len(model.train(np.eye(3), [0, 1, 2], epochs=2, print_every=0)) == 2


@pytest.mark.parametrize(
    "thing", [None, 3, "dense", nn.Dense, nn.L2(1.0), nn.Model([nn.Dense(2, 3)]), [nn.Dense(2, 3)]]
)
def test_of_takes_layers_only(thing: Any) -> None:
    with pytest.raises(nn.ArgumentError, match=r"expected layers such as nn\.Dense\(2, 64\)"):
        nn.ParameterBuffer.of(nn.Dense(2, 3), thing)


@pytest.mark.parametrize("thing", [None, nn.Dense(2, 3), [nn.Dense(2, 3)], {}])
def test_an_optimizer_updates_buffers_only(thing: Any) -> None:
    with pytest.raises(nn.ArgumentError, match=r"expected the parameters of all layers, nn\.ParameterBuffer\.of"):
        nn.Adam().update(thing)


# -- first values ---------------------------------------------------------------------------------------------------------


def test_values_are_drawn_when_they_are_looked_at() -> None:
    drawn: list[tuple[int, ...]] = []

    class Noting(nn.Normal):
        def draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
            drawn.append(shape)
            return super().draw(generator, shape)

    dense = nn.Dense(2, 3, weight_initializer=Noting(), seed=0)
    model = nn.Model([dense])
    repr(dense), repr(model), model.summary(), copy.deepcopy(dense), dense.weight_regularizer
    assert not dense.has_values
    assert not drawn
    dense.weights  # noqa: B018
    dense.biases, dense.dweights, model.parameters()
    assert dense.has_values
    assert drawn == [(2, 3)]


def test_the_book_s_first_values(xp64) -> None:
    dense = nn.Dense(300, 400, backend=xp64, seed=0)
    weights = xp64.to_host(dense.weights)
    # 120,000 draws: the mean is off by 0.01 / √120,000 = 3e-5, the deviation by half of that. Five of these.
    assert abs(weights.mean()) < 1.5e-4
    assert abs(weights.std() - 0.01) < 1e-4
    assert not xp64.to_host(dense.biases).any()
    expected = 0.01 * host_generator(0, 0).standard_normal((300, 400))
    helpers.assert_same(dense.weights, expected)


def test_each_parameter_of_a_layer_has_random_numbers_of_its_own(xp64) -> None:
    dense = nn.Dense(1, 400, bias_initializer=nn.Normal(0.01), backend=xp64, seed=0)
    helpers.assert_same(dense.biases, 0.01 * host_generator(0, 1).standard_normal((1, 400)))
    assert not (xp64.to_host(dense.biases) == xp64.to_host(dense.weights)).any()


def test_a_seed_gives_the_same_values_on_every_backend_and_in_both_dtypes(xp_any) -> None:
    """Drawn on the host in float64; float32 is that, rounded."""
    expected = {
        name: value.astype(xp_any.dtype)
        for name, value in classifier(nn.get_backend("cpu", "float64")).parameters().items()
    }
    assert same(classifier(xp_any).parameters(), expected)
    dense, double = (
        nn.Dense(2, 5, backend=xp_any, seed=9),
        nn.Dense(2, 5, backend=nn.get_backend("cpu", "float64"), seed=9),
    )
    helpers.assert_same(dense.weights, double.weights.astype(xp_any.dtype))


def test_seeds_of_a_model(xp) -> None:
    assert same(classifier(xp, seed=3).parameters(), classifier(xp, seed=3).parameters())
    first, other = classifier(xp, seed=3).parameters(), classifier(xp, seed=4).parameters()
    assert not (first["dense_1.weights"] == other["dense_1.weights"]).any()
    alike = nn.Model([nn.Dense(4, 4), nn.Dense(4, 4)], backend=xp, seed=0).parameters()
    assert not (alike["dense_1.weights"] == alike["dense_2.weights"]).any()


def test_no_seed_is_fresh_entropy_and_recorded(xp) -> None:
    first, second = classifier(xp, seed=None), classifier(xp, seed=None)
    assert first.seed != second.seed
    assert same(classifier(xp, seed=first.seed).parameters(), first.parameters())
    dense = nn.Dense(2, 3, backend=xp)
    assert dense.seed is None
    weights = xp.to_host(dense.weights)
    helpers.assert_same(nn.Dense(2, 3, backend=xp, seed=dense.seed).weights, weights)
    assert not (weights == xp.to_host(nn.Dense(2, 3, backend=xp).weights)).any()


def test_a_layer_s_own_seed_counts_in_a_model_too(xp) -> None:
    alone = xp.to_host(nn.Dense(2, 3, backend=xp, seed=5).weights)
    for seed in (0, 1):
        model = nn.Model([nn.Dense(2, 2), nn.Dense(2, 3, seed=5)], backend=xp, seed=seed)
        assert (model.parameters()["dense_2.weights"] == alone).all()


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "0", True, [0]])
def test_a_wrong_seed_is_refused_where_it_is_given(seed: Any) -> None:
    for build in (
        lambda: nn.Dense(2, 3, seed=seed), lambda: nn.Dropout(0.5, seed=seed), lambda: nn.Model([nn.Dense(2, 3)], seed=seed),
        lambda: nn.datasets.spiral(5, 2, seed=seed),
    ):  # fmt: skip
        with pytest.raises(nn.ArgumentError, match="seed"):
            build()


def test_values_that_were_set_are_kept(xp) -> None:
    dense = nn.Dense(2, 3)
    dense.weights = np.arange(6).reshape(2, 3)
    dense.biases = np.ones((1, 3))
    model = nn.Model([dense, nn.ReLU(), nn.Dense(3, 2)], backend=xp, seed=0)
    found = model.parameters()
    assert found["dense_1.weights"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["dense_1.biases"].tolist() == [[1, 1, 1]]
    assert found["dense_2.weights"].any()


class Odd:
    """An initializer that gives a row where a matrix is wanted, which would broadcast."""

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return np.ones(shape[1:])

    def __repr__(self) -> str:
        return "Odd()"


def test_an_initializer_that_draws_another_shape_is_named() -> None:
    dense = nn.Dense(2, 3, weight_initializer=Odd())
    with pytest.raises(nn.DataError, match=r"Odd\(\) drew shape \(3,\) for Dense\(2, 3\)\.weights: expected \(2, 3\)"):
        _ = dense.weights


@pytest.mark.parametrize("initializer", [0.1, "zeros", nn.Zeros, np.zeros((2, 3))])
def test_what_is_no_initializer_is_refused(initializer: Any) -> None:
    for name in ("weight", "bias"):
        with pytest.raises(nn.ArgumentError, match=rf"Dense {name}_initializer .*: expected an object such as"):
            nn.Dense(2, 3, **{f"{name}_initializer": initializer})


# -- out and in -----------------------------------------------------------------------------------------------------------


def test_out_and_in_is_one_transfer_each(xp) -> None:
    model = classifier(xp)
    parameters, transfers = model.parameter_buffer, xp.transfers
    size = parameters.values.size * 4
    before = transfers.calls_in, transfers.calls_out, transfers.bytes_in, transfers.bytes_out
    values = parameters.to_host()
    parameters.load(values)
    after = transfers.calls_in, transfers.calls_out, transfers.bytes_in, transfers.bytes_out
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, size, size]


def test_what_comes_out_goes_in_again(xp) -> None:
    model, other = classifier(xp, seed=1), classifier(xp, seed=2)
    train(model)
    values = model.parameters()
    assert all(type(value) is np.ndarray and value.flags.owndata for value in values.values())
    other.set_parameters(values)
    for value in values.values():
        value.fill(9)
    assert same(other.parameters(), model.parameters())
    assert (other.predict(X) == model.predict(X)).all()
    assert not padding(other.parameter_buffer)[xp.to_host(other.parameter_buffer.values) != 0].any()


def test_values_come_in_whatever_holds_them(xp) -> None:
    model = classifier(xp)
    values = {name: np.round(value, 3) for name, value in model.parameters().items()}
    for form in (
        lambda value: value.tolist(), lambda value: value.astype("float64"), np.asfortranarray,
        lambda value: nn.get_backend("strict", dtype="float64").asarray(value),
    ):  # fmt: skip
        model.set_parameters({name: form(value) for name, value in values.items()})
        assert same(model.parameters(), values)


@pytest.mark.parametrize(
    "wrong", [None, 3, "abc", [1, 2], {1: 2}, {}, "text", "shape", "extra", "missing", "several kinds of names"]
)  # fmt: skip
def test_wrong_values_change_nothing(wrong: Any) -> None:
    model = classifier()
    before = model.parameters()
    values: Any = {name: value + 1 for name, value in before.items()}
    if wrong == "text":
        values["dense_3.biases"] = "abc"
    elif wrong == "shape":
        values["dense_3.biases"] = np.ones(3)
    elif wrong == "extra":
        values["dense_4.weights"] = 1
    elif wrong == "several kinds of names":
        values |= {1: 1, ("a",): 2, "b": 3}
    elif wrong == "missing":
        del values["dense_3.biases"]
    else:
        values = wrong
    with pytest.raises(nn.DataError):
        model.set_parameters(values)
    assert same(model.parameters(), before)


def test_values_too_large_for_the_dtype_become_infinite_quietly() -> None:
    dense = nn.Dense(1, 1)
    nn.ParameterBuffer.of(dense).load({"dense_1.weights": [[1e300]], "dense_1.biases": [[1.0]]})
    assert dense.weights.tolist() == [[np.inf]]
