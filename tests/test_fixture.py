"""The fixtures themselves: each backend is what its name says, and comparing nothing is noticed."""

from __future__ import annotations

import numpy as np
import pytest

import nnbackend as nn
from tests import conftest, helpers


def test_xp_is_the_backend_that_its_name_says(xp, request):
    name = request.node.callspec.id
    assert xp is nn.get_backend(**conftest.BACKENDS[name])
    assert xp.dtype == np.float32


def test_xp64_is_in_float64(xp64):
    assert xp64.dtype == xp64.zeros(1).dtype == np.float64


def test_xp_any_is_in_both(xp_any, request):
    assert request.node.callspec.id.endswith(str(xp_any.dtype))


def test_the_reference_has_no_overrides():
    assert not any(op.overrides for op in nn.get_backend("cpu", kernels="reference").ops)


def test_two_host_arrays_are_noticed_on_a_device():
    """As the `xp` fixture of SciPy does: NumPy compared with NumPy says nothing about a device."""
    with (
        helpers.expecting_arrays_of(nn.get_backend("strict")),
        pytest.raises(AssertionError, match="both on the host"),
    ):
        helpers.assert_close(np.ones(2, np.float32), np.ones(2), 1e-6)


def test_a_promoted_dtype_is_noticed(xp):
    with pytest.raises(AssertionError, match="dtype float64"):
        helpers.assert_close(xp.ones(2, dtype="float64"), np.ones(2), 1e-6)


def test_hypothesis_looks_at_the_same_examples_everywhere():
    from hypothesis import settings

    assert settings.default is not None
    if settings.get_current_profile_name() == "ci":
        assert settings.default.derandomize
        assert settings.default.database is None
