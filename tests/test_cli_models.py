"""Saved models on the command line: train --save, evaluate, predict and show, with good files and with bad ones."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.cli import main
from nnbackend.storage.container import Contents, encode
from tests.test_datasets import write_folder, write_idx

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NNBACKEND", raising=False)
    monkeypatch.delenv("NNBACKEND_TRACEBACK", raising=False)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of each task."""
    folder = tmp_path_factory.mktemp("models")
    runs = {
        "spiral": "spiral --epochs 60 --samples 20 --classes 4 --seed 3",
        "binary": "vertical --binary --epochs 30 --samples 15",
        "sine": "sine --epochs 40 --samples 60 --hidden 8",
        "digits": "digits --epochs 4",
    }
    for name, run in runs.items():
        assert main(["train", *run.split(), "--quiet", "--save", str(folder / name)]) == 0
    return folder


@pytest.fixture(scope="module")
def clothes() -> dict[str, np.ndarray]:
    """Three images a class for training and two for testing, each class a grey of its own."""
    greys = np.arange(0, 250, 25, dtype=np.uint8).reshape(10, 1, 1, 1)
    return {half: np.tile(greys, (1, count, 28, 28)) for half, count in (("train", 3), ("test", 2))}


def said(capsys: Capture, *arguments: object) -> str:
    """What a command prints that does its work and has nothing to complain about."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def document(capsys: Capture, *arguments: object) -> Any:
    return json.loads(said(capsys, *arguments, "--json"))


def refusal(capsys: Capture, *arguments: object, status: int = 2) -> str:
    """The one sentence of a command that refuses."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("nnbackend: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert "a fault in nnbackend itself" not in err
    return err


# -- train -----------------------------------------------------------------------------------------------------------------


def test_digits_take_chapter_19s_network_and_are_checked_on_the_test_set(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "digits"
    found = document(capsys, "train", "digits", "--save", path)
    assert found["model"]["layers"] == [
        "Dense(64, 128)", "ReLU()", "Dense(128, 128)", "ReLU()", "Dense(128, 10)", "Softmax()"
    ]  # fmt: skip
    assert (found["training"]["epoch"], found["validation"]["samples"]) == (20, 359)
    accuracy = found["validation"]["accuracy"]
    assert accuracy > 0.95
    assert found["training"]["validation_accuracy"] == pytest.approx(
        accuracy, rel=1e-6
    )  # a float32 mean of three batches
    model = nn.Model.load(path)
    assert model.class_names == list("0123456789")
    assert model.training_record["batch_size"] == 128


@pytest.mark.parametrize("form", [write_folder, write_idx])
def test_fashion_mnist_from_either_form(capsys: Capture, tmp_path: Path, clothes: Any, form: Any) -> None:
    data, path = form(tmp_path / "data", clothes), tmp_path / "model"
    out = said(capsys, "train", "fashion-mnist", "--data", data, "--epochs", 2, "--save", path)
    assert "fashion-mnist: 30 samples with 784 features, classification into 10 classes" in out
    assert "epoch: 2, " in out
    assert "(20 test samples)" in out
    assert nn.Model.load(path).class_names == list(nn.datasets.FASHION_LABELS)
    assert said(capsys, "evaluate", path, "fashion-mnist", "--data", data).count("(20 test samples)") == 1


def test_equal_runs_give_equal_files(models: Path, tmp_path: Path) -> None:
    run = "spiral --epochs 60 --samples 20 --classes 4 --seed 3"
    assert main(["train", *run.split(), "--quiet", "--save", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again").read_bytes() == (models / "spiral").read_bytes()


@pytest.mark.parametrize("task", ["spiral --samples 20", "vertical --binary", "sine --samples 50", "digits"])
def test_a_picture_of_each_task(capsys: Capture, tmp_path: Path, task: str) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "learned.png"
    said(capsys, "train", *task.split(), "--epochs", 2, "--plot", path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_an_animation(capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    from PIL import Image

    monkeypatch.setattr("nnbackend.cli.train.output.FRAMES", 3)
    path = tmp_path / "learning.gif"
    said(capsys, "train", "spiral", "--samples", 20, "--epochs", 30, "--quiet", "--animate", path)
    with Image.open(path) as image:
        assert image.n_frames == 4  # epochs 1, 10, 20, 30


def test_a_resumed_run_ends_in_the_same_file(capsys: Capture, tmp_path: Path) -> None:
    run = ["train", "spiral", "--samples", 20, "--quiet"]
    said(capsys, *run, "--epochs", 30, "--save", tmp_path / "whole")
    checkpoints = ["--checkpoint", tmp_path / "runs"]
    said(capsys, *run, "--epochs", 10, *checkpoints)
    assert "go on from there with --resume" in refusal(capsys, *run, "--epochs", 30, *checkpoints)
    out = said(capsys, *run, "--epochs", 30, *checkpoints, "--resume", "--save", tmp_path / "resumed")
    assert "20 epochs in " in out
    assert "resumed after epoch 10: " in out
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()
    out = said(capsys, *run, "--epochs", 30, *checkpoints, "--resume")
    assert "nothing was left to train" in out
    assert "checkpoint" in said(capsys, "show", next((tmp_path / "runs").glob("*.safetensors")))


WRONG = [
    ("train fashion-mnist", "fashion-mnist needs --data PATH: the book's fashion_mnist_images.zip"),
    ("train fashion-mnist --data missing", "cannot read missing: No such file or directory"),
    ("train spiral --data somewhere", "--data somewhere is for fashion-mnist: spiral needs none"),
    ("train digits --samples 5", "--samples is for made-up points"),
    ("train digits --classes 5", "--classes is for made-up points"),
    ("train digits --binary", "--binary is for made-up points"),
    ("train spiral --resume", "--resume needs --checkpoint FOLDER"),
    ("train sine --animate a.gif", "--animate draws regions of a plane, and sine has none"),
    ("train spiral --animate a.mp4", "animations are written as .gif only: name it a.gif"),
    ("train spiral --animate NOWHERE/a.gif", "NOWHERE/a.gif cannot be written (No such file or directory)"),
    ("train spiral --plot a.xyz", "pictures are not written as 'xyz'"),
    ("train spiral --save NOWHERE/model", "--save NOWHERE/model cannot be written (No such file or directory)"),
    ("train spiral --save .", "--save . cannot be written (Is a directory)"),
    ("train spiral --checkpoint FILE", "FILE"),
    ("evaluate MODELS/spiral sprial", "unknown data 'sprial': did you mean 'spiral'?"),
    ("evaluate MODELS/spiral FILE", "unknown data 'FILE'"),
    ("evaluate MODELS/spiral digits", "expects 2 features"),
    ("evaluate MODELS/spiral spiral --batch-size 0", "batch_size 0: expected a whole number of at least 1"),
    ("evaluate MODELS/spiral x.npz --seed 1", "leave them out"),
    ("evaluate MODELS/spiral spiral --backend gpuu", "unknown backend 'gpuu'"),
    ("predict MODELS/spiral picture.png", "takes 2 inputs, which are no square image"),
    ("predict MODELS/digits picture.png", "cannot read picture.png: No such file or directory"),
    ("predict MODELS/digits FILE", "FILE is damaged, or no image"),
    ("predict MODELS/spiral missing.csv", "cannot read missing.csv: No such file or directory"),
    ("predict MODELS/spiral x.npy --output NOWHERE/x.csv", "NOWHERE/x.csv cannot be written"),
    ("predict MODELS/spiral x.npy --dtype float16", "unknown dtype 'float16'"),
    ("show", "missing argument"),
]


@pytest.mark.parametrize(("arguments", "part"), WRONG, ids=[row[0] for row in WRONG])
def test_wrong_input_gets_a_sentence(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, models: Path, arguments: str, part: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("no picture")
    assert part in refusal(capsys, *(word.replace("MODELS", str(models)) for word in arguments.split()))
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"], "a refused command leaves nothing behind"


@pytest.mark.parametrize(
    ("package", "arguments", "part"),
    [
        ("sklearn.datasets", "train digits", "pip install 'nnbackend[data]'"),
        ("PIL.Image", "predict MODELS/digits picture.png", "pip install 'nnbackend[data]'"),
        ("matplotlib.figure", "train spiral --plot a.png", "pip install 'nnbackend[plot]'"),
        ("matplotlib.figure", "train spiral --animate a.gif", "pip install 'nnbackend[plot]'"),
        ("matplotlib.figure", "evaluate MODELS/spiral spiral --plot a.png", "pip install 'nnbackend[plot]'"),
    ],
)
def test_a_missing_extra_is_named(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, models: Path, package: str, arguments: str, part: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, package.split(".")[0], None)
    assert part in refusal(capsys, *(word.replace("MODELS", str(models)) for word in arguments.split()))


# -- evaluate --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data"), [("spiral", "spiral"), ("binary", "vertical"), ("sine", "sine"), ("digits", "digits")]
)
@pytest.mark.parametrize("backend", ["cpu", "strict"])
def test_evaluate_finds_what_training_found(capsys: Capture, models: Path, name: str, data: str, backend: str) -> None:
    found = document(capsys, "evaluate", models / name, data, "--backend", backend)
    expected = nn.Model.load(models / name).training_record["validation"]
    assert found["samples"] == expected["samples"]
    for figure in expected.keys() - {"samples"}:
        assert found[figure] == pytest.approx(expected[figure], rel=1e-5)  # backends sum in another order


def test_evaluate_draws_other_points_on_request(capsys: Capture, models: Path) -> None:
    found = document(capsys, "evaluate", models / "spiral", "spiral", "--samples", 30, "--seed", 8)
    fresh = nn.Model.load(models / "spiral").evaluate(*nn.datasets.spiral(30, 4, seed=9))
    assert (found["samples"], found["data_loss"]) == (120, fresh.data_loss)


@pytest.mark.parametrize("ending", [".npz", ".csv"])
def test_evaluate_a_file(capsys: Capture, models: Path, tmp_path: Path, ending: str) -> None:
    X, y = nn.datasets.spiral(10, 4, seed=1)
    path = tmp_path / f"own{ending}"
    if ending == ".npz":
        np.savez(path, X=X, y=y)
    else:
        np.savetxt(path, np.column_stack([X, y]), delimiter=",", header="a,b,class", comments="")
    out = said(capsys, "evaluate", models / "spiral", path, "--plot", tmp_path / "own.png")
    expected = nn.Model.load(models / "spiral").evaluate(X, y)
    assert f"own{ending}, acc: {expected.accuracy:.3f}, loss: {expected.data_loss:.3f} (40 samples)" in out
    assert (tmp_path / "own.png").stat().st_size > 1000


# -- predict ---------------------------------------------------------------------------------------------------------------


def table(text: str) -> tuple[list[str], list[list[str]]]:
    head, *rows = csv.reader(io.StringIO(text))
    return head, rows


@pytest.mark.parametrize("ending", [".npy", ".csv"])
def test_predict_rows(capsys: Capture, models: Path, tmp_path: Path, ending: str) -> None:
    X = np.array([[0.5, 0.25], [-0.5, 0.125]])
    path = tmp_path / f"rows{ending}"
    np.save(path, X) if ending == ".npy" else path.write_text("a,b\n0.5,0.25\n\n-0.5,0.125\n")
    head, rows = table(said(capsys, "predict", models / "spiral", path))
    expected = nn.Model.load(models / "spiral").predict(X)
    assert head == ["class", *(f"probability of {label}" for label in range(4))]
    assert [int(row[0]) for row in rows] == expected.argmax(axis=1).tolist()
    np.testing.assert_allclose(np.array([row[1:] for row in rows], float), expected, rtol=1e-6)
    out = said(capsys, "predict", models / "spiral", path, "--output", tmp_path / "answers.csv")
    assert out == ""
    assert table((tmp_path / "answers.csv").read_text()) == (head, rows)


def test_predict_of_the_other_tasks(capsys: Capture, models: Path, tmp_path: Path) -> None:
    (tmp_path / "two.csv").write_text("0.5,0.5\n")
    (tmp_path / "one.csv").write_text("0.25\n0.75\n")
    head, ((label, probability),) = table(said(capsys, "predict", models / "binary", tmp_path / "two.csv"))
    assert head == ["class", "probability of 1"]
    assert int(label) == (float(probability) > 0.5)
    head, rows = table(said(capsys, "predict", models / "sine", tmp_path / "one.csv"))
    assert (head, len(rows)) == (["output"], 2)


def test_predict_a_picture_as_in_chapter_22(capsys: Capture, models: Path, tmp_path: Path) -> None:
    """Test digits drawn large, dark on light: the label is what the network says of the original."""
    from PIL import Image

    digits, model = nn.datasets.digits(seed=0), nn.Model.load(models / "digits")
    for index in range(5):
        ink = (digits.X_test[index].reshape(8, 8) + 1) * 127.5
        Image.fromarray((255 - ink).astype(np.uint8)).resize((80, 80), Image.Resampling.NEAREST).save(
            tmp_path / "a.png"
        )
        expected = int(model.predict(digits.X_test[index : index + 1]).argmax())
        assert said(capsys, "predict", models / "digits", tmp_path / "a.png").startswith(f"{expected} (")
    found = document(capsys, "predict", models / "digits", tmp_path / "a.png")
    assert found["predictions"][0]["class"] == str(expected)
    Image.fromarray(ink.astype(np.uint8)).save(tmp_path / "b.png")
    assert said(capsys, "predict", models / "digits", tmp_path / "b.png", "--no-invert").startswith(f"{expected} (")


BAD_ROWS: list[tuple[str, str | bytes, str]] = [
    ("a.csv", "", "holds no numbers"),
    ("a.csv", "a,b\n", "holds no numbers"),
    ("a.csv", "1,2\n3\n", "line 2: expected 2 numbers, as in the lines before, not 1"),
    ("a.csv", "1,2\n3,four\n", "line 2: 'four' is no number"),
    ("a.csv", "1,2,3\n", "X has shape (1, 3)"),
    ("a.csv", "1,nan\n", "NaN"),
    ("a.csv", b"\xff\xfe\x00", "is no text"),
    ("a.npy", b"", "is damaged, or no file of numbers"),
    ("a.npy", b"\x93NUMPY\x01\x00", "is damaged, or no file of numbers"),
    ("a.npy", b"words", "is damaged, or no file of numbers"),
    ("a.npy", b"PK\x03\x04", "is damaged, or no file of numbers"),
]


@pytest.mark.parametrize(("name", "content", "part"), BAD_ROWS, ids=[f"{row[0]} {row[1]!r}" for row in BAD_ROWS])
def test_bad_rows(capsys: Capture, models: Path, tmp_path: Path, name: str, content: str | bytes, part: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert part in refusal(capsys, "predict", models / "spiral", path)


def test_rows_that_are_objects_are_never_unpickled(capsys: Capture, models: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}, {}], object), allow_pickle=True)
    assert "without objects in it" in refusal(capsys, "predict", models / "spiral", tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array(["one", "two"]))
    assert "expected numbers" in refusal(capsys, "predict", models / "spiral", tmp_path / "b.npy")
    np.savez(tmp_path / "c.npz", X=np.ones((2, 2)))
    assert "holds X: expected X and y" in refusal(capsys, "evaluate", models / "spiral", tmp_path / "c.npz")


# -- show ------------------------------------------------------------------------------------------------------------------


def test_show_says_what_the_model_is_and_how_it_was_trained(capsys: Capture, models: Path) -> None:
    out = said(capsys, "show", models / "spiral")
    for part in (
        "model, format version 1, float32",
        "Dense(n_inputs=2, n_neurons=64, bias_regularizer=L2(strength=0.0005)",
        "CategoricalCrossentropy()",
        "dense_2.weights  64 × 4",
        "452 parameters",
        "trained for 60 epochs, seed 3, 60 steps",
        "data: spiral",
    ):
        assert part in out
    assert "classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in said(capsys, "show", models / "digits")


def test_show_as_json(capsys: Capture, models: Path) -> None:
    found = document(capsys, "show", models / "digits")
    assert found["arrays"]["parameters/dense_1.weights"] == {"shape": [64, 128], "dtype": "float32"}
    assert found["model"]["class_names"] == list("0123456789")
    assert found["model"]["training_record"]["data"] == "digits"


def test_a_file_cannot_write_to_the_terminal(capsys: Capture, models: Path, tmp_path: Path) -> None:
    """A model file may come from anybody: what it says is shown, and nothing that a terminal would do."""
    from PIL import Image

    path, evil = tmp_path / "evil", "\x1b]0;title\x07\x1b[2J\x9b31mlabel\r\u202e"
    model = nn.Model.load(models / "digits")
    assert model.class_names is not None
    model.class_names = [f"{evil}{name}é" for name in model.class_names]
    model.training_record = {f"data{evil}": [evil, {"more": evil}]}
    model.preprocessing = {**model.preprocessing, evil: np.zeros(2)}
    model.save(path)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "black.png")
    shown = said(capsys, "show", path)
    for text in (shown, said(capsys, "show", path, "--json"), said(capsys, "predict", path, tmp_path / "black.png")):
        assert all(character == "\n" or character.isprintable() for character in text)
        assert "é" in text
    assert "\\x1b[2J\\x9b31mlabel" in shown
    assert document(capsys, "show", path)["model"]["class_names"] == model.class_names


def test_parameters_alone_are_shown_and_nothing_else(capsys: Capture, models: Path, tmp_path: Path) -> None:
    path = tmp_path / "parameters"
    nn.Model.load(models / "spiral").save_parameters(path)
    assert said(capsys, "show", path).startswith("parameters alone, format version 1, float32")
    for command in (["evaluate", path, "spiral"], ["predict", path, "rows.csv"]):
        assert "holds parameters alone" in refusal(capsys, *command)


# -- bad model files ---------------------------------------------------------------------------------------------------------


def newer(good: bytes) -> bytes:
    return good.replace(b'\\"version\\":1', b'\\"version\\":9')


def flipped(good: bytes) -> bytes:
    return good[:-5] + bytes([good[-5] ^ 1]) + good[-4:]


BAD_MODELS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda good: b"", "is empty"),
    "truncated": (lambda good: good[:-100], "is truncated or damaged"),
    "cut in the header": (lambda good: good[:50], "is truncated"),
    "altered": (flipped, "is damaged or was altered"),
    "newer": (newer, "install a newer nnbackend"),
    "pickle": (lambda good: b"\x80\x04\x95", "a pickle file"),
    "text": (lambda good: b"hello, world", "is not a model file of nnbackend"),
    "of other software": (lambda good: b'\x02\0\0\0\0\0\0\0{}', "but not of nnbackend"),
    "no layers": (
        lambda good: encode(Contents({"dtype": "float32", "model": {"layers": []}}, {})),
        "is not a valid model file",
    ),
}  # fmt: skip
COMMANDS = (["show"], ["evaluate", "spiral"], ["predict", "rows.csv"])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("kind", BAD_MODELS)
def test_bad_model_files(capsys: Capture, models: Path, tmp_path: Path, command: list[str], kind: str) -> None:
    damage, part = BAD_MODELS[kind]
    path = tmp_path / "bad model"
    path.write_bytes(damage((models / "spiral").read_bytes()))
    err = refusal(capsys, command[0], path, *command[1:])
    assert part in err
    assert "bad model" in err


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_model_files_that_cannot_be_read(
    capsys: Capture, models: Path, tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "No such file" in refusal(capsys, command[0], tmp_path / "missing", *command[1:])
    assert "Is a directory" in refusal(capsys, command[0], tmp_path, *command[1:])
    locked = tmp_path / "locked"
    locked.write_bytes((models / "spiral").read_bytes())
    locked.chmod(0)
    if os.access(locked, os.R_OK):  # root reads everything

        def locked_open(*arguments: object, **settings: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("nnbackend.files.open", locked_open, raising=False)
    assert "Permission denied" in refusal(capsys, command[0], locked, *command[1:])


def test_a_model_that_cannot_be_written_after_training(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up while the model trains: the old file stays."""
    path = tmp_path / "model"
    path.write_bytes(b"old")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nnbackend.files._write_and_flush", full)
    assert main(["train", "spiral", "--epochs", "2", "--samples", "9", "--quiet", "--save", str(path)]) == 1
    err = capsys.readouterr().err
    assert "No space left on device; the old file is as it was" in err
    assert err.count("\n") == 1
    assert path.read_bytes() == b"old"


# -- warnings ----------------------------------------------------------------------------------------------------------------


def test_warnings_are_sentences(capsys: Capture, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(*arguments: object) -> list[str]:
        for _ in range(2):
            warnings.warn("the moon\nis full", stacklevel=1)
        return ["shown"]

    monkeypatch.setattr("nnbackend.cli.show.lines", warn)
    before = warnings.showwarning
    assert main(["show", str(models / "spiral")]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("shown\n", "nnbackend: warning: the moon is full\n" * 2)
    assert warnings.showwarning is before
