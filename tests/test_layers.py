"""Every layer and activation of `cases.py` through every check, on every backend."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.testing import tolerances
from nnbackend.testing.layers import LAYER_CHECKS, Trial, check_gradients, nonzero
from tests.cases import LAYERS
from tests.helpers import assert_close, assert_same

SAMPLES = 7

cases = pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS)


@cases
def test_gradients(xp64, case):
    layer = case.make()
    layer.place(xp64)
    shape = (SAMPLES, case.features)
    check_gradients(nonzero(layer, np.random.default_rng(0)), shape, training=case.training)


@cases
@pytest.mark.parametrize("check", LAYER_CHECKS.values(), ids=LAYER_CHECKS)
def test_layer(xp_any, case, check):
    layer = nonzero(case.make(), np.random.default_rng(0))
    check(Trial(layer, xp_any, (SAMPLES, case.features), training=case.training))


@cases
def test_a_single_sample(xp_any, case):
    trial = Trial(nonzero(case.make(), np.random.default_rng(0)), xp_any, (1, case.features), training=case.training)
    LAYER_CHECKS["agrees_with_the_reference"](trial)


@cases
def test_names(xp, case):
    """The names of DESIGN §4, which are the book's."""
    layer = case.make()
    layer.place(xp)
    output = layer.forward(xp.ones((2, case.features)), training=case.training)
    layer.backward(xp.ones(output.shape))
    for name in ("inputs", "output", "dinputs"):
        assert xp.is_array(getattr(layer, name))
    for name, parameter in layer.parameters.items():
        assert getattr(layer, name) is parameter.value
        assert getattr(layer, f"d{name}") is parameter.grad
        assert getattr(layer, name).shape == getattr(layer, f"d{name}").shape == parameter.shape


# -- what is special about some of them -------------------------------------------------------------------------------


def test_dense_begins_as_the_book_says(xp):
    dense = nn.Dense(200, 300, backend=xp, seed=0)
    weights, biases = xp.to_host(dense.weights), xp.to_host(dense.biases)
    assert weights.shape == (200, 300)
    assert biases.shape == (1, 300)
    assert not biases.any()
    # 60,000 draws: their standard deviation is known to 0.3 percent, their mean to 4e-5; four times that is allowed.
    assert abs(weights.std() / 0.01 - 1) < 0.012
    assert abs(weights.mean()) < 1.7e-4


def test_the_same_seed_gives_the_same_weights_on_every_backend(xp_any):
    expected = nn.Dense(3, 4, backend=nn.get_backend("cpu", dtype="float64"), seed=9).weights
    assert_same(nn.Dense(3, 4, backend=xp_any, seed=9).weights, expected.astype(xp_any.dtype))


def test_assigning_weights_copies_into_the_view(xp):
    dense = nn.Dense(2, 3, backend=xp, seed=0)
    view, given = dense.weights, np.arange(6, dtype=np.float32).reshape(2, 3)
    dense.weights = given
    given[...] = 0
    assert dense.weights is view
    assert_same(dense.weights, np.arange(6).reshape(2, 3))
    with pytest.raises(nn.DataError, match=r"shape \(3, 2\): expected \(2, 3\)"):
        dense.weights = np.zeros((3, 2))


def test_dweights_include_the_penalty(xp64):
    """With no gradient from behind, what is left is the penalty's: l1 · (1 if w ≥ 0 else -1) + 2 · l2 · w."""
    dense = nn.Dense(2, 3, weight_regularizer=nn.L1L2(0.1, 0.2), bias_regularizer=nn.L1(0.3), backend=xp64, seed=0)
    weights = np.array([[1.0, -2.0, 0.0], [-0.5, 3.0, -0.0]])
    dense.weights = weights
    dense.forward(xp64.ones((4, 2)))
    dense.backward(xp64.zeros((4, 3)))
    signs = np.array([[1, -1, 1], [-1, 1, 1]])
    assert_close(dense.dweights, 0.1 * signs + 0.4 * weights, tolerances.tolerance("elementwise", xp64.dtype))
    assert_same(dense.dbiases, np.full((1, 3), 0.3))  # +λ at exactly zero


def test_backward_overwrites_gradients(xp):
    dense = nn.Dense(2, 3, weight_regularizer=nn.L2(0.1), backend=xp, seed=0)
    inputs, dvalues = xp.ones((4, 2)), xp.ones((4, 3))
    dense.forward(inputs)
    dense.backward(dvalues)
    once = xp.to_host(dense.dweights)
    dense.backward(dvalues)
    assert_same(dense.dweights, once)


def test_relu_at_zero_and_softmax_of_huge_inputs(xp):
    relu = nn.ReLU(backend=xp)
    assert_same(relu.forward(xp.asarray([[-0.0, 0.0, -1.0, 2.0]])), [[0, 0, 0, 2]])
    assert_same(relu.backward(xp.ones((1, 4))), [[0, 0, 0, 1]])
    softmax = nn.Softmax(backend=xp)
    assert_same(softmax.forward(xp.asarray([[1e30, 1e30, -1e30]])), [[0.5, 0.5, 0]])
    sigmoid = nn.Sigmoid(backend=xp)
    assert_same(sigmoid.forward(xp.asarray([[1e30, -1e30, 0.0]])), [[1, 0, 0.5]])


def test_dropout_keeps_the_share_and_the_scale(xp):
    dropout = nn.Dropout(0.25, backend=xp, seed=0)
    output = xp.to_host(dropout.forward(xp.ones((200, 300)), training=True))
    kept = output != 0
    # 60,000 decisions: the share that is kept has a standard deviation of 0.0018; four of them are allowed.
    assert abs(kept.mean() - 0.75) < 0.007
    np.testing.assert_allclose(output[kept], 1 / 0.75, rtol=1e-7)
    assert_same(dropout.backward(xp.ones((200, 300))), output)


def test_dropout_masks_differ_from_step_to_step_and_agree_across_backends(xp_any):
    def masks(backend):
        dropout = nn.Dropout(0.5, backend=backend, seed=3)
        inputs = backend.ones((6, 7))
        return [backend.to_host(dropout.forward(inputs, training=True)) for _ in range(3)]

    found = masks(xp_any)
    for mask, expected in zip(found, masks(nn.get_backend("cpu", kernels="reference")), strict=True):
        np.testing.assert_array_equal(mask, expected)
    assert not np.array_equal(found[0], found[1])


def test_dropout_is_forgotten_by_an_evaluation(xp):
    """The book's Dropout keeps the last mask through an evaluation pass, and backward then uses it."""
    dropout = nn.Dropout(0.5, backend=xp, seed=0)
    inputs = xp.ones((4, 5))
    dropout.forward(inputs, training=True)
    assert_same(dropout.forward(inputs), np.ones((4, 5)))
    assert_same(dropout.backward(inputs), np.ones((4, 5)))


def test_a_copied_dropout_goes_on_with_the_same_masks(xp):
    dropout = nn.Dropout(0.5, backend=xp, seed=0)
    inputs = xp.ones((4, 5))
    dropout.forward(inputs, training=True)
    copied = copy.deepcopy(dropout)
    expected = xp.to_host(dropout.forward(inputs, training=True))
    assert_same(copied.forward(inputs, training=True), expected)
