"""Checkpoints: a run that was killed, or whose disk was full, or whose newest file is damaged, still ends as it should."""

from __future__ import annotations

import errno
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend import files
from nnbackend.storage import checkpoints, container, runs
from nnbackend.storage.checkpoints import CheckpointFolder
from tests import kills
from tests.test_callbacks import fit
from tests.test_model_files import full_disk, tiny_disk  # noqa: F401 - a fixture
from tests.test_storage import ROOT, new_model


class Dying(nn.Callback):
    """Ends the process, as it were, after an epoch."""

    report_every = 1

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_report(self, run: Any, rows: Any) -> None:
        if run.epoch == self.epoch:
            raise KeyboardInterrupt


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def saved(model: nn.Model, path: Path) -> bytes:
    model.save(path)
    return path.read_bytes()


# -- resuming --------------------------------------------------------------------------------------------------------------


def test_a_killed_run_ends_in_the_same_bytes(tmp_path: Path) -> None:
    resumed, different = kills.compare(tmp_path, 400, 10, "--kernels", "reference")
    assert different == []
    assert resumed == sorted(resumed)
    # How far it comes before a kill is a matter of the machine's speed, which must not decide the test: some are enough.
    assert sum(0 < epoch < 400 for epoch in resumed) >= 3, "the kills must come while it trains"


def test_resuming_on_every_backend(xp, tmp_path: Path) -> None:
    def callbacks() -> list[nn.Callback]:
        return [
            nn.EarlyStopping("validation_loss", patience=4),
            nn.StepSchedule(0.5, every=20),
            nn.CSVLog(tmp_path / "log.csv"),
            nn.Checkpoint(tmp_path / "run", every=3, resume=True),
        ]

    with pytest.raises(KeyboardInterrupt):
        fit(new_model(xp), 30, *callbacks(), Dying(8))
    assert names(tmp_path / "run") == ["checkpoint-00000003.safetensors", "checkpoint-00000006.safetensors"]
    resumed, (stopping, *_, checkpoint) = new_model(xp), callbacks()
    history = fit(resumed, 30, stopping, *_, checkpoint)
    log = (tmp_path / "log.csv").read_bytes()

    undisturbed = new_model(xp)
    expected = fit(undisturbed, 30, *callbacks()[:3])
    assert checkpoint.resumed_epoch == 6
    assert dict(history) == dict(expected)
    assert len(history) < 30, "early stopping must be part of it"
    assert resumed.history is history
    assert (tmp_path / "log.csv").read_bytes() == log
    assert saved(resumed, tmp_path / "one") == saved(undisturbed, tmp_path / "two")


def test_a_model_without_a_seed_goes_on_with_the_checkpoints(tmp_path: Path) -> None:
    checkpoint = nn.Checkpoint(tmp_path, every=2, resume=True)
    first, second = new_model(seed=None), new_model(seed=None)
    with pytest.raises(KeyboardInterrupt):
        fit(first, 6, checkpoint, Dying(5))
    fit(second, 6, checkpoint)
    assert second.seed == first.seed
    undisturbed = new_model(seed=first.seed)
    fit(undisturbed, 6)
    for name, value in undisturbed.parameters().items():
        np.testing.assert_array_equal(second.parameters()[name], value)


def test_a_run_that_has_ended_is_not_trained_again(tmp_path: Path) -> None:
    stopping = nn.EarlyStopping("validation_loss", patience=3)
    for epochs, callbacks in ((5, []), (40, [stopping])):
        folder = tmp_path / str(epochs)
        models, lengths = [], []
        for _ in range(2):
            model = new_model()
            model.optimizer.learning_rate = 0.5
            history = fit(model, epochs, *callbacks, nn.Checkpoint(folder, resume=True))
            models.append(saved(model, tmp_path / "model"))
            lengths.append(len(history))
        assert models[0] == models[1]
        assert lengths[0] == lengths[1]
    assert lengths[0] < 40, "early stopping must be part of it"


def test_more_epochs_continue_a_run_that_has_ended(tmp_path: Path) -> None:
    fit(new_model(), 4, nn.Checkpoint(tmp_path / "run", resume=True))
    model, whole = new_model(), new_model()
    fit(model, 9, nn.Checkpoint(tmp_path / "run", resume=True))
    fit(whole, 9)
    assert saved(model, tmp_path / "one") == saved(whole, tmp_path / "two")


def test_training_that_began_with_a_trained_model(tmp_path: Path) -> None:
    def run(*callbacks: nn.Callback) -> nn.Model:
        model = nn.Model.load(tmp_path / "begun")
        fit(model, 6, *callbacks)
        return model

    begun = new_model()
    fit(begun, 3)
    begun.save(tmp_path / "begun")
    with pytest.raises(KeyboardInterrupt):
        run(nn.Checkpoint(tmp_path / "run", every=1), Dying(7))
    resumed = run(nn.Checkpoint(tmp_path / "run", every=1, resume=True))
    assert resumed.epoch == 9
    assert resumed.history["epoch"] == [4, 5, 6, 7, 8, 9]
    assert saved(resumed, tmp_path / "one") == saved(run(), tmp_path / "two")
    begun.epoch = 0
    with pytest.raises(nn.FileError, match="began with epoch 4, and this one begins with epoch 1"):
        fit(begun, 6, nn.Checkpoint(tmp_path / "run", resume=True))


def test_a_checkpoint_is_a_model_file(tmp_path: Path) -> None:
    model = new_model()
    fit(model, 4, nn.Checkpoint(tmp_path / "run"))
    loaded = nn.Model.load(tmp_path / "run" / "checkpoint-00000004.safetensors")
    assert saved(loaded, tmp_path / "one") == saved(model, tmp_path / "two")


# -- when and how many -----------------------------------------------------------------------------------------------------


def test_the_last_few_are_kept(tmp_path: Path) -> None:
    for keep, expected in ((1, [10]), (3, [6, 9, 10])):
        folder = tmp_path / str(keep)
        fit(new_model(), 10, nn.Checkpoint(folder, every=3, keep=keep))
        assert names(folder) == [f"checkpoint-{epoch:08}.safetensors" for epoch in expected]


def test_checkpoints_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    class Clock(nn.Callback):
        def on_epoch(self, run: Any) -> None:
            now[0] += 25

    fit(new_model(), 12, Clock(), nn.Checkpoint(tmp_path, minutes=2, keep=10))
    assert names(tmp_path) == [f"checkpoint-{epoch:08}.safetensors" for epoch in (5, 10, 12)]


def test_without_resume_an_old_run_is_not_touched(tmp_path: Path) -> None:
    fit(new_model(), 4, nn.Checkpoint(tmp_path))
    before = (tmp_path / names(tmp_path)[0]).read_bytes()
    with pytest.raises(
        nn.FileError, match="holds checkpoints of an earlier run, the last of epoch 4: go on from there with"
    ):
        fit(new_model(), 4, nn.Checkpoint(tmp_path))
    assert (tmp_path / names(tmp_path)[0]).read_bytes() == before


# -- what may go wrong -----------------------------------------------------------------------------------------------------


def interrupted(folder: Path) -> None:
    """A run to ten epochs that was killed after the seventh."""
    with pytest.raises(KeyboardInterrupt):
        fit(new_model(), 10, nn.Checkpoint(folder, every=1, keep=3), Dying(7))
    assert names(folder)[-1] == "checkpoint-00000006.safetensors", (
        "a checkpoint comes last, and the seventh was its end"
    )


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "foreign", "no checkpoint"])
def test_a_damaged_newest_file_is_passed_over(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    interrupted(folder)
    newest = folder / names(folder)[-1]
    raw = newest.read_bytes()
    middle = len(raw) // 2
    model_file = saved(new_model(), tmp_path / "model")
    contents = {
        "cut": raw[:-10],
        "changed": raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :],
        "empty": b"",
        "foreign": b"hello",
        "no checkpoint": model_file,
    }
    newest.write_bytes(contents[damage])
    model, whole, checkpoint = new_model(), new_model(), nn.Checkpoint(folder, every=1, resume=True)
    with pytest.warns(UserWarning, match="checkpoint-00000006.safetensors .*"):
        fit(model, 10, checkpoint)
    fit(whole, 10)
    assert checkpoint.resumed_epoch == 5
    assert saved(model, tmp_path / "one") == saved(whole, tmp_path / "two")


def test_when_no_file_is_good_nothing_is_lost(tmp_path: Path) -> None:
    interrupted(tmp_path)
    for name in names(tmp_path):
        (tmp_path / name).write_bytes(b"")
    before = names(tmp_path)
    with (
        pytest.warns(UserWarning, match="the checkpoint before it is tried"),
        pytest.raises(nn.FileError, match="no checkpoint that can be read"),
    ):
        fit(new_model(), 10, nn.Checkpoint(tmp_path, resume=True))
    assert names(tmp_path) == before


def test_what_a_killed_writer_left_is_cleared(tmp_path: Path) -> None:
    interrupted(tmp_path)
    (tmp_path / ".checkpoint-00000007.safetensors.0a1b2c3d.tmp").write_bytes(b"half")
    fit(new_model(), 10, nn.Checkpoint(tmp_path, resume=True))
    assert not list(tmp_path.glob(".*.tmp"))


def test_files_behind_the_run_do_not_crowd_out_good_ones(tmp_path: Path) -> None:
    interrupted(tmp_path)
    for epoch in (90, 91, 92):
        (tmp_path / f"checkpoint-{epoch:08}.safetensors").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="checkpoint-0000009"):
        fit(new_model(), 10, nn.Checkpoint(tmp_path, every=1, keep=2, resume=True))
    assert names(tmp_path) == ["checkpoint-00000009.safetensors", "checkpoint-00000010.safetensors"]


DIFFERENT = {
    "network": (lambda: new_model(), {}, "layers[0].arguments.n_neurons is 16 there and 8 here"),
    "optimizer": (lambda: swapped(optimizer=nn.SGD(0.05)), {}, "optimizer.class is 'Adam' there and 'SGD' here"),
    "rate": (lambda: swapped(optimizer=nn.Adam(0.07, decay=1e-3)), {}, "learning_rate is 0.05 there and 0.07 here"),
    "dtype": (lambda: new_model(dtype="float64"), {}, "dtype is 'float32' there and 'float64' here"),
    "batches": (new_model, {"batch_size": 20}, "run.batch_size is 16 there and 20 here"),
    "shuffling": (new_model, {"shuffle": False}, "run.shuffle is True there and False here"),
    "validation": (new_model, {"validation_data": None}, "run.validation_samples is 30 there and None here"),
}


def swapped(**parts: Any) -> nn.Model:
    model = new_model()
    model.set(**parts)
    return model


@pytest.mark.parametrize("what", DIFFERENT)
def test_a_checkpoint_of_another_run_is_refused(what: str, tmp_path: Path) -> None:
    interrupted(tmp_path)
    make, settings, sentence = DIFFERENT[what]
    model = make()
    if what == "network":
        model = nn.Model(
            [
                nn.Dense(2, 8, weight_regularizer=nn.L2(5e-4), bias_regularizer=nn.L1(1e-5)),
                *new_model().layers[1:3],
                nn.Dense(8, 3, weight_initializer=nn.Normal(0.1)),
                nn.Softmax(),
            ],
            loss=nn.CategoricalCrossentropy(),
            optimizer=nn.Adam(0.05, decay=1e-3),
            seed=7,
        )
    with pytest.raises(nn.FileError, match="is of another run") as caught:
        fit(model, 10, nn.Checkpoint(tmp_path, resume=True), **settings)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(nn.FileError, match="is of epoch 6, and this run ends with epoch 5"):
        fit(new_model(), 5, nn.Checkpoint(tmp_path, resume=True))


def test_a_callback_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(new_model(), 10, nn.EarlyStopping(), nn.Checkpoint(tmp_path, every=1), Dying(3))
    with pytest.raises(nn.FileError, match="is of a run with a callback EarlyStopping, which is missing here"):
        fit(new_model(), 10, nn.Checkpoint(tmp_path, resume=True))


def test_another_machine_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "99")
    with pytest.warns(UserWarning, match=r"made elsewhere \(OMP_NUM_THREADS is .* there and '99' here\)"):
        fit(new_model(), 10, nn.Checkpoint(tmp_path, resume=True))


def test_a_nan_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    model = nn.Model([nn.Dense(1, 1)], loss=nn.MeanSquaredError(), optimizer=nn.SGD(2.0), seed=0)
    X = np.full((4, 1), 100.0)
    with pytest.raises(nn.NonFiniteLossError) as caught, np.errstate(all="ignore"):
        model.train(X, X, epochs=50, print_every=0, callbacks=[nn.Checkpoint(tmp_path, every=1)])
    assert caught.value.epoch > 2
    loaded = nn.Model.load(tmp_path / names(tmp_path)[-1])
    assert loaded.epoch < caught.value.epoch
    assert all(np.isfinite(value).all() for value in loaded.parameters().values())


def test_parameters_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    class Poison(nn.Callback):
        report_every = 1

        def on_report(self, run: Any, rows: Any) -> None:
            if run.epoch == 3:
                run.model.layers[0].weights = run.model.layers[0].weights * float("nan")

    warned = pytest.warns(UserWarning, match=r"dense_1.weights is not finite after epoch 3: no checkpoint is written")
    with warned, pytest.raises(nn.NonFiniteLossError):
        fit(new_model(), 5, Poison(), nn.Checkpoint(tmp_path, every=1))
    assert names(tmp_path)[-1] == "checkpoint-00000002.safetensors"


def test_a_full_disk_ends_nothing_before_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Filling(nn.Callback):
        report_every = 1

        def on_report(self, run: Any, rows: Any) -> None:
            if run.epoch in (3, 5):
                monkeypatch.setattr(files.os, "write", full_disk(500)) if run.epoch == 3 else monkeypatch.undo()

    with pytest.warns(UserWarning, match="No space left on device; training goes on without this checkpoint") as warned:
        fit(new_model(), 6, Filling(), nn.Checkpoint(tmp_path, every=1, keep=10))
    assert len(warned) == 2
    assert names(tmp_path) == [f"checkpoint-{epoch:08}.safetensors" for epoch in (1, 2, 5, 6)]


def test_a_disk_that_is_really_full_keeps_the_last_checkpoints(tiny_disk: Path) -> None:  # noqa: F811
    folder, model = tiny_disk / "run", new_model()
    with pytest.warns(UserWarning, match="No space left on device; training goes on without this checkpoint"):
        fit(model, 60, nn.Checkpoint(folder, every=1, keep=1000))
    assert model.epoch == 60, "training goes on to its end"
    assert not list(folder.glob(".*.tmp"))
    assert 1 < len(names(folder)) < 60
    for name in names(folder):
        nn.Model.load(folder / name)


# -- one process at a time -------------------------------------------------------------------------------------------------


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    program = (
        "import sys; from nnbackend.storage.checkpoints import CheckpointFolder\n"
        f"folder = CheckpointFolder({str(tmp_path)!r}, 1); folder.open(); print('open', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "open\n"
        with pytest.raises(
            nn.FileError, match=f"is in use by another run .process {process.pid} on .*: wait for it to end"
        ):
            fit(new_model(), 2, nn.Checkpoint(tmp_path))
        process.kill()
        process.wait()
        fit(new_model(), 2, nn.Checkpoint(tmp_path))


def test_of_two_commands_started_at_once_one_is_refused(tmp_path: Path) -> None:
    """Whole runs, as two people start them: one trains to its end, the other says why it does not."""
    command = [
        sys.executable,
        "-m",
        "nnbackend",
        "train",
        "spiral",
        "--samples",
        "20",
        "--epochs",
        "200000",
        "--checkpoint",
    ]
    runs = [
        subprocess.Popen(
            [*command, str(tmp_path / "run")], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        end = time.monotonic() + 60
        while all(run.poll() is None for run in runs) and time.monotonic() < end:
            time.sleep(0.05)
        refused = [run for run in runs if run.poll() is not None]
        assert len(refused) == 1, "both train in one folder, or none"
        (other,) = (run for run in runs if run is not refused[0])
        _, err = refused[0].communicate()
        assert refused[0].returncode == 2
        assert err.count("\n") == 1
        # Refused within the moment before the other one has written its name, it is not told it.
        assert re.search(rf"is in use by another run( \(process {other.pid} on .*\))?: wait for it to end", err)
        other.send_signal(signal.SIGINT)
        other.communicate(timeout=60)
        assert other.returncode == 130
    finally:
        for run in runs:
            if run.poll() is None:
                run.kill()
            run.communicate()


def test_a_disk_without_locks_is_named_for_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was said that another run had the folder."""

    def refuse(file: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(checkpoints, "_lock_now", refuse)
    with pytest.raises(nn.FileError, match=r"cannot use .* for checkpoints: No locks available"):
        fit(new_model(), 2, nn.Checkpoint(tmp_path))


def test_one_process_cannot_use_a_folder_twice(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, 1)
    folder.open()
    with pytest.raises(nn.FileError, match="is in use"):
        fit(new_model(), 2, nn.Checkpoint(tmp_path))
    folder.close()
    with pytest.raises(KeyboardInterrupt):
        fit(new_model(), 2, nn.Checkpoint(tmp_path, every=1), Dying(1))
    fit(new_model(), 2, nn.Checkpoint(tmp_path, resume=True))


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "folder"):
        with pytest.raises(nn.FileError, match=r"cannot use .* for checkpoints"):
            fit(model := new_model(), 2, nn.Checkpoint(path))
        assert model.epoch == 0


# -- small things ----------------------------------------------------------------------------------------------------------


def test_a_users_callback_is_resumed(tmp_path: Path) -> None:
    class Counting(nn.Callback):
        count, trace = 0, np.zeros(2)

        def on_epoch(self, run: Any) -> None:
            self.count += 1
            self.trace = self.trace + run.epoch

        def state(self) -> dict[str, Any]:
            return {"count": self.count, "trace": self.trace}

        def load_state(self, state: dict[str, Any]) -> None:
            self.count, self.trace = state["count"], state["trace"]

    with pytest.raises(KeyboardInterrupt):
        fit(new_model(), 6, Counting(), Counting(), nn.Checkpoint(tmp_path, every=2), Dying(5))
    counting = Counting()
    fit(new_model(), 6, counting, Counting(), nn.Checkpoint(tmp_path, resume=True))
    assert counting.count == 6
    assert counting.trace.tolist() == [21, 21]


@pytest.mark.parametrize(
    ("there", "here", "words"),
    [
        ({"a": 1}, {"a": 1}, ""),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "a[1].b is 2 there and 3 here"),
        ({"a": [1]}, {"a": [1, 2]}, "a is 1 of them there and 2 of them here"),
        ({"a": {"class": "L1", "arguments": {"x": 1}}}, {"a": None}, "a is L1 there and None here"),
        (
            {"a": {"class": "L1", "arguments": {}}},
            {"a": {"class": "L2", "arguments": {"b": 1}}},
            "a.class is 'L1' there and 'L2' here",
        ),
        ({"a": 1}, {"b": 1}, "a is 1 there and None here"),
        ({"a": True}, {"a": True, "b": 0}, "b is None there and 0 here"),
    ],
)
def test_differences_are_found(there: Any, here: Any, words: str) -> None:
    assert runs.first_difference(there, here) == words


def test_no_document_of_a_run_does_more_than_raise_file_error(tmp_path: Path) -> None:
    """A checkpoint from elsewhere whose history or callbacks do not fit its model."""
    interrupted(tmp_path)
    for name in names(tmp_path)[:-1]:
        (tmp_path / name).unlink()
    path = tmp_path / names(tmp_path)[0]
    good = container.decode(path.read_bytes())
    for change, arrays in (
        ({"columns": ["epoch", "colour"]}, good.arrays),
        ({}, {**good.arrays, "history/loss": np.zeros(3)}),
        ({}, {name: array for name, array in good.arrays.items() if not name.startswith("history/")}),
        ({"callbacks": [{"class": "EarlyStopping", "state": {}}]}, good.arrays),
        ({"callbacks": [{"class": "EarlyStopping", "state": {"best": "a", "best_epoch": []}}]}, good.arrays),
    ):
        document = {**good.document, "run": {**good.document["run"], **change}}
        path.write_bytes(container.encode(container.Contents(document, arrays)))
        with pytest.raises(nn.FileError):
            fit(new_model(), 10, nn.EarlyStopping(), nn.Checkpoint(tmp_path, resume=True))
