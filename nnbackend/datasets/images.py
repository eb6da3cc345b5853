"""Sets of small images, and a picture of the user's own made to look like them (book, chapters 19 and 22)."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import IO, Any

import numpy as np

from ..checks import count
from ..errors import ArgumentError, FileError, StateError
from ..files import reading

Path = str | os.PathLike[str]

# What is read. Not all that Pillow can: some of its readers start other programs (PostScript), and many are hardly ever used.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
MOST_PIXELS = 2**26  # more than nearly all cameras take; with all that is done to it, an image takes up to a GiB
_PIECE = 2**22  # pixels that are turned to grey at a time


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Images to train on and to test with, ready for a network.

    `X_train` and `X_test` are float32 of shape (images, height · width), from -1 (black) to 1 (white); `y_train` and
    `y_test` are labels of shape (images,); `label_names[label]` says what a label means. An image is
    `X_train[0].reshape(images.shape)`.
    """

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    label_names: tuple[str, ...]
    shape: tuple[int, int]

    def __repr__(self) -> str:
        height, width = self.shape
        return (
            f"<ImageSet of {len(self.X_train):,} training and {len(self.X_test):,} test images, {height} × {width}, "
            f"{len(self.label_names)} labels: {', '.join(self.label_names)}>"
        )


def scale(images: np.ndarray) -> np.ndarray:
    """Grey values 0 to 255 of shape (n, height, width) as the book prepares them: (X - 127.5) / 127.5, shape (n, pixels).

    >>> scale(np.array([[[0, 255]]], np.uint8))
    array([[-1.,  1.]], dtype=float32)
    """
    scaled = images.reshape(len(images), -1).astype(np.float32)
    scaled -= 127.5
    scaled /= 127.5
    return scaled


def load_image(path: Path, *, shape: tuple[int, int] = (28, 28), invert: bool = True) -> np.ndarray:
    """A picture of your own as inputs for a network that learned from small images: float32, shape (1, height · width).

    As in chapter 22 of the book it is turned to grey, resized to `shape` (height, width), inverted and scaled to -1..1.
    Fashion-MNIST's images are light on black, so a photo on a light ground is inverted; one on black is not:
    `invert=False`. Transparent parts become ground. Needs Pillow (extra `data`), and reads .png, .jpg, .webp, .gif, .bmp,
    .tif and .ppm of up to 67 million pixels. Raises `FileError` for a file that is missing or no such image.

    >>> from PIL import Image
    >>> Image.new("RGB", (300, 200), "white").save("shirt.png")
    >>> X = load_image("shirt.png")
    >>> X.shape, float(X.max())
    ((1, 784), -1.0)
    """
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise ArgumentError(f"shape {shape!r}: expected (height, width), such as (28, 28)")
    height, width = (count("shape", size) for size in shape)
    if height * width > MOST_PIXELS:
        raise ArgumentError(f"shape {shape!r}: expected at most {MOST_PIXELS:,} pixels")
    pillow()  # say that it is missing before anything is read
    with reading(path), open(path, "rb") as file:
        image = read_image(file, os.fspath(path))
    with _naming(os.fspath(path)):
        grey = _grey(image, ground=255 if invert else 0)
        resized = np.asarray(grey.resize((width, height), pillow().Image.Resampling.BILINEAR))
    return scale((255 - resized if invert else resized)[np.newaxis])


def read_image(file: IO[bytes], name: str, *, formats: Sequence[str] = FORMATS, most_pixels: int = MOST_PIXELS) -> Any:
    """A Pillow image that has been read to its end, or `FileError`. `name` is what to call it."""
    image_module = pillow().Image
    with _naming(name):
        image = image_module.open(file, formats=formats)
        if image.width * image.height > most_pixels:
            raise FileError(
                f"{name} has {image.width:,} × {image.height:,} pixels: expected at most {most_pixels:,} in all, make it smaller"
            )
        image.load()
        return image


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """A block in which Pillow reads: its many readers raise whatever they like at a damaged file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it finds odd and reads all the same; sizes are checked here
            yield
    except FileError:
        raise
    except MemoryError:
        raise FileError(f"{name} needs more memory than there is: make it smaller") from None
    except Exception as error:
        raise FileError(f"{name} is damaged, or no image: expected a file such as .png or .jpg") from error


def pillow() -> ModuleType:
    """The package PIL with what is used here, or `StateError`."""
    try:
        import PIL.Image
        import PIL.ImageOps
        import PIL.MpoImagePlugin
        import PIL.TiffImagePlugin
        import PIL.WebPImagePlugin  # by name, or all readers that there are would be loaded to find them
    except ModuleNotFoundError:
        raise StateError("images need Pillow, which is not installed: pip install 'nnbackend[data]'") from None
    if not (log := logging.getLogger("PIL")).handlers:
        log.addHandler(logging.NullHandler())  # else it writes on stderr what we say in a sentence
    return PIL


def _grey(image: Any, *, ground: int) -> Any:
    """An image in grey values 0 to 255, the way up it was taken. Piece by piece: on the way a pixel takes up to 16 bytes."""
    image = pillow().ImageOps.exif_transpose(image)
    grey = pillow().Image.new("L", image.size)
    width = min(image.width, _PIECE)
    height = max(1, _PIECE // width)
    for top in range(0, image.height, height):
        for left in range(0, image.width, width):
            box = (left, top, min(left + width, image.width), min(top + height, image.height))
            grey.paste(_grey_piece(image.crop(box), ground), box)
    return grey


def _grey_piece(image: Any, ground: int) -> Any:
    image_module = pillow().Image
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip instead of scale
        values = np.clip(np.asarray(image, np.int64), 0, 65535) >> 8
        return image_module.fromarray(values.astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = image_module.alpha_composite(image_module.new("RGBA", image.size, (ground,) * 3 + (255,)), image)
    return image.convert("L")
