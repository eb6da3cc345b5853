"""nnbackend: neural networks you can read, on NumPy or on a CUDA GPU, from one code base.

*Neural Networks from Scratch in Python* (Kinsley & Kukieła), written once against an array backend called `xp`.
"""

from . import interrupts as interrupts  # first, for what follows takes a moment

# isort: split
from . import datasets
from .activations import Linear, ReLU, Sigmoid, Softmax
from .backend import Backend, available_backends, get_backend, register_backend, use_backend
from .callbacks import (
    Checkpoint,
    CosineSchedule,
    CSVLog,
    EarlyStopping,
    Schedule,
    StepSchedule,
    StopOnNonFinite,
    TensorBoardLog,
)
from .errors import (
    ArgumentError,
    BackendError,
    CheckError,
    DataError,
    FileError,
    NNBackendError,
    NonDifferentiableError,
    NonFiniteLossError,
    OutOfMemoryError,
    StateError,
    TransferError,
)
from .history import History
from .initializers import Normal, Zeros
from .layers import Dense, Dropout, Layer
from .losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SigmoidBinaryCrossentropy,
    SoftmaxCategoricalCrossentropy,
)
from .metrics import Accuracy, BinaryAccuracy, CategoricalAccuracy, RegressionAccuracy
from .model import Evaluation, Model
from .optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from .parameters import ParameterBuffer
from .regularizers import L1, L1L2, L2, Regularizer
from .training import Callback

__version__ = "0.1.0"

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "SGD",
    "Accuracy",
    "Adagrad",
    "Adam",
    "AdamW",
    "ArgumentError",
    "Backend",
    "BackendError",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CSVLog",
    "Callback",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CheckError",
    "Checkpoint",
    "CosineSchedule",
    "DataError",
    "Dense",
    "Dropout",
    "EarlyStopping",
    "Evaluation",
    "FileError",
    "History",
    "Layer",
    "Linear",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Model",
    "NNBackendError",
    "NonDifferentiableError",
    "NonFiniteLossError",
    "Normal",
    "Optimizer",
    "OutOfMemoryError",
    "ParameterBuffer",
    "RMSprop",
    "ReLU",
    "RegressionAccuracy",
    "Regularizer",
    "Schedule",
    "Sigmoid",
    "SigmoidBinaryCrossentropy",
    "Softmax",
    "SoftmaxCategoricalCrossentropy",
    "StateError",
    "StepSchedule",
    "StopOnNonFinite",
    "TensorBoardLog",
    "TransferError",
    "Zeros",
    "available_backends",
    "datasets",
    "get_backend",
    "register_backend",
    "use_backend",
]
