"""Numbers for people."""

from __future__ import annotations


def duration(seconds: float | None) -> str:
    """Seconds in the unit that reads best; "" for what was not measured."""
    if seconds is None:
        return ""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale or unit == "µs":
            return f"{seconds / scale:.3g} {unit}"
    raise AssertionError


def mebibytes(size: int | None) -> str:
    """Bytes in MiB; "" where the system does not say."""
    return "" if size is None else f"{size / 2**20:.0f} MiB"
