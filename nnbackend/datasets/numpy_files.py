"""Files that NumPy wrote, .npy and .npz, from anywhere: arrays of numbers come out of them, and nothing else does.

`numpy.load` believes a header before it sees the data, and raises whatever Python makes of it. Here what the header says has
to fit the size of the file before memory is taken, and objects, which are pickled, are never read.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from ..errors import FileError, first_line, one_line, shown
from ..files import reading
from .zipped import Entry, Zip

_PIECE = 2**20  # bytes that are read at a time
_LONGEST_HEADER = 2**16
_MOST_AXES, _LARGEST = 32, 2**48  # what NumPy can make an array of, also where another axis has length 0
_VERSIONS = {  # of the format: bytes for the length of the header, and what reads it. 3.0 is for names of columns
    b"\x01\x00": (2, np.lib.format.read_array_header_1_0),
    b"\x02\x00": (4, np.lib.format.read_array_header_2_0),
}

# A packed array may unpack to so many times its archive, and to so much in any case. Zeros can be packed to a thousandth.
MOST_UNPACKED, MOST_TIMES = 2**29, 100


class Header(NamedTuple):
    """What the beginning of a .npy file says."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    #: Where the numbers begin.
    offset: int

    @property
    def nbytes(self) -> int:
        """How many bytes follow."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy(path: Path) -> np.ndarray:
    """The array of a .npy file, or `FileError`."""
    with reading(path), path.open("rb") as file:
        header = npy_header(file, str(path))
        held = os.fstat(file.fileno()).st_size - header.offset
        if held != header.nbytes:
            raise FileError(
                f"{path} is damaged: its header says that {header.nbytes:,} bytes of numbers follow, and it has {held:,}; "
                "get a new copy"
            )
        return _array(file, header, str(path))


def read_npz(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """The arrays of these names in a .npz file, or `FileError`. Others may be there too, and are not read."""
    with Zip(str(path)) as archive:
        known = npz_names(archive)
        if not set(names) <= set(known):
            there = one_line(", ".join(sorted(known)), 200) or "no arrays"
            how = ", ".join(f"{name}={name}" for name in names)
            raise FileError(
                f"{path} holds {there}: expected {' and '.join(names)}, as numpy.savez({path.name!r}, {how}) writes them"
            )
        return [_entry(archive, f"{name}.npy") for name in names]


def npz_names(archive: Zip) -> list[str]:
    """The names of the arrays in it."""
    return [name.removesuffix(".npy") for name in archive.names() if name.endswith(".npy")]


def npy_header(file: IO[bytes] | Entry, name: str) -> Header:
    """The header of an open .npy file, or `FileError`; the numbers come next."""
    start = file.read(8)
    version = start[6:]
    if start[:6] != b"\x93NUMPY" or version not in _VERSIONS:
        raise _no_array(name, "it does not begin as one" if version in (b"", *_VERSIONS) else "it has another version")
    width, read = _VERSIONS[version]
    length = int.from_bytes(file.read(width), "little")
    text = file.read(min(length, _LONGEST_HEADER))
    if len(text) < length:
        raise _no_array(name, f"its header has {len(text):,} of {length:,} bytes")
    shape, fortran_order, dtype = _parsed(read, text, length.to_bytes(width, "little"), name)
    if dtype.kind not in "biuf":
        raise FileError(f"{name} holds values of {one_line(str(dtype), 40)}: expected numbers, without objects in it")
    if len(shape) > _MOST_AXES or not all(type(size) is int and 0 <= size < _LARGEST for size in shape):
        raise _no_array(name, f"it has shape {shown(shape, 40)}")
    return Header(shape, dtype, fortran_order is True, 8 + width + length)


def _parsed(read: Any, text: bytes, length: bytes, name: str) -> tuple[Any, Any, np.dtype[Any]]:
    """Shape, order and dtype: a literal of Python, which NumPy parses and does not run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers by Python 2, and of odd escapes in them
            return read(io.BytesIO(length + text))
    except Exception as error:  # whatever a parser makes of anything
        raise _no_array(name, first_line(error)) from None


def _no_array(name: str, reason: str) -> FileError:
    return FileError(
        f"{name} is damaged, or no file of numbers that NumPy wrote ({one_line(reason, 100)}): expected .npy without objects "
        "in it"
    )


def _entry(archive: Zip, name: str) -> np.ndarray:
    """An array of an archive. Memory is taken as its numbers come."""
    where = f"{archive.name}: {one_line(name, 100)}"
    with archive.open(name) as file:
        header = npy_header(file, where)
        most = max(MOST_UNPACKED, MOST_TIMES * os.path.getsize(archive.name))
        if header.nbytes > most:
            raise FileError(
                f"{where} unpacks to {header.nbytes:,} bytes, far more than the file has: if it is yours, write it with "
                "numpy.savez, which packs nothing"
            )
        return _array(file, header, where)


def _array(file: IO[bytes] | Entry, header: Header, name: str) -> np.ndarray:
    """The numbers behind a header."""
    array = np.empty(math.prod(header.shape), header.dtype)
    memory, filled = array.view(np.uint8).data, 0
    while part := file.read(min(_PIECE, len(memory) - filled + 1)):
        if filled + len(part) > len(memory):
            raise FileError(f"{name} is damaged: more follows than its header says; get a new copy")
        memory[filled : filled + len(part)] = part
        filled += len(part)
    if filled < len(memory):
        raise FileError(
            f"{name} is truncated: its header says {len(memory):,} bytes, {filled:,} follow; get a new copy"
        )
    return array.reshape(header.shape, order="F" if header.fortran_order else "C")
