"""Every exception that nnbackend raises on purpose.

Each message is one sentence that names the value, what was expected and what to do about it. All of them derive from
`NNBackendError`, and each also from the built-in exception that a caller would expect, so `except ValueError` works too.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NNBackendError(Exception):
    """The base of all errors raised on purpose."""


class BackendError(NNBackendError, RuntimeError):
    """A backend that was asked for cannot be had here (no GPU, no CuPy, an unknown name)."""


class TransferError(NNBackendError, RuntimeError):
    """Data crossed between host and device where that is forbidden (inside `xp.no_transfers()`)."""


class ArgumentError(NNBackendError, ValueError):
    """A setting has a value that makes no sense (a negative rate, an unknown name, a size of zero)."""


class DataError(NNBackendError, ValueError):
    """Data do not fit: wrong shape or dtype, labels out of range, NaN, nothing at all, another backend's array."""


class StateError(NNBackendError, RuntimeError):
    """Something was called out of order, or asked for a value that this object does not keep."""


class NonFiniteLossError(NNBackendError, ArithmeticError):
    """The loss turned into NaN or infinity while training; `step` and `epoch` say when, `history` holds what came before."""

    def __init__(self, message: str, *, step: int, epoch: int) -> None:
        super().__init__(message)
        self.step = step
        self.epoch = epoch


class FileError(NNBackendError, OSError):
    """A file cannot be read or written, or is not what it should be: missing, damaged, altered, foreign, too new."""


class CheckError(NNBackendError, AssertionError):
    """Something does not do what it should, found by `nnbackend.testing`."""


class NonDifferentiableError(CheckError):
    """A gradient was to be checked where there is none: within a step of a kink, such as ReLU's at zero."""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or all of them.

    >>> did_you_mean("addam", ["adam", "sgd"])
    "did you mean 'adam'? Known: adam, sgd"
    """
    names = sorted(known)
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known: {', '.join(names)}"
