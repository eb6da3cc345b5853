"""Reading and writing whole files, so that a crash, a kill or a full disk leaves the old file as it was."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from .errors import FileError

Path = str | os.PathLike[str]


def read_file(path: Path) -> bytes:
    """A file's contents, or `FileError`. What is no regular file (a device that never ends, say) is refused."""
    with reading(path), open(path, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise FileError(f"cannot read {os.fspath(path)}: expected a regular file")
        return file.read()


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """A block that reads a file: where the system refuses, `FileError` says so, with the path and the system's words."""
    try:
        yield
    except FileError:  # which is an OSError as well
        raise
    except OSError as error:
        raise FileError(f"cannot read {os.fspath(path)}: {reason(error)}") from error


def write_file(path: Path, data: bytes) -> None:
    """Write `data` to `path`: all of it, or `FileError` and the file that was there is whole.

    The data go to a temporary name in the same folder, are flushed to the disk and then renamed, which replaces the old
    file in one step. A link is followed, and the old file's permissions are kept.
    """
    target = os.path.realpath(path)
    if (
        os.path.exists(target) and not os.path.isfile(target) and not os.path.isdir(target)
    ):  # a folder says so by itself
        raise FileError(
            f"cannot write {os.fspath(path)}: it is a device or a pipe, which a file would replace; name a file"
        )
    temporary = temporary_name(target)
    try:
        _write_and_flush(temporary, data, _permissions(target))
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            more = "; the old file is as it was" if os.path.isfile(target) else ""
            if not os.path.isdir(os.path.dirname(target)):
                more = "; name a file in a folder that exists"
            raise FileError(f"cannot write {os.fspath(path)}: {reason(error)}{more}") from error
        raise
    _flush_folder(os.path.dirname(target))


def temporary_name(target: str) -> str:
    """A name beside `target` that no other writer uses; `is_temporary` knows it."""
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}.{os.urandom(4).hex()}.tmp")


def is_temporary(name: str) -> bool:
    """Whether a file's name is one that `temporary_name` gives: what a killed writer leaves behind."""
    return name.startswith(".") and name.endswith(".tmp")


def reason(error: OSError) -> str:
    """Why the system refused, in its own words: 'No such file or directory'."""
    return error.strerror or str(error) or type(error).__name__


def _permissions(target: str) -> int | None:
    try:
        return stat.S_IMODE(os.stat(target).st_mode)
    except FileNotFoundError:
        return None


def _write_and_flush(path: str, data: bytes, permissions: int | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        if permissions is not None and hasattr(os, "fchmod"):
            os.fchmod(descriptor, permissions)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: str) -> None:
    """Make the new name last. Where folders cannot be flushed (Windows, some network disks) the system does it later."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
