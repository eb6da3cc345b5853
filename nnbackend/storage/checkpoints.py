"""A folder of checkpoints: one process at a time, the last few files, and the newest that is good."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import sys
import warnings
from typing import IO

from ..errors import FileError
from ..files import Path, is_temporary, reason
from .container import Contents, read_contents, write_contents

_NAME = re.compile(r"checkpoint-(\d{8,})\.safetensors")
_LOCK = ".lock"


class CheckpointFolder:
    """A folder that belongs to one process, from `open` to `close` or the end of the process, however that comes."""

    def __init__(self, path: Path, keep: int) -> None:
        self.path = os.fspath(path)
        self.keep = keep
        self._lock: IO[str] | None = None

    def open(self) -> None:
        """Make the folder, lock it, and clear what a killed writer left. Raises `FileError` if another process has it."""
        try:
            os.makedirs(self.path, exist_ok=True)
            self._lock = _locked(os.path.join(self.path, _LOCK), self.path)
            for name in os.listdir(self.path):
                if is_temporary(name):
                    os.unlink(os.path.join(self.path, name))
        except FileError:
            raise
        except OSError as error:
            hint = "; it is a file, name a folder" if os.path.isfile(self.path) else ""
            raise FileError(f"cannot use {self.path} for checkpoints: {reason(error)}{hint}") from error

    def close(self) -> None:
        """Let others have it."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def epochs(self) -> list[int]:
        """The epochs that there are files of, oldest first."""
        return sorted(int(match[1]) for name in os.listdir(self.path) if (match := _NAME.fullmatch(name)))

    def file(self, epoch: int) -> str:
        """The name of an epoch's file."""
        return os.path.join(self.path, f"checkpoint-{epoch:08}.safetensors")

    def newest(self) -> Contents | None:
        """The newest checkpoint that is good, with a warning for each that is not; None where there is no file at all.

        Raises `FileError` where there are files and none is good: to begin anew would lose what may be saved by hand.
        """
        epochs = self.epochs()
        for epoch in reversed(epochs):
            try:
                contents = read_contents(self.file(epoch))
                if "run" in contents.document:
                    return contents
                warnings.warn(f"{self.file(epoch)} is a model file, not a checkpoint: it is passed over", stacklevel=2)
            except FileError as error:
                warnings.warn(f"{error}; the checkpoint before it is tried", stacklevel=2)
        if epochs:
            raise FileError(
                f"{self.path} has no checkpoint that can be read: use another folder, or empty it to begin anew"
            )
        return None

    def write(self, epoch: int, contents: Contents) -> None:
        """Add a checkpoint and remove those that are too many. Raises `FileError`, and then all that was there still is."""
        write_contents(self.file(epoch), contents)
        kept = [known for known in self.epochs() if known <= epoch][-self.keep :]
        for known in self.epochs():
            if known not in kept:  # also later ones: they were damaged, and the run has come past them by another way
                with contextlib.suppress(OSError):
                    os.unlink(self.file(known))


def _locked(path: str, folder: str) -> IO[str]:
    """The lock file, open and locked. The system lets go of it when the process ends, and by kill -9 too."""
    file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - it stays open as long as the lock is held
    try:
        _lock_now(file)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):  # not of a holder: a disk that has no locks
            file.close()
            raise
        file.seek(0)
        holder = file.read().strip()
        file.close()
        raise FileError(
            f"{folder} is in use by another run{f' ({holder})' if holder else ''}: wait for it to end, or use another folder"
        ) from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file


if sys.platform == "win32":

    def _lock_now(file: IO[str]) -> None:
        import msvcrt

        file.seek(2**20)  # a byte that nobody reads, so that the holder's name can be read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:

    def _lock_now(file: IO[str]) -> None:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
