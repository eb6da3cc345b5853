"""Every exception that nnbackend raises on purpose.

Each message is one sentence that names the value, what was expected and what to do about it, in one line of text that a
terminal can show, whatever the value was. All of them derive from `NNBackendError`, and each also from the built-in exception
that a caller would expect, so `except ValueError` works too.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import partial
from typing import Any


class NNBackendError(Exception):
    """The base of all errors raised on purpose."""

    def __str__(self) -> str:
        """The sentence. It may name a file, an array, a class that somebody else chose a name for."""
        return one_line(super().__str__())


class BackendError(NNBackendError, RuntimeError):
    """A backend that was asked for cannot be had here (no GPU, no CuPy, an unknown name).

    `fault` says it in a word for programs, where there is one: for a GPU those of `nnbackend.backend.Fault`.
    """

    def __init__(self, message: str, *, fault: str | None = None) -> None:
        super().__init__(message)
        self.fault = fault


class TransferError(NNBackendError, RuntimeError):
    """Data crossed between host and device where that is forbidden (inside `xp.no_transfers()`)."""


class ArgumentError(NNBackendError, ValueError):
    """A setting has a value that makes no sense (a negative rate, an unknown name, a size of zero)."""


class DataError(NNBackendError, ValueError):
    """Data do not fit: wrong shape or dtype, labels out of range, NaN, nothing at all, another backend's array."""


class StateError(NNBackendError, RuntimeError):
    """Something was called out of order, or asked for a value that this object does not keep."""


class OutOfMemoryError(ArgumentError, MemoryError):
    """What was asked for takes more memory than its backend has: the GPU's, or for backends of the host the machine's.

    `needed` and `free` are numbers of bytes, and `batch_size` one that fits; None where they are not known, or none fits.
    """

    def __init__(
        self, message: str, *, needed: int | None = None, free: int | None = None, batch_size: int | None = None
    ) -> None:
        super().__init__(message)
        self.needed, self.free, self.batch_size = needed, free, batch_size


class NonFiniteLossError(NNBackendError, ArithmeticError):
    """The loss turned into NaN or infinity while training.

    `step` and `epoch` say when, counted over all training of the model; `model.history` holds the epochs before.
    """

    def __init__(self, message: str, *, step: int, epoch: int) -> None:
        super().__init__(message)
        self.step = step
        self.epoch = epoch

    def __reduce__(self) -> tuple[Any, ...]:
        """So that it may cross from one process to another."""
        return partial(type(self), step=self.step, epoch=self.epoch), self.args


class FileError(NNBackendError, OSError):
    """A file cannot be read or written, or is not what it should be: missing, damaged, altered, foreign, too new."""


class CheckError(NNBackendError, AssertionError):
    """Something does not do what it should, found by `nnbackend.testing`."""


class NonDifferentiableError(CheckError):
    """A gradient was to be checked where there is none: within a step of a kink, such as ReLU's at zero."""


def shown(value: object, longest: int = 80) -> str:
    """A value as an error message names it: its `repr` in one line, cut short where it is long.

    >>> shown("relu"), shown(list(range(1000)), longest=12)
    ("'relu'", '[0, 1, 2, 3…')
    """
    try:
        text = " ".join(repr(value).split())
    except Exception:  # whatever a user's own class does; and Python prints no integer of more than 4,300 digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= longest else text[: longest - 1] + "…"


def printable(text: str) -> str:
    r"""A text for a terminal: what would move the cursor, change colours or hide a part of it is written as an escape.

    >>> print(printable("café \x1b[2J"), printable("a\nb"))
    café \x1b[2J a\nb
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str, longest: int = 1000) -> str:
    """A text for one line of a terminal: printable, and cut short where it is long. For names that others chose.

    >>> one_line("a\\nb"), one_line("x" * 100, longest=4)
    ('a\\\\nb', 'xxx…')
    """
    return printable(text if len(text) <= longest else text[: longest - 1] + "…")


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its class where it says nothing. For errors of other libraries.

    >>> first_line(ValueError("no such thing\\nat 0x7f")), first_line(MemoryError())
    ('no such thing', 'MemoryError')
    """
    return (str(error).strip() or type(error).__name__).split("\n")[0]


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or all of them.

    >>> did_you_mean("addam", ["adam", "sgd"])
    "did you mean 'adam'? Known: adam, sgd"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name[:100] if isinstance(name, str) else shown(name), names, n=1)
    hint = f"did you mean {shown(close[0])}? " if close else ""
    return f"{hint}Known: {one_line(', '.join(names), 300)}"
