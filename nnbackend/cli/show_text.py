"""The parts of what `nnbackend show` prints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..datasets.tables import from_document, has_table, listed
from ..errors import DataError
from ..storage import Contents
from ..storage.models import section

Arrays = Mapping[str, np.ndarray]


def architecture(model: Mapping[str, Any], arrays: Arrays) -> list[str]:
    """Layers with the number of their parameters, then what is behind them."""
    rows, seen = [("layer", "parameters", "type")], dict[str, int]()
    for entry in model["layers"]:
        kind = entry["class"].lower()
        seen[kind] = seen.get(kind, 0) + 1
        name = f"{kind}_{seen[kind]}"
        size = sum(a.size for key, a in arrays.items() if key.startswith(f"parameters/{name}."))
        rows.append((name, f"{size:,}", part({**entry, "arguments": _without_initializers(entry)})))
    parts = [f"{place}: {part(model[place])}" for place in ("loss", "optimizer", "accuracy") if model[place]]
    return [*table(rows), *parts]


def part(entry: Any) -> str:
    """A layer, loss or regularizer as one would write it. Arguments that are None are left out."""
    if isinstance(entry, list):
        return f"[{', '.join(map(part, entry))}]"
    if not isinstance(entry, dict):
        return f"{entry:g}" if isinstance(entry, float) else repr(entry)
    given = [f"{name}={part(value)}" for name, value in entry["arguments"].items() if value is not None]
    return f"{entry['class']}({', '.join(given)})"


def _without_initializers(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that still matter once a layer has its values, sizes first."""
    given = {name: value for name, value in entry["arguments"].items() if not name.endswith("_initializer")}
    return dict(sorted(given.items(), key=lambda item: not item[0].startswith("n_")))


def parameter_lines(arrays: Arrays) -> list[str]:
    """Every parameter: its shape, and between which values it lies."""
    total = 0
    rows: list[tuple[str, ...]] = [("parameter", "shape", "smallest", "largest", "mean size")]
    for name, array in sorted(arrays.items()):
        if not name.startswith("parameters/"):
            continue
        total += array.size
        values = (array.min(), array.max(), np.abs(array).mean()) if array.size else (0, 0, 0)
        shape = " × ".join(map(str, array.shape)) or "1"
        rows.append((name.removeprefix("parameters/"), shape, *(f"{value:.4g}" for value in values)))
    return [*table(rows), f"{total:,} parameters"]


def record_lines(model: Mapping[str, Any], contents: Contents) -> list[str]:
    """How it was trained, as far as the file says it."""
    text = [f"trained for {model['epoch']:,} epochs, seed {model['seed']}"]
    if model["optimizer"] is not None:
        steps, rate = model["optimizer"]["iterations"], model["optimizer"]["current_learning_rate"]
        text[0] += f", {steps:,} steps, last learning rate {rate:g}"
    arrays = section(contents.arrays, "preprocessing")
    preprocessing, of_table = model["preprocessing"], list[str]()
    if has_table(preprocessing):
        of_table = ["", *table_lines({**preprocessing, **arrays})]
        preprocessing, arrays = {name: value for name, value in preprocessing.items() if name != "table"}, {}
    for name, value in {**model["training_record"], **preprocessing}.items():
        if value is not None:
            text.append(f"  {name}: {_plain(value)}")
    text += [f"  preprocessing/{name}: array of {array.shape}" for name, array in arrays.items()]
    text += of_table
    if "run" in contents.document:
        text.append("a checkpoint: training can go on from here with --checkpoint FOLDER --resume")
    return text


def table_lines(preprocessing: Mapping[str, Any]) -> list[str]:
    """The columns of the table that a model learned from, and what is done to them."""
    try:
        done = from_document(preprocessing)
    except DataError as error:
        return [str(error)]
    rows, at = [("column", "holds", "missing", "mean", "deviation")], 0
    for feature, fill in zip(done.features, done.fill, strict=True):
        words = feature.categories
        filled = "refused" if done.impute is None else f"{fill:.4g}" if words is None else words[int(fill)]
        scale = (f"{done.mean[at]:.4g}", f"{done.standard_deviation[at]:.4g}")
        scale = scale if done.standardize and words is None else ("", "")
        rows.append((feature.name, "numbers" if words is None else listed(words), filled, *scale))
        at += feature.width
    text = table(rows)
    if done.target is not None:
        classes = done.target.classes
        text.append(f"target: {done.target.name}, {'numbers' if classes is None else listed(classes)}")
    return text


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(entry)}" for name, entry in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def printable_json(document: Any) -> str:
    """JSON with letters of all languages as they are, and with escapes for what a terminal would act on."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns below each other, with a line under the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    text = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [text[0], "  ".join("-" * width for width in widths), *text[1:]]
