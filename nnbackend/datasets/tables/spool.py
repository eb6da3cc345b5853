"""Arrays for tables of any size: in memory while they are small, in temporary files of their own once they are not."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FileError
from ...files import reason

#: How many bytes a table may take in memory. What it becomes does not depend on it.
IN_MEMORY = 2**30


class Spool:
    """The temporary folder of one table, made when it is needed and removed when nothing refers to it any more."""

    def __init__(self) -> None:
        self.bytes = 0
        self._folder: str | None = None
        self._files = 0

    @property
    def is_full(self) -> bool:
        """Whether memory has been used up, and files are to take the rest."""
        return self.bytes > IN_MEMORY

    def path(self) -> Path:
        """A new file in it."""
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="nnbackend-")
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._files += 1
        return Path(self._folder, f"{self._files}.npy")

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array to be filled: in memory, or in a file where it is too large for that."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if size <= IN_MEMORY:
            return np.empty(shape, dtype)
        path = self.path()
        try:
            with path.open("wb") as file:  # take the room now: a file that is mapped and finds none ends the process
                np.lib.format.write_array_header_2_0(
                    file, {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
                )
                start = file.tell()
                os.posix_fallocate(file.fileno(), start, size) if hasattr(os, "posix_fallocate") else None
                file.truncate(start + size)
            array = np.load(path, mmap_mode="r+")
        except OSError as error:
            raise no_room(path, error) from error
        vars(array)["spool"] = self  # the folder lives as long as the array
        return array


class Growing:
    """An array that grows at its end."""

    def __init__(self, dtype: Any, spool: Spool) -> None:
        self.dtype = np.dtype(dtype)
        self._spool, self._parts = spool, list[np.ndarray]()
        self._path: Path | None = None

    def append(self, values: np.ndarray) -> None:
        """Add values."""
        values = np.ascontiguousarray(values, self.dtype)
        self._parts.append(values)
        self._spool.bytes += values.nbytes
        if self._spool.is_full:
            self._write()

    def finish(self) -> np.ndarray:
        """All of them."""
        if self._path is None:
            parts, self._parts = self._parts, []
            return np.concatenate(parts) if parts else np.empty(0, self.dtype)
        self._write()
        array = np.memmap(self._path, self.dtype, mode="r")
        vars(array)["spool"] = self._spool
        return array

    def _write(self) -> None:
        self._path = path = self._path or self._spool.path()
        try:
            with path.open("ab") as file:
                for part in self._parts:
                    file.write(part.data if part.size else b"")
        except OSError as error:
            raise no_room(path, error) from error
        self._parts.clear()


def no_room(path: Path, error: OSError) -> FileError:
    """The error of a temporary file that cannot be written."""
    return FileError(
        f"a table that is larger than {IN_MEMORY:,} bytes is put into temporary files, and {path} cannot be written "
        f"({reason(error)}): let TMPDIR name a folder with more room"
    )


def blocks(n: int, width: int, size: int = 2**24) -> Iterable[slice]:
    """The rows of a table in blocks of about so many bytes of float64."""
    step = max(1, size // (8 * max(1, width)))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))
