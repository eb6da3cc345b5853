"""What each data set asks of a network: the data, fresh data to check it on, the last layer, the loss, the defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import datasets
from ..activations import Linear, Sigmoid, Softmax
from ..datasets import TargetScaling
from ..datasets.tables import ENDINGS as TABLES
from ..errors import ArgumentError, did_you_mean
from ..layers import Layer
from ..losses import BinaryCrossentropy, CategoricalCrossentropy, Loss, MeanSquaredError
from ..model import Model
from .answers import BINARY, CLASSES, REGRESSION
from .output import reading_bar

Data = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Ending:
    """How a network ends for one kind of task, and the loss behind it; the loss knows its accuracy."""

    layer: Callable[[], Layer]
    loss: Callable[[], Loss]


ENDINGS = {
    CLASSES: Ending(Softmax, CategoricalCrossentropy),
    BINARY: Ending(Sigmoid, BinaryCrossentropy),
    REGRESSION: Ending(Linear, MeanSquaredError),
}


@dataclass(frozen=True)
class Defaults:
    """The book's settings for a task; Adam throughout."""

    samples: int = 100
    hidden: tuple[int, ...] = (64,)
    learning_rate: float = 0.02
    decay: float = 5e-7
    l2: float = 5e-4
    initial_weights: float = 0.01
    epochs: int = 10_000
    batch_size: int | None = None
    print_every: int = 100


CHAPTER_14 = Defaults(samples=100)
CHAPTER_16 = Defaults(samples=100, learning_rate=0.001)
# With weights of 0.01 most seeds never learn the whole period, as the book shows.
CHAPTER_17 = Defaults(samples=1000, hidden=(64, 64), learning_rate=0.005, decay=1e-3, l2=0.0, initial_weights=0.1)
CHAPTER_19 = Defaults(
    hidden=(128, 128), learning_rate=0.001, decay=1e-3, l2=0.0, epochs=10, batch_size=128, print_every=1
)
# There are few digits, twelve steps an epoch, so they take more epochs and larger weights.
DIGITS = replace(CHAPTER_19, epochs=20, initial_weights=0.1)


@dataclass(frozen=True)
class Task:
    """Data and what they ask for."""

    name: str
    kind: str
    training: Data
    fresh: Data
    n_outputs: int
    defaults: Defaults
    #: What the fresh data are: drawn anew, the test set, rows put aside for validation, or those of training again.
    fresh_name: str = "fresh"
    class_names: tuple[str, ...] | None = None
    #: What is to be done to data of the user's own first; part of a model file.
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    #: What is measured after every epoch: fresh data as training sees them.
    validation: Data | None = None
    #: What there is to say about the data.
    notes: tuple[str, ...] = ()
    #: The unit of the targets, where those of `training` and `validation` have another.
    target_scaling: TargetScaling | None = None

    def finish(self, model: Model) -> None:
        """Let a trained model answer in the unit of the fresh data."""
        if self.target_scaling is not None:
            self.target_scaling.fold_into(model)

    @property
    def ending(self) -> Ending:
        """The last layer and the loss."""
        return ENDINGS[self.kind]

    def __str__(self) -> str:
        samples, features = self.training[0].shape
        plural = "" if features == 1 else "s"
        classes = f" into {self.n_outputs} classes" if self.kind == CLASSES else ""
        line = f"{self.name}: {samples:,} samples with {features} feature{plural}, {self.kind}{classes}"
        return "\n".join([line, *self.notes])


def load_task(
    name: str, *, samples: int | None, classes: int | None, binary: bool, seed: int, path: Path | None = None
) -> Task:
    """The data set of that name. Fresh data are drawn with the next seed; for the sine, they lie between the samples.

    `path` is where Fashion-MNIST is; the other sets need none.
    """
    if name not in DATA_SETS:
        raise ArgumentError(
            f"unknown data set {name!r}: {did_you_mean(name, DATA_SETS)}; or a file that ends in {', '.join(TABLES)}"
        )
    if name in IMAGES:
        for option, given in (
            ("--samples", samples is not None),
            ("--classes", classes is not None),
            ("--binary", binary),
        ):
            if given:
                raise ArgumentError(
                    f"{option} is for made-up points, and {name} are images that there are: leave it out"
                )
    if name == "fashion-mnist":
        return _fashion_mnist(name, seed, path)
    if path is not None:
        raise ArgumentError(f"--data {path} is for fashion-mnist: {name} needs none, leave it out")
    if name == "digits":
        return _images(name, datasets.digits(seed=seed), DIGITS)
    return POINTS[name](name, samples=samples, classes=classes, binary=binary, seed=seed)


def _points(name: str, *, samples: int | None, classes: int | None, binary: bool, seed: int) -> Task:
    if binary and classes not in (None, 2):
        raise ArgumentError(f"--binary tells two classes apart: expected --classes 2, not {classes}")
    draw: Any = getattr(datasets, name)
    defaults = CHAPTER_16 if binary else CHAPTER_14
    classes = classes if classes is not None else (2 if binary else 3)
    samples = samples if samples is not None else defaults.samples
    return Task(
        name,
        BINARY if binary else CLASSES,
        draw(samples, classes, seed=seed),
        draw(samples, classes, seed=(seed + 1) % 2**32),
        1 if binary else classes,
        defaults,
    )


def _sine(name: str, *, samples: int | None, classes: int | None, binary: bool, seed: int) -> Task:
    if classes is not None or binary:
        option = "--binary" if binary else "--classes"
        raise ArgumentError(f"{option} is for classification, and the sine is a regression: leave it out")
    samples = samples if samples is not None else CHAPTER_17.samples
    X, y = datasets.sine(samples)
    between = slice(1, None, 2)  # of twice as many
    X_fresh, y_fresh = (values[between] for values in datasets.sine(2 * samples))
    return Task(name, REGRESSION, (X, y), (X_fresh, y_fresh), 1, CHAPTER_17)


def _fashion_mnist(name: str, seed: int, path: Path | None) -> Task:
    if path is None:
        raise ArgumentError(
            "fashion-mnist needs --data PATH: the book's fashion_mnist_images.zip or its folder, or the folder of the four "
            "original files train-images-idx3-ubyte.gz, ..."
        )
    with reading_bar() as progress:
        return _images(name, datasets.fashion_mnist(path, seed=seed, progress=progress), CHAPTER_19)


def _images(name: str, images: datasets.ImageSet, defaults: Defaults) -> Task:
    return Task(
        name,
        CLASSES,
        (images.X_train, images.y_train),
        (images.X_test, images.y_test),
        len(images.label_names),
        defaults,
        fresh_name="test",
        class_names=images.label_names,
        preprocessing={"image_shape": list(images.shape), "scaled_to": [-1.0, 1.0]},
        validation=(images.X_test, images.y_test),
    )


POINTS: dict[str, Callable[..., Task]] = {"spiral": _points, "vertical": _points, "sine": _sine}
IMAGES = ("digits", "fashion-mnist")
DATA_SETS = (*POINTS, *IMAGES)
