"""Files that a command is going to write."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from ..checks import path as checked_path
from ..errors import ArgumentError
from ..files import reason


def check_writable(option: str, path: Path | None) -> None:
    """Raise `ArgumentError` if a file that will be written at the end cannot be: better said before the work."""
    if path is None:
        return
    name = checked_path(option, path)
    try:
        _check_kind(f"{option} {path}", name)
        target = Path(os.path.realpath(name))  # a link that leads nowhere yet stays what it is
        new = not target.exists()
        with target.open("a"):
            pass
        if new:
            target.unlink()
    except OSError as error:
        raise ArgumentError(
            f"{option} {path} cannot be written ({reason(error)}): name a file in a folder that exists and is yours"
        ) from None


def _check_kind(what: str, name: str) -> None:
    """Refuse what is no file, and the file that the output goes to, which would be overwritten or mixed up."""
    try:
        found = os.stat(name)
    except FileNotFoundError:
        return
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise ArgumentError(f"{what} is a device or a pipe: name a file")
    for stream in (sys.stdout, sys.stderr):
        output = None
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or no file of the system's
            output = os.fstat(stream.fileno())
        if output is not None and os.path.samestat(output, found):
            raise ArgumentError(f"{what} is the file that the output goes to: name another one")


def check_different(files: Mapping[str, Path]) -> None:
    """Raise `ArgumentError` if two options name one file: the last to be written would be all that is left."""
    seen: dict[str, str] = {}
    for option, path in files.items():
        before = seen.setdefault(os.path.realpath(path), option)
        if before != option:
            raise ArgumentError(f"{before} and {option} both name {path}: give each a file of its own")


def check_picture(option: str, path: Path) -> None:
    """Raise if a picture cannot be drawn and written there: matplotlib is missing, the ending unknown, the file unwritable."""
    from ..plots import check_file

    check_file(path)
    check_writable(option, path)


def check_report(option: str, path: Path) -> None:
    """Raise if a report cannot be drawn and written there."""
    from ..plots import check_file

    check_file(path.with_suffix(".svg"))  # raises without matplotlib
    if path.suffix.lower() not in (".html", ".htm"):
        raise ArgumentError(f"{option} {path}: reports are written as .html only: name it {path.with_suffix('.html')}")
    check_writable(option, path)


def check_animation(option: str, path: Path) -> None:
    """Raise if an animation cannot be drawn and written there."""
    from ..plots import check_file

    check_file(path.with_suffix(".png"))  # raises without matplotlib, which brings Pillow along
    if path.suffix.lower() != ".gif":
        raise ArgumentError(f"{option} {path}: animations are written as .gif only: name it {path.with_suffix('.gif')}")
    check_writable(option, path)
