"""Figures as tables, with heads that are heads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..history import History
from ..parameters import layer_names
from .markup import Child, Markup, element, join
from .run import Run

# More classes or epochs than this are summarized.
MOST_CLASSES = 20
MOST_EPOCHS = 12
MOST_CONFUSIONS = 10

NAMES = {
    "epoch": "epoch",
    "loss": "loss",
    "data_loss": "data loss",
    "regularization_loss": "penalty",
    "accuracy": "accuracy",
    "learning_rate": "learning rate",
    "validation_loss": "validation loss",
    "validation_accuracy": "validation accuracy",
}


def number(value: Any) -> str:
    """A figure in few digits; what is none as it is.

    >>> number(0.123456), number(1234567), number(3e-7), number("spiral")
    ('0.1235', '1,234,567', '3e-07', 'spiral')
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return str(value)
    return f"{value:,}" if isinstance(value, (int, np.integer)) else f"{value:.4g}"


def share(value: float) -> str:
    """A part of a whole."""
    return f"{value:.1%}"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Child]], words: Sequence[str] = ()) -> Markup:
    """A table whose first column names its rows; the columns of that head that hold words stand left."""
    kinds = [None if name in words else "number" for name in head[1:]]
    columns = [element("th", name, scope="col", class_=kind) for name, kind in zip(head, [None, *kinds], strict=True)]
    body = []
    for first, *others in rows:
        cells = [element("td", value, class_=kind) for value, kind in zip(others, kinds, strict=True)]
        body.append(element("tr", element("th", first, scope="row"), cells))
    inside = [element("caption", caption), element("thead", element("tr", columns)), element("tbody", body)]
    return element("div", element("table", inside), class_="scroll", tabindex=0, role="region", aria_label=caption)


def properties(caption: str, values: Mapping[str, Any]) -> Markup:
    """Names and values."""
    rows = [[element("th", name, scope="row"), element("td", number(value))] for name, value in values.items()]
    body = element("tbody", [element("tr", row) for row in rows])
    return element("table", element("caption", caption), body, class_="properties")


def epochs(history: History, *, accuracy: bool = True) -> Markup:
    """The first epochs, the last, and some between, evenly spread."""
    count = len(history)
    chosen = sorted({round(place) for place in np.linspace(0, count - 1, min(count, MOST_EPOCHS))})
    columns = [name for name in history if name in NAMES and any(history[name])]
    columns = [name for name in columns if accuracy or not name.endswith("accuracy")]
    if "regularization_loss" not in columns and "data_loss" in columns:
        columns.remove("data_loss")  # without penalties it is the loss
    caption = "Epoch by epoch" if len(chosen) == count else f"{len(chosen)} of {count:,} epochs"
    rows = [[_measured(name, history[name][place]) for name in columns] for place in chosen]
    return table(caption, [NAMES[name] for name in columns], rows)


def _measured(name: str, value: Any) -> str:
    return share(value) if name.endswith("accuracy") else number(value)


def layers(run: Run) -> Markup:
    """Each layer, its parameters and its penalties."""
    rows = []
    for name, layer in zip(layer_names(run.model.layers), run.model.layers, strict=True):
        penalties = sorted({repr(parameter.regularizer) for parameter in layer.regularized()})
        size = sum(parameter.size for parameter in layer.parameters.values())
        rows.append([name, element("code", repr(layer)), number(size), " and ".join(penalties) or "none"])
    return table("Layers", ["layer", "type", "parameters", "penalty"], rows, words=("type", "penalty"))


def classes(run: Run, counts: np.ndarray) -> Markup:
    """How well each class is recognized; of many classes, those that are recognized worst."""
    samples, named = counts.sum(axis=1), counts.sum(axis=0)
    right = np.diag(counts)
    recall = right / np.maximum(samples, 1)
    present = np.flatnonzero(samples)
    chosen, caption = present, "Class by class"
    if len(counts) > MOST_CLASSES:
        chosen = present[np.argsort(recall[present], kind="stable")][:MOST_CLASSES]
        caption = f"The {len(chosen)} of {len(counts)} classes that are recognized worst"
    rows = []
    for k in chosen:
        others = counts[k].copy()
        others[k] = 0
        mistaken = f"{run.class_name(int(others.argmax()))} ({others.max():,})" if others.any() else "nothing else"
        precision = share(right[k] / named[k]) if named[k] else "never answered"
        rows.append([run.class_name(int(k)), number(samples[k]), share(recall[k]), precision, mistaken])
    head = ["class", "samples", "recall", "precision", "most often taken for"]
    meaning = "Recall: how many of a class are recognized. Precision: how many of the answers that name it are right."
    return join(table(caption, head, rows, words=head[-1:]), element("p", meaning, class_="quiet"))


def confusions(run: Run, counts: np.ndarray) -> Markup | None:
    """The most frequent mistakes, where there are too many classes to read a matrix."""
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSIONS]
    places = [np.unravel_index(place, wrong.shape) for place in order if wrong.flat[place]]
    if not places:
        return None
    rows = [[run.class_name(int(i)), run.class_name(int(j)), number(wrong[i, j])] for i, j in places]
    return table("The most frequent mistakes", ["true class", "taken for", "samples"], rows, words=("taken for",))
