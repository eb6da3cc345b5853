"""Files of numbers: .npy, .npz and .csv."""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np

from nnbackend.cli.rows import numbers_only, read_rows, read_samples
from tests.fuzz import archives, mutate

NPY = b"\x93NUMPY"

# What the header of a .npy file may name, in its own words.
ODD_DTYPES = (
    "'<f4'", "'>f8'", "'<f2'", "'|b1'", "'<i1'", "'<u8'", "'<c16'", "'<g'", "'<f16'", "'|O'", "'|S10'", "'<U5'", "'|V16'",
    "'<M8[s]'", "'<m8[D]'", "'|S0'", "'<U1000000000'", "'|V2147483647'", "'f4,f4'", "'4f8'", "'(2,3)f8'", "'(1000000000,)f8'",
    "[('a','<f8'),('b','<f8')]", "[('a','|O')]", "('<f8',(1000000,))", "[]", "None", "5", "''", "'object'", "{}", "b'<f8'",
)  # fmt: skip
ODD_SHAPES = (
    "(0,)", "()", "(1,)", "(-1,)", "(3,-2)", "(4611686018427387904,)", "(9223372036854775807,)", "(18446744073709551616,)",
    "(3037000500,3037000500)", "(0,9223372036854775807)", "(4294967296,4294967296)", "(1000000000,)", "(100000,100000)",
    "(3.0,2)", "('3',2)", "(True,2)", "3", "None", "((3,2),)", "[3,2]", "(3,2,1)", "(6,)", "(1,)*3", "(" + "1," * 100 + ")",
    "(" + "1," * 30 + "6)", "(2,3)", "(3,2)", "(1e400,)",
)  # fmt: skip
ODD_HEADERS = (
    "{}", "[]", "0", "None", "{'descr':'<f8'}", "(" * 90 + ")" * 90, "(" * 5000, "-" * 4000 + "1", "[" * 4000 + "]" * 4000,
    "{'descr':'<f8','fortran_order':False,'shape':(3,2),'extra':0}", "{1:2}", "{'descr':1,1:2,None:3}", "__import__('os')",
    "{'descr':__import__('os'),'fortran_order':False,'shape':(3,2)}", "1" * 5000, "'" + "x" * 9000 + "'", "\x00", "ä", "\n",
)  # fmt: skip
ODD_FIELDS = (
    "", " ", "1", "-0", "1e400", "-1e400", "nan", "inf", "1_000", "١٢", "0x10", "1,5", '"', '""', '"1"', '"1\n2"', "1\x002",
    "\x00", "x", "1;2", "1\t2", "9" * 5000, "9" * 200_000, "\ufeff1", "\r", "1\r2", "\u2028", "+1", " 1 ", "1e-400", "True",
    "None", "\x1b[31m",
)  # fmt: skip


@functools.cache
def npy_seeds() -> tuple[bytes, ...]:
    """Arrays of both orders and a few dtypes."""
    rows = np.arange(6.0).reshape(3, 2)
    return tuple(npy(a) for a in (rows, np.asfortranarray(rows.astype("<f4")), np.arange(3), rows.astype(">f8")))


@functools.cache
def npz_seeds() -> tuple[bytes, ...]:
    """Samples, packed and not."""
    X, y, files = np.arange(6.0).reshape(3, 2), np.arange(3), []
    for write in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        write(file, X=X, y=y)
        files.append(file.getvalue())
    return tuple(files)


def csv_seeds() -> tuple[bytes, ...]:
    """Tables with and without names, ends of lines of every kind."""
    return (
        b"a,b,c\n1,2,0\n3.5,-4e-3,1\n",
        b"1,2\r\n3,4\r\n",
        b'\xef\xbb\xbf"a","b"\n"1","2"\n',
        b"1\n2\n3",
        b"1,2\n\n3,4\n",
    )


def npy(array: np.ndarray) -> bytes:
    """A .npy file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def edited_npy(rng: Random, raw: bytes, others: Sequence[bytes] = ()) -> bytes:
    """A .npy file with another header, another length of it, or other bytes."""
    action = rng.random()
    if action < 0.2 or raw[:6] != NPY:
        return mutate.edited(rng, raw, [*others, raw])
    if action < 0.25:
        return npy(np.array([{"a": 1}, print], object))  # objects are pickled
    data = raw[10 + int.from_bytes(raw[8:10], "little") :]
    if action < 0.35:
        return with_header(rng.choice(ODD_HEADERS), data, rng.choice(((1, 0), (2, 0), (3, 0))))
    dtype, shape = rng.choice(("'<f8'", *ODD_DTYPES)), rng.choice(("(3, 2)", *ODD_SHAPES))
    dtype, shape = rng.choice(((dtype, shape), (dtype, "(3, 2)"), ("'<f8'", shape)))
    order = rng.choice(("False", "False", "True", "1", "None", "'False'"))
    header = f"{{'descr': {dtype}, 'fortran_order': {order}, 'shape': {shape}, }}"
    return with_header(
        header, data, rng.choice(((1, 0), (1, 0), (2, 0), (3, 0), (0, 0), (9, 9))), rng.choice((0, 0, 0, 1, -20, 9999))
    )


def with_header(header: str, data: bytes, version: tuple[int, int] = (1, 0), off: int = 0) -> bytes:
    """A .npy file with this header, whose length is said to be `off` more than it is."""
    text = header.encode("utf-8") + b" " * 20 + b"\n"
    length = struct.pack("<H" if version == (1, 0) else "<I", max(0, len(text) + off) % 2**16)
    return NPY + bytes(version) + length + text + data


def edited_npz(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """A .npz file: as any zip file, and with entries of zeros without end."""
    action = rng.random()
    if action < 0.03:
        rows = rng.choice((3, 2**26, 2**28))
        head = with_header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({rows}, 2), }}", b"")
        return archives.zip_bomb(rng.choice(("X.npy", "y.npy", "x")), rng.choice((64, 2048, 4000)), head=head)
    if action < 0.05:
        return archives.zip_bomb("X", rng.choice((64, 2048)), declared=rng.choice((0, 100, None)))
    return archives.edited_zip(rng, raw, others, edited_npy)


def edited_csv(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """A table with other fields, lines or bytes, or in another encoding."""
    action = rng.random()
    if action < 0.3:
        return mutate.edited(rng, raw, others)
    lines = [line.split(",") for line in raw.decode("utf-8-sig").splitlines()]
    for _ in range(rng.choice((1, 1, 2, 5))):
        line = rng.choice(lines)
        if rng.random() < 0.7:
            line[rng.randrange(len(line))] = rng.choice(ODD_FIELDS)
        else:
            line.insert(rng.randrange(len(line) + 1), rng.choice(ODD_FIELDS))
    text = rng.choice(("\n", "\n", "\r\n", "\r", "\u2028")).join(
        rng.choice((",", ",", ",", ";", "\t")).join(line) for line in lines
    )
    if rng.random() < 0.01:
        text = rng.choice(('"', ",", "1,", "1\n")) * 10**6 + text
    return text.encode(rng.choice(("utf-8", "utf-8", "utf-8", "utf-16", "latin-1", "utf-8-sig")), errors="replace")


def read_as_rows(path: Path) -> None:
    """What predict does."""
    rows = numbers_only(read_rows(path), path)
    if rows.size:
        float(rows.flat[-1])


def read_as_samples(path: Path) -> None:
    """What train and evaluate do."""
    for values in read_samples(path):
        if numbers_only(values, path).size:
            float(values.flat[-1])
