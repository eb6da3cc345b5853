"""Images in folders numbered by class, in a folder or a zip file: train/0/0000.png, ..., test/9/0999.png."""

from __future__ import annotations

import contextlib
import io
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from ..errors import FileError
from .images import pillow, read_image

# Called with how many images are read and how many there are.
Progress = Callable[[int, int], None]

_EVERY = 500  # images between two calls of progress
_ENTRY = re.compile(r"(?:^|/)(train|test)/(\d+)/([^/.][^/]*\.png)$", re.IGNORECASE)


class Source(Protocol):
    """Where images are: names with forward slashes, and their bytes."""

    name: str

    def names(self) -> list[str]:
        """All names."""
        ...

    def read(self, name: str) -> bytes:
        """A file's bytes, or `FileError`."""
        ...


class Folder:
    """A folder of images."""

    def __init__(self, path: str) -> None:
        self.name = path

    def names(self) -> list[str]:
        """The files below train and test."""
        found = []
        for half in ("train", "test"):
            for folder, _, files in os.walk(os.path.join(self.name, half)):
                below = os.path.relpath(folder, self.name).replace(os.sep, "/")
                found += [f"{below}/{file}" for file in files]
        return found

    def read(self, name: str) -> bytes:
        """A file's bytes."""
        try:
            with open(os.path.join(self.name, name), "rb") as file:
                return file.read()
        except OSError as error:
            raise FileError(f"cannot read {self.name}/{name}: {error.strerror or error}") from error


class Zip(contextlib.AbstractContextManager["Zip"]):
    """A zip file of images, with or without a folder around them; it is closed at the end of a `with` block."""

    def __init__(self, path: str) -> None:
        self.name = path
        try:
            self._file = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
            raise FileError(f"{path} is a damaged zip file ({error}): get a new copy") from None

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def names(self) -> list[str]:
        """The files in it, without what macOS adds."""
        return [name for name in self._file.namelist() if not name.startswith("__MACOSX/")]

    def read(self, name: str) -> bytes:
        """A file's bytes. An image of this kind has less than a kilobyte: one that unpacks to much more is refused."""
        try:
            if self._file.getinfo(name).file_size > 2**20:
                raise FileError(f"{self.name}: {name} is larger than a small image can be: expected less than 1 MiB")
            return self._file.read(name)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
            if isinstance(error, FileError):
                raise
            raise FileError(f"{self.name}: {name} is damaged or locked ({error}): get a new copy") from None


def read_png_folders(
    source: Source, shape: tuple[int, int], classes: int, progress: Progress | None = None
) -> tuple[np.ndarray, ...]:
    """Training images and labels, test images and labels, sorted by class and name; or `FileError`."""
    pillow()  # say that it is missing before anything is read
    entries = list(_entries(source, classes))
    X, y = np.empty((len(entries), *shape), np.uint8), np.empty(len(entries), np.int64)
    for index, (_, label, name) in enumerate(entries):
        X[index], y[index] = _pixels(source, name, shape), label
        if progress is not None and ((index + 1) % _EVERY == 0 or index + 1 == len(entries)):
            progress(index + 1, len(entries))
    n_train = sum(half == "train" for half, _, _ in entries)
    return X[:n_train], y[:n_train], X[n_train:], y[n_train:]


def _entries(source: Source, classes: int) -> Iterator[tuple[str, int, str]]:
    """(half, label, name) of every image, training first; every class must be there in both halves."""
    found: dict[tuple[str, int], list[str]] = {(h, label): [] for h in ("train", "test") for label in range(classes)}
    for name in source.names():
        if match := _ENTRY.search(name):
            key = match[1].lower(), int(match[2])
            if key not in found:
                raise FileError(f"{source.name}: {name} is in a folder of class {key[1]}: expected 0 to {classes - 1}")
            found[key].append(name)
    for (half, label), names in found.items():
        if not names:
            raise FileError(
                f"{source.name} has no images in {half}/{label}: expected .png files in {half}/0 to {half}/{classes - 1}"
            )
        for name in sorted(names):
            yield half, label, name


def _pixels(source: Source, name: str, shape: tuple[int, int]) -> Any:
    path = f"{source.name}/{name}"
    image = read_image(io.BytesIO(source.read(name)), path)
    if image.mode != "L" or image.size != shape[::-1]:
        raise FileError(
            f"{path} has {image.width} × {image.height} pixels in mode {image.mode}: expected {shape[1]} × {shape[0]} in grey "
            "(mode L)"
        )
    return np.asarray(image)
