"""The IDX files that MNIST and Fashion-MNIST come in.

A file is a number that says what it holds (2051 for images, 2049 for labels), its sizes, all 32-bit and big-endian, and
then a byte for every pixel or label.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import zlib

import numpy as np

from ..errors import FileError
from ..files import reading

IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

_KINDS = {3: (2051, "images"), 1: (2049, "labels")}

# A header can claim up to 2^32 images. No set of this kind has more than a million or takes a GiB; more is damage, or meant
# badly: packed zeros unpack to a thousand times their size.
_MOST, _MOST_BYTES = 1_000_000, 2**30
_PIECE = 2**20  # bytes that are read at a time


def read_idx_folder(folder: str, shape: tuple[int, int], classes: int) -> tuple[np.ndarray, ...]:
    """Training images and labels, test images and labels, or `FileError`."""
    found = []
    for images_name, labels_name in (IDX_FILES[:2], IDX_FILES[2:]):
        images_path, labels_path = _find(folder, images_name), _find(folder, labels_name)
        images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
        if images.shape[1:] != shape:
            raise FileError(f"{images_path} holds images of {_size(images.shape[1:])} pixels: expected {_size(shape)}")
        if len(images) != len(labels):
            raise FileError(f"{labels_path} holds {len(labels):,} labels: expected {len(images):,}, one for each image")
        if not len(images):
            raise FileError(f"{images_path} holds no images: expected at least one")
        if labels.max() >= classes:
            bad = int(np.argmax(labels >= classes))
            raise FileError(f"{labels_path}: label {bad} is {labels[bad]}: expected 0 to {classes - 1}")
        found += [images, labels.astype(np.int64)]
    return tuple(found)


def read_idx(path: str, axes: int) -> np.ndarray:
    """The bytes of an IDX file with that many axes, packed by gzip or not; else `FileError`."""
    with reading(path):
        try:
            with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
                header = file.read(4 + 4 * axes)
                sizes = _sizes(path, header, axes)
                values = np.empty(math.prod(sizes), np.uint8)
                length = _fill(values, file)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FileError(
                f"{path} is truncated or damaged ({error}): expected a file packed by gzip; get a new copy"
            ) from None
    if length != len(values):
        what = "too short" if length < len(values) else "too long"
        raise FileError(f"{path} is {what}: expected {len(values):,} bytes for {_size(sizes)} values; get a new copy")
    return values.reshape(sizes)


def _fill(values: np.ndarray, file: io.BufferedIOBase) -> int:
    """What is left of a file into an array, as far as it goes; the number of bytes, one more than fit if there are more."""
    memory, length = values.data, 0
    while part := file.read(min(_PIECE, len(memory) - length + 1)):
        if length + len(part) > len(memory):
            return len(memory) + 1
        memory[length : length + len(part)] = part
        length += len(part)
    return length


def _sizes(path: str, header: bytes, axes: int) -> tuple[int, ...]:
    magic, what = _KINDS[axes]
    numbers = struct.unpack(f">{len(header) // 4}I", header[: len(header) // 4 * 4])
    if len(numbers) <= axes or numbers[0] != magic:
        found = f"starts with {numbers[0]}" if numbers else "is empty"
        raise FileError(f"{path} {found}: expected an IDX file of {what}, which starts with {magic} and {axes} sizes")
    if numbers[1] > _MOST or max(numbers[2:], default=0) > 1024 or math.prod(numbers[1:]) > _MOST_BYTES:
        raise FileError(
            f"{path} claims to hold {_size(numbers[1:])} values: expected at most {_MOST:,} {what}, and {_MOST_BYTES:,} values"
        )
    return numbers[1:]


def _find(folder: str, name: str) -> str:
    for packed in (".gz", ""):
        path = os.path.join(folder, name + packed)
        if os.path.exists(path):
            return path
    raise FileError(f"{folder} has no file {name}.gz: expected all of {', '.join(f'{name}.gz' for name in IDX_FILES)}")


def _size(sizes: tuple[int, ...] | list[int]) -> str:
    return " × ".join(f"{size:,}" for size in sizes)
