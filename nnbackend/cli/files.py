"""Files that a command is going to write."""

from __future__ import annotations

import os
from pathlib import Path

from ..checks import path as checked_path
from ..errors import ArgumentError


def check_writable(option: str, path: Path | None) -> None:
    """Raise `ArgumentError` if a file that will be written at the end cannot be: better said before the work."""
    if path is None:
        return
    target = Path(os.path.realpath(checked_path(option, path)))  # a link that leads nowhere yet stays what it is
    new = not target.exists()
    try:
        with target.open("a"):
            pass
        if new:
            target.unlink()
    except OSError as error:
        raise ArgumentError(
            f"{option} {path} cannot be written ({error.strerror}): name a file in a folder that exists and is yours"
        ) from None


def check_picture(option: str, path: Path) -> None:
    """Raise if a picture cannot be drawn and written there: matplotlib is missing, the ending unknown, the file unwritable."""
    from ..plots import check_file

    check_file(path)
    check_writable(option, path)


def check_animation(option: str, path: Path) -> None:
    """Raise if an animation cannot be drawn and written there."""
    from ..plots import check_file

    check_file(path.with_suffix(".png"))  # raises without matplotlib, which brings Pillow along
    if path.suffix.lower() != ".gif":
        raise ArgumentError(f"{option} {path}: animations are written as .gif only: name it {path.with_suffix('.gif')}")
    check_writable(option, path)
