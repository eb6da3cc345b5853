"""What crosses between host and device while training: data once, and one table for each report. Nothing else.

Counted on every backend; `strict` also counts what would slip past the doors of a GPU unseen, such as `float(loss)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.training import RECORDS

X, Y = nn.datasets.spiral(samples=100, classes=3, seed=0)
HELD_OUT = nn.datasets.spiral(samples=10, classes=3, seed=1)


def book(backend: Any, **settings: Any) -> nn.Model:
    """The network of the book's chapter 14."""
    return nn.Model(
        [
            nn.Dense(2, 64, weight_regularizer=nn.L2(5e-4), bias_regularizer=nn.L2(5e-4)), nn.ReLU(),
            nn.Dense(64, 3), nn.Softmax(),
        ],
        loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.02, decay=5e-7), backend=backend, seed=0, **settings,
    )  # fmt: skip


class Crossings(nn.Callback):
    """Notes the counter at each event."""

    def __init__(self) -> None:
        self.at_begin: tuple[int, int] = (0, 0)
        self.at_epochs: list[int] = []
        self.at_reports: list[tuple[int, int]] = []

    def on_train_begin(self, run: Any) -> None:
        self.at_begin = run.model.xp.transfers.calls_in, run.model.xp.transfers.calls_out

    def on_epoch(self, run: Any) -> None:
        self.at_epochs.append(run.model.xp.transfers.calls)

    def on_report(self, run: Any, rows: Any) -> None:
        self.at_reports.append((run.epoch, run.model.xp.transfers.calls))


@pytest.fixture
def opened(xp: nn.Backend) -> Iterator[list[int]]:
    """How many crossings were refused, and how often the doors were shut: the guard itself is watched."""
    shut: list[int] = []
    original = type(xp).no_transfers

    def no_transfers(self: nn.Backend) -> Any:
        shut.append(1)
        return original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(xp), "no_transfers", no_transfers)
        yield shut


def test_a_thousand_epochs_of_the_book_s_run(xp, opened: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    model, watch = book(xp), Crossings()
    model.finalize()
    before = xp.transfers.calls_in, xp.transfers.calls_out
    history = model.train(X, Y, epochs=1000, print_every=100, callbacks=[watch])
    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split(",")[0].removeprefix("epoch: ")) for line in lines] == [1, *range(100, 1001, 100)]
    assert len(history) == 1000
    # data cross once: X and y in, and one look at the device whether X is finite
    assert watch.at_begin[0] - before[0] == 2
    assert watch.at_begin[1] - before[1] == 1
    # then nothing but a table for each printed line
    start = sum(watch.at_begin)
    assert [calls - start for _, calls in watch.at_reports] == [*range(1, 12)]
    assert [epoch for epoch, _ in watch.at_reports] == [1, *range(100, 1001, 100)]
    assert xp.transfers.calls_in == watch.at_begin[0]
    assert xp.transfers.calls == start + 11
    assert len(watch.at_epochs) == 1000
    assert len(opened) == 11  # every epoch ran behind shut doors, from one report to the next


def test_mini_batches_cross_no_more_often(xp) -> None:
    """Batches are gathered on the device, in an order that is made there; validation too."""
    model, watch = book(xp), Crossings()
    model.train(
        X, Y, epochs=12, batch_size=64, validation_data=HELD_OUT, print_every=0, callbacks=[watch]
    )  # fmt: skip
    start = sum(watch.at_begin)
    assert [calls - start for _, calls in watch.at_reports] == [1, 2]  # the first epoch's, and the rest
    assert watch.at_epochs == [start] + [start + 1] * 11
    assert xp.transfers.calls_in == watch.at_begin[0]


@pytest.mark.parametrize(
    ("print_every", "reports"), [(0, [1, 20]), (1, [*range(1, 21)]), (7, [1, 7, 14, 20]), (50, [1, 20])]
)
def test_a_report_is_one_transfer(xp, print_every: int, reports: list[int]) -> None:
    model, watch = book(xp), Crossings()
    model.train(X, Y, epochs=20, print_every=print_every, callbacks=[watch])
    assert [epoch for epoch, _ in watch.at_reports] == reports
    calls = [calls for _, calls in watch.at_reports]
    assert calls == [*range(calls[0], calls[0] + len(reports))]


def test_a_full_table_is_fetched_in_between(xp, capsys: pytest.CaptureFixture[str]) -> None:
    """One row a step: an epoch of many steps fills it early, which prints nothing."""
    model, watch = book(xp), Crossings()
    epochs = RECORDS // 1000 + 3
    samples = np.resize(X, (1000, 2)), np.resize(Y, 1000)
    model.train(*samples, epochs=epochs, batch_size=1, print_every=epochs, callbacks=[watch])
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert [epoch for epoch, _ in watch.at_reports] == [1, 9, epochs]
    assert model.history["epoch"] == [*range(1, epochs + 1)]
    assert model.optimizer.iterations == 1000 * epochs


class Fetching(nn.Layer):
    """A layer that asks for a number of the device in the middle of a step."""

    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        if training:
            self.xp.to_host(inputs.sum())
        self.inputs = self.output = inputs
        return inputs

    def backward(self, dvalues: Any) -> Any:
        self.dinputs = dvalues
        return dvalues


def test_a_transfer_inside_a_step_is_an_error(xp) -> None:
    model = nn.Model(
        [nn.Dense(2, 3), Fetching(), nn.Softmax()],
        loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(), backend=xp, seed=0,
    )  # fmt: skip
    with pytest.raises(nn.TransferError, match=r"xp\.to_host moves data between host and device"):
        model.train(X, Y, epochs=1)
    assert model.predict(X).shape == (300, 3)  # and the doors are open again


@pytest.mark.parametrize("event", ["on_epoch", "on_report"])
def test_a_callback_may_look_at_the_device_in_reports_only(xp, event: str) -> None:
    seen = []

    class Look(nn.Callback):
        pass

    setattr(Look, event, lambda self, run, *rows: seen.append(run.model.optimizer.iterations))
    model = book(xp)
    if event == "on_report":
        model.train(X, Y, epochs=3, print_every=1, callbacks=[Look()])
        assert seen == [1, 2, 3]
    else:
        with pytest.raises(nn.TransferError):
            model.train(X, Y, epochs=3, callbacks=[Look()])


def test_evaluating_and_predicting(xp) -> None:
    model = book(xp)
    model.finalize()
    model.evaluate(X, Y)
    for call, crossings in (
        (lambda: model.evaluate(X, Y), (2, 2)),  # X and y in; is X finite, and what was measured
        (lambda: model.evaluate(X, Y, batch_size=50), (2, 2)),
        (lambda: model.predict(X), (1, 2)),
        (lambda: model.predict(X, batch_size=50), (1, 7)),  # each batch of outputs as it is ready
        (lambda: model.parameters(), (0, 1)),
    ):
        before = xp.transfers.calls_in, xp.transfers.calls_out
        call()
        assert (xp.transfers.calls_in - before[0], xp.transfers.calls_out - before[1]) == crossings


def test_data_that_are_on_the_device_already_stay_there(xp) -> None:
    if xp.name == "cpu":
        pytest.skip("on the CPU the host's arrays and the device's look alike, and are counted alike")
    model = book(xp)
    inputs, targets = xp.asarray(X, dtype=xp.dtype), xp.asarray(Y)
    before = xp.transfers.calls_in
    model.predict(inputs)
    assert xp.transfers.calls_in - before == 4  # the first weights and biases of two layers, drawn on the host
    model.predict(inputs)
    model.train(inputs, targets, epochs=1, print_every=0)
    assert xp.transfers.calls_in - before == 5  # labels are looked at on the host, once
