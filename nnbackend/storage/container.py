"""What is on the disk: arrays in the safetensors format, and one metadata entry that says what they are.

The entry `nnbackend` is a JSON document in canonical form (keys sorted, no spaces), with the SHA-256 of everything the
file holds. There are no timestamps, and arrays come in a fixed order, so equal contents give equal bytes. Reading
makes numbers, strings and arrays out of a file and nothing else: nothing in it is ever run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from ..errors import FileError, one_line, shown
from ..files import Path, read_file, write_file
from .schema import violation

KEY = "nnbackend"
FORMAT = "nnbackend"
VERSION = 1

# The dtypes a file may hold, in the names of safetensors. All are little-endian on the disk.
DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "I64": np.dtype("<i8")}

# How files begin that people may mistake for ours: what the book and other libraries save.
_PICKLE = "a pickle file, as the book's own code saves them, which nnbackend never opens: a pickle can run any program"
_BEGINNINGS = {
    b"\x80": _PICKLE,
    b"PK\x03\x04": "a zip file (.npz, or saved by PyTorch or Keras)",
    b"\x93NUMPY": "a NumPy .npy file",
    b"\x89HDF": "an HDF5 file, as Keras saves them",
}


class Contents(NamedTuple):
    """What a file holds: a document that fits the schema, and arrays by name."""

    document: dict[str, Any]
    arrays: dict[str, np.ndarray]


def write_contents(path: Path, contents: Contents) -> None:
    """Write a file, whole or not at all. Raises `FileError`."""
    write_file(path, encode(contents))


def read_contents(path: Path) -> Contents:
    """Read and check a file. Raises `FileError` with one sentence on what is wrong with it."""
    raw = read_file(path)
    try:
        return decode(raw)
    except FileError as error:
        raise FileError(f"{os.fspath(path)} {error}") from None


def encode(contents: Contents) -> bytes:
    """The bytes of a file. `contents.document` lacks only what every file says alike."""
    arrays = {name: _as_stored(array) for name, array in contents.arrays.items()}
    document = {**contents.document, "format": FORMAT, "version": VERSION}
    text = canonical({**document, "sha256": _digest(document, arrays)})
    return safetensors.numpy.save(arrays, metadata={KEY: text})


def decode(raw: bytes) -> Contents:
    """The contents of a file's bytes, or `FileError` that goes on after the file's name."""
    document = _document(_header(raw))
    if document.get("format") != FORMAT or type(document.get("version")) is not int:
        raise FileError("is damaged: its metadata do not say which format it has; use a copy of it")
    if document["version"] > VERSION:
        raise FileError(
            f"has format version {shown(document['version'], 20)}, and this nnbackend reads up to {VERSION}: "
            "install a newer nnbackend"
        )
    arrays = _arrays(raw)
    digest = document.pop("sha256", None)
    try:
        same = digest == _digest(document, arrays)
    except (ValueError, RecursionError):  # infinity, half of a surrogate pair: JSON that is never written here
        same = False
    if not same:
        raise FileError("is damaged or was altered: its contents do not have the SHA-256 it names; use a copy of it")
    if problem := violation(document):
        raise FileError(f"is not a valid model file: {problem}")
    return Contents(document, arrays)


def canonical(document: Any) -> str:
    """JSON in the one form that equal documents share. Raises `ValueError` for NaN and infinity."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _digest(document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over the document and every array: a line of JSON that says what it is, then its bytes."""
    digest = hashlib.sha256(canonical(document).encode() + b"\n")
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(canonical([name, array.dtype.str, list(array.shape)]).encode() + b"\n")
        digest.update(array.tobytes())
    return digest.hexdigest()


def _as_stored(array: np.ndarray) -> np.ndarray:
    stored = array.dtype.newbyteorder("<")
    assert stored in DTYPES.values(), f"arrays of dtype {array.dtype} are not stored"
    return np.asarray(array, dtype=stored, order="C")


# -- reading ---------------------------------------------------------------------------------------------------------------


def _header(raw: bytes) -> dict[str, Any]:
    """The header: a length in 8 bytes, and that much JSON."""
    for beginning, what in _BEGINNINGS.items():
        if raw.startswith(beginning) and raw[8:9] != b"{":
            raise FileError(f"is not a model file of nnbackend but {what}")
    length = int.from_bytes(raw[:8], "little")
    if raw[8:9] != b"{":
        what = "empty" if not raw else "in no format that is known here"
        raise FileError(f"is not a model file of nnbackend: it is {what}")
    if length > len(raw) - 8:
        raise FileError(f"is truncated: it has {len(raw):,} bytes, which is not even its header; use a copy of it")
    try:
        header = json.loads(raw[8 : 8 + length])
    except (ValueError, RecursionError):
        raise FileError("is damaged: its header is not JSON; use a copy of it") from None
    return header if isinstance(header, dict) else {}


def _document(header: Mapping[str, Any]) -> dict[str, Any]:
    metadata = header.get("__metadata__")
    text = metadata.get(KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise FileError("is a safetensors file, but not of nnbackend: it has no metadata that say what its arrays are")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise FileError("is damaged: its metadata are not JSON; use a copy of it")
    return document


def _arrays(raw: bytes) -> dict[str, np.ndarray]:
    try:
        entries = safetensors.deserialize(raw)
    except safetensors.SafetensorError as error:
        reason = one_line(str(error).split(": ")[-1], 100)  # it may quote the header
        raise FileError(f"is truncated or damaged ({reason}); use a copy of it") from None
    arrays = {}
    for name, entry in entries:
        if entry["dtype"] not in DTYPES:
            raise FileError(f"holds {entry['dtype']} values in {shown(name)}: expected {', '.join(DTYPES)}")
        arrays[name] = np.frombuffer(entry["data"], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays
