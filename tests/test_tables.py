"""Tables of the user's own, from Python: reading, encoding, missing values, standardizing, splitting, and new rows."""

from __future__ import annotations

import csv
import gc
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nnbackend as nn
from nnbackend.datasets.tables import from_document, has_table, labelled_rows, spool
from nnbackend.datasets.tables import plan as plans
from nnbackend.datasets.tables.columns import find_column

load, apply = nn.datasets.load_table, nn.datasets.apply_preprocessing

PENGUINS = """id,island,mass,male,species
1,Biscoe,3750,True,Adelie
2,Dream,3800,False,Adelie
3,Biscoe,5400,True,Gentoo
4,Torgersen,4450.5,False,Gentoo
5,Dream,3450,False,Adelie
6,Biscoe,5650,True,Gentoo
"""


def write(folder: Path, text: str | bytes, name: str = "penguins.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def penguins(tmp_path: Path) -> Path:
    return write(tmp_path, PENGUINS)


def refusal(kind: type[Exception], path: Path, **wishes: Any) -> str:
    """The one sentence of a table that is refused."""
    with pytest.raises(kind) as caught:
        load(path, **wishes)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


# -- what becomes of columns ---------------------------------------------------------------------------------------------


def test_numbers_stay_and_words_become_an_input_for_each_category(penguins: Path) -> None:
    table = load(penguins, drop=["id"], standardize=False)
    assert table.input_names == (
        "island=Biscoe", "island=Dream", "island=Torgersen", "mass", "male=False", "male=True"
    )  # fmt: skip
    assert table.X[3].tolist() == [0, 0, 1, 4450.5, 1, 0]
    assert table.y.tolist() == [0, 0, 1, 1, 0, 1]
    assert (table.task, table.target, table.class_names) == ("classification", "species", ("Adelie", "Gentoo"))
    assert (table.X.dtype, table.y.dtype, table.validation) == (np.float32, np.int64, None)


def test_standardizing_by_hand(penguins: Path) -> None:
    table = load(penguins, drop=["id", "island"], dtype="float64")
    mass = np.array([3750, 3800, 5400, 4450.5, 3450, 5650])
    np.testing.assert_allclose(table.X[:, 0], (mass - mass.mean()) / mass.std(), rtol=1e-12)  # sums in another order
    assert table.X[:, 1:].tolist() == [[0, 1], [1, 0], [0, 1], [1, 0], [1, 0], [0, 1]], "categories stay 0 and 1"


def test_a_constant_column_becomes_zero(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b,y\n" + "".join(f"0.1,{i},{i % 2}\n" for i in range(10)))
    assert load(path).X[:, 0].tolist() == [0] * 10


def test_statistics_are_those_of_training_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(5, 3, 40)
    lines = [f"{'' if i % 7 == 3 else value},{'uv'[i % 2]}\n" for i, value in enumerate(values)]
    path = write(tmp_path, "x,y\n" + "".join(lines))
    table = load(path, impute="median", validation_split=0.25, seed=1, dtype="float64")
    plain = load(path, impute="median", validation_split=0.25, seed=1, dtype="float64", standardize=False)
    kept = set(plain.X[:, 0])
    there = np.array([value for i, value in enumerate(values) if i % 7 != 3 and value in kept])
    assert table.preprocessing["fill"].tolist() == [np.median(there)]
    filled = plain.X[:, 0]
    np.testing.assert_allclose(table.preprocessing["mean"], [filled.mean()], rtol=1e-12)  # sums in another order
    assert plain.validation is not None
    X, y = table.validation  # type: ignore[misc]
    np.testing.assert_allclose(X[:, 0], (plain.validation[0][:, 0] - filled.mean()) / filled.std(), rtol=1e-9)
    assert len(X) == len(y) == 10
    assert sorted(np.bincount(y)) == [5, 5], "every class in its share"


@pytest.mark.parametrize(("impute", "number"), [("mean", 4.0), ("median", 2.0), ("most-frequent", 1.0)])
def test_missing_values_are_filled_in(tmp_path: Path, impute: str, number: float) -> None:
    path = write(tmp_path, "x,c,y\n1,a,0\n1,?,1\n2,b,0\n3,b,1\n13,b,0\nNA,a,1\n")
    table = load(path, impute=impute, standardize=False)
    assert table.X[5].tolist() == [number, 1, 0]
    assert table.X[1].tolist() == [1, 0, 1], "a category is always filled with the most frequent one"
    assert apply(table.preprocessing, [{"x": None, "c": None}]).tolist() == [[number, 0, 1]]
    assert any("2 values, filled in" in note for note in table.notes)


@pytest.mark.parametrize("word", ["", " ", "NA", "n/a", "NaN", "null", "None", "?", "#N/A"])
def test_a_missing_value_is_refused_by_line_and_column(tmp_path: Path, word: str) -> None:
    path = write(tmp_path, f"width,length,kind\n1,2,a\n3,{word},b\n{word},5,a\n6,7,b\n", "f.csv")
    text = refusal(nn.DataError, path)
    assert text.startswith("f.csv, line 3, column 'length' has no value, and it is the first of 2 missing values in ")
    assert text.endswith("impute='median', or leave those rows out, or the column with drop=['length']")


def test_declared_categories_keep_their_zeros(tmp_path: Path) -> None:
    path = write(tmp_path, "zip,x,y\n01234,1,a\n1234,2,b\n01234,3,a\n1234,4,b\n")
    table = load(path, categorical=["zip"])
    assert table.input_names == ("zip=01234", "zip=1234", "x")
    text = write(tmp_path, "x,zip\n1,01234\n", "new.csv")
    assert apply(table.preprocessing, text)[0, :2].tolist() == [1, 0]


def test_holes_in_every_piece_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of numbers alone come without codes; where a later one needs them, their holes are still holes."""
    monkeypatch.setattr("nnbackend.datasets.tables.csv_files.AT_A_TIME", 2)
    rows = ["1", "nan", "3", "4", "", "6", "nan", "8"]
    path = write(tmp_path, "x,y\n" + "".join(f"{x},{'ab'[i % 2]}\n" for i, x in enumerate(rows)), "f.csv")
    table = load(path, impute="most-frequent", standardize=False)
    assert table.X[:, 0].tolist() == [1, 1, 3, 4, 1, 6, 1, 8]
    assert "f.csv, line 3, column 'x' has no value, and it is the first of 3" in refusal(nn.DataError, path)


def test_too_many_categories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "name,x,y\n" + "".join(f"n{i},{i},{'ab'[i % 2]}\n" for i in range(30)))
    text = refusal(nn.DataError, path)
    assert "has 30 different words such as 'n0', one in each row" in text
    assert "leave it out with drop=['name']" in text
    monkeypatch.setattr(plans, "MOST_CATEGORIES", 3)
    path = write(tmp_path, "name,x,y\n" + "".join(f"n{i % 4},{i},{'ab'[i % 2]}\n" for i in range(30)))
    assert "has 4 different words" in refusal(nn.DataError, path)


def test_a_bad_cell_is_no_category(tmp_path: Path) -> None:
    rows = "".join(f"{i}.5,{'ab'[i % 2]}\n" for i in range(30))
    path = write(tmp_path, f"sepal_length,kind\n{rows[:60]}abc,a\n{rows[60:]}", "iris.csv")
    line = rows[:60].count("\n") + 2
    text = refusal(nn.DataError, path)
    assert text.startswith(f"iris.csv, line {line}, column 'sepal_length': 'abc' is no number; repair it")
    assert "say categorical=['sepal_length']" in text
    path = write(tmp_path, "x,kind\n" + "1,a\n2,b\n" * 20 + "many,a\n", "few.csv")
    assert load(path, categorical=["x"]).input_names == ("x=1", "x=2", "x=many")


@pytest.mark.parametrize("cell", ["$1,234.50", "12%", "3,5", "1'234'567", "-€ 20"])
def test_numbers_written_for_people_are_no_words(tmp_path: Path, cell: str) -> None:
    rows = "".join(f'"{cell}",{"ab"[i % 2]}\n' for i in range(30))
    text = refusal(nn.DataError, write(tmp_path, f"price,kind\n{rows}", "sales.csv"))
    assert text.startswith(
        f"sales.csv, line 2, column 'price': {cell!r} is no number as it is written; write numbers such as"
    )
    assert text.endswith("or if the column holds categories say categorical=['price']")
    assert load(tmp_path / "sales.csv", categorical=["price"]).input_names == (f"price={cell}",)
    assert refusal(nn.DataError, tmp_path / "sales.csv", target="price").endswith("classes say task='classification'")


@pytest.mark.parametrize("word", ["12.05.2023", "10-20", "1.2.3", "A5", "1,2,3", "$"])
def test_what_only_resembles_a_number_is_a_word(tmp_path: Path, word: str) -> None:
    rows = "".join(f'"{word}",{"ab"[i % 2]}\n' for i in range(30))
    assert load(write(tmp_path, f"x,kind\n{rows}")).input_names == (f"x={word}",)


def test_infinity_and_what_float32_cannot_hold(tmp_path: Path) -> None:
    path = write(tmp_path, "x,y\n1,a\n-inf,b\n2,a\n3,b\n")
    assert "line 3, column 'x': -inf is no finite number" in refusal(nn.DataError, path)
    path = write(tmp_path, "x,y\n1,a\n1e39,b\n2,a\n3,b\n")
    assert "line 3, column 'x': a number too large for float32" in refusal(nn.DataError, path, standardize=False)
    assert load(path, standardize=False, dtype="float64").X.max() == 1e39
    path = write(tmp_path, "x,y\n1,a\n1e300,b\n-1e300,a\n3,b\n")
    assert "numbers too large to be standardized" in refusal(nn.DataError, path)


# -- the target ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        ("no yes no yes", "classification", ("no", "yes")),
        ("True False True True", "classification", ("False", "True")),
        ("0 1 2 0 1 2", "classification", ("0", "1", "2")),
        ("-1 1 -1 1", "classification", ("-1", "1")),
        ("1.0 10.0 2.0 1 10 2", "classification", ("1", "2", "10")),
        ("0.5 1.5 0.5 1.5", "regression", None),
        (" ".join(map(str, range(50))), "regression", None),
        ("3 1 2 4", "regression", None),
    ],
)
def test_the_values_decide_the_task(tmp_path: Path, values: str, task: str, classes: tuple[str, ...] | None) -> None:
    path = write(tmp_path, "x,y\n" + "".join(f"{i}.5,{value}\n" for i, value in enumerate(values.split())))
    table = load(path)
    assert (table.task, table.class_names) == (task, classes)
    assert table.notes[0].startswith(f"target: y, the last column (see target=); {task}, it holds ")
    if classes is not None:
        assert [classes[label] for label in table.y] == [value.removesuffix(".0") for value in values.split()]
    else:
        assert table.y.tolist() == [float(value) for value in values.split()]


def test_the_task_can_be_said(tmp_path: Path) -> None:
    path = write(tmp_path, "x,y\n1,0.5\n2,1\n3,0.5\n4,1\n")
    assert load(path, task="classification").class_names == ("0.5", "1")
    path = write(tmp_path, "x,y\n1,0\n2,1\n3,0\n4,1\n")
    assert load(path, task="regression").y.tolist() == [0, 1, 0, 1]
    path = write(tmp_path, "x,y\n1,a\n2,1\n3,0\n4,1\n")
    assert "line 2, column 'y': 'a' is no number" in refusal(nn.DataError, path, task="regression")


def test_the_scale_of_a_target_is_folded_into_the_last_layer(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    path = write(tmp_path, "a,b,y\n" + "".join(f"{a},{b},{1000 + 50 * a - 20 * b}\n" for a, b in X.tolist()))
    table = load(path, dtype="float64")
    scaling = table.target_scaling
    assert scaling is not None
    np.testing.assert_allclose(scaling.scale(table.y).std(), 1, rtol=1e-12)
    model = nn.Model(
        [nn.Dense(2, 8), nn.ReLU(), nn.Dense(8, 1), nn.Linear()],
        loss=nn.MeanSquaredError(), optimizer=nn.Adam(0.01), dtype="float64", seed=0,
    )  # fmt: skip
    model.train(table.X, scaling.scale(table.y), epochs=300, print_every=0)
    before = model.predict(table.X)
    accuracy = model.evaluate(table.X, scaling.scale(table.y)).accuracy
    scaling.fold_into(model)
    np.testing.assert_allclose(model.predict(table.X), before * table.y.std() + table.y.mean(), rtol=1e-12)
    assert model.evaluate(table.X, table.y).accuracy == accuracy, "the precision of the accuracy is scaled too"
    with pytest.raises(nn.ArgumentError, match="expected a Dense"):
        scaling.fold_into(nn.Model([nn.Dense(2, 1), nn.ReLU()]))
    assert repr(scaling).startswith("TargetScaling(mean=")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("x,y\n1,a\n2,a\n", "column 'y' is 'a' in every row"),
        ("x,y\n1,2.5\n2,2.5\n", "column 'y' is '2.5' in every row"),
        ("x,y\n1,a\n2,\n3,b\n", "line 3, column 'y' has no value: it is the target, which is never filled in"),
        ("y\na\nb\n", "has no columns beside the target 'y'"),
        ("x,y\n1,inf\n2,1\n3,2\n", "line 2, column 'y': inf is no finite number"),
    ],
)
def test_targets_that_cannot_be_learned(tmp_path: Path, text: str, part: str) -> None:
    assert part in refusal(nn.DataError, write(tmp_path, text), impute="mean")


def test_a_class_with_one_sample_cannot_be_split(tmp_path: Path) -> None:
    path = write(tmp_path, "x,y\n1,a\n2,a\n3,b\n4,a\n", "f.csv")
    text = refusal(nn.DataError, path, validation_split=0.5)
    assert text.startswith("f.csv, line 4: class 'b' has this row only")
    assert text.endswith("validation_split=0")
    text = refusal(
        nn.DataError, write(tmp_path, "x,sold\n" + "1,90\n1,91\n2,91\n" * 2 + "3,92\n"), validation_split=0.5
    )
    assert text.endswith("validation_split=0, or task='regression' if the target is a quantity")
    assert load(path).X.shape == (4, 1)


@pytest.mark.parametrize("path", [5, None, "", ["iris.csv"]])
def test_a_path_is_a_path(path: Any) -> None:
    assert refusal(nn.ArgumentError, path).startswith(f"path {path!r}: expected a path")


def test_the_split_is_that_of_the_seed(tmp_path: Path) -> None:
    path = write(tmp_path, "x,y\n" + "".join(f"{i}.5,{i}\n" for i in range(60)))
    first, again, other = (load(path, validation_split=0.2, seed=seed, standardize=False) for seed in (1, 1, 2))
    assert first.validation is not None
    assert again.validation is not None
    assert other.validation is not None
    assert first.validation[1].tolist() == again.validation[1].tolist() != other.validation[1].tolist()
    assert sorted([*first.y, *first.validation[1]]) == list(range(60))
    assert len(first.validation[1]) == 12


# -- files of text -----------------------------------------------------------------------------------------------------------

WANTED = [[1.5, 2], [3, 4.5], [5, 6]]


@pytest.mark.parametrize(
    "text",
    [
        "a,b,y\n1.5,2,u\n3,4.5,v\n5,6,u\n",
        "a,b,y\r\n1.5,2,u\r\n3,4.5,v\r\n5,6,u\r\n",
        "\ufeffa,b,y\n1.5,2,u\n3,4.5,v\n5,6,u",
        "a;b;y\n1,5;2;u\n3;4,5;v\n5;6;u\n",
        "a;b;y\n1.5;2;u\n3;4.5;v\n5;6;u\n",
        "a\tb\ty\n1.5\t2\tu\n3\t4.5\tv\n5\t6\tu\n",
        "a|b|y\n1.5|2|u\n3|4.5|v\n5|6|u\n",
        '"a", "b", "y"\n"1.5", 2, "u"\n\n 3 ,4.5, v\n   \n5,6,"u"\n',
        "a,b,y,\n1.5,2,u,\n3,4.5,v,\n5,6,u,\n",
        "1.5,2,u\n3,4.5,v\n5,6,u\n",
        "0,1,2\n1.5,2,7\n3,4.5,8\n5,6,7\n",
        "2001,2002,y\n1.5,2,7\n3,4.5,8\n5,6,7\n",
        "a,b,y\n1.5,2,u\n3,4.5,v\n5,6,u\n".encode("utf-16"),
    ],
)
def test_every_kind_of_text_file(tmp_path: Path, text: str | bytes) -> None:
    table = load(write(tmp_path, text), standardize=False, task="classification")
    assert table.X.tolist() == WANTED
    assert table.y.tolist() == [0, 1, 0]


def test_latin_1_is_read_and_said(tmp_path: Path) -> None:
    table = load(write(tmp_path, "größe,y\n1,früh\n2,spät\n3,früh\n4,spät\n".encode("latin-1")))
    assert table.class_names == ("früh", "spät")
    assert table.input_names == ("größe",)
    assert any("Latin-1" in note for note in table.notes)


def test_the_header_can_be_said(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b,y\nc,d,z\nc,e,y\na,d,z\n")
    assert len(load(path).X) == 3
    table = load(path, header=False)
    assert (len(table.X), table.target) == (4, "column_3")
    assert any("header: none" in note for note in table.notes)
    path = write(tmp_path, "1,2,3\n4,5,6\n7,8,9\n4,5,6\n")
    assert load(path, header=True, task="regression").input_names == ("1", "2")


BAD_TEXT: list[tuple[str | bytes, str]] = [
    ("", "f.csv is empty"),
    ("\n \n", "f.csv is empty"),
    ("a,b,y\n", "f.csv has no rows below its line of names"),
    ("a,b,a\n1,2,3\n", "f.csv has two columns of the name 'a', 1 and 3: give each its own"),
    ("a,b,y\n1,2,u\n1,2\n", "f.csv, line 3: 2 values, but the first line has 3"),
    ("a,b,y\n1,2,u\n\n1,2,3,v\n", "f.csv, line 4: 4 values, but the first line has 3; quote a value that has a comma in it"),
    ('a,b,y\n1,2,u\n"1,2,v\n3,4,u\n', "f.csv, line 3 is no line of a table: a quotation mark is opened here and never closed"),
    ('a,b,y\n1,"2"x,u\n', "f.csv, line 2 is no line of a table"),
    (b"a,b\0,y\n1,2,3\n", "is no text"),
    (b"\xff\xfea,b", "is no text"),
    ("a,b,y\n1,," + "9" * 200_000 + "\n", "field larger than field limit"),
    ("a,b,y\nNA,1,u\nNA,2,v\n", "f.csv, column 'a' has no value at all: leave it out with drop=['a']"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "part"), BAD_TEXT, ids=[repr(row[0][:20]) for row in BAD_TEXT])
def test_bad_text(tmp_path: Path, text: str | bytes, part: str) -> None:
    assert part in refusal(nn.NNBackendError, write(tmp_path, text, "f.csv"))


def test_a_quoted_value_may_have_lines(tmp_path: Path) -> None:
    path = write(tmp_path, 'a,y\n"x\ny",u\n?,v\nb,u\n', "f.csv")
    assert "f.csv, line 4, column 'a'" in refusal(nn.DataError, path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "No such file" in refusal(nn.FileError, tmp_path / "missing.csv")
    assert "No such file" in refusal(nn.FileError, tmp_path / "missing.parquet")
    assert "No such file" in refusal(nn.FileError, tmp_path / "missing.npz")
    (tmp_path / "folder.csv").mkdir()
    assert "Is a directory" in refusal(nn.FileError, tmp_path / "folder.csv")
    assert "does not end as a table does" in refusal(nn.ArgumentError, tmp_path / "data.xlsx")


def test_a_row_number_that_pandas_writes_is_pointed_at(tmp_path: Path) -> None:
    path = write(tmp_path, ",x,y\n" + "".join(f"{i},{i}.5,{'ab'[i % 2]}\n" for i in range(9)))
    assert "column column_1 only counts the rows: leave it out with drop=['column_1']" in load(path).notes


# -- settings ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wishes", "part"),
    [
        ({"target": "spices"}, "target='spices': penguins.csv has no column of that name; did you mean 'species'?"),
        ({"target": 6}, "target=6: penguins.csv has 5 columns, numbered from 1; or -1 for the last"),
        ({"target": "0"}, "target=0: penguins.csv has 5 columns"),
        ({"target": True}, "target=True: penguins.csv has no column"),
        ({"target": 2.0}, "target=2.0: penguins.csv has no column"),
        ({"drop": ["ID"]}, "drop='ID': penguins.csv has no column of that name; did you mean 'id'?"),
        ({"drop": ["species"]}, "drop=['species']: that is the target"),
        ({"drop": "id"}, "drop 'id': expected a list of columns"),
        ({"drop": ["id"], "categorical": ["id"]}, "choose one"),
        ({"drop": [1, 2, 3, 4]}, "has no columns beside the target"),
        ({"task": "cluster"}, "task='cluster': Known: auto, classification, regression"),
        ({"impute": "maen"}, "impute='maen': did you mean 'mean'?"),
        ({"standardize": 1}, "standardize 1: expected True or False"),
        ({"header": 3}, "header 3: expected True or False"),
        ({"seed": -1}, "seed -1"),
        ({"validation_split": 1.0}, "validation_split 1.0: expected a number from 0"),
        ({"dtype": "float16"}, "dtype 'float16': expected float32 or float64"),
        ({"dtype": "nothing"}, "dtype 'nothing': expected float32 or float64"),
        ({"targets": "y.npy"}, "targets='y.npy' goes with a .npy file"),
        ({"seed": -1, "validation_split": 0.5}, "seed -1"),
    ],
)
def test_wrong_settings(penguins: Path, wishes: dict[str, Any], part: str) -> None:
    with pytest.raises((nn.ArgumentError, nn.DataError)) as caught:
        load(penguins, **wishes)
    assert part in str(caught.value)


def test_columns_by_number() -> None:
    names = ["a", "b", "3"]
    assert [find_column(names, one, option="o", source="s") for one in (1, "2", -1, "-3", "3")] == [
        "a",
        "b",
        "3",
        "a",
        "3",
    ]


# -- other files --------------------------------------------------------------------------------------------------------------


def test_parquet_is_the_csv(tmp_path: Path, penguins: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = list(csv.DictReader(PENGUINS.splitlines()))
    columns = {
        "id": pa.array([int(row["id"]) for row in rows], pa.int16()),
        "island": pa.array([row["island"] for row in rows]).dictionary_encode(),
        "mass": pa.array([float(row["mass"]) for row in rows], pa.float32()),
        "male": pa.array([row["male"] == "True" for row in rows]),
        "species": pa.array([row["species"] for row in rows], pa.large_string()),
    }
    path = tmp_path / "penguins.parquet"
    parquet.write_table(pa.table(columns), path, row_group_size=2)
    for wishes in ({"drop": ["id"]}, {"categorical": ["id"]}, {"target": "mass"}, {"impute": "mean"}):
        table, expected = load(path, **wishes), load(penguins, **wishes)
        np.testing.assert_array_equal(table.X, expected.X)
        np.testing.assert_array_equal(table.y, expected.y)
        assert table.input_names == expected.input_names
        assert apply(expected.preprocessing, path).tolist() == expected.X.tolist()


def test_parquet_with_holes_and_other_types(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "f.parquet"
    when = pa.array([0, 1, 2, 3], pa.timestamp("s"))
    parquet.write_table(pa.table({"x.y": [1, None, 3, 4], "when": when, "kind": ["a", "b", "a", "b"]}), path)
    assert "f.parquet, column 'when' holds values of timestamp[" in refusal(nn.DataError, path)
    assert "f.parquet, row 2, column 'x.y' has no value" in refusal(nn.DataError, path, drop=["when"])
    table = load(path, drop=["when"], impute="median", standardize=False)
    assert table.X.tolist() == [[1], [3], [3], [4]]
    parquet.write_table(pa.table({"x": pa.array([], pa.int8()), "y": pa.array([], pa.int8())}), path)
    assert "f.parquet has no rows" in refusal(nn.DataError, path)
    path.write_bytes(path.read_bytes()[:-20])
    assert "is damaged, or no Parquet file" in refusal(nn.FileError, path)
    assert "header=True is for .csv files" in refusal(nn.ArgumentError, path, header=True)


def test_parquet_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'nnbackend[data]'" in refusal(nn.StateError, write(tmp_path, b"", "f.parquet"))


def arrays(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    y = (X[:, 0] > 0).astype(np.int64)
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    np.savez(folder / "data.npz", X=X, y=y)
    return X, y


def test_files_of_numpy(tmp_path: Path) -> None:
    X, y = arrays(tmp_path)
    pair = load(tmp_path / "X.npy", targets=tmp_path / "y.npy", validation_split=0.2, seed=0)
    archive = load(tmp_path / "data.npz", validation_split=0.2, seed=0)
    np.testing.assert_array_equal(pair.X, archive.X)
    np.testing.assert_array_equal(pair.y, archive.y)
    assert (pair.class_names, pair.target, len(pair.X)) == (("0", "1"), "y", 32)
    expected = (X.astype(np.float64) - pair.preprocessing["mean"]) / pair.preprocessing["standard_deviation"]
    for rows in (tmp_path / "X.npy", tmp_path / "data.npz", X, X.tolist()):
        np.testing.assert_array_equal(apply(pair.preprocessing, rows), expected.astype(np.float32))
    found, labels = labelled_rows(pair.preprocessing, tmp_path / "X.npy", targets=tmp_path / "y.npy")
    assert (found.shape, labels.tolist()) == ((40, 3), y.tolist())


def test_a_mapped_array_is_handed_on_as_it_is(tmp_path: Path) -> None:
    X, _ = arrays(tmp_path)
    table = load(tmp_path / "X.npy", targets=tmp_path / "y.npy", standardize=False)
    assert isinstance(table.X, np.memmap)
    np.testing.assert_array_equal(table.X, X)


@pytest.mark.parametrize(
    ("X", "y", "part"),
    [
        (np.zeros(4), np.zeros(4), "expected two axes, (samples, features); for one feature a sample"),
        (np.zeros((4, 2, 2)), np.zeros(4), "for images, save X.reshape(len(X), -1)"),
        (np.zeros((0, 2)), np.zeros(0), "expected at least one sample"),
        (np.zeros((4, 2)), np.zeros(3), "y.npy has 3 targets for 4 samples"),
        (np.zeros((4, 2)), np.eye(4), "for one-hot rows, save y.argmax(axis=1)"),
        (np.array([[1, np.nan]] * 4), np.array([0, 1, 0, 1]), "column 'column_2' has no value at all"),
        (np.array([[1, np.nan], [1, 2]] * 2), np.array([0, 1, 0, 1]), "X.npy, row 1, column 'column_2' has no value"),
        (
            np.array([[1, 2], [1, np.inf]] * 2),
            np.array([0, 1, 0, 1]),
            "row 2, column 'column_2': inf is no finite number",
        ),
        (np.array([["a", "b"]] * 4), np.array([0, 1, 0, 1]), "expected numbers"),
    ],
)
def test_arrays_that_are_no_table(tmp_path: Path, X: np.ndarray, y: np.ndarray, part: str) -> None:
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    assert part in refusal(nn.NNBackendError, tmp_path / "X.npy", targets=tmp_path / "y.npy")


def test_arrays_that_do_not_go_together(tmp_path: Path) -> None:
    X, y = arrays(tmp_path)
    assert "holds inputs alone" in refusal(nn.ArgumentError, tmp_path / "X.npy")
    assert "holds its targets" in refusal(nn.ArgumentError, tmp_path / "data.npz", targets=tmp_path / "y.npy")
    np.savez(tmp_path / "data.npz", inputs=X, y=y)
    assert "holds inputs, y: expected X and y" in refusal(nn.FileError, tmp_path / "data.npz")
    np.savez(tmp_path / "data.npz", X=X)
    assert "no targets" in refusal(nn.NNBackendError, tmp_path / "data.npz")
    write(tmp_path, b"words", "X.npy")
    assert "is damaged" in refusal(nn.FileError, tmp_path / "X.npy", targets=tmp_path / "y.npy")


# -- large tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["csv", "npy", "parquet"])
def test_a_table_larger_than_memory_gives_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """Put into temporary files, read in blocks of a few rows, and gone when nobody holds it any more."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 2))
    header, rows = (
        "a,colour,b,y\n",
        [f"{a},{'rgb'[i % 3]},{'' if i % 50 == 7 else b},{'uv'[i % 2]}\n" for i, (a, b) in enumerate(values)],
    )
    wishes: dict[str, Any] = {"impute": "median", "validation_split": 0.3, "seed": 4}
    path = write(tmp_path, header + "".join(rows), "f.csv")
    if source == "npy":
        path, wishes["targets"] = tmp_path / "X.npy", tmp_path / "y.npy"
        np.save(path, values.astype(np.float32))
        np.save(wishes["targets"], np.arange(300) % 2)
    if source == "parquet":
        pyarrow_csv = pytest.importorskip("pyarrow.csv")
        pytest.importorskip("pyarrow.parquet").write_table(pyarrow_csv.read_csv(path), path.with_suffix(".parquet"))
        path = path.with_suffix(".parquet")
    expected = load(path, **wishes)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(spool, "IN_MEMORY", 1000)
    monkeypatch.setattr("nnbackend.datasets.tables.csv_files.AT_A_TIME", 37)
    table = load(path, **wishes)
    assert isinstance(table.X, np.memmap)
    assert list((tmp_path / "temporary").iterdir())
    np.testing.assert_array_equal(table.X, expected.X)
    np.testing.assert_array_equal(table.validation[0], expected.validation[0])  # type: ignore[index]
    for name in ("fill", "mean", "standard_deviation"):
        np.testing.assert_array_equal(table.preprocessing[name], expected.preprocessing[name])
    del table
    gc.collect()
    assert not list((tmp_path / "temporary").iterdir())


def test_a_temporary_file_that_cannot_be_written(penguins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool, "IN_MEMORY", 10)
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    assert "(No space left on device): let TMPDIR name a folder" in refusal(nn.FileError, penguins)


def test_a_model_learns_from_a_table_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(500, 4))
    path = write(
        tmp_path,
        "a,b,c,d,y\n" + "".join(f"{a},{b},{c},{d},{'no' if a + b > 0 else 'yes'}\n" for a, b, c, d in X.tolist()),
    )

    def learned() -> tuple[nn.datasets.Table, dict[str, np.ndarray]]:
        table = load(path)
        model = nn.Model(
            [nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 2), nn.Softmax()],
            loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01), seed=0,
        )  # fmt: skip
        model.train(table.X, table.y, epochs=3, batch_size=50, print_every=0)
        return table, model.parameters()

    _, expected = learned()
    monkeypatch.setattr(spool, "IN_MEMORY", 1000)
    table, found = learned()
    assert isinstance(table.X, np.memmap)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


# -- new rows ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def table(penguins: Path) -> nn.datasets.Table:
    return load(penguins, drop=["id"])


def test_new_rows_in_every_form(tmp_path: Path, table: nn.datasets.Table) -> None:
    rows = list(csv.DictReader(PENGUINS.splitlines()))
    columns = {name: [row[name] for row in rows] for name in ("male", "mass", "island")}
    features = [[row["island"], row["mass"], row["male"]] for row in rows]
    text = "male;ignored;mass;island\n" + "".join(f"{r['male']};?;{r['mass']};{r['island']}\n" for r in rows)
    given: list[Any] = [rows, columns, features, np.array(features, object), write(tmp_path, text, "new.csv")]
    given.append({**columns, "mass": np.array(columns["mass"], float), "male": [m == "True" for m in columns["male"]]})
    for one in given:
        np.testing.assert_array_equal(apply(table.preprocessing, one), table.X)
    assert apply(table.preprocessing, rows, dtype="float64").dtype == np.float64


def test_a_data_frame(table: nn.datasets.Table) -> None:
    class Frame:
        """What is used of a data frame."""

        columns = ("mass", "male", "island")

        def __getitem__(self, name: str) -> list[Any]:
            return {"mass": [3750.0], "male": [True], "island": ["Biscoe"]}[name]

    np.testing.assert_array_equal(apply(table.preprocessing, Frame()), table.X[:1])


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ([{"island": "Mars", "mass": 1, "male": True}], "row 1, column 'island': 'Mars' is a category that the model does not"),
        ([{"island": "Dream", "mass": "a lot", "male": True}], "row 1, column 'mass': 'a lot' is no number"),
        ([{"island": "Dream", "mass": None, "male": True}], "row 1, column 'mass' has no value: the model was trained without"),
        ([{"island": "Dream", "mass": math.inf, "male": True}], "row 1, column 'mass': inf is no finite number"),
        ([{"island": "Dream", "mass": [1], "male": True}], "a value of [1] in a table"),
        ([{"mas": 1}], "the rows: no columns island, mass, male"),
        ([{"island": "Dream", "male": True}], "no column mass, which the model needs: it has island, male"),
        ({"island": "Dream", "mass": [1], "male": [True]}, "column 'island' holds 'Dream': expected a list"),
        ({"island": ["Dream"], "mass": [1, 2], "male": [True]}, "expected equally many in each"),
        ({"island": [], "mass": [], "male": []}, "the rows are none"),
        ([[1, 2]], "rows of shape (1, 2): expected two axes, (rows, 3)"),
        ([], "rows of shape (0,)"),
        (None, "rows of shape ()"),
        ([[1], [1, 2]], "is no array of rows"),
    ],
)  # fmt: skip
def test_new_rows_that_do_not_fit(table: nn.datasets.Table, rows: Any, part: str) -> None:
    with pytest.raises(nn.DataError) as caught:
        apply(table.preprocessing, rows)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_columns_without_names_are_found_by_their_places(tmp_path: Path) -> None:
    path = write(tmp_path, "u,1.5,2\nv,3,4.5\nu,5,6\nv,1,2\n")
    table = load(path, target=1)
    assert table.preprocessing["table"]["header"] is False
    for text in ("1.5,2\n", "u,1.5,2\n", "a,b\n1.5,2\n"):
        np.testing.assert_array_equal(apply(table.preprocessing, write(tmp_path, text, "new.csv")), table.X[:1])
    with pytest.raises(
        nn.DataError, match=r"has 4 columns and has no line of names: expected the model's 2 features, or 3"
    ):
        apply(table.preprocessing, write(tmp_path, "1,2,3,4\n", "new.csv"))
    with pytest.raises(nn.DataError, match="by place only"):
        apply(table.preprocessing, [{"column_2": 1}])
    named = load(write(tmp_path, "y,a,b\nu,1.5,2\nv,3,4.5\nu,5,6\nv,1,2\n", "named.csv"), target="y")
    np.testing.assert_array_equal(apply(named.preprocessing, write(tmp_path, "1.5,2\n", "new.csv")), named.X[:1])


def test_a_first_line_with_a_known_name_has_names(tmp_path: Path) -> None:
    table = load(write(tmp_path, "2001,2002,y\n1,2,u\n3,4,v\n1,2,u\n3,4,v\n"), header=True)
    np.testing.assert_array_equal(
        apply(table.preprocessing, write(tmp_path, "2002,2001\n2,1\n", "new.csv")), table.X[:1]
    )


def test_evaluation_needs_the_target(tmp_path: Path, table: nn.datasets.Table) -> None:
    done = table.preprocessing
    new = write(tmp_path, "species,mass,island,male\nGentoo,3750,Biscoe,True\n", "new.csv")
    X, y = labelled_rows(done, new)
    assert (X.tolist(), y.tolist()) == (table.X[:1].tolist(), [1])
    for text, part in (
        ("mass,island,male\n3750,Biscoe,True\n", "new.csv has no column 'species', the model's target"),
        (
            "species,mass,island,male\nKing,1,Biscoe,True\n",
            "the target, is 'King', a class that the model does not know",
        ),
        ("species,mass,island,male\n?,1,Biscoe,True\n", "line 2, column 'species', the target, has no value"),
    ):
        with pytest.raises(nn.DataError) as caught:
            labelled_rows(done, write(tmp_path, text, "new.csv"))
        assert part in str(caught.value)


# -- preprocessing in files -------------------------------------------------------------------------------------------------


def test_preprocessing_is_saved_with_a_model(tmp_path: Path, table: nn.datasets.Table) -> None:
    model = nn.Model([nn.Dense(6, 2), nn.Softmax()], loss=nn.CategoricalCrossentropy(), seed=0)
    model.preprocessing, model.class_names = table.preprocessing, list(table.class_names or ())
    model.save(tmp_path / "model")
    loaded = nn.Model.load(tmp_path / "model").preprocessing
    assert has_table(loaded)
    np.testing.assert_array_equal(apply(loaded, tmp_path / "penguins.csv"), table.X)


DAMAGES: list[tuple[str, Any]] = [
    ("table", 3), ("fill", None), ("fill", np.zeros(7)), ("mean", np.full(6, np.nan)), ("mean", [0] * 6),
    ("standard_deviation", np.zeros(6)), ("standard_deviation", np.ones((6, 1))), ("fill", np.array([3.0, 0, 0])),
    ("fill", np.array([0.5, 0, 0])), ("table.version", 0), ("table.version", "1"), ("table.features", []),
    ("table.features", [3]), ("table.features", None), ("table.columns", -1), ("table.columns", 1), ("table.columns", True),
    ("table.header", 1), ("table.impute", "mode"), ("table.standardize", None), ("table.target", 3),
    ("table.target.position", 99), ("table.target.name", None), ("table.target.classes", []),
    ("table.target.classes", ["a", "a"]), ("table.target.classes", "ab"), ("table.features.0.name", 1),
    ("table.features.0.name", "mass"), ("table.features.0.position", "0"), ("table.features.0.categories", [1]),
    ("table.features.0.categories", ["Biscoe"]), ("table.features.0.as_words", None),
]  # fmt: skip


@pytest.mark.parametrize(("where", "value"), DAMAGES, ids=[f"{where}={value!r:.20}" for where, value in DAMAGES])
def test_what_a_file_says_is_not_believed(table: nn.datasets.Table, where: str, value: Any) -> None:
    import copy

    done = copy.deepcopy(table.preprocessing)
    from_document(done)
    inner: Any = done
    *path, last = where.split(".")
    for step in path:
        inner = inner[int(step) if step.isdigit() else step]
    inner[int(last) if last.isdigit() else last] = value
    with pytest.raises(nn.DataError, match="its preprocessing is damaged: ") as caught:
        apply(done, [{"island": "Dream", "mass": 1, "male": True}])
    assert "\n" not in str(caught.value)


def test_other_preprocessing() -> None:
    for other in ({}, None, {"image_shape": [8, 8]}, 3):
        with pytest.raises(nn.DataError, match="was not trained on one"):
            apply(other, [[1]])  # type: ignore[arg-type]
    with pytest.raises(nn.DataError, match="install a newer nnbackend"):
        apply({"table": {"version": 2}}, [[1]])


# -- random tables ------------------------------------------------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=8)
numbers = st.floats(-1e6, 1e6).map(repr)
cells = st.one_of(numbers, words, st.sampled_from(["", "NA", "0", "1", "yes", "no", "inf", "1e999", "1_0", '"', ","]))
names = st.lists(words, min_size=1, max_size=5)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=names, rows=st.lists(st.lists(cells, min_size=1, max_size=5), max_size=12), data=st.data())
def test_any_table_is_read_or_refused_in_a_sentence(
    tmp_path: Path, head: list[str], rows: Any, data: st.DataObject
) -> None:
    path = tmp_path / "any.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=data.draw(st.sampled_from(",;\t|")))
        writer.writerow(head)
        writer.writerows([(row * 5)[: len(head)] for row in rows])
    wishes = data.draw(
        st.fixed_dictionaries(
            {
                "impute": st.sampled_from([None, "mean", "median", "most-frequent"]),
                "standardize": st.booleans(),
                "validation_split": st.sampled_from([0.0, 0.3]),
                "task": st.sampled_from(["auto", "classification", "regression"]),
                "header": st.sampled_from([None, True, False]),
                "seed": st.just(0),
            }
        )
    )
    try:
        table = load(path, **wishes)
    except nn.NNBackendError as error:
        refused = str(error)
    else:
        refused = ""
    assert "\n" not in refused
    if refused:
        return
    assert np.isfinite(table.X).all()
    assert table.X.shape == (len(table.y), len(table.input_names))
    if not wishes["validation_split"]:
        np.testing.assert_array_equal(apply(table.preprocessing, path, header=wishes["header"]), table.X)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(
            st.floats(-1e6, 1e6),
            st.one_of(st.none(), st.floats(-1e6, 1e6)),
            st.sampled_from(["red", "green", "a, b", 'the "best"', "größer", "1e"]),
        ),
        min_size=4,
        max_size=30,
    )
)
def test_random_tables_come_back(tmp_path: Path, rows: list[tuple[float, float | None, str]]) -> None:
    """Numbers to the bit, categories by name, holes where they were."""
    path = tmp_path / "any.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [("a", "b", "c", "y"), *((a, b, c, "uv"[i % 2]) for i, (a, b, c) in enumerate(rows))]
        )
    second = [b for _, b, _ in rows]
    if second.count(None) == len(second):
        assert "has no value at all" in refusal(nn.DataError, path, impute="median")
        return
    table = load(path, impute="median", standardize=False, dtype="float64")
    place = {name: i for i, name in enumerate(table.input_names)}
    median = float(np.median([b for b in second if b is not None]))
    for X, (a, b, c) in zip(table.X, rows, strict=True):
        assert X[place["a"]] == a
        assert X[place["b"]] == (median if b is None else b)
        assert [name for name, i in place.items() if name.startswith("c=") and X[i]] == [f"c={c}"]
