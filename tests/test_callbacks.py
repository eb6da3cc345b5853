"""Callbacks: reports where they are asked for, early stopping, schedules, logs."""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.callbacks.growing_file import GrowingFile
from tests.test_storage import new_model, spiral, train


def fit(model: nn.Model, epochs: int, *callbacks: nn.Callback, **settings: Any) -> nn.History:
    """A few epochs in batches, with validation."""
    fresh = nn.datasets.spiral(samples=10, classes=3, seed=1)
    settings = {"batch_size": 16, "validation_data": fresh, "print_every": 0, **settings}
    return model.train(*spiral(), epochs=epochs, callbacks=callbacks, **settings)


class Recorder(nn.Callback):
    """Writes down what it is told."""

    def __init__(self, name: str = "", told: list[Any] | None = None, every: int | None = None) -> None:
        self.report_every = every
        self.name = name
        self.told = [] if told is None else told

    def on_restore(self, run: Any) -> None:
        self.told.append((self.name, "restore"))

    def on_train_begin(self, run: Any) -> None:
        self.told.append((self.name, "begin"))

    def on_report(self, run: Any, rows: Any) -> None:
        self.told.append((self.name, [row["epoch"] for row in rows]))

    def on_train_end(self, run: Any) -> None:
        self.told.append((self.name, "end"))

    def on_close(self, run: Any) -> None:
        self.told.append((self.name, "close"))


# -- what the training loop does for callbacks -----------------------------------------------------------------------------


def test_reports_come_at_the_epochs_that_were_asked_for(xp) -> None:
    told: list[Any] = []
    fit(new_model(xp), 7, Recorder("three", told, every=3), Recorder("five", told, every=5), print_every=None)
    assert [rows for name, rows in told if name == "three"][2:-2] == [
        [1],
        [2],
        [3],
        [4],
        [5],
        [6],
        [7],
    ]  # 7 // 10 lines

    told.clear()
    fit(new_model(xp), 11, Recorder("three", told, every=3), Recorder("five", told, every=5))
    assert [rows for name, rows in told if name == "five"][2:-2] == [[1], [2, 3], [4, 5], [6], [7, 8, 9], [10], [11]]


def test_a_report_can_be_asked_for_at_once() -> None:
    class Asking(Recorder):
        def on_epoch(self, run: Any) -> None:
            if run.epoch in (4, 6):
                run.report_soon()

    asking = Asking()
    fit(new_model(), 9, asking)
    assert [rows for _, rows in asking.told][2:-2] == [[1], [2, 3, 4], [5, 6], [7, 8, 9]]


def test_the_order_of_calls() -> None:
    told: list[Any] = []
    late = Recorder("late", told)
    late.last = True
    fit(new_model(), 1, late, Recorder("early", told))
    events = ("restore", "begin", [1], "end", "close")
    assert told == [(name, event) for event in events for name in ("early", "late")]


def test_callbacks_are_closed_after_an_error_too() -> None:
    class Failing(nn.Callback):
        def on_report(self, run: Any, rows: Any) -> None:
            raise ZeroDivisionError

    recorder = Recorder()
    with pytest.raises(ZeroDivisionError):
        fit(new_model(), 3, Failing(), recorder)
    assert [event for _, event in recorder.told] == ["restore", "begin", "close"]


def test_reports_change_no_numbers(xp, tmp_path: Path) -> None:
    fit(quiet := new_model(xp), 6)
    fit(reporting := new_model(xp), 6, Recorder(every=1))
    for name, value in quiet.parameters().items():
        np.testing.assert_array_equal(value, reporting.parameters()[name])


# -- early stopping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("monitor", "best_of"), [("validation_loss", np.argmin), ("validation_accuracy", np.argmax)])
def test_early_stopping_brings_the_best_weights_back(xp, monitor: str, best_of: Any) -> None:
    model, stopping = new_model(xp), nn.EarlyStopping(monitor, patience=5)
    model.optimizer.learning_rate = 0.5  # so large that it gets worse again
    history = fit(model, 60, stopping)
    best = int(best_of(history[monitor])) + 1
    assert stopping.best_epoch == best
    assert stopping.best == history[monitor][best - 1]
    assert len(history) == best + 5 < 60

    again = new_model(xp)
    again.optimizer.learning_rate = 0.5
    fit(again, best)
    for name, value in again.parameters().items():
        np.testing.assert_array_equal(model.parameters()[name], value)


def test_early_stopping_restores_the_best_when_epochs_run_out() -> None:
    model, stopping = new_model(), nn.EarlyStopping("validation_loss", patience=60)
    model.optimizer.learning_rate = 0.5
    history = fit(model, 60, stopping)
    assert len(history) == 60
    assert stopping.best_epoch < 60
    evaluation = model.evaluate(*nn.datasets.spiral(samples=10, classes=3, seed=1), batch_size=16)
    assert evaluation.data_loss == min(history["validation_loss"])
    kept = new_model()
    kept.optimizer.learning_rate = 0.5
    fit(kept, 60, nn.EarlyStopping("validation_loss", patience=60, restore_best=False))
    assert kept.evaluate(*nn.datasets.spiral(samples=10, classes=3, seed=1), batch_size=16) != evaluation


def test_early_stopping_looks_when_it_is_told_to() -> None:
    stopping = nn.EarlyStopping("loss", patience=4, minimum_change=100.0, every=3)
    history = fit(new_model(), 30, stopping, Recorder(every=2))
    assert stopping.best_epoch == 3
    assert len(history) == 9
    assert fit(new_model(), 30, stopping)["epoch"][-1] == 9, "a second training begins anew"
    model = train(new_model(), 10)
    fit(model, 30, stopping)
    assert model.epoch == 18


@pytest.mark.parametrize("monitor", ["validation_loss", "lost"])
def test_early_stopping_names_a_missing_column(monitor: str) -> None:
    with pytest.raises(nn.ArgumentError, match=f"EarlyStopping monitor '{monitor}' is not measured") as caught:
        fit(new_model(), 3, nn.EarlyStopping(monitor), validation_data=None)
    assert ("give validation_data" in str(caught.value)) == (monitor == "validation_loss")


@pytest.mark.parametrize("name", ["val_loss", "val_accuracy", "val_acc"])
def test_early_stopping_understands_what_keras_calls_columns(name: str) -> None:
    meant = "validation_loss" if name == "val_loss" else "validation_accuracy"
    with pytest.raises(nn.ArgumentError, match=f"'{name}' is not measured: did you mean '{meant}'"):
        fit(new_model(), 3, nn.EarlyStopping(name), validation_data=None)


# -- losses that are not finite --------------------------------------------------------------------------------------------


def exploding(xp: Any = None, rate: float = 1.0) -> nn.Model:
    """A model whose loss grows to infinity within some thirty epochs of one step."""
    layers = [nn.Dense(1, 1)]
    return nn.Model(layers, loss=nn.MeanSquaredError(), optimizer=nn.SGD(rate, momentum=0.5), backend=xp, seed=0)


LINE = np.linspace(1, 2, 8).reshape(-1, 1)


def explode(model: nn.Model, *callbacks: nn.Callback, epochs: int = 500, **settings: Any) -> nn.History:
    return model.train(LINE, 3 * LINE, epochs=epochs, callbacks=callbacks, **{"print_every": 0, **settings})


@pytest.mark.parametrize("every", [1, 2, 3, 1000])
def test_a_loss_that_is_not_finite_ends_training_with_good_weights(xp, every: int) -> None:
    with pytest.raises(nn.NonFiniteLossError) as caught:
        explode(exploding(xp))
    model, stopping = exploding(xp), nn.StopOnNonFinite(every=every)
    history = explode(model, stopping)
    failed = caught.value.epoch
    assert failed > 9, "the test needs some good epochs"
    assert str(stopping.error) == str(caught.value)
    assert len(history) == model.epoch == failed - 1
    expected = 0 if every == 1000 else (failed - 2) // every * every
    assert stopping.restored_epoch == expected
    again = exploding(xp)
    if expected:
        explode(again, epochs=expected)
    for name, value in again.parameters().items():
        np.testing.assert_array_equal(model.parameters()[name], value)
    assert model.optimizer.iterations == expected
    momentums = again.optimizer.state["momentums"] if expected else 0 * model.optimizer.state["momentums"]
    assert bool((model.optimizer.state["momentums"] == momentums).all())
    assert np.isfinite(model.evaluate(LINE, 3 * LINE).loss)


def test_the_first_epoch_may_be_the_one_that_is_not_finite() -> None:
    model, stopping = exploding(rate=1e38), nn.StopOnNonFinite()
    before = model.parameters()
    history = model.train(LINE, 3 * LINE, epochs=9, batch_size=2, callbacks=[stopping], print_every=0)
    assert len(history) == model.epoch == stopping.restored_epoch == 0
    for name, value in before.items():
        np.testing.assert_array_equal(model.parameters()[name], value)


def test_weights_may_be_left_as_they_became() -> None:
    model, stopping = exploding(), nn.StopOnNonFinite(restore=False)
    explode(model, stopping)
    assert stopping.error is not None
    assert stopping.restored_epoch is None
    assert not all(np.isfinite(value).all() for value in model.parameters().values())


def test_early_stopping_beside_it_restores_the_best() -> None:
    model, best = exploding(), nn.EarlyStopping("loss", patience=1000)
    history = explode(model, nn.StopOnNonFinite(), best)
    assert best.best == min(history["loss"])
    explode(again := exploding(), epochs=best.best_epoch)
    for name, value in again.parameters().items():
        np.testing.assert_array_equal(model.parameters()[name], value)


def test_training_that_goes_well_is_not_touched_and_begins_anew(xp) -> None:
    fit(plain := new_model(xp), 6)
    fit(watched := new_model(xp), 6, stopping := nn.StopOnNonFinite(every=2))
    assert stopping.error is stopping.restored_epoch is None
    for name, value in plain.parameters().items():
        np.testing.assert_array_equal(value, watched.parameters()[name])
    explode(exploding(xp), stopping)
    assert stopping.error is not None
    fit(watched, 2, stopping)
    assert stopping.error is None


def test_logs_have_the_good_epochs_and_the_resumed_run_the_same_end(tmp_path: Path) -> None:
    def run(folder: Path, epochs: int) -> tuple[nn.Model, nn.StopOnNonFinite]:
        model, stopping = exploding(), nn.StopOnNonFinite(every=4)
        log, checkpoint = nn.CSVLog(folder / "log.csv"), nn.Checkpoint(folder / "runs", every=1, resume=True)
        explode(model, stopping, log, checkpoint, epochs=epochs)
        return model, stopping

    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole, stopping = run(tmp_path / "whole", 500)
    assert stopping.error is not None
    good = stopping.error.epoch - 1
    assert read(tmp_path / "whole" / "log.csv")["epoch"] == list(range(1, good + 1))
    for epochs in (3, good - 1, 500, 500):
        resumed, again = run(tmp_path / "parts", epochs)
    assert str(again.error) == str(stopping.error)
    assert again.restored_epoch == stopping.restored_epoch
    whole.save(tmp_path / "whole.safetensors")
    resumed.save(tmp_path / "resumed.safetensors")
    assert (tmp_path / "whole.safetensors").read_bytes() == (tmp_path / "resumed.safetensors").read_bytes()


# -- learning rates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schedule",
    [nn.StepSchedule(0.1, every=3, factor=0.5), nn.CosineSchedule(0.1, epochs=10, minimum=0.01, warmup=2)],
    ids=["step", "cosine"],
)
def test_schedules_set_the_rate_of_every_epoch(xp, schedule: nn.Schedule) -> None:
    history = fit(new_model(xp), 10, schedule, batch_size=None, print_every=0)
    decay = 1 + 1e-3 * np.arange(10)  # the optimizer's own decay applies: one step an epoch here
    np.testing.assert_allclose(
        history["learning_rate"], [schedule.rate(epoch) for epoch in range(1, 11)] / decay, rtol=1e-12
    )


def test_schedules_go_on_where_the_model_stands() -> None:
    schedule = nn.StepSchedule(0.1, every=3, factor=0.5)
    whole, halves = new_model(), new_model()
    fit(whole, 8, schedule)
    fit(halves, 4, schedule)
    fit(halves, 4, schedule)
    for name, value in whole.parameters().items():
        np.testing.assert_array_equal(halves.parameters()[name], value)


def test_the_cosine_is_one() -> None:
    schedule = nn.CosineSchedule(0.1, epochs=100, minimum=0.02, warmup=4)
    assert [schedule.rate(epoch) for epoch in (1, 2, 3, 4)] == pytest.approx([0.02, 0.04, 0.06, 0.08])
    assert schedule.rate(5) == pytest.approx(0.1)
    assert schedule.rate(5 + 48) == pytest.approx(0.06)
    rates = [schedule.rate(epoch) for epoch in range(5, 101)]
    assert rates == sorted(rates, reverse=True)
    assert 0.02 < rates[-1] < 0.0201
    assert schedule.rate(1000) == rates[-1]


def test_a_rate_too_small_for_a_number_ends_nothing() -> None:
    fit(new_model(), 400, nn.StepSchedule(0.1, every=1, factor=0.1), batch_size=None, validation_data=None)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: nn.StepSchedule(0, every=1), "learning_rate"),
        (lambda: nn.StepSchedule(0.1, every=0), "every"),
        (lambda: nn.StepSchedule(0.1, every=1, factor=-1), "factor"),
        (lambda: nn.CosineSchedule(0.1, epochs=0), "epochs"),
        (lambda: nn.CosineSchedule(0.1, epochs=5, minimum=-1), "minimum"),
        (lambda: nn.CosineSchedule(0.1, epochs=5, warmup=5), "warmup"),
        (lambda: nn.StopOnNonFinite(every=0), "every"),
        (lambda: nn.StopOnNonFinite(restore=None), "restore"),
        (lambda: nn.EarlyStopping(patience=0), "patience"),
        (lambda: nn.EarlyStopping(every=0), "every"),
        (lambda: nn.EarlyStopping(minimum_change=float("nan")), "minimum_change"),
        (lambda: nn.CSVLog("log.csv", every=0), "every"),
        (lambda: nn.Checkpoint("folder", every=0), "every"),
        (lambda: nn.Checkpoint("folder", minutes=0), "minutes"),
        (lambda: nn.Checkpoint("folder", keep=0), "keep"),
    ],
)
def test_settings_are_checked(make: Any, name: str) -> None:
    with pytest.raises(nn.ArgumentError, match=name):
        make()


# -- logs ------------------------------------------------------------------------------------------------------------------


def read(path: Path) -> dict[str, list[float]]:
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def test_the_log_is_the_history(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    history = fit(new_model(), 7, nn.CSVLog(path), Recorder(every=2))
    assert read(path) == dict(history)
    history.to_csv(tmp_path / "history.csv")
    assert path.read_bytes() == (tmp_path / "history.csv").read_bytes()


def test_lines_come_while_training(tmp_path: Path) -> None:
    lengths = []

    class Looking(nn.Callback):
        def on_report(self, run: Any, rows: Any) -> None:
            lengths.append(len((tmp_path / "log.csv").read_text().splitlines()))

    fit(new_model(), 5, nn.CSVLog(tmp_path / "log.csv", every=2), Looking())
    assert lengths == [2, 3, 5, 6]


def test_a_log_goes_on_with_its_model_and_begins_anew_with_another(tmp_path: Path) -> None:
    model, log = new_model(), nn.CSVLog(tmp_path / "log.csv")
    fit(model, 3, log)
    fit(model, 2, log)
    assert read(tmp_path / "log.csv")["epoch"] == [1, 2, 3, 4, 5]
    with pytest.raises(nn.FileError, match=r"has the columns .*, and this training has .*: use another file"):
        fit(model, 2, log, validation_data=None)
    fit(new_model(), 1, log, validation_data=None)
    assert read(tmp_path / "log.csv")["epoch"] == [1]


def test_files_that_are_no_logs_are_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    for content in (b"name,age\nAda,36\n", b"\xff\xfe\x00"):
        path.write_bytes(content)
        with pytest.raises(nn.FileError, match=r"data\.csv"):
            fit(new_model(), 1, nn.CSVLog(path))
        assert path.read_bytes() == content
    with pytest.raises(nn.FileError, match="cannot write"):
        fit(model := new_model(), 1, nn.CSVLog(tmp_path / "missing" / "log.csv"))
    assert model.epoch == 0, "it is said before training"
    with pytest.raises(nn.FileError, match="Is a directory"):
        fit(new_model(), 1, nn.CSVLog(tmp_path))


def test_a_full_disk_delays_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, log = tmp_path / "log.csv", nn.CSVLog(tmp_path / "log.csv", every=1)
    write = GrowingFile.write
    attempts = iter([True, False, False, True, True, True])

    def sometimes(growing: GrowingFile, data: bytes) -> None:
        if next(attempts):
            write(growing, data)
        else:
            with open(path, "ab") as file:  # half a line got through
                file.write(b"2,0.")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(GrowingFile, "write", sometimes)
    with pytest.warns(UserWarning, match="cannot write .*: No space left on device; trying again at the next report"):
        history = fit(new_model(), 5, log)
    assert read(path) == dict(history)
