"""The names of *Neural Networks from Scratch in Python* over nnbackend's code: a chapter's script runs on them.

Delete a script's class listings, add `from nnbackend.book import *`, and it runs: with its own `import numpy as np`,
`nnfs.init()` and training loop, on plain NumPy arrays, printing what the book's own classes print. To run it on a GPU, take
NumPy and the data from here as well, in place of the script's own imports,

    from nnbackend.book import *
    from nnbackend.book import np, spiral_data, sine_data

and set NNBACKEND=gpu in the environment. These classes adapt and compute nothing themselves; the mathematics is in
`nnbackend.ops`. docs/book.md maps every chapter to its names, and lists the faults of the book's code that are put right.
"""

from typing import Any

from .accuracies import Accuracy, Accuracy_Categorical, Accuracy_Regression
from .activations import Activation_Linear, Activation_ReLU, Activation_Sigmoid, Activation_Softmax
from .arrays import current_place
from .datasets import sine_data as sine_data
from .datasets import spiral_data as spiral_data
from .datasets import vertical_data as vertical_data
from .layers import Layer_Dense, Layer_Dropout, Layer_Input
from .losses import (
    Activation_Softmax_Loss_CategoricalCrossentropy,
    Loss,
    Loss_BinaryCrossentropy,
    Loss_CategoricalCrossentropy,
    Loss_MeanAbsoluteError,
    Loss_MeanSquaredError,
)
from .model import Model
from .namespace import device_numpy
from .optimizers import Optimizer_Adagrad, Optimizer_Adam, Optimizer_RMSprop, Optimizer_SGD

# What `import *` brings: the classes of the listings. A script's own NumPy and data stay what they are; `np` and the
# data sets of this package are taken by name.
__all__ = [
    "Accuracy",
    "Accuracy_Categorical",
    "Accuracy_Regression",
    "Activation_Linear",
    "Activation_ReLU",
    "Activation_Sigmoid",
    "Activation_Softmax",
    "Activation_Softmax_Loss_CategoricalCrossentropy",
    "Layer_Dense",
    "Layer_Dropout",
    "Layer_Input",
    "Loss",
    "Loss_BinaryCrossentropy",
    "Loss_CategoricalCrossentropy",
    "Loss_MeanAbsoluteError",
    "Loss_MeanSquaredError",
    "Model",
    "Optimizer_Adagrad",
    "Optimizer_Adam",
    "Optimizer_RMSprop",
    "Optimizer_SGD",
]


def __getattr__(name: str) -> Any:
    """`np`, found when it is asked for: NumPy, or the device that NNBACKEND names."""
    if name == "np":
        return device_numpy(current_place())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
