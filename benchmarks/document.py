"""The JSON file: on which machine, and each workload and each table with the commit and the hour that it is from."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .measure import Result
from .targets import outcomes

FORMAT = 2

# Tables beside the workloads.
PARTS = ("startup", "kernels", "scaling")


class DocumentError(Exception):
    """A file that cannot be read or renewed, in one sentence."""


class Document:
    """What was measured so far; `save` may be called at any time."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.machine: dict[str, Any] = fields["machine"]
        self.backend: str = fields["backend"]
        self.results = {entry["workload"]: Result(**entry) for entry in fields.get("results", [])}
        self.parts: dict[str, dict[str, Any]] = {name: fields[name] for name in PARTS if name in fields}

    @classmethod
    def load(cls, path: Path) -> Document:
        """From a file."""
        try:
            fields = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise DocumentError(f"{path} cannot be read: {error}") from None
        if not isinstance(fields, dict) or fields.get("format") != FORMAT:
            raise DocumentError(f"{path} is not a result of `python -m benchmarks --json` in format {FORMAT}")
        try:
            return cls(fields)
        except (KeyError, TypeError) as error:
            raise DocumentError(f"{path} is damaged: {error}") from None

    @property
    def on_gpu(self) -> bool:
        """Whether it is about a GPU."""
        return self.backend != "cpu"

    def renew_on(self, machine: dict[str, Any], backend: str) -> None:
        """Raise `DocumentError` where what is measured now may not stand beside what is there."""
        for name in ("processor", "cores", "gpu"):
            if self.machine.get(name) != machine.get(name):
                raise DocumentError(
                    f"the file is from another machine ({name}: {self.machine.get(name)}, here {machine.get(name)}): "
                    "write a new one with --json"
                )
        if self.backend != backend:
            raise DocumentError(
                f"the file is about --backend {self.backend}, not {backend}: write a new one with --json"
            )

    def put(self, result: Result) -> None:
        """A workload, in place of its earlier result."""
        self.results[result.workload] = result

    def put_part(self, name: str, rows: Any, measured: dict[str, Any]) -> None:
        """A table beside the workloads."""
        self.parts[name] = {"measured": measured, "rows": rows}

    @property
    def wrong(self) -> list[str]:
        """Who did not learn the same, in which workload."""
        return [f"{result.workload}, {line}" for result in self.results.values() for line in result.wrong]

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        figures = [
            {**asdict(found.target), "measured": found.measured, "outcome": found.outcome}
            for found in outcomes(self.results, on_gpu=self.on_gpu)
        ]
        fields = {"format": FORMAT, "backend": self.backend, "machine": self.machine, "targets": figures, **self.parts}
        fields["results"] = [asdict(result) for result in self.results.values()]
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps(fields, indent=1) + "\n")
        os.replace(part, path)
