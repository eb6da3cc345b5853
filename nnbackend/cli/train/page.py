"""`nnbackend train --report`: the run as a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..result import Result

# Options about lines and files, which say nothing of the run, and those that the page says in other words.
_LEFT_OUT = {"quiet", "json", "print_every", "seed", "optimizer", "task", "resume", "profile", "command_line"}


def write_page(path: Path, result: Result, options: Mapping[str, Any], command: str | None) -> None:
    """Write the report of a run; `options` are those of the command, by name."""
    from ...report import write_report

    task, model = result.task, result.model
    X, y = task.training
    if task.target_scaling is not None:  # the model answers in the target's own unit by now
        y = y * task.target_scaling.standard_deviation + task.target_scaling.mean
    write_report(
        path,
        model,
        X,
        y,
        validation_data=None if task.fresh_name == "training" else task.fresh,
        validation_name=task.fresh_name,
        title=f"{task.name}: {task.kind}",
        class_names=task.class_names,
        settings=_settings(options) | ({"about the data": "; ".join(task.notes)} if task.notes else {}),
        command=command,
    )


def _settings(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("_", " "): _shown(value) for name, value in options.items() if _matters(name, value)}


def _matters(name: str, value: Any) -> bool:
    """Whether an option was given or settled, and is about the run."""
    return name not in _LEFT_OUT and value not in (None, False, [], 0.0) and not isinstance(value, Path)


def _shown(value: Any) -> Any:
    if value is True:
        return "yes"
    return ", ".join(map(str, value)) if isinstance(value, list) else value
