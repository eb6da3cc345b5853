"""TensorBoard's event files, as far as curves need them.

A file is a row of TFRecords, each the length of its content (8 bytes), a checksum of the length, the content, and a checksum of
the content; all numbers begin with their lowest byte. The content is an `Event` in the encoding of protocol buffers:

    message Event {
      double wall_time = 1;  int64 step = 2;
      oneof what { string file_version = 3;  Summary summary = 5;  SessionLog session_log = 7; }
    }
    message Summary { repeated Value value = 1; }       message Value { string tag = 1;  float simple_value = 2; }
    message SessionLog { Status status = 1; }           enum Status { START = 1; }

Both have been the same since 2016. The packages that write them bring a server or a background thread; this is all of it.
"""

from __future__ import annotations

import functools
import itertools
import struct
from collections.abc import Mapping

# How protocol buffers store a field: the lowest three bits of its key.
_WHOLE, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5

_counter = itertools.count()


def named_file(now: float, process: int) -> str:
    """A name that TensorBoard recognizes, sorts behind earlier ones, and that no other file of this process has.

    >>> named_file(1_700_000_000.25, 7)[:39]
    'events.out.tfevents.1700000000.250000.7'
    """
    return f"events.out.tfevents.{now:017.6f}.{process}.{next(_counter)}"


def records_from(now: float) -> bytes:
    """What a file begins with: the version."""
    return _record(_event(now, 0, _bytes(3, b"brain.Event:2")))


def restart(step: int, now: float) -> bytes:
    """A record that makes TensorBoard forget what earlier files of the folder say of this step and later ones."""
    return _record(_event(now, step, _bytes(7, _key(1, _WHOLE) + _varint(1))))


def numbers(values: Mapping[str, float], step: int, now: float) -> bytes:
    """A record with a point for each of some curves."""
    points = [
        _bytes(1, _bytes(1, name.encode()) + _key(2, _FLOAT) + _float(float(value))) for name, value in values.items()
    ]
    return _record(_event(now, step, _bytes(5, b"".join(points))))


def _event(now: float, step: int, what: bytes) -> bytes:
    return _key(1, _DOUBLE) + struct.pack("<d", now) + _key(2, _WHOLE) + _varint(step) + what


def _float(value: float) -> bytes:
    try:
        return struct.pack("<f", value)
    except OverflowError:
        return struct.pack("<f", float("inf") if value > 0 else float("-inf"))


def _key(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _bytes(field: int, content: bytes) -> bytes:
    return _key(field, _BYTES) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the highest bit says that more follow."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))


def _record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + _masked(length) + content + _masked(content)


def _masked(data: bytes) -> bytes:
    """CRC-32C, turned and shifted as TFRecords want it."""
    checksum = crc32c(data)
    return struct.pack("<I", ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@functools.cache
def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


def crc32c(data: bytes) -> int:
    """The checksum of Castagnoli's polynomial (RFC 3720, appendix B.4).

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    table, checksum = _table(), 0xFFFFFFFF
    for byte in data:
        checksum = checksum >> 8 ^ table[(checksum ^ byte) & 0xFF]
    return checksum ^ 0xFFFFFFFF
