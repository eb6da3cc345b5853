"""Checks of settings that constructors share. Each answers a bad value in one sentence with `ArgumentError`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .errors import ArgumentError
from .rng import check_seed


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def positive(name: str, value: Any) -> float:
    """A finite number above zero."""
    if not _is_number(value) or not math.isfinite(value) or value <= 0:
        raise ArgumentError(f"{name} {value!r}: expected a finite number above 0")
    return float(value)


def not_negative(name: str, value: Any) -> float:
    """A finite number of at least zero."""
    if not _is_number(value) or not math.isfinite(value) or value < 0:
        raise ArgumentError(f"{name} {value!r}: expected a finite number of at least 0")
    return float(value)


def fraction(name: str, value: Any) -> float:
    """A number from 0 up to, but not including, 1."""
    if not _is_number(value) or not 0 <= value < 1:
        raise ArgumentError(f"{name} {value!r}: expected a number from 0 up to, but not including, 1")
    return float(value)


def count(name: str, value: Any, *, least: int = 1) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ArgumentError(f"{name} {value!r}: expected a whole number of at least {least}")
    return int(value)


def seed(value: Any) -> int:
    """A seed, or fresh entropy for None."""
    try:
        return check_seed(value)
    except ValueError as error:
        raise ArgumentError(str(error)) from None
