"""`nnbackend show`: what is in a model file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import printable
from ..storage import Contents, read_contents
from .options import AsJson, ModelFile
from .show_text import architecture, parameter_lines, printable_json, record_lines


@dataclass
class Show:
    """Print what is in a model file: architecture, parameters, and how it was trained.

    Nothing is built or run, so that layers of your own are shown too.
    """

    model: ModelFile
    json: AsJson = False

    def __call__(self) -> int:
        """Do it."""
        contents = read_contents(self.model)
        if self.json:
            print(printable_json(document(contents)))
        else:
            print(*map(printable, lines(contents)), sep="\n")
        return 0


def document(contents: Contents) -> dict[str, Any]:
    """For programs: what the file says, and the shape and dtype of each array."""
    arrays = {name: {"shape": list(a.shape), "dtype": a.dtype.name} for name, a in contents.arrays.items()}
    return {**contents.document, "arrays": arrays}


def lines(contents: Contents) -> list[str]:
    """For people."""
    said = contents.document
    model: Mapping[str, Any] | None = said.get("model")
    head = f"format version {said['version']}, {said['dtype']}"
    if model is None:
        return [f"parameters alone, {head}", *parameter_lines(contents.arrays)]
    text = [f"model, {head}", "", *architecture(model, contents.arrays), "", *parameter_lines(contents.arrays)]
    if names := model["class_names"]:
        text += ["", f"classes: {', '.join(names)}"]
    return [*text, "", *record_lines(model, contents)]
