"""Training: the same bits from the same seed, batches and their order, history, and learning rates."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.testing import tolerances
from tests import helpers

X, Y = nn.datasets.spiral(samples=20, classes=3, seed=0)
N = len(X)


def classifier(backend: Any = None, *, dropout: float = 0.1, optimizer: Any = None, **settings: Any) -> nn.Model:
    layers = [
        nn.Dense(2, 16, weight_regularizer=nn.L2(5e-4), bias_regularizer=nn.L2(5e-4)), nn.ReLU(),
        *([nn.Dropout(dropout)] if dropout else []), nn.Dense(16, 3), nn.Softmax(),
    ]  # fmt: skip
    return nn.Model(
        layers,
        **{
            "loss": nn.CategoricalCrossentropy(), "optimizer": optimizer or nn.Adam(0.02, decay=1e-3),
            "backend": backend, "seed": 0, **settings,
        },
    )  # fmt: skip


def train(model: nn.Model, epochs: int, **settings: Any) -> nn.History:
    return model.train(X, Y, epochs=epochs, **{"print_every": 0, **settings})


def bits(model: nn.Model) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in model.parameters().items()}


# -- the same bits --------------------------------------------------------------------------------------------------------

WAYS: dict[str, dict[str, Any]] = {
    "full batch": {},
    "mini-batches": {"batch_size": 16},
    "in order": {"batch_size": 16, "shuffle": False},
    "validation": {"batch_size": 25, "validation_data": (X[:7], Y[:7])},
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_seed_gives_the_same_bits(xp_any, way: str) -> None:
    first, second = classifier(xp_any), classifier(xp_any)
    assert dict(train(first, 4, **WAYS[way])) == dict(train(second, 4, **WAYS[way]))
    assert bits(first) == bits(second)
    other = classifier(xp_any, seed=1)
    assert dict(train(other, 4, **WAYS[way])) != dict(first.history)


@pytest.mark.parametrize("way", WAYS)
def test_training_in_parts_is_training_at_once(xp, way: str) -> None:
    parts, whole = classifier(xp), classifier(xp)
    first, second = train(parts, 3, **WAYS[way]), train(parts, 4, **WAYS[way])
    expected = train(whole, 7, **WAYS[way])
    assert bits(parts) == bits(whole)
    for name, column in expected.items():
        assert first[name] + second[name] == column, name
    assert parts.history is second


@pytest.mark.parametrize("print_every", [None, 0, 1, 2, 100])
def test_printing_changes_nothing(xp, capsys: pytest.CaptureFixture[str], print_every: int | None) -> None:
    expected, model = classifier(xp), classifier(xp)
    train(expected, 5, batch_size=16)
    model.train(X, Y, epochs=5, batch_size=16, print_every=print_every)
    assert bits(model) == bits(expected)
    assert dict(model.history) == dict(expected.history)


def test_two_models_on_one_backend_do_not_disturb_each_other(xp) -> None:
    alone = [classifier(xp, seed=0), classifier(xp, seed=1, dropout=0.5)]
    together = [classifier(xp, seed=0), classifier(xp, seed=1, dropout=0.5)]
    for model in alone:
        for _ in range(3):
            train(model, 2, batch_size=16)
    for _ in range(3):
        for model in together:
            train(model, 2, batch_size=16)
            model.predict(X)
    assert [bits(model) for model in together] == [bits(model) for model in alone]


def test_two_models_trained_inside_each_other(xp) -> None:
    """A callback of one trains the other."""
    inner, expected_inner, outer, expected_outer = (classifier(xp, seed=seed) for seed in (0, 0, 1, 1))

    class TrainTheOther(nn.Callback):
        def on_report(self, run: Any, rows: Any) -> None:
            train(inner, 1, batch_size=25)

    train(outer, 4, batch_size=16, print_every=1, callbacks=[TrainTheOther()])
    train(expected_outer, 4, batch_size=16)
    train(expected_inner, 4, batch_size=25)
    assert bits(outer) == bits(expected_outer)
    assert bits(inner) == bits(expected_inner)


def test_evaluating_in_a_callback_does_not_disturb_training(xp) -> None:
    """Whatever the batch size: also one that needs larger buffers than training had."""

    class Look(nn.Callback):
        found: list[Any] = []  # noqa: RUF012

        def on_report(self, run: Any, rows: Any) -> None:
            model = run.model
            self.found.append((model.evaluate(X, Y), model.evaluate(X, Y, batch_size=9), model.predict(X[:5]).shape))

    for optimizer in (nn.Adam, Unpromised):
        disturbed, quiet = (classifier(xp, optimizer=optimizer(0.02)) for _ in range(2))
        train(disturbed, 4, batch_size=16, print_every=1, callbacks=[Look()])
        train(quiet, 4, batch_size=16)
        assert bits(disturbed) == bits(quiet)
        assert dict(disturbed.history) == dict(quiet.history)
    assert len(Look.found) == 8


class Unpromised(nn.Adam):
    """Adam without the promise `only_ops`: steps with it are called, not replayed."""


def test_a_replayed_step_is_the_step(xp) -> None:
    replayed, called = classifier(xp), classifier(xp, optimizer=Unpromised(0.02, decay=1e-3))
    assert replayed.only_ops
    assert not called.only_ops
    train(replayed, 5, batch_size=16)
    train(called, 5, batch_size=16)
    assert bits(replayed) == bits(called)
    assert dict(replayed.history) == dict(called.history)


# -- batches and their order ----------------------------------------------------------------------------------------------


class SeenSamples(nn.Layer):
    """Writes down on the device which samples it sees while training; the first feature is the sample's number."""

    def __init__(self, xp: nn.Backend, capacity: int, n: int) -> None:
        super().__init__(backend=xp)
        self.seen, self.cursor = xp.full((capacity, n), -1.0), xp.zeros(1, dtype="int64")

    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        if training:
            self.seen[self.cursor, : len(inputs)] = inputs[:, 0]
            self.cursor += 1
        self.inputs = self.output = inputs
        return inputs

    def backward(self, dvalues: Any) -> Any:
        self.dinputs = dvalues
        return dvalues


def batches(xp: nn.Backend, epochs: int, seed: int = 0, n: int = 50, **settings: Any) -> list[list[list[int]]]:
    """The samples of each batch of each epoch."""
    layer = SeenSamples(xp, 4 * epochs, n)
    model = nn.Model(
        [layer, nn.Dense(2, 2), nn.Softmax()],
        loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(1e-6), backend=xp, seed=seed,
    )  # fmt: skip
    numbers = np.stack([np.arange(n), np.ones(n)], axis=1)
    model.train(numbers, np.arange(n) % 2, epochs=epochs, print_every=0, **settings)
    found = xp.to_host(layer.seen)[: int(xp.to_host(layer.cursor)[0])].astype(int)
    rows = [[sample for sample in row if sample >= 0] for row in found.tolist()]
    size = len(rows) // epochs
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def orders(xp: nn.Backend, epochs: int, **settings: Any) -> list[list[int]]:
    """The samples of each epoch, in order."""
    return [[sample for batch in epoch for sample in batch] for epoch in batches(xp, epochs, **settings)]


def test_every_sample_once_an_epoch_the_last_short_batch_included(xp) -> None:
    for epoch in batches(xp, 3, batch_size=16):
        assert [len(batch) for batch in epoch] == [16, 16, 16, 2]
    found = orders(xp, 3, batch_size=16)
    assert all(sorted(order) == list(range(50)) for order in found)
    assert len(set(map(tuple, found))) == 3  # a new order for each


def test_the_order_is_the_seed_s_on_every_backend(xp) -> None:
    found = orders(xp, 3, seed=7, batch_size=16)
    cpu = nn.get_backend("cpu", dtype="float64")
    assert found == [cpu.rng(7).permutation(50, step=epoch).tolist() for epoch in range(3)]
    assert found != orders(xp, 3, seed=8, batch_size=16)


def test_orders_are_the_same_to_the_bit_everywhere(xp_any) -> None:
    for seed, n in ((0, 1), (1, 2), (2, 300), (3, 1000)):
        for epoch in (0, 5, 2**33):
            expected = nn.get_backend("cpu", kernels="reference").rng(seed).permutation(n, step=epoch)
            helpers.assert_same(xp_any.rng(seed).permutation(n, step=epoch), expected)


def test_without_shuffling_batches_come_in_order(xp) -> None:
    assert orders(xp, 2, batch_size=16, shuffle=False) == [list(range(50))] * 2
    assert batches(xp, 2) == [[list(range(50))]] * 2  # all in one


def test_batches_of_one_and_of_all_but_one(xp) -> None:
    for batch_size, steps in ((1, N), (N - 1, 2), (N, 1)):
        model = classifier(xp)
        train(model, 2, batch_size=batch_size)
        assert model.optimizer.iterations == 2 * steps


# -- history --------------------------------------------------------------------------------------------------------------


def test_columns(xp) -> None:
    model = classifier(xp)
    history = train(model, 3)
    plain = ["epoch", "loss", "data_loss", "regularization_loss", "accuracy", "learning_rate"]
    assert list(history) == plain
    assert all(len(history[name]) == len(history) == 3 for name in history)
    assert all(type(value) is float for name in plain[1:] for value in history[name])
    assert history["epoch"] == [1, 2, 3]
    validated = train(model, 2, validation_data=(X[:9], Y[:9]), batch_size=7)
    assert list(validated) == [*plain, "validation_loss", "validation_accuracy"]
    assert validated["epoch"] == [4, 5]
    for row in (validated.row(0), validated.row(-1), history.row(1)):
        assert row["loss"] == pytest.approx(row["data_loss"] + row["regularization_loss"], rel=1e-15)
        assert row["regularization_loss"] > 0
    assert bool(history)
    assert "3 epochs" in repr(history)


@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize("decay", [0.0, 5e-7, 1e-3, 0.7])
def test_the_learning_rate_of_every_step_is_exact(xp, decay: float, batch_size: int | None) -> None:
    """lr · (1 / (1 + decay · t)), rounded as the book rounds it, in float64 on every backend."""
    steps = 1 if batch_size is None else -(-N // batch_size)
    for optimizer in (nn.SGD(0.3, decay=decay), nn.Adam(0.02, decay=decay)):
        rate = optimizer.learning_rate
        history = train(classifier(xp, optimizer=optimizer), 6, batch_size=batch_size)
        last = [(epoch + 1) * steps - 1 for epoch in range(6)]  # an epoch's last step
        assert history["learning_rate"] == [rate * (1.0 / (1.0 + decay * t)) for t in last]
        assert optimizer.current_learning_rate == history["learning_rate"][-1]


def test_validation_is_the_evaluation_after_each_epoch(xp) -> None:
    held_out = nn.datasets.spiral(5, 3, seed=1)
    model, again = classifier(xp), classifier(xp)
    history = train(model, 3, validation_data=held_out, batch_size=16)
    for epoch in range(3):
        train(again, 1, batch_size=16)
        found = again.evaluate(*held_out, batch_size=15)
        assert history["validation_loss"][epoch] == found.data_loss
        assert history["validation_accuracy"][epoch] == found.accuracy


def test_an_epoch_s_numbers_are_means_over_its_samples(xp) -> None:
    """With a learning rate too small to change anything, batches measure what the whole measures."""
    model = classifier(xp, optimizer=nn.SGD(1e-30), dropout=0)
    whole = model.evaluate(X, Y)
    row = train(model, 1, batch_size=16).row(0)
    tolerance = tolerances.tolerance("loss", xp.dtype, N)
    for name in ("loss", "data_loss", "regularization_loss"):
        tolerances.assert_close(row[name], getattr(whole, name), tolerance, name)
    assert row["accuracy"] == pytest.approx(whole.accuracy, abs=1e-6)  # counts divided in float32


def test_measured_before_the_update(xp) -> None:
    model = classifier(xp, dropout=0)
    before = model.evaluate(X, Y)
    row = train(model, 1).row(0)
    assert (row["data_loss"], row["accuracy"]) == (before.data_loss, before.accuracy)


def test_to_csv_and_back(xp, tmp_path) -> None:
    history = train(classifier(xp), 3, validation_data=(X, Y))
    history.to_csv(tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(history)
    assert all([float(row[name]) for row in rows] == history[name] for name in history)


def test_a_history_that_cannot_be_written(tmp_path) -> None:
    history = train(classifier(), 1)
    for path in (tmp_path / "no" / "such" / "folder.csv", tmp_path):
        with pytest.raises(nn.FileError, match=f"cannot write {path}: "):
            history.to_csv(path)


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(KeyError, match="did you mean 'accuracy'"):
        train(classifier(), 1)["acuracy"]


# -- the learning rate, changed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("promised", [True, False])
def test_a_new_learning_rate_counts_from_the_next_step(xp, promised: bool) -> None:
    """In a step that is replayed too: it lives in an array of the device."""

    class Halve(nn.Callback):
        def on_report(self, run: Any, rows: Any) -> None:
            run.model.optimizer.learning_rate /= 2

    optimizer = (nn.Adam if promised else Unpromised)(0.08)
    model = classifier(xp, optimizer=optimizer)
    assert train(model, 4, print_every=1, callbacks=[Halve()])["learning_rate"] == [0.08, 0.04, 0.02, 0.01]
    optimizer.learning_rate = 1.0
    optimizer.decay = 1.0
    assert train(model, 2)["learning_rate"] == [1 / 5, 1.0 * (1 / 6)]
    optimizer.iterations = 0
    assert train(model, 1)["learning_rate"] == [1.0]


def test_a_learning_rate_changes_the_parameters_it_should(xp) -> None:
    """SGD's step is proportional to it: twice the rate, twice the step."""
    steps = []
    for rate in (0.125, 0.25):
        model = classifier(xp, optimizer=nn.SGD(1.0), dropout=0)
        train(model, 1)
        before = model.parameters()
        model.optimizer.learning_rate = rate
        train(model, 1)
        steps.append(model.parameters()["dense_2.weights"].astype(float) - before["dense_2.weights"])
    # the step is the difference of two float32 numbers of order 0.1
    np.testing.assert_allclose(steps[1], 2 * steps[0], atol=1e-7)
