"""A file that grows while training, on a disk that may be full for a while."""

from __future__ import annotations

import warnings

from ..files import reason


class GrowingFile:
    """A file that is there, to whose end data are added; what a full disk kept back is written with the next data.

    >>> import pathlib
    >>> pathlib.Path("log").write_bytes(b"a")
    1
    >>> GrowingFile("log", size=1).add(b"b")
    >>> pathlib.Path("log").read_bytes()
    b'ab'
    """

    def __init__(self, path: str, size: int = 0) -> None:
        self.path = path
        self._size = size  # the bytes that are known to be good
        self._missing = b""

    def add(self, data: bytes) -> None:
        """Add data. Where they cannot be written there is a warning, and they are tried again with the next."""
        self._missing += data
        try:
            self.write(self._missing)
        except OSError as error:
            message = f"cannot write {self.path}: {reason(error)}; trying again at the next report"
            warnings.warn(message, stacklevel=3)
        else:
            self._missing = b""

    def write(self, data: bytes) -> None:
        """Write data behind what is good. Raises `OSError`."""
        with open(self.path, "r+b") as file:
            file.seek(self._size)  # and so over half a line, where the disk was full
            file.write(data)
        self._size += len(data)
