"""Zip files whose entries, sizes and names are not what they should be, and streams that unpack to far more than they are."""

from __future__ import annotations

import gzip
import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from random import Random

from tests.fuzz import mutate

ODD_NAMES = (
    "X.npy", "y.npy", "X", "", "/X.npy", "../X.npy", "X.npy/", "a\x00b", "\x1b[31m.npy", "x" * 1000 + ".npy", "train/0/0000.png",
    "train/99/0000.png", "test/00000000000000000000000000000000009/a.png", "train/0/../../x.png", "TEST/1/A.PNG", "train/٣/x.png",
)  # fmt: skip
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
DIRECTORY, LOCAL = b"PK\x01\x02", b"PK\x03\x04"

# Where numbers stand behind these marks: (mark, offset, size). Flags, method, checksum, both sizes, lengths of names, offset.
FIELDS = [
    *((DIRECTORY, offset, 2) for offset in (6, 8, 10, 28, 30)), *((DIRECTORY, offset, 4) for offset in (16, 20, 24, 42)),
    *((LOCAL, offset, 2) for offset in (4, 6, 8, 26, 28)), *((LOCAL, offset, 4) for offset in (14, 18, 22)),
    (b"PK\x05\x06", 8, 2), (b"PK\x05\x06", 10, 2), (b"PK\x05\x06", 12, 4), (b"PK\x05\x06", 16, 4), (b"PK\x05\x06", 20, 2),
]  # fmt: skip


def edited_zip(rng: Random, raw: bytes, others: Sequence[bytes], edit_entry: Callable[[Random, bytes], bytes]) -> bytes:
    """A zip file with something changed: bytes, an entry behind its checksum, a name, a field of its directory."""
    action = rng.random()
    if action < 0.2:
        return mutate.edited(rng, raw, others)
    if action < 0.4:
        return _with_field(rng, raw)
    entries = unpacked(raw)
    for _ in range(rng.choice((1, 1, 2))):
        index = rng.randrange(len(entries))
        name, content = entries[index]
        action = rng.random()
        if action < 0.6:
            entries[index] = name, edit_entry(rng, content)
        elif action < 0.7:
            entries[index] = rng.choice(ODD_NAMES), content
        elif action < 0.8:
            entries.append((rng.choice((name, *ODD_NAMES)), content))
        elif len(entries) > 1:
            del entries[index]
    packed = packed_zip(entries, rng.choice(METHODS))
    return _with_field(rng, packed) if rng.random() < 0.1 else packed


def unpacked(raw: bytes) -> list[tuple[str, bytes]]:
    """Names and contents."""
    with zipfile.ZipFile(io.BytesIO(raw)) as file:
        return [(name, file.read(name)) for name in file.namelist()]


def packed_zip(entries: Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip file of these entries."""
    packed = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(packed, "w", method) as file:
        warnings.simplefilter("ignore")  # the same name twice
        for name, content in entries:
            file.writestr(zipfile.ZipInfo(name), content, method)
    return packed.getvalue()


def _with_field(rng: Random, raw: bytes) -> bytes:
    mark, offset, size = rng.choice(FIELDS)
    places = [place for place in range(len(raw)) if raw.startswith(mark, place)]
    if not places:
        return raw
    place = rng.choice(places) + offset
    number = rng.choice((*mutate.NUMBERS, 8, 12, 14, 93, 99)) & (256**size - 1)
    return raw[:place] + number.to_bytes(size, "little") + raw[place + size :]


# -- bombs -----------------------------------------------------------------------------------------------------------------


def deflated_zeros(mebibytes: int, wbits: int = -15, head: bytes = b"") -> bytes:
    """A stream that unpacks to `head` and so many MiB of zeros, a thousand times its size; made fast, block by block."""
    packer = zlib.compressobj(9, wbits=wbits)
    start = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    first, second = (packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return start + first + second * (mebibytes - 1) + packer.flush()


def zip_bomb(name: str, mebibytes: int, *, head: bytes = b"", declared: int | None = None) -> bytes:
    """A zip file with one entry of zeros; `declared` is the size that its directory claims."""
    stream = deflated_zeros(mebibytes, head=head)
    size = (mebibytes * 2**20 + len(head) if declared is None else declared) & 0xFFFFFFFF
    encoded = name.encode()
    numbers = struct.pack("<HHHIIIHH", 8, 0, 0, 0, len(stream), size, len(encoded), 0)
    local = LOCAL + struct.pack("<HH", 20, 0) + numbers + encoded
    directory = DIRECTORY + struct.pack("<HHH", 20, 20, 0) + numbers + struct.pack("<HHHII", 0, 0, 0, 0, 0) + encoded
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(directory), len(local) + len(stream), 0)
    return local + stream + directory + end


def gzip_bomb(mebibytes: int, head: bytes = b"") -> bytes:
    """The same as a .gz file; its checksum at the end is wrong, which shows only there."""
    return gzip.compress(b"", mtime=0)[:10] + deflated_zeros(mebibytes, head=head) + bytes(8)
