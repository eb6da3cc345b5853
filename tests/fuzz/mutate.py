"""Changes to files: to any bytes, to whole numbers in them, to JSON, to tables of text."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

# Sizes and counts that are just too small, just too large, or far too large.
NUMBERS = (
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**16,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**33,
    2**63 - 1,
    2**64 - 1,
)

# JSON that Python cannot write down by itself, or that says something odd.
ODD_JSON = (
    "null", "true", "false", "-1", "0", "1", "2", "0.5", "-0.0", "1e308", "1e400", "-1e400", "NaN", "Infinity", "5e-324",
    str(2**31), str(2**53 + 1), str(2**63), str(2**64), str(10**40), "1" * 4000, "1" * 5000, '""', '"x"', '"\\ud800"',
    '"\\u0000"', '"\\u001b[31m"', '"../../etc/passwd"', '"__class__"', '"Dense"', '"Adam"', '"L2"', '"float16"', "[]", "{}",
    "[[]]", "[null]", "[1,2]", '["a"]', "[1e400]", "[" * 50 + "]" * 50, "[" * 2000 + "]" * 2000, "[" * 100_000,
    '{"":0}', '{"a":' * 200 + "1" + "}" * 200, '{"class":"Dense","arguments":{}}', '{"class":"L2","arguments":{"strength":1}}',
    '{"__class__":"os.system","__reduce__":["os.system",["true"]]}', '{"class":"os.system","arguments":{"command":"true"}}',
    '{"a":1,"a":2}', '"' + "x" * 100_000 + '"',
)  # fmt: skip
ODD_KEYS = (
    "",
    "class",
    "__class__",
    "__init__",
    "backend",
    "seed",
    "a\x00b",
    "\x1b[2J",
    "x" * 10_000,
    "ä",
    "\ud800",
    "../x",
)

Edit = Callable[[Random, bytes, Sequence[bytes]], bytes]


# -- bytes -----------------------------------------------------------------------------------------------------------------


def edited(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """Some bytes changed, in one place mostly; `others` are files to take parts from."""
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        raw = rng.choice(EDITS)(rng, raw, others)
    return raw


def _flip(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    return (
        _overwritten(raw, position := _position(rng, raw), bytes([raw[position] ^ 1 << rng.randrange(8)]))
        if raw
        else raw
    )


def _set(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    return _overwritten(raw, _position(rng, raw), rng.choice((b"\x00", b"\xff", b"\n", b'"', b",", rng.randbytes(1))))


def _number(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    letter = rng.choice("BHIQ")
    number = rng.choice(NUMBERS) & (256 ** struct.calcsize(letter) - 1)
    return _overwritten(raw, _position(rng, raw), struct.pack(rng.choice("<>") + letter, number))


def _cut(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    return raw[: _position(rng, raw)]


def _removed(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    start = _position(rng, raw)
    return raw[:start] + raw[start + rng.choice((1, 2, 4, 16, 100)) :]


def _inserted(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    position = _position(rng, raw)
    return raw[:position] + rng.choice((b"\x00", b"\xff", b'"', b"\r", rng.randbytes(3), b"0" * 1000)) + raw[position:]


def _repeated(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    start = _position(rng, raw)
    part = raw[start : start + rng.choice((1, 4, 40, 400))]
    return raw[:start] + part * rng.choice((2, 3, 50)) + raw[start:]


def _spliced(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others)
    return raw[: _position(rng, raw)] + other[_position(rng, other) :]


def _overwritten(raw: bytes, position: int, part: bytes) -> bytes:
    return raw[:position] + part + raw[position + len(part) :]


def _position(rng: Random, raw: bytes) -> int:
    """Anywhere, and more often near the beginning, where headers are."""
    return rng.randrange(min(len(raw), rng.choice((16, 200, len(raw))))) if raw else 0


EDITS: tuple[Edit, ...] = (_flip, _flip, _set, _number, _number, _cut, _removed, _inserted, _repeated, _spliced)


# -- JSON ------------------------------------------------------------------------------------------------------------------


def edited_json(rng: Random, document: Any) -> str:
    """The text of a JSON document with a few nodes changed."""
    document = json.loads(json.dumps(document))  # a copy
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        document = _edited_node(rng, document)
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=rng.random() < 0.5)
    for number, odd in enumerate(ODD_JSON):
        text = text.replace(f'"@{number}@"', odd)
    return text


def _edited_node(rng: Random, document: Any) -> Any:
    holders = list(_holders(document))
    if not holders:
        return _odd(rng)
    holder, key = rng.choice(holders)
    action = rng.random()
    if action < 0.5:
        holder[key] = _odd(rng)
    elif action < 0.65:
        del holder[key]
    elif action < 0.8:
        other, other_key = rng.choice(holders)  # a value from elsewhere, of which it may become a part
        holder[key] = json.loads(json.dumps(other[other_key]))
    elif isinstance(holder, dict):
        holder[rng.choice(ODD_KEYS)] = holder.pop(key) if action < 0.9 else _odd(rng)
    else:
        holder.insert(key, _odd(rng))
    return document


def _odd(rng: Random) -> str:
    return f"@{rng.randrange(len(ODD_JSON))}@"


def _holders(value: Any) -> Any:
    """Every dict and list with each of its keys."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(entries):
        yield value, key
        yield from _holders(item)
