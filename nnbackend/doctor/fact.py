"""What is known of a machine, in one form for people and for programs."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Fact:
    """One line about the machine. With a `warning` something is not as it should be, and `command` mends it."""

    name: str
    text: str
    values: dict[str, Any] = field(default_factory=dict)
    warning: str | None = None
    command: str | None = None

    @property
    def key(self) -> str:
        """Its name in a JSON document."""
        return self.name.lower().replace(" ", "_")

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {"text": self.text, **self.values, "warning": self.warning, "command": self.command}


def version_of(distribution: str) -> str | None:
    """The installed version of a package, without importing it."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def gibibytes(size: int) -> str:
    """
    >>> gibibytes(3 * 2**30)
    '3.0 GiB'
    """
    return f"{size / 2**30:.1f} GiB"


def first_line(error: BaseException) -> str:
    """An error in one line: its class, and the first line of what it says."""
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
