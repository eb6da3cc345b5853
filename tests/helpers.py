"""What tests share: comparing arrays, and laying them out in unusual ways."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import numpy as np

from nnbackend import Backend
from nnbackend.testing import tolerances

# The backend of the running test, set by the fixtures of conftest.py.
_expected: contextvars.ContextVar[Backend | None] = contextvars.ContextVar("expected_backend", default=None)


@contextlib.contextmanager
def expecting_arrays_of(xp: Backend) -> Iterator[None]:
    """A block in which `close` and `same` insist on arrays of this backend."""
    token = _expected.set(xp)
    try:
        yield
    finally:
        _expected.reset(token)


def host(actual: Any) -> np.ndarray:
    """A result of the running test's backend on the host, once it is sure that it comes from that backend.

    A test of a device backend whose expected and actual values are both NumPy arrays proves nothing, and passes.
    """
    xp = _expected.get()
    if xp is None:
        return np.asarray(actual)
    if not xp.is_array(actual):
        raise AssertionError(
            f"the result is a {type(actual).__module__}.{type(actual).__name__}, not an array of backend {xp.name!r}: "
            "expected and actual are both on the host, so this compares nothing"
        )
    return xp.to_host(actual)


def assert_close(
    actual: Any, expected: Any, tolerance: float, what: str = "", *, scale: float | None = None, dtype: Any = None
) -> None:
    """A device array against NumPy values, relative to `scale` or the largest element; and its dtype, the backend's."""
    xp = _expected.get()
    found = host(actual)
    wanted = xp.dtype if dtype is None and xp is not None else dtype
    assert wanted is None or found.dtype == wanted, f"{what}: dtype {found.dtype}, expected {wanted}"
    tolerances.assert_close(found, expected, tolerance, what, scale)


def assert_same(actual: Any, expected: Any, what: str = "") -> None:
    """A device array against NumPy values, to the bit (NaN equals NaN), with the same shape."""
    found = host(actual)
    assert found.shape == np.shape(expected), f"{what}: shape {found.shape}, expected {np.shape(expected)}"
    np.testing.assert_array_equal(found, expected, err_msg=what)
