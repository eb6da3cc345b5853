"""Fashion-MNIST (book, chapter 19): 70,000 grey images of clothes, 28 × 28, from the user's own copy.

Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms" (2017).
"""

from __future__ import annotations

import os
import zipfile

import numpy as np

from ..checks import seed as checked_seed
from ..errors import FileError
from ..files import reason
from ..rng import host_generator
from .idx import IDX_FILES, read_idx_folder
from .images import ImageSet, Path, scale
from .png_folders import Folder, Progress, read_png_folders
from .zipped import Zip

FASHION_LABELS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SHAPE = (28, 28)

Halves = tuple[np.ndarray, ...]


def fashion_mnist(path: Path, *, seed: int | None = None, progress: Progress | None = None) -> ImageSet:
    """Fashion-MNIST from your copy, prepared as in the book: training images shuffled, (X - 127.5) / 127.5, rows of 784.

    `path` is either form that it comes in: the book's folder or zip file of PNG images in folders numbered by class
    (`train/0/0000.png` ... `test/9/0999.png`; needs Pillow, extra `data`), or the folder of the original files
    (`train-images-idx3-ubyte.gz` and three more, packed or not). `seed` decides the order (None: fresh entropy).
    `progress(done, total)` is called now and then while PNG images are read. Raises `FileError` that names the file
    that is missing or damaged, and what was expected.

    >>> import nnbackend as nn
    >>> nn.datasets.fashion_mnist("missing")
    Traceback (most recent call last):
    ...
    nnbackend.errors.FileError: cannot read missing: No such file or directory
    """
    X, y, X_test, y_test = _read(os.fspath(path), progress)
    order = host_generator(checked_seed(seed)).permutation(len(X))
    return ImageSet(scale(X[order]), y[order], scale(X_test), y_test, FASHION_LABELS, SHAPE)


def _read(path: str, progress: Progress | None) -> Halves:
    """Training images and labels, test images and labels, from whatever is there."""
    classes = len(FASHION_LABELS)
    if not os.path.exists(path):
        raise FileError(f"cannot read {path}: No such file or directory")
    if os.path.isfile(path):
        if not zipfile.is_zipfile(path):
            raise FileError(
                f"{path} {_instead_of_a_zip(path)}: expected the book's fashion_mnist_images.zip, or a folder"
            )
        with Zip(path) as source:
            return read_png_folders(source, SHAPE, classes, progress)
    if any(os.path.isdir(os.path.join(path, half)) for half in ("train", "test")):
        return read_png_folders(Folder(path), SHAPE, classes, progress)
    if any(os.path.exists(os.path.join(path, name + packed)) for name in IDX_FILES for packed in ("", ".gz")):
        return read_idx_folder(path, SHAPE, classes)
    raise FileError(
        f"{path} does not look like Fashion-MNIST: expected folders of images (train/0/0000.png, test/0/0000.png, ...), or the "
        f"files {', '.join(f'{name}.gz' for name in IDX_FILES)}"
    )


def _instead_of_a_zip(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return "is truncated" if file.read(4) == b"PK\x03\x04" else "is no zip file"
    except OSError as error:
        return f"cannot be read ({reason(error)})"
