"""Zip files from elsewhere: what is in them is read as far as it was asked for, whatever their directory says."""

from __future__ import annotations

import contextlib
import io
import zipfile
from typing import IO

from ..errors import FileError, one_line
from ..files import reason

# What writes our kind of archives packs by these; of the others Python unpacks more at a time than it is asked for.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Zip(contextlib.AbstractContextManager["Zip"]):
    """A zip file; it is closed at the end of a `with` block. Raises `FileError` for whatever is wrong with it."""

    def __init__(self, path: str) -> None:
        self.name = path
        try:
            self._file = zipfile.ZipFile(path)
        except OSError as error:
            raise FileError(f"cannot read {path}: {reason(error)}") from error
        except Exception as error:  # zipfile raises many kinds of errors at a damaged directory
            raise FileError(f"{path} is a damaged zip file ({_short(str(error))}): get a new copy") from None

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def names(self) -> list[str]:
        """The files in it, without what macOS adds."""
        return [name for name in self._file.namelist() if not name.startswith("__MACOSX/")]

    def read(self, name: str, most: int) -> bytes:
        """A file's bytes, of which there may be so many."""
        with self.open(name) as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise FileError(f"{self.name}: {_short(name)} unpacks to more than {most:,} bytes: expected a smaller file")
        return content

    def size(self, name: str) -> int:
        """How many bytes a file has, as the directory says; it may lie."""
        return self._file.getinfo(name).file_size

    def open(self, name: str) -> Entry:
        """A file to be read piece by piece."""
        try:
            if self._file.getinfo(name).compress_type not in METHODS:
                raise NotImplementedError("it is packed by a method other than deflate")
            return Entry(self, name, self._file.open(name))
        except Exception as error:  # a wrong password among them
            raise self.damaged(name, error) from None

    def damaged(self, name: str, error: Exception) -> FileError:
        """The error for a file in it."""
        return FileError(f"{self.name}: {_short(name)} is damaged or locked ({_short(str(error))}): get a new copy")


class Entry(io.RawIOBase):
    """A file in a zip file. A read takes memory for what it returns and not for what the packed bytes would give."""

    def __init__(self, archive: Zip, name: str, file: IO[bytes]) -> None:
        self._archive, self._name, self._file = archive, name, file

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes, fewer at the end only. Raises `FileError`."""
        try:
            return self._file.read(size)
        except Exception as error:
            raise self._archive.damaged(self._name, error) from None

    def close(self) -> None:
        """Let go of it."""
        self._file.close()
        super().close()


def _short(text: str) -> str:
    """A name that is in a file, or what an error says, which may quote one."""
    return one_line(text, 100)
