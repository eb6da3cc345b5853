"""Every op by value, against `formulas.py`, on every backend; and what the book says about particular values."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnbackend as nn
from nnbackend import ops as reference
from nnbackend.testing import tolerances
from tests.formulas import FORMULAS, Arguments, Formula
from tests.helpers import assert_close, assert_same, expecting_arrays_of, host

OPS = [op.name for op in nn.get_backend("cpu", kernels="reference").ops]
BY_HAND = {"record"}  # a table, a cursor and a row: see below


def test_every_op_has_a_formula():
    assert set(FORMULAS) | BY_HAND == set(OPS)


def test_every_formula_takes_what_the_op_takes():
    """So that a renamed setting is not tested under its old name."""
    for name, formula in FORMULAS.items():
        drawn = formula.draw(np.random.default_rng(0), 3, 2)
        parameters = inspect.signature(getattr(reference, name)).parameters
        positional = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
        assert len(positional) == len(drawn.inputs), name
        assert drawn.settings.keys() | {"state" if drawn.state is not None else "out"} == {
            p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY
        }, name


# -- calling an op ---------------------------------------------------------------------------------------------------


def as_single(value: Any) -> Any:
    """The same numbers as float32 holds them, in float64, so that every backend and formula sees the same."""
    if isinstance(value, tuple):
        return tuple(as_single(item) for item in value)
    is_float = isinstance(value, np.ndarray) and value.dtype == np.float64
    return value.astype(np.float32).astype(np.float64) if is_float else value


def single(arguments: Arguments) -> Arguments:
    """Arguments of which float32 holds every number exactly, but for schedules, which are never in float32."""
    if arguments.schedule:
        return arguments
    state = arguments.state
    rounded = [as_single(part) for part in state] if isinstance(state, list) else as_single(state)
    return Arguments([as_single(value) for value in arguments.inputs], arguments.settings, rounded)


def on_device(xp, value: Any, *, schedule: bool = False) -> Any:
    """An array of the device of its own; numbers stay what they are, truth values too."""
    if isinstance(value, tuple):
        return tuple(on_device(xp, item, schedule=schedule) for item in value)
    if not isinstance(value, np.ndarray):
        return value
    dtype = value.dtype if value.dtype == bool or schedule else None
    return xp.asarray(value.copy(), dtype=dtype)


def flat(value: Any) -> list[Any]:
    return [part for item in value for part in flat(item)] if isinstance(value, (tuple, list)) else [value]


def call(xp, name: str, arguments: Arguments, expected: Any) -> list[np.ndarray]:
    """Call an op, see that it keeps its promises, and return its results on the host."""
    inputs = [on_device(xp, value, schedule=arguments.schedule) for value in arguments.inputs]
    before = [xp.to_host(array) for array in flat(inputs) if xp.is_array(array)]
    if arguments.state is None:
        out = [rubbish(xp, result, arguments.dtype_of(i)) for i, result in enumerate(flat(expected))]
        results = tuple(out) if isinstance(expected, tuple) else out[0]
    else:
        state = tuple(arguments.state) if isinstance(arguments.state, list) else arguments.state
        results = on_device(xp, state)
    keyword = {"out" if arguments.state is None else "state": results}
    with xp.quiet(), xp.no_transfers():
        assert getattr(xp.ops, name)(*inputs, **arguments.settings, **keyword) is results
    after = [array for array in flat(inputs) if xp.is_array(array)]
    for array, original in zip(after, before, strict=True):
        assert_same(array, original, f"{name} modified its inputs")
    return [host(array) for array in flat(results)]


def rubbish(xp, like: np.ndarray, dtype: str | None) -> Any:
    """A result buffer with contents that no result should depend on."""
    like = np.asarray(like)
    kinds = {"f": xp.dtype, "i": xp.index_dtype, "b": np.dtype(bool)}
    out = xp.empty(like.shape, dtype=dtype or kinds[like.dtype.kind])
    out.fill(np.nan if out.dtype.kind == "f" else 1)
    return out


def expected_of(name: str, arguments: Arguments) -> Any:
    formula, state = FORMULAS[name], arguments.state
    parts = [] if state is None else (state if isinstance(state, list) else [state])
    with np.errstate(all="ignore"):
        return formula.expected(*arguments.inputs, *parts, **arguments.settings)


def compare(xp, name: str, arguments: Arguments, n: int, k: int) -> None:
    """An op against its formula."""
    arguments = single(arguments)
    expected = expected_of(name, arguments)
    found = call(xp, name, arguments, expected)
    formula, kinds = FORMULAS[name], {"f": xp.dtype, "i": xp.index_dtype, "b": np.dtype(bool)}
    length = max(1, {"": 3, "n": n, "k": k, "nk": n * k}[formula.summed])
    tolerance = tolerances.tolerance(formula.quantity, xp.dtype, length)
    for position, (result, wanted) in enumerate(zip(found, map(np.asarray, flat(expected)), strict=True)):
        assert result.dtype == (arguments.dtype_of(position) or kinds[wanted.dtype.kind]), name
        scale = scale_of(formula, arguments, wanted)
        tolerances.assert_close(result, wanted, tolerance, f"result {position} of {name}", scale)


def scale_of(formula: Formula, arguments: Arguments, expected: np.ndarray) -> float | None:
    """What a difference is relative to; None is the largest element."""
    if formula.logarithm:
        return max(1.0, float(abs(expected).max(initial=0)))
    if formula.scale is None or not all(np.size(value) for value in flat(arguments.inputs)):
        return None
    return formula.scale(*arguments.inputs) or None


# -- by value -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMULAS)
def test_op(xp_any, name):
    for n, k in ((1, 1), (5, 3), (300, 3), (33, 17)):
        compare(xp_any, name, FORMULAS[name].draw(np.random.default_rng(n), n, k), n, k)


@pytest.mark.parametrize("name", FORMULAS)
def test_strict_gives_the_bits_of_the_reference(name):
    """The pretend GPU lets NumPy compute, so nothing may change on the way there and back."""
    arguments = FORMULAS[name].draw(np.random.default_rng(0), 5, 3)
    expected = expected_of(name, arguments)
    results = []
    for kind in ("cpu", "strict"):
        xp = nn.get_backend(kind, "float64", kernels="reference")
        with expecting_arrays_of(xp):
            results.append(call(xp, name, arguments, expected))
    for left, right in zip(*results, strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("name", [name for name, formula in FORMULAS.items() if formula.least == 0])
def test_op_of_no_samples(xp_any, name):
    compare(xp_any, name, FORMULAS[name].draw(np.random.default_rng(0), 0, 3), 0, 3)


@pytest.mark.parametrize("name", FORMULAS)
@settings(max_examples=8)
@given(n=st.integers(1, 40), k=st.integers(1, 20), seed=st.integers(0, 1000))
def test_op_of_any_shape(xp, name, n, k, seed):
    compare(xp, name, FORMULAS[name].draw(np.random.default_rng(seed), n, k), n, k)


# Ops through which NaN and infinity pass as the formula says, whichever argument they are in.
SPECIAL = [
    *("dense", "weights_gradient", "biases_gradient", "inputs_gradient", "relu", "relu_backward", "dense_relu"),
    *("relu_biases_gradient", "sigmoid", "sigmoid_backward", "softmax", "multiply", "softmax_crossentropy_backward"),
    *("sigmoid_crossentropy_backward", "mean_squared_error", "mean_squared_error_backward", "mean_absolute_error"),
    *("mean_absolute_error_backward", "mean", "penalty", "penalty_gradient", "regression_accuracy", "assign", "gather"),
    *("sgd", "sgd_momentum", "adagrad", "rmsprop", "adam", "adamw", "adam_unfolded", "categorical_crossentropy"),
    *("scale", "weighted_mean", "weigh", "clip_factor"),
    *("binary_crossentropy", "binary_accuracy", "binary_predictions", "regression_hits"),
]


def test_relu_backward_multiplies_infinity_by_nothing(xp_any):
    """NaN at a closed unit, as its docstring says: a gradient that has gone wrong does not look right behind a ReLU."""
    dvalues, output = (
        xp_any.asarray([[np.inf, -np.inf, np.nan, 2.0, np.inf]]),
        xp_any.asarray([[0.0, 0.0, 0.0, 0.0, 3.0]]),
    )
    with xp_any.quiet():
        dinputs = xp_any.ops.relu_backward(dvalues, output, out=xp_any.empty((1, 5)))
    np.testing.assert_array_equal(xp_any.to_host(dinputs), [[np.nan, np.nan, np.nan, 0.0, np.inf]])


@pytest.mark.parametrize("name", SPECIAL)
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity(xp_any, name, special):
    """They come out where they should and nowhere else: a network that has gone wrong must not look right."""
    count = sum(
        isinstance(v, np.ndarray) and v.size > 1 for v in FORMULAS[name].draw(np.random.default_rng(0), 5, 3).inputs
    )
    for position in range(count):
        arguments = single(FORMULAS[name].draw(np.random.default_rng(0), 5, 3))
        array = arguments.inputs[position]
        if array.dtype != np.float64 or (name == "binary_crossentropy" and position == 1):
            continue  # binary targets are known to be 0 or 1, and a kernel may reorder a sum with that in mind
        array.reshape(-1)[1] = special
        expected = [np.asarray(part) for part in flat(expected_of(name, arguments))]
        found = call(xp_any, name, arguments, expected_of(name, arguments))
        for result, wanted in zip(found, expected, strict=True):
            np.testing.assert_array_equal(np.isnan(result), np.isnan(wanted), err_msg=f"{name}: NaN")
            np.testing.assert_array_equal(np.isposinf(result), np.isposinf(wanted), err_msg=f"{name}: infinity")
            np.testing.assert_array_equal(np.isneginf(result), np.isneginf(wanted), err_msg=f"{name}: -infinity")
            finite = np.isfinite(wanted)
            # The logarithm of 1 - clip(inf) is -16.12, and -15.94 in float32, which knows 1e-7 beside 1 to one digit.
            np.testing.assert_allclose(result[finite], wanted[finite], rtol=0.02, atol=1e-5)


# -- what the book says about particular values -----------------------------------------------------------------------------


def test_l1_at_exactly_zero(xp_any):
    """+λ, at zero of either sign."""
    state = xp_any.zeros(5)
    xp_any.ops.penalty_gradient(xp_any.asarray([0.0, -0.0, 2.0, -2.0, 1e-30]), l1=0.25, l2=0.0, state=state)
    assert_same(state, [0.25, 0.25, 0.25, -0.25, 0.25])


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5)])
def test_a_strength_of_zero_adds_nothing(xp_any, l1, l2):
    w = np.array([1.0, -2.0])
    gradient, total = xp_any.ones(2), xp_any.ones(())
    xp_any.ops.penalty_gradient(xp_any.asarray(w), l1=l1, l2=l2, state=gradient)
    xp_any.ops.penalty(xp_any.asarray(w), l1=l1, l2=l2, state=total)
    assert_same(gradient, 1 + l1 * np.sign(w) + 2 * l2 * w)
    assert_same(total, 1 + 3 * l1 + 5 * l2)


def test_crossentropy_clips(xp_any):
    """Predictions of 0 and 1 count as 1e-7 and 1 - 1e-7, in the loss and as divisors of the gradient."""
    xp, eps = xp_any, tolerances.eps(xp_any.dtype)
    p = np.array([[0.0, 1.0], [1e-8, 1.0], [1.0, 0.0], [0.5, 0.5]])
    labels = xp.asarray([0, 0, 0, 0])
    found = xp.ops.categorical_crossentropy(xp.asarray(p), labels, out=xp.empty(4))
    assert_close(found, -np.log([1e-7, 1e-7, 1 - 1e-7, 0.5]), 8 * eps)
    assert abs(float(host(found)[2]) + np.log1p(-1e-7)) < eps  # 1 - 1e-7 is known to eps, and so is its logarithm
    gradient = xp.ops.categorical_crossentropy_backward(xp.asarray(p), labels, out=xp.empty((4, 2)))
    assert_close(gradient[:, 0], -np.array([1e7, 1e7, 1 / (1 - 1e-7), 2]) / 4, 8 * eps)
    assert_same(gradient[:, 1], np.zeros(4))


def test_binary_crossentropy_clips(xp_any):
    xp, eps = xp_any, tolerances.eps(xp_any.dtype)
    p, t = xp.asarray([[0.0], [0.0], [1.0], [1.0]]), xp.asarray([[0.0], [1.0], [0.0], [1.0]])
    losses = host(xp.ops.binary_crossentropy(p, t, out=xp.empty(4)))
    high = -np.log(1e-7)
    # log(1 - clip(1)) is the logarithm of a difference that float32 knows as 1.19e-7: two digits of 16.
    np.testing.assert_allclose(losses, [1e-7, high, high, 1e-7], atol=0.2 if xp.dtype == np.float32 else 1e-9)
    gradient = host(xp.ops.binary_crossentropy_backward(p, t, out=xp.empty((4, 1)))).ravel()
    np.testing.assert_allclose(gradient, np.array([1, -1e7, 1e7, -1]) / 4, rtol=0.2 if eps > 1e-10 else 2e-7)
    assert np.isfinite(gradient).all()


def test_joined_gradients_are_not_clipped(xp_any):
    """(p - y) / n, as in the book: exact where the probability is 1 or 0."""
    xp = xp_any
    p = np.array([[1.0, 0.0], [0.0, 1.0]])
    found = xp.ops.softmax_crossentropy_backward(xp.asarray(p), xp.asarray([0, 0]), out=xp.empty((2, 2)))
    assert_same(found, [[0, 0], [-0.5, 0.5]])
    found = xp.ops.sigmoid_crossentropy_backward(
        xp.asarray(p), xp.asarray([[1.0, 1.0], [0.0, 0.0]]), out=xp.empty((2, 2))
    )
    assert_same(found, [[0, -0.25], [0, 0.25]])


def test_mean_absolute_error_descends(xp_any):
    """The book's own sign is the other one, and lets the loss grow. At equality the gradient is zero."""
    xp = xp_any
    p, t = xp.asarray([[2.0, 1.0, 3.0, 4.0]]), xp.asarray([[1.0, 2.0, 3.0, 4.5]])
    gradient = xp.ops.mean_absolute_error_backward(p, t, out=xp.empty((1, 4)))
    assert_same(gradient, [[0.25, -0.25, 0, -0.25]])
    before = host(xp.ops.mean_absolute_error(p, t, out=xp.empty(1)))
    after = host(xp.ops.mean_absolute_error(p - 0.1 * gradient, t, out=xp.empty(1)))
    assert after < before


def test_index_and_one_hot_labels_are_the_same(xp_any):
    xp = xp_any
    p, labels = xp.asarray(np.full((4, 3), 1 / 3)), np.array([2, 0, 1, 2])
    loss = nn.CategoricalCrossentropy(backend=xp)
    by_index, by_row = xp.asarray(labels), xp.asarray(np.eye(3)[labels])
    assert_same(loss.forward(p, by_row), host(loss.forward(p, by_index)))
    assert_same(loss.backward(p, by_row), host(loss.backward(p, by_index)))


def test_softmax_and_sigmoid_do_not_overflow(xp_any):
    xp, huge = xp_any, float(np.finfo(xp_any.dtype).max) / 4
    x = xp.asarray([[huge, -huge, 0.0], [-huge, -huge, -huge]])
    assert_close(xp.ops.softmax(x, out=xp.empty((2, 3))), [[1, 0, 0], [1 / 3] * 3], 8 * tolerances.eps(xp.dtype))
    assert_same(xp.ops.sigmoid(x, out=xp.empty((2, 3))), [[1, 0, 0.5], [0, 0, 0]])


def test_sigmoid_keeps_tiny_probabilities(xp_any):
    """Far to the left it is e^x, not zero, as long as the dtype holds that."""
    found = xp_any.ops.sigmoid(xp_any.asarray([[-80.0, -20.0]]), out=xp_any.empty((1, 2)))
    powers = np.exp([[-80.0, -20.0]])
    np.testing.assert_allclose(host(found), powers / (1 + powers), rtol=100 * tolerances.eps(xp_any.dtype))


def test_a_first_step_of_adam_has_the_size_of_the_learning_rate(xp_any):
    xp = xp_any
    betas = {"beta_1": 0.9, "beta_2": 0.999}
    rate, now = xp.asarray([0.02], dtype="float64"), xp.asarray([0])
    sizes = xp.ops.adam_step_sizes(rate, now, **betas, out=(xp.empty(1), xp.empty(1)))
    state = xp.zeros(3), xp.zeros(3), xp.zeros(3)
    xp.ops.adam(xp.asarray([3.0, -0.5, 0.0]), sizes, **betas, epsilon=1e-7, state=state)
    assert_close(state[0], [-0.02, 0.02, 0], 1e-5)  # ε takes 2e-7 of the second


@pytest.mark.parametrize("name", ["sgd_momentum", "rmsprop", "adam"])  # adam_unfolded keeps them, as the book does
def test_denormals_are_flushed(xp_any, name):
    """Caches that decay towards zero reach zero, and do not stay among the numbers on which a CPU is slow."""
    xp, tiny = xp_any, float(np.finfo(xp_any.dtype).tiny)
    arguments = FORMULAS[name].draw(np.random.default_rng(0), 4, 2)
    arguments.inputs[0] = np.zeros(8)
    values, *state = arguments.state
    just_normal = 1.0001 * tiny  # 0.999 of that is a denormal number
    arguments = Arguments(arguments.inputs, arguments.settings, [values, *(np.full(8, just_normal) for _ in state)])
    for result in call(xp, name, arguments, None)[1:]:
        assert not result.any(), f"{name} left denormal numbers"


def test_learning_rates_are_in_float64_on_every_backend(xp):
    """0.02 / (1 + 5e-7 · 9,999), the last learning rate that the book prints for chapter 14, to the last digit."""
    arrays = [xp.asarray([value], dtype="float64") for value in (0.02, 5e-7)]
    found = xp.ops.decayed_learning_rate(*arrays, xp.asarray([9_999]), out=xp.empty(1, dtype="float64"))
    assert float(host(found)[0]) == 0.019900507413187767


def test_accuracies_of_a_tie_and_of_an_edge(xp):
    """A tie goes to the first class; one half is on the side of zero; exactly `precision` away is too far."""
    one = xp.empty(())
    p = xp.asarray([[0.5, 0.5], [0.5, 0.5]])
    assert_same(xp.ops.categorical_accuracy(p, xp.asarray([0, 1]), out=one), 0.5)
    assert_same(xp.ops.binary_accuracy(p, xp.asarray([[0.0, 0.0], [0.0, 1.0]]), out=one), 0.75)
    assert_same(xp.ops.regression_accuracy(p, p + 0.25, xp.asarray(0.25), out=one), 0)


def test_record_writes_rows_one_after_the_other(xp):
    table, cursor, row = (
        xp.zeros((3, 2), dtype="float64"),
        xp.zeros(1, dtype=xp.index_dtype),
        xp.zeros(2, dtype="float64"),
    )
    for step in range(3):
        measured = xp.full((), step + 0.5), xp.full(1, 10 * step)
        assert xp.ops.record(*measured, state=(table, cursor, row))[0] is table
    assert_same(table, [[0.5, 0], [1.5, 10], [2.5, 20]])
    assert_same(cursor, [3])


def test_counters_and_batches(xp):
    """A position that ticks along a shuffled order, as the training loop uses them."""
    order, position, offsets = xp.asarray([3, 1, 4, 0, 2]), xp.asarray([0]), xp.asarray([0, 1])
    data = xp.asarray(np.arange(10.0).reshape(5, 2))
    seen = []
    for _ in range(2):
        indices = xp.ops.batch_indices(order, position, offsets, out=xp.empty(2, dtype=xp.index_dtype))
        seen += host(xp.ops.gather(data, indices, out=xp.empty((2, 2))))[:, 0].tolist()
        xp.ops.advance(2, state=position)
    assert seen == [6, 2, 8, 0]
    assert_same(position, [4])
