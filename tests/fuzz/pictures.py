"""Pictures, zip files of them, and the IDX files of MNIST."""

from __future__ import annotations

import functools
import gzip
import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from nnbackend.datasets import fashion_mnist, load_image
from nnbackend.datasets.fashion import SHAPE
from nnbackend.datasets.idx import IDX_FILES, read_idx
from tests.fuzz import archives, mutate

PNG = b"\x89PNG\r\n\x1a\n"
SIZES = (0, 1, 2, 27, 28, 29, 1000, 8000, 9000, 13_000, 20_000, 50_000, 2**31 - 1, 2**31, 2**32 - 1)
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


# -- PNG and its like ------------------------------------------------------------------------------------------------------


@functools.cache
def png_seeds() -> tuple[bytes, ...]:
    """Small pictures in every mode that PNG has, one that a camera turned, one with a text in it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures = [
        Image.new(mode, (5, 4), colour)
        for mode, colour in (("L", 9), ("LA", (9, 9)), ("RGB", 9), ("RGBA", 9), ("1", 1))
    ]
    pictures += [Image.new("P", (5, 4)), Image.fromarray(np.full((4, 5), 999, np.uint16))]
    files = [_saved(picture, "PNG") for picture in pictures]
    return (*files, _saved(pictures[2], "PNG", exif=exif), _saved(pictures[5], "PNG", transparency=b"\x00\x80"))


@functools.cache
def image_seeds() -> tuple[bytes, ...]:
    """One of each format that Pillow writes and people use, and one that is a program."""
    grey, colour = Image.new("L", (28, 28), 100), Image.new("RGB", (9, 7), (1, 2, 3))
    others = [
        _saved(colour, kind)
        for kind in ("JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "TGA", "PCX", "SGI", "JPEG2000")
    ]
    return (*png_seeds(), _saved(grey, "PNG"), *others, _saved(Image.new("F", (3, 3)), "TIFF"), POSTSCRIPT)


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def edited_image(rng: Random, raw: bytes, others: Sequence[bytes] = ()) -> bytes:
    """A picture with something changed; of a PNG file behind the checksums of its parts."""
    if not raw.startswith(PNG) or rng.random() < 0.2:
        return mutate.edited(rng, raw, [*others, raw])
    chunks = list(png_chunks(raw))
    for _ in range(rng.choice((1, 1, 2, 3))):
        index = rng.randrange(len(chunks))
        kind, content = chunks[index]
        action = rng.random()
        if action < 0.35 and len(chunks[0][1]) == 13:
            chunks[0] = b"IHDR", _edited_head(rng, chunks[0][1])
        elif action < 0.65:
            chunks[index] = kind, mutate.edited(rng, content, [content])
        elif action < 0.75:
            chunks.insert(
                index + 1, (rng.choice((kind, b"PLTE", b"tRNS", b"IDAT", b"IEND", b"fcTL", b"acTL")), content)
            )
        elif action < 0.9:
            chunks.insert(1, _odd_chunk(rng))
        elif len(chunks) > 1:
            del chunks[index]
    return png_file(chunks)


def png_chunks(raw: bytes) -> list[tuple[bytes, bytes]]:
    """The parts of a PNG file: kind and content."""
    chunks, position = [], len(PNG)
    while position + 8 <= len(raw):
        length, kind = struct.unpack(">I4s", raw[position : position + 8])
        chunks.append((kind, raw[position + 8 : position + 8 + length]))
        position += 12 + length
    return chunks


def png_file(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A PNG file of these parts, with their checksums."""
    return PNG + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def _edited_head(rng: Random, head: bytes) -> bytes:
    """Another size, depth, kind of colour or order of lines."""
    width, height, *rest = struct.unpack(">IIBBBBB", head)
    if rng.random() < 0.5:
        width, height = rng.choice(
            ((rng.choice(SIZES), height), (width, rng.choice(SIZES)), (rng.choice(SIZES), rng.choice(SIZES)))
        )
    else:
        rest[rng.randrange(5)] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    return struct.pack(">IIBBBBB", width, height, *rest)


def _odd_chunk(rng: Random) -> tuple[bytes, bytes]:
    """A part that PNG files may have, with what nobody puts into it."""
    packed = archives.deflated_zeros(rng.choice((1, 100, 2000)), wbits=15)
    orientation = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\xff\xff\x00\x00\x00\x00\x00\x00"
    return rng.choice(
        (
            (b"zTXt", b"key\x00\x00" + packed), (b"iTXt", b"key\x00\x01\x00\x00\x00" + packed),
            (b"iCCP", b"name\x00\x00" + packed), (b"tEXt", b"Raw profile type exif\x00" + b"\nexif\n 1000000000\n00"),
            (b"eXIf", b"II*\x00" + bytes(20)), (b"eXIf", b"Exif\x00\x00" + orientation), (b"IDAT", packed), (b"tRNS", b""),
            (b"tRNS", bytes(256)), (b"PLTE", b""), (b"PLTE", bytes(769)), (b"\x00\xff  ", b"x"), (b"pHYs", bytes(9)),
            (b"gAMA", bytes(4)), (b"acTL", b"\xff" * 8), (b"xxxx", bytes(2**20)),
        )
    )  # fmt: skip


# -- zip files of pictures -------------------------------------------------------------------------------------------------


@functools.cache
def folder_seeds() -> tuple[bytes, ...]:
    """The least that is a set: a picture of each class in both halves."""
    picture = _saved(Image.fromarray(np.arange(784, dtype=np.uint8).reshape(SHAPE)), "PNG")
    return (
        archives.packed_zip(
            [(f"{half}/{label}/0000.png", picture) for half in ("train", "test") for label in range(10)]
        ),
    )


def edited_folder(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """A zip file of pictures, also one that unpacks to much more than a picture."""
    if rng.random() < 0.02:
        return archives.zip_bomb("train/0/0000.png", 2048, head=PNG, declared=rng.choice((None, 100)))
    return archives.edited_zip(rng, raw, others, edited_image)


# -- IDX -------------------------------------------------------------------------------------------------------------------


@functools.cache
def idx_seeds() -> tuple[bytes, ...]:
    """Images and labels, packed and not."""
    images = struct.pack(">4I", 2051, 3, *SHAPE) + bytes(3 * SHAPE[0] * SHAPE[1])
    labels = struct.pack(">2I", 2049, 3) + bytes(range(3))
    return (images, labels, gzip.compress(images), gzip.compress(labels))


def edited_idx(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """An IDX file with other sizes than it has, packed or not; also one that unpacks to much more than it says."""
    packed = raw.startswith(b"\x1f\x8b")
    plain = gzip.decompress(raw) if packed else raw
    action = rng.random()
    if action < 0.01:
        claimed = struct.pack(">4I", 2051, rng.choice((3, 10**6)), *rng.choice((SHAPE, (1024, 1024))))
        return archives.gzip_bomb(rng.choice((10, 1000)), head=claimed)
    if action < 0.3:
        return mutate.edited(rng, raw, others)
    if action < 0.8:
        numbers = [2051 if plain[3] == 3 else 2049, *(rng.choice((*SIZES, 10**6, 10**6 + 1)) for _ in range(plain[3]))]
        plain = struct.pack(f">{len(numbers)}I", *numbers) + plain[4 * len(numbers) :]
    else:
        plain = mutate.edited(rng, plain, [plain])
    return gzip.compress(plain, mtime=0) * rng.choice((1, 1, 2)) if packed else plain


def read_idx_file(path: Path) -> None:
    """As images, as labels, and as a part of a set."""
    packed = path.with_name(IDX_FILES[0] + (".gz" if path.read_bytes()[:2] == b"\x1f\x8b" else ""))
    path.replace(packed)
    try:
        for axes in (3, 1):
            try:
                read_idx(str(packed), axes)
            except OSError:
                if axes == 1:
                    raise
    finally:
        packed.replace(path)


def read_folder(path: Path) -> None:
    """The whole set."""
    fashion_mnist(path, seed=0)


def read_picture(path: Path) -> None:
    """As it is prepared for a network, light and dark."""
    for invert in (True, False):
        load_image(path, invert=invert)
