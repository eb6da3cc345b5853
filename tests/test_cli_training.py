"""`nnbackend train`: schedules, stopping early, curves, checkpoints as often as asked for, weights of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.cli import main
from nnbackend.cli.result import Result
from nnbackend.cli.tasks import load_task
from tests.test_cli import document


def test_a_run_that_stops_early_says_so_and_keeps_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["digits", "--epochs", "60", "--early-stopping", "3", "--learning-rate", "0.02"]
    found = document(capsys, "train", *options)
    assert found["stopped_early"] is True
    assert found["epochs"] == found["best"]["epoch"] + 3 < 60
    assert found["best"]["monitor"] == "validation_loss"
    assert found["validation"]["data_loss"] == pytest.approx(found["best"]["value"], rel=1e-5)  # other batches
    assert main(["train", *options, "--quiet"]) == 0
    line = f"stopped early after epoch {found['epochs']}: epoch {found['best']['epoch']} had the best validation_loss, "
    assert line in capsys.readouterr().out


def test_the_best_epoch_is_said_where_validation_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "train", "digits", "--epochs", "2")
    assert (found["best"]["epoch"], found["stopped_early"]) == (2, False)
    assert main(["train", "digits", "--epochs", "2", "--quiet"]) == 0
    assert "epoch 2 had the best validation_loss, " in capsys.readouterr().out
    assert document(capsys, "train", "spiral", "--epochs", "2")["best"] is None
    watched = document(capsys, "train", "spiral", "--epochs", "5", "--early-stopping", "9")
    assert watched["best"]["monitor"] == "loss"
    assert watched["stopped_early"] is False


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        (["--schedule", "cosine"], [0.02 * (1 + np.cos(np.pi * t / 6)) / 2 for t in range(6)]),
        (
            ["--schedule", "cosine", "--warmup", "1"],
            [0.01, *(0.02 * (1 + np.cos(np.pi * t / 5)) / 2 for t in range(5))],
        ),
        (["--schedule", "step"], [0.02, 0.02, 0.002, 0.002, 0.0002, 0.0002]),
        (["--schedule", "step", "--step-every", "5", "--learning-rate", "1"], [1, 1, 1, 1, 1, 0.1]),
        (["--schedule", "step", "--decay", "1"], [0.02, 0.01, 0.002 / 3, 0.002 / 4, 0.0002 / 5, 0.0002 / 6]),
    ],
)
def test_schedules(tmp_path: Path, options: list[str], rates: list[float]) -> None:
    path = tmp_path / "history.csv"
    assert main(["train", "spiral", "--epochs", "6", "--quiet", "--history", str(path), *options]) == 0
    assert nn.History.from_csv(path)["learning_rate"] == pytest.approx(rates)


def test_curves_for_tensorboard(tmp_path: Path) -> None:
    assert main(["train", "spiral", "--epochs", "3", "--quiet", "--tensorboard", str(tmp_path / "runs")]) == 0
    (file,) = (tmp_path / "runs").iterdir()
    assert b"data_loss" in file.read_bytes()


@pytest.mark.parametrize(
    ("interval", "epochs"), [("1 epoch", [2, 3, 4]), ("3 epochs", [3, 4]), ("1 hour", [4]), ("0.5 minutes", [4])]
)
def test_checkpoints_as_often_as_asked_for(tmp_path: Path, interval: str, epochs: list[int]) -> None:
    folder = tmp_path / "checkpoints"
    options = ["--epochs", "4", "--quiet", "--checkpoint", str(folder), "--checkpoint-every", interval]
    assert main(["train", "spiral", *options]) == 0
    names = sorted(path.stem for path in folder.glob("*.safetensors"))
    assert [int("".join(filter(str.isdigit, name))) for name in names] == epochs


@pytest.mark.parametrize("interval", ["5", "3 weeks", "0 epochs", "1.5 epochs", "-1 minutes", "epochs", "1e9 epochs"])
def test_intervals_that_are_none(capsys: pytest.CaptureFixture[str], tmp_path: Path, interval: str) -> None:
    options = ["--checkpoint", str(tmp_path / "new"), f"--checkpoint-every={interval}"]
    assert main(["train", "spiral", "--epochs", "1", *options]) == 2
    assert f"--checkpoint-every {interval!r}: expected an interval such as '10 epochs'" in capsys.readouterr().err


def test_weights_of_classes(capsys: pytest.CaptureFixture[str]) -> None:
    plain = document(capsys, "train", "spiral", "--epochs", "5")["training"]
    balanced = document(capsys, "train", "spiral", "--epochs", "5", "--class-weights", "balanced")["training"]
    heavy = document(capsys, "train", "spiral", "--epochs", "5", "--class-weights", "0=1,2=7.5")["training"]
    assert balanced == plain, "there are as many of each"
    X, y = nn.datasets.spiral(100, 3, seed=0)
    both = {"weight_regularizer": nn.L2(5e-4), "bias_regularizer": nn.L2(5e-4)}
    model = nn.Model(
        [nn.Dense(2, 64, **both), nn.ReLU(), nn.Dense(64, 3), nn.Softmax()],
        loss=nn.CategoricalCrossentropy(),
        optimizer=nn.Adam(0.02, decay=5e-7),
        seed=0,
    )
    history = model.train(X, y, epochs=5, class_weights={2: 7.5}, print_every=0)
    assert heavy["loss"] == history["loss"][-1] != plain["loss"]


@pytest.mark.parametrize(
    ("epochs", "seconds", "first", "ending"),
    [
        (10, 0.92, 0.42, "steps a second, after 0.4 s for the first epoch"),  # 10 epochs in 0.92 s is another speed
        (10, 1.0, 0.1, "steps a second"),  # no slower than the others
        (10, 1.0, 0.15, "steps a second"),
        (1, 3.0, 3.0, "steps a second"),
    ],
)
def test_a_slow_first_epoch_is_said_where_figures_would_not_add_up(
    epochs: int, seconds: float, first: float, ending: str
) -> None:
    task = load_task("spiral", samples=None, classes=None, binary=False, seed=0)
    model = nn.Model(
        [nn.Dense(2, 3), nn.Softmax()], loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(0.1), backend="cpu", seed=0
    )
    model.train(*task.training, epochs=epochs, print_every=0)
    assert Result(model, task, "", seconds, first, epochs).lines(with_training=False)[-1].endswith(ending)
