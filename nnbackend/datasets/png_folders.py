"""Images in folders numbered by class, in a folder or a zip file: train/0/0000.png, ..., test/9/0999.png."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from ..errors import FileError, one_line
from ..files import reading
from .images import pillow, read_image

# Called with how many images are read and how many there are.
Progress = Callable[[int, int], None]

_EVERY = 500  # images between two calls of progress
_MOST_BYTES = 2**20  # an image of this kind has less than a kilobyte
_MOST_PIXELS = 2**16
_ENTRY = re.compile(r"(?:^|/)(train|test)/(\d+)/([^/.][^/]*\.png)$", re.IGNORECASE)


class Source(Protocol):
    """Where images are: names with forward slashes, and their bytes."""

    name: str

    def names(self) -> list[str]:
        """All names."""
        ...

    def size(self, name: str) -> int:
        """How many bytes a file has, or claims to have."""
        ...

    def read(self, name: str, most: int) -> bytes:
        """A file's bytes, of which there may be so many; or `FileError`."""
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

    def size(self, name: str) -> int:
        """How many bytes a file has."""
        with reading(f"{self.name}/{name}"):
            return os.path.getsize(os.path.join(self.name, name))

    def read(self, name: str, most: int) -> bytes:
        """A file's bytes."""
        with reading(f"{self.name}/{name}"), open(os.path.join(self.name, name), "rb") as file:
            return file.read(most)


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
                where = f"{source.name}: {one_line(name, 100)} is in a folder of class {one_line(match[2], 20)}"
                raise FileError(f"{where}: expected 0 to {classes - 1}")
            found[key].append(name)
    for (half, label), names in found.items():
        if not names:
            raise FileError(
                f"{source.name} has no images in {half}/{label}: expected .png files in {half}/0 to {half}/{classes - 1}"
            )
        for name in sorted(names):
            yield half, label, name


def _pixels(source: Source, name: str, shape: tuple[int, int]) -> Any:
    path = f"{source.name}/{one_line(name, 100)}"
    if source.size(name) > _MOST_BYTES:
        raise FileError(f"{path} is larger than a small image can be: expected less than {_MOST_BYTES:,} bytes")
    content = io.BytesIO(source.read(name, _MOST_BYTES))
    image = read_image(content, path, formats=("PNG",), most_pixels=_MOST_PIXELS)
    if image.mode != "L" or image.size != shape[::-1]:
        raise FileError(
            f"{path} has {image.width} × {image.height} pixels in mode {image.mode}: expected {shape[1]} × {shape[0]} in grey "
            "(mode L)"
        )
    return np.asarray(image)
