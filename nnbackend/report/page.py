"""The page around the sections, and its file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from os import PathLike
from os.path import splitext
from typing import Any

from .. import __version__
from ..checks import path as checked_path
from ..errors import ArgumentError, DataError, shown
from ..files import write_file
from ..model import Model
from ..plots import check_file
from .markup import Markup, element
from .run import Data, Run
from .sections import SECTIONS, summary


def write_report(
    path: str | PathLike[str],
    model: Model,
    X: Any,
    y: Any,
    *,
    validation_data: Data | None = None,
    validation_name: str = "validation",
    title: str = "Training run",
    class_names: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> None:
    """Write what a training run was and came to as one HTML page, which needs no network (extra `plot`).

    X and y are what the model was trained on, in the form that its `train` takes; with `validation_data=(X, y)` the
    confusion matrix and the figures are of those. `settings` are shown beside what the model says of itself, `command` is
    the line that would run it again. Equal runs give equal pages.

    Raises `ArgumentError` for a name that does not end in .html, `DataError` for data that do not fit, `StateError` without
    matplotlib, and `FileError` when it cannot be written.

    >>> import nnbackend as nn
    >>> from nnbackend.report import write_report
    >>> X, y = nn.datasets.spiral(samples=10, classes=3, seed=0)
    >>> model = nn.Model(
    ...     [nn.Dense(2, 8), nn.ReLU(), nn.Dense(8, 3), nn.Softmax()],
    ...     loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.02), seed=0)
    >>> history = model.train(X, y, epochs=5, print_every=0)
    >>> write_report("spiral.html", model, X, y, title="Three arms")
    """
    target = checked_path("path", path)
    if splitext(target)[1].lower() not in (".html", ".htm"):
        raise ArgumentError(
            f"report {shown(target)}: a report is written as .html only: name it {splitext(target)[0]}.html"
        )
    check_file("picture.svg")  # raises without matplotlib
    if not isinstance(model, Model):
        raise ArgumentError(f"model {shown(model)}: expected an nn.Model")
    if validation_data is not None and not (isinstance(validation_data, (tuple, list)) and len(validation_data) == 2):
        raise DataError("validation_data: expected a pair (X, y)")
    validation = None if validation_data is None else (validation_data[0], validation_data[1])
    run = Run(
        model, (X, y), validation, validation_name, str(title), class_names=class_names, settings=settings or {},
        command=command,
    )  # fmt: skip
    write_file(target, page(run).encode())


def page(run: Run) -> str:
    """The page as text."""
    style = stylesheet()
    head = [
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy(style)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="generator", content=f"nnbackend {__version__}"),
        element("title", f"{run.title}: nnbackend report"),
        element("link", rel="icon", href="data:,"),  # else a browser asks the server for one
        element("style", Markup(style)),
    ]
    sections = []
    for name, contents in ((name, build(run)) for name, build in SECTIONS.items()):
        if contents:
            sections.append(element("section", element("h2", name), contents))
    top = element("header", element("p", "nnbackend report", class_="kind"), element("h1", run.title), summary(run))
    end = f"Made by nnbackend {__version__}. This page holds all that it shows, and loads nothing from elsewhere."
    body = element("body", top, element("main", sections), element("footer", element("p", end)))
    return f"<!DOCTYPE html>\n{element('html', element('head', head), body, lang='en')}\n"


def policy(style: str) -> str:
    """What the browser may do with the page: show its own style and pictures, and nothing else; no script at all."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


@cache
def stylesheet() -> str:
    """How it looks."""
    return resources.files(__package__).joinpath("report.css").read_text(encoding="utf-8")
