"""Checks of settings that constructors share. Each answers a bad value in one sentence with `ArgumentError`."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from .errors import ArgumentError, shown


def _number(value: Any) -> float:
    """The value as a float; NaN, which every check refuses, for what is no number or too large for one."""
    if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def positive(name: str, value: Any) -> float:
    """A finite number above zero."""
    number = _number(value)
    if not (math.isfinite(number) and number > 0):
        raise ArgumentError(f"{name} {shown(value)}: expected a finite number above 0")
    return number


def not_negative(name: str, value: Any) -> float:
    """A finite number of at least zero."""
    number = _number(value)
    if not (math.isfinite(number) and number >= 0):
        raise ArgumentError(f"{name} {shown(value)}: expected a finite number of at least 0")
    return number


def fraction(name: str, value: Any) -> float:
    """A number from 0 up to, but not including, 1."""
    number = _number(value)
    if not 0 <= number < 1:
        raise ArgumentError(f"{name} {shown(value)}: expected a number from 0 up to, but not including, 1")
    return number


def count(name: str, value: Any, *, least: int = 1) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ArgumentError(f"{name} {shown(value)}: expected a whole number of at least {least}")
    return int(value)


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ArgumentError(f"{name} {shown(value)}: expected True or False")
    return bool(value)


def path(name: str, value: Any) -> str:
    """Where a file or a folder is."""
    try:
        text = os.fsdecode(value)
    except (TypeError, ValueError):
        text = ""
    if not 0 < len(text) < 4096 or set(text) & {"\0", "\n", "\r"}:  # Linux takes no longer ones
        raise ArgumentError(f"{name} {shown(value)}: expected a path, such as 'spiral.safetensors'")
    return text


def seed(value: Any, *, bits: int = 64) -> int:
    """A seed of at most so many bits, or fresh entropy for None."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if value is not None and not (whole and 0 <= value < 2**bits):
        raise ArgumentError(
            f"seed {shown(value)}: expected an integer from 0 to 2**{bits} - 1, or None for fresh entropy"
        )
    if value is None:
        return int.from_bytes(os.urandom(8)) >> (64 - min(bits, 63))
    return int(value)
