"""Every regularizer of `cases.py`, on every backend. Values at zero are in test_ops.py, gradients in test_layers.py too."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnbackend as nn
from nnbackend.testing import gradcheck, tolerances
from tests.cases import REGULARIZERS
from tests.helpers import assert_close, assert_same

SHAPE = (7, 5)
START = 0.5  # what the penalty and its gradient are added to

cases = pytest.mark.parametrize("make", REGULARIZERS.values(), ids=REGULARIZERS)


def parameters(shape=SHAPE):
    """Parameters that float32 holds exactly, one of them zero."""
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32).astype(np.float64)
    values.flat[3 % values.size] = 0.0
    return values


def results(xp, regularizer, values):
    """The penalty and its gradient, both added to what is there."""
    total, gradient = xp.full((), START), xp.full(values.shape, START)
    with xp.no_transfers():
        regularizer.penalty(xp, values, state=total)
        regularizer.gradient(xp, values, state=gradient)
    return total, gradient


@cases
@pytest.mark.parametrize("shape", [(1, 1), SHAPE, (64, 300)])
def test_agrees_with_the_cpu_in_float64(xp_any, make, shape):
    reference = nn.get_backend("cpu", dtype="float64", kernels="reference")
    expected = results(reference, make(), reference.asarray(parameters(shape)))
    total, gradient = results(xp_any, make(), xp_any.asarray(parameters(shape)))
    assert_close(total, expected[0], tolerances.tolerance("loss", xp_any.dtype, shape[0] * shape[1]), "penalty")
    assert_close(gradient, expected[1], tolerances.tolerance("elementwise", xp_any.dtype), "gradient")


@cases
def test_parameters_are_left_alone_and_may_lie_anyhow(xp_any, make):
    host = parameters()
    expected = results(xp_any, make(), xp_any.asarray(host))[1]
    frozen = host.astype(xp_any.dtype)
    frozen.flags.writeable = False
    for values in (xp_any.asarray(frozen), xp_any.asarray(np.ascontiguousarray(host.T)).T):
        assert_same(results(xp_any, make(), values)[1], xp_any.to_host(expected))
        assert_same(values, host)


@cases
def test_a_copy_is_the_same(xp, make):
    values = xp.asarray(parameters())
    expected = [xp.to_host(result) for result in results(xp, make(), values)]
    for found, wanted in zip(results(xp, copy.deepcopy(make()), values), expected, strict=True):
        assert_same(found, wanted)


@cases
def test_may_be_replayed(xp_any, make):
    xp, regularizer = xp_any, make()
    fixed, total, gradient = xp.ones(SHAPE), xp.zeros(()), xp.zeros(SHAPE)

    def once():
        xp.ops.assign(START, out=total)
        xp.ops.assign(START, out=gradient)
        regularizer.penalty(xp, fixed, state=total)
        regularizer.gradient(xp, fixed, state=gradient)

    assert vars(type(regularizer))["only_ops"]
    step = xp.compiled_step(once, only_ops=True)
    with xp.no_transfers():
        step()
    fixed[...] = xp.asarray(parameters())
    with xp.no_transfers():
        step()
    expected = [xp.to_host(result) for result in results(xp, make(), xp.asarray(parameters()))]
    assert_close(total, expected[0], tolerances.tolerance("loss", xp.dtype, 35))
    assert_close(gradient, expected[1], tolerances.tolerance("elementwise", xp.dtype))


strengths = st.floats(0, 10, allow_subnormal=False)


@given(strengths=st.tuples(strengths, strengths, strengths, strengths), seed=st.integers(0, 99))
def test_four_strengths_of_a_layer(strengths, seed):
    """Loss = data loss + l1 Σ|w| + l2 Σw² + the same of the biases, and gradients that are those of that sum."""
    dense = nn.Dense(
        2,
        3,
        weight_regularizer=nn.L1L2(*strengths[:2]),
        bias_regularizer=nn.L1L2(*strengths[2:]),
        backend=nn.get_backend("cpu", dtype="float64"),
    )
    rng = np.random.default_rng(seed)
    weights, biases = (rng.uniform(0.1, 1, shape) * rng.choice([-1, 1], shape) for shape in ((2, 3), (1, 3)))
    dense.weights, dense.biases = weights, biases
    X, y = rng.standard_normal((4, 2)), rng.integers(0, 3, 4)
    model = nn.Model([dense, nn.Softmax()], loss=nn.CategoricalCrossentropy())
    gradcheck(model, X, y)
    w1, w2, b1, b2 = strengths
    expected = w1 * abs(weights).sum() + w2 * (weights**2).sum() + b1 * abs(biases).sum() + b2 * (biases**2).sum()
    assert model.evaluate(X, y).regularization_loss == pytest.approx(expected, rel=1e-14)
