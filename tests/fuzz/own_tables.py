"""Tables of the user's own, and the preprocessing that a model file keeps of them."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import nnbackend as nn
from tests.fuzz import mutate

ROWS = [{"width": 1.5, "colour": "red", "kind": "a"}, {"width": None, "colour": "blue", "kind": "b"}]


def csv_seeds() -> tuple[bytes, ...]:
    """Numbers, words, holes, and other delimiters."""
    return (
        b"width,colour,kind\n1.5,red,a\n2.5,blue,b\n3,red,a\n,blue,b\n",
        b"a;b;y\n1,5;2;0\n2,5;3;1\n1,5;4;0\n",
        b'1,"x, y",0.5\r\n2,z,1.25\r\n3,z,7\r\n',
        b"a\tb\n1\t2\n3\t4\n5\t6\n",
    )


@functools.cache
def parquet_seeds() -> tuple[bytes, ...]:
    """One row group, several, packed and not. Where pyarrow is missing, bytes that ask for it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        return (b"PAR1",)
    columns = {"width": [1.5, None, 3.0] * 4, "colour": ["red", "blue", "red"] * 4, "kind": ["a", "b", "a"] * 4}
    files = []
    for wishes in ({"compression": "none"}, {"compression": "snappy", "row_group_size": 5}, {"use_dictionary": False}):
        pyarrow.parquet.write_table(pyarrow.table(columns), file := io.BytesIO(), **wishes)
        files.append(file.getvalue())
    return tuple(files)


@functools.cache
def preprocessing_seeds() -> tuple[bytes, ...]:
    """What a model of a small table keeps, arrays as lists."""
    arrays = {"fill": [2.0, 0.0], "mean": [2.0, 0.0, 0.0], "standard_deviation": [0.5, 1.0, 1.0]}
    features = [
        {"name": "width", "position": 0, "categories": None, "as_words": False},
        {"name": "colour", "position": 1, "categories": ["blue", "red"], "as_words": False},
    ]
    table = {
        "version": 1, "features": features, "target": {"name": "kind", "position": 2, "classes": ["a", "b"]},
        "header": True, "columns": 3, "impute": "median", "standardize": True,
    }  # fmt: skip
    return (json.dumps({"table": table, **arrays}).encode(),)


def edited_preprocessing(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """Another JSON document."""
    return mutate.edited_json(rng, json.loads(raw)).encode("utf-8", errors="replace")


def read_own_table(path: Path) -> None:
    """What train does with a table, and then predict with the same one."""
    table = nn.datasets.load_table(path, impute="median", validation_split=0.25, seed=0)
    assert np.isfinite(table.X).all()
    nn.datasets.apply_preprocessing(table.preprocessing, path)


def read_own_array(path: Path) -> None:
    """A .npy file as the inputs of fitting targets."""
    try:
        rows = len(np.load(path, mmap_mode="r"))
    except Exception:  # whatever NumPy says: what nnbackend says is under test
        rows = 3
    if rows < 10_000:
        np.save(path.with_name("y.npy"), np.arange(rows) % 2)
    nn.datasets.load_table(path, targets=path.with_name("y.npy"))


def read_preprocessing(path: Path) -> None:
    """What predict does with a model file."""
    try:
        document: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    if isinstance(document, dict):
        for name in ("fill", "mean", "standard_deviation"):
            document[name] = _array(document.get(name))
    nn.datasets.apply_preprocessing(document, ROWS)


def _array(value: Any) -> Any:
    """A list of numbers as the array that a file would hold."""
    try:
        return np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        return value
