"""Tables of the user's own on the command line: train, evaluate, predict and show, from the file to the answers."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.cli import main
from nnbackend.cli.tables import as_options
from nnbackend.storage import read_contents
from nnbackend.storage.container import Contents, write_contents
from tests.test_cli_models import document, refusal, said

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NNBACKEND", raising=False)
    monkeypatch.delenv("NNBACKEND_TRACEBACK", raising=False)


def write_bunch(path: Path, name: str) -> Path:
    """One of scikit-learn's tables as people have them: a line of names, and the target by name in the last column."""
    bunch = getattr(pytest.importorskip("sklearn.datasets"), f"load_{name}")()
    names = getattr(bunch, "target_names", None)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(feature.split(" (")[0].replace(" ", "_") for feature in bunch.feature_names), "target"])
        for row, target in zip(bunch.data.tolist(), bunch.target.tolist(), strict=True):
            writer.writerow([*row, target if names is None else names[target]])
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Iris, wine and diabetes as CSV, each with a model that was trained on it without an option."""
    folder = tmp_path_factory.mktemp("tables")
    for name in ("iris", "wine", "diabetes"):
        write_bunch(folder / f"{name}.csv", name)
        assert main(["train", str(folder / f"{name}.csv"), "--quiet", "--save", str(folder / name)]) == 0
    return folder


# -- train -------------------------------------------------------------------------------------------------------------------


# By seed 0 to 5 the least and the mean of the validation accuracy are 0.90 and 0.967 (iris), 0.889 and 0.958 (wine), 0.965 and
# 0.972 (breast cancer): a validation row weighs 0.033, 0.028 and 0.009. This is seed 0, the default.
@pytest.mark.parametrize(
    ("name", "rows", "least"), [("iris", 30, 0.95), ("wine", 36, 0.95), ("breast_cancer", 113, 0.95)]
)
def test_a_table_is_learned_without_options(
    capsys: Capture, tmp_path: Path, name: str, rows: int, least: float
) -> None:
    path = write_bunch(tmp_path / f"{name}.csv", name)
    found = document(capsys, "train", path)
    assert found["validation"]["samples"] == rows
    assert found["validation"]["accuracy"] >= least
    assert found["training"]["validation_accuracy"] == pytest.approx(found["validation"]["accuracy"])


def test_a_regression_answers_in_the_targets_unit(capsys: Capture, folder: Path) -> None:
    """Diabetes: the mean error is near 42, as with a linear model; always saying the mean gives 66."""
    found = document(capsys, "train", folder / "diabetes.csv")
    assert found["validation"]["mean_absolute_error"] < 50
    head, *rows = csv.reader(io.StringIO(said(capsys, "predict", folder / "diabetes", folder / "diabetes.csv")))
    assert head == ["target"]
    targets = [float(row[-1]) for row in list(csv.reader((folder / "diabetes.csv").read_text().splitlines()))[1:]]
    error = np.abs(np.array(rows, float)[:, 0] - targets).mean()
    assert error < 50
    assert document(capsys, "evaluate", folder / "diabetes", folder / "diabetes.csv")[
        "mean_absolute_error"
    ] == pytest.approx(error)


def test_what_was_decided_is_said(capsys: Capture, folder: Path) -> None:
    lines = said(capsys, "train", folder / "iris.csv", "--epochs", 2).splitlines()
    assert lines[1:5] == [
        "iris.csv: 120 samples with 4 features, classification into 3 classes",
        "target: target, the last column (see --target); classification, it holds 3 different words (see --task)",
        "columns: 4 of numbers; numbers standardized (see --no-standardize)",
        "validation: 30 of 150 rows put aside, every class in its share (see --validation-split)",
    ]
    assert any(re.fullmatch(r"epoch: 2, .*validation acc: .*", line) for line in lines)
    assert any(re.fullmatch(r"validation, acc: .* \(30 validation samples\)", line) for line in lines)
    lines = said(capsys, "train", folder / "diabetes.csv", "--epochs", 2, "--validation-split", 0).splitlines()
    assert lines[2].endswith("regression, it holds 214 different numbers (see --task)")
    assert lines[4].startswith("scale: losses while training are those of (target - 152.133) / 77.0057;")
    assert any(re.fullmatch(r"training, acc: .* \(442 training samples\)", line) for line in lines)


def test_every_option(capsys: Capture, tmp_path: Path) -> None:
    rows = "".join(f"{i};{i % 5};{'rgb'[i % 3]};{'' if i == 7 else i / 2};{i % 2}\n" for i in range(40))
    path = tmp_path / "t.csv"
    path.write_text("id;grade;colour;size;sold\n" + rows)
    arguments = [
        "--target",
        "sold",
        "--drop",
        "id",
        "--drop",
        4,
        "--categorical",
        "grade",
        "--no-standardize",
        "--binary",
    ]
    found = document(
        capsys, "train", path, *arguments, "--validation-split", 0.25, "--epochs", 3, "--save", tmp_path / "m"
    )
    assert found["model"]["layers"] == ["Dense(8, 64)", "ReLU()", "Dense(64, 1)", "Sigmoid()"]
    assert found["data"]["task"] == "binary classification"
    assert found["validation"]["samples"] == 10
    head, first, *_ = csv.reader(io.StringIO(said(capsys, "predict", tmp_path / "m", path)))
    assert head == ["class", "probability of 1"]
    assert first[0] in ("0", "1")
    found = document(capsys, "train", path, "--impute", "median", "--task", "regression", "--epochs", 3, "--target", -4)
    assert "column id only counts the rows: leave it out with --drop 'id'" in found["data"]["notes"]
    assert "missing: 1 value, filled in with --impute 'median'" in found["data"]["notes"]
    assert "regression" in refusal(
        capsys, "train", path, "--impute", "median", "--task", "regression", "--target", "colour"
    )


def test_the_same_seed_gives_the_same_file(capsys: Capture, folder: Path, tmp_path: Path) -> None:
    said(capsys, "train", folder / "iris.csv", "--quiet", "--save", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (folder / "iris").read_bytes()
    assert str(folder).encode() not in (folder / "iris").read_bytes(), "where a file was is nobody's business"


def test_a_resumed_regression_ends_in_the_same_file(capsys: Capture, folder: Path, tmp_path: Path) -> None:
    """The scale of the target is folded in after the last checkpoint, not into it."""
    run = ["train", folder / "diabetes.csv", "--quiet"]
    said(capsys, *run, "--epochs", 6, "--save", tmp_path / "whole")
    said(capsys, *run, "--epochs", 3, "--checkpoint", tmp_path / "runs")
    said(capsys, *run, "--epochs", 6, "--checkpoint", tmp_path / "runs", "--resume", "--save", tmp_path / "resumed")
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize("backend", ["cpu", "strict", pytest.param("gpu", marks=pytest.mark.gpu)])
def test_every_backend_learns_a_table(capsys: Capture, folder: Path, tmp_path: Path, backend: str) -> None:
    for name in ("iris", "diabetes"):
        path = folder / f"{name}.csv"
        said(capsys, "train", path, "--backend", backend, "--epochs", 2, "--dtype", "float64", "--save", tmp_path / "m")
        found = document(capsys, "evaluate", tmp_path / "m", path, "--backend", backend)
        expected = document(capsys, "evaluate", tmp_path / "m", path, "--backend", "cpu")
        assert found["data_loss"] == pytest.approx(expected["data_loss"], rel=1e-9)  # sums in another order


def test_pictures_of_a_table(capsys: Capture, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("iris", "diabetes"):
        said(capsys, "train", folder / f"{name}.csv", "--epochs", 2, "--quiet", "--plot", tmp_path / "a.png")
        said(capsys, "evaluate", folder / name, folder / f"{name}.csv", "--plot", tmp_path / "b.png")
        assert (tmp_path / "a.png").stat().st_size > 1000
        assert (tmp_path / "b.png").stat().st_size > 1000


def test_other_kinds_of_file(capsys: Capture, folder: Path, tmp_path: Path) -> None:
    """The same rows as .parquet, .npz and .npy give the same figures."""
    table = nn.datasets.load_table(folder / "iris.csv", standardize=False, dtype="float64")
    expected = document(capsys, "train", folder / "iris.csv", "--epochs", 3)["validation"]
    np.savez(tmp_path / "iris.npz", X=table.X, y=table.y)
    np.save(tmp_path / "X.npy", table.X)
    np.save(tmp_path / "y.npy", table.y)
    pair = [tmp_path / "X.npy", "--targets", tmp_path / "y.npy"]
    runs = [[tmp_path / "iris.npz"], pair]
    if sys.modules.get("pyarrow") or __import__("importlib").util.find_spec("pyarrow"):
        import pyarrow.csv
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.csv.read_csv(folder / "iris.csv"), tmp_path / "iris.parquet")
        runs.append([tmp_path / "iris.parquet"])
    for run in runs:
        assert document(capsys, "train", *run, "--epochs", 3)["validation"] == expected
    said(capsys, "train", *pair, "--epochs", 3, "--save", tmp_path / "m")
    assert document(capsys, "evaluate", tmp_path / "m", *pair)["samples"] == 150
    assert document(capsys, "evaluate", tmp_path / "m", tmp_path / "iris.npz")["samples"] == 150
    assert len(said(capsys, "predict", tmp_path / "m", tmp_path / "X.npy").splitlines()) == 151


def test_large_arrays_are_streamed(capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a limit of a few rows on all that is in memory, the figures are the same."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4)).astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", (X[:, 0] > 0).astype(int))
    run = ["train", tmp_path / "X.npy", "--targets", tmp_path / "y.npy", "--epochs", 4]
    expected = document(capsys, *run)
    monkeypatch.setattr("nnbackend.datasets.tables.spool.IN_MEMORY", 1000)
    found = document(capsys, *run)
    assert found["training"]["loss"] == expected["training"]["loss"]
    assert found["validation"]["data_loss"] == pytest.approx(
        expected["validation"]["data_loss"], rel=1e-6
    )  # in batches


# -- evaluate, predict, show ----------------------------------------------------------------------------------------------------


def test_evaluate_knows_the_target(capsys: Capture, folder: Path, tmp_path: Path) -> None:
    rows = list(csv.reader((folder / "iris.csv").read_text().splitlines()))
    shuffled = [[row[4], "note", *row[3::-1]] for row in rows]  # the target first, a column more, the others backwards
    shuffled[0][1] = "remark"
    with (tmp_path / "other.csv").open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows(shuffled)
    found = document(capsys, "evaluate", folder / "iris", tmp_path / "other.csv")
    expected = document(capsys, "evaluate", folder / "iris", folder / "iris.csv")
    for name in ("accuracy", "data_loss", "samples"):
        assert found[name] == expected[name]
    assert said(capsys, "predict", folder / "iris", tmp_path / "other.csv") == said(
        capsys, "predict", folder / "iris", folder / "iris.csv"
    )


def test_predict_writes_class_names_and_probabilities(capsys: Capture, folder: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.csv"
    new.write_text("petal_width,petal_length,sepal_width,sepal_length\n0.2,1.4,3.5,5.1\n2.3,5.9,3.2,6.8\n")
    said(capsys, "predict", folder / "iris", new, "--output", tmp_path / "answers.csv")
    head, *rows = csv.reader((tmp_path / "answers.csv").read_text().splitlines())
    assert head == ["class", *(f"probability of {name}" for name in ("setosa", "versicolor", "virginica"))]
    assert [row[0] for row in rows] == ["setosa", "virginica"]
    assert [round(sum(map(float, row[1:])), 5) for row in rows] == [1, 1]
    found = document(capsys, "predict", folder / "iris", new)
    assert found["predictions"][0]["class"] == "setosa"
    model = nn.Model.load(folder / "iris")
    by_hand = model.predict(nn.datasets.apply_preprocessing(model.preprocessing, new))
    np.testing.assert_allclose(np.array([row[1:] for row in rows], float), by_hand, rtol=1e-6)  # as they are printed


def test_letters_that_the_environment_lacks(tmp_path: Path) -> None:
    """In LC_ALL=C a table is the bytes that --output writes, and lines have escapes."""
    path = tmp_path / "maße.csv"
    path.write_text("x,größe\n" + "1,groß\n2,klein\n" * 10, encoding="utf-8")
    unset = ("LC_ALL", "LANG", "PYTHONUTF8", "PYTHONIOENCODING")
    ascii_only = {name: value for name, value in os.environ.items() if name not in unset}
    ascii_only |= {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    def run(*arguments: str) -> bytes:
        command = [sys.executable, "-m", "nnbackend", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=ascii_only, capture_output=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout

    assert b"target: gr\\xf6\\xdfe, the last column" in run("train", "maße.csv", "--epochs", "2", "--save", "model")
    printed = run("predict", "model", "maße.csv")
    run("predict", "model", "maße.csv", "--output", "answers.csv")
    assert printed == (tmp_path / "answers.csv").read_bytes()
    assert "probability of groß" in printed.decode("utf-8")
    assert b"gro\\xdf" in run("show", "model")


def test_show_has_columns_and_classes(capsys: Capture, folder: Path) -> None:
    out = said(capsys, "show", folder / "iris")
    assert re.search(r"^sepal_length  numbers  refused  5\.\d+ +0\.\d+$", out, re.MULTILINE)
    assert "target: target, setosa, versicolor, virginica" in out
    assert "target: target, numbers" in said(capsys, "show", folder / "diabetes")
    assert document(capsys, "show", folder / "iris")["model"]["preprocessing"]["table"]["columns"] == 5


WRONG = [
    ("train iris.csv --target spices", "--target 'spices': iris.csv has no column of that name; it has sepal_length,"),
    ("train iris.csv --target 9", "--target 9: iris.csv has 5 columns"),
    ("train iris.csv --drop target", "--drop 'target': that is the target, the last column unless --target says another"),
    ("train iris.csv --task sort", "--task 'sort': Known: auto, classification, regression"),
    ("train iris.csv --impute mode", "--impute 'mode': "),
    ("train iris.csv --validation-split 2", "validation_split 2.0: expected a number from 0"),
    ("train iris.csv --validation-split two", "--validation-split 'two': expected a number"),
    ("train iris.csv --binary", "--binary tells two classes apart: the target 'target' is 3 classes, leave it out"),
    ("train diabetes.csv --binary", "the target 'target' is a regression"),
    ("train iris.csv --samples 3", "--samples is for data sets: iris.csv is a file of your own"),
    ("train iris.csv --data x", "--data is for data sets"),
    ("train iris.csv --classes 3", "--classes is for data sets"),
    ("train iris.csv --targets y.npy", "--targets 'y.npy' goes with a .npy file"),
    ("train iris.csv --batch-size 500", "batch_size 500 is larger than the data"),
    ("train spiral --target 3", "--target is for a table of your own: expected a file that ends in .csv,"),
    ("train spiral --no-standardize", "--standardize is for a table of your own"),
    ("train missing.csv", "cannot read missing.csv: No such file or directory"),
    ("train iris.xlsx", "unknown data set 'iris.xlsx'"),
    ("train iris.csv --resume", "--resume needs --checkpoint FOLDER"),
    ("train iris.csv --animate a.gif", "--animate draws regions of a plane"),
    ("train bad.csv", "bad.csv, line 4, column 'b': 'abc' is no number; repair it, or if the column holds categories say "),
    ("train holes.csv", "holes.csv, line 3, column 'a' has no value, and no other is missing: fill them in with --impute "),
    ("train single.csv", "single.csv, line 5: class 'v' has this row only"),
    ("train one.csv", "column 'y' is 'u' in every row"),
    ("evaluate iris holes.csv", "holes.csv: no columns sepal_length, sepal_width, petal_length, petal_width"),
    ("evaluate iris bare.csv", "bare.csv has no column 'target', the model's target: an evaluation needs it"),
    ("evaluate iris spiral", "expects 4 features"),
    ("evaluate iris iris.csv --seed 3", "leave them out"),
    ("evaluate iris iris.xlsx", "or a file that ends in .csv, .tsv, .parquet"),
    ("evaluate spiral iris.csv", "'setosa' is no number"),
    ("evaluate spiral iris.csv --header", "--header and --no-header go with a model of a table"),
    ("predict spiral bare.csv --no-header", "--header and --no-header go with a model of a table"),
    ("predict spiral bare.csv", "expects 2 features"),
    ("predict iris holes.csv", "holes.csv: no columns"),
    ("predict iris gaps.csv", "gaps.csv, line 2, column 'sepal_width' has no value: the model was trained without --impute"),
    ("predict iris words.csv", "words.csv, line 2, column 'sepal_width': 'wide' is no number"),
    ("predict iris bare.csv --no-header", "bare.csv, line 1, column 'sepal_length': 'sepal_length' is no number"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "part"), WRONG, ids=[row[0] for row in WRONG])
def test_wrong_input_gets_a_sentence(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, folder: Path, arguments: str, part: str
) -> None:
    monkeypatch.chdir(folder)
    rows = "".join(f"{i},{i + 1},u\n{i},{i},v\n" for i in range(8))
    names = "sepal_length,sepal_width,petal_length,petal_width\n"
    files = {
        "bad.csv": "a,b,y\n1,2,u\n2,3,v\n3,abc,u\n" + rows,
        "holes.csv": "a,b,y\n1,2,u\n,3,v\n" + rows,
        "single.csv": "a,y\n1,u\n2,u\n3,u\n4,v\n",
        "one.csv": "a,y\n1,u\n2,u\n",
        "bare.csv": names + "1,2,3,4\n",
        "gaps.csv": names + "1,,3,4\n",
        "words.csv": names + "1,wide,3,4\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    if not (folder / "spiral").exists():
        main(["train", "spiral", "--epochs", "1", "--samples", "9", "--quiet", "--save", "spiral"])
    before = {path.name for path in folder.iterdir()}
    assert part in refusal(capsys, *arguments.split())
    assert {path.name for path in folder.iterdir()} == before


def test_a_missing_extra_is_named(capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'nnbackend[data]'" in refusal(capsys, "train", tmp_path / "a.parquet")


def altered(path: Path, where: str, value: Any) -> Path:
    """The model file with another value in its preprocessing, and a checksum that fits."""
    contents = read_contents(path)
    contents.document["model"]["preprocessing"]["table"][where] = value
    said_before = {name: item for name, item in contents.document.items() if name not in ("format", "version")}
    write_contents(path.with_name("altered"), Contents(said_before, contents.arrays))
    return path.with_name("altered")


@pytest.mark.parametrize(
    ("where", "value"), [("version", 2), ("features", []), ("impute", "x"), ("target", 3), ("columns", 1)]
)
def test_a_model_file_from_elsewhere(capsys: Capture, folder: Path, where: str, value: Any) -> None:
    path = altered(folder / "iris", where, value)
    part = "install a newer nnbackend" if where == "version" else "its preprocessing is damaged"
    for command in (["evaluate", path, folder / "iris.csv"], ["predict", path, folder / "iris.csv"]):
        err = refusal(capsys, *command)
        assert part in err
        assert "altered cannot be used" in err
    assert part in said(capsys, "show", path), "what can be shown is shown"


def test_arguments_become_options() -> None:
    text = "say drop=['an id'], validation_split=0 or standardize=False (see target= and task='regression'), x=3"
    expected = (
        "say --drop 'an id', --validation-split 0 or --no-standardize (see --target and --task 'regression'), x=3"
    )
    assert as_options(text) == expected
