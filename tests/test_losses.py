"""Every loss of `cases.py`, on every backend. Gradients against differences are in test_gradcheck.py, values in test_ops.py."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnbackend as nn
from nnbackend.testing import tolerances
from nnbackend.testing.layers import layouts_of
from tests.cases import CLASSES, LOSSES, LossCase
from tests.helpers import assert_close, assert_same

SAMPLES = 9

cases = pytest.mark.parametrize("case", LOSSES.values(), ids=LOSSES)


def results(loss: nn.Loss, predictions: Any, targets: Any) -> dict[str, Any]:
    """Everything a loss computes, on the device."""
    loss.calculate(predictions, targets)  # checks the targets, which is a transfer
    with loss.xp.quiet(), loss.xp.no_transfers():
        samples, mean = loss.forward(predictions, targets).copy(), loss.calculate(predictions, targets)
        found = {"samples": samples, "loss": mean}
        if "output" in vars(loss):  # a joined loss keeps what its activation gives, and takes its gradient from there
            found["output"] = predictions = loss.output
        return {**found, "dinputs": loss.backward(predictions, targets)}


def on_device(xp: nn.Backend, case: LossCase, n: int = SAMPLES) -> tuple[nn.Loss, Any, Any]:
    """A loss, predictions and targets."""
    loss = case.make()
    loss.place(xp)
    predictions, targets = case.draw(np.random.default_rng(n), n)
    return loss, xp.asarray(predictions), xp.asarray(targets)


def expected_results(case: LossCase, n: int = SAMPLES) -> dict[str, np.ndarray]:
    """The same on the CPU in float64, without faster kernels."""
    xp = nn.get_backend("cpu", dtype="float64", kernels="reference")
    return {name: np.array(value) for name, value in results(*on_device(xp, case, n)).items()}


def compare(found: dict[str, Any], expected: dict[str, np.ndarray], case: LossCase, n: int, dtype: Any) -> None:
    """Losses relative to the largest loss, gradients relative to the largest element."""
    assert found.keys() == expected.keys()
    for name, value in found.items():
        length = n * case.outputs if name == "loss" else case.outputs
        allowed = tolerances.tolerance("loss" if name == "loss" else "elementwise", dtype, length)
        scale = max(1.0, float(np.abs(expected[name]).max())) if name in ("samples", "loss") else None
        assert_close(value, expected[name], allowed, name, scale=scale)


@cases
@pytest.mark.parametrize("n", [1, SAMPLES, 300])
def test_agrees_with_the_cpu_in_float64(xp_any, case, n):
    found = results(*on_device(xp_any, case, n))
    compare(found, expected_results(case, n), case, n, xp_any.dtype)
    assert found["samples"].shape == (n,)
    assert found["loss"].shape == ()
    assert found["dinputs"].shape == (n, case.outputs)


@cases
def test_stores_the_gradient_and_is_the_mean_of_the_samples(xp64, case):
    loss, predictions, targets = on_device(xp64, case)
    found = results(loss, predictions, targets)
    assert loss.dinputs is found["dinputs"]
    assert_close(found["loss"], xp64.to_host(found["samples"]).mean(), 1e-15)


@cases
def test_arguments_are_left_alone(xp_any, case):
    loss, predictions, targets = on_device(xp_any, case)
    before = xp_any.to_host(predictions), xp_any.to_host(targets)
    results(loss, predictions, targets)
    assert_same(predictions, before[0])
    assert_same(targets, before[1])


@cases
def test_repeats_to_the_bit(xp_any, case):
    first, second = (results(*on_device(xp_any, case)) for _ in range(2))
    for name, value in first.items():
        assert_same(value, xp_any.to_host(second[name]), name)


@cases
def test_takes_any_layout(xp_any, case):
    host = on_device(nn.get_backend("cpu", dtype="float64"), case)
    expected = expected_results(case)
    for _layout, predictions in layouts_of(xp_any, host[1]):
        loss, _, targets = on_device(xp_any, case)
        compare(results(loss, predictions, targets), expected, case, SAMPLES, xp_any.dtype)


@cases
def test_takes_read_only_targets(xp_any, case):
    loss, predictions, _ = on_device(xp_any, case)
    _, targets = case.draw(np.random.default_rng(SAMPLES), SAMPLES)
    targets.flags.writeable = False
    compare(results(loss, predictions, xp_any.asarray(targets)), expected_results(case), case, SAMPLES, xp_any.dtype)


@cases
def test_takes_batches_of_changing_size(xp, case):
    """Buffers that have seen more samples give the same for fewer."""
    loss = case.make()
    loss.place(xp)
    for n in (SAMPLES, 1, 2, SAMPLES):
        _, predictions, targets = on_device(xp, case, n)
        compare(results(loss, predictions, targets), expected_results(case, n), case, n, xp.dtype)


@cases
def test_a_copy_is_independent(xp, case):
    loss, predictions, targets = on_device(xp, case)
    before = xp.to_host(results(loss, predictions, targets)["dinputs"])
    copied = copy.deepcopy(loss)
    results(copied, *on_device(xp, case, 4)[1:])
    assert_same(loss.dinputs, before)
    assert_same(results(copied, predictions, targets)["dinputs"], before)


@cases
def test_may_be_replayed(xp_any, case):
    """The promise `only_ops` is true: a recorded loss computes with new numbers when it is replayed."""
    xp = xp_any
    loss, predictions, targets = on_device(xp, case)
    targets = loss._checked(predictions, targets)
    fixed, out = xp.ones(predictions.shape) / 2, xp.empty(())

    def once():
        loss.data_loss(fixed, targets, out=out)
        loss.dinputs = loss.gradient(vars(loss).get("output", fixed), targets)

    assert vars(type(loss))["only_ops"]
    step = xp.compiled_step(once, only_ops=True)
    with xp.quiet(), xp.no_transfers():
        step()
        fixed[...] = predictions
        step()
    expected = expected_results(case)
    found = {"loss": out, "dinputs": loss.dinputs}
    compare(found, {name: expected[name] for name in found}, case, SAMPLES, xp.dtype)


@given(
    labels=st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=20),
    dtype=st.sampled_from(["uint8", "int8", "int32", "int64", "uint64"]),
    seed=st.integers(0, 99),
)
def test_labels_of_any_integer_type_as_indices_column_or_one_hot(xp, labels, dtype, seed):
    logits = xp.asarray(np.random.default_rng(seed).standard_normal((len(labels), CLASSES)))
    indices = np.array(labels, dtype=dtype)
    loss, values = nn.SoftmaxCategoricalCrossentropy(backend=xp), []
    for targets in (indices, indices.reshape(-1, 1), np.eye(CLASSES, dtype=dtype)[labels], np.eye(CLASSES)[labels]):
        on_xp = xp.asarray(targets)
        values.append(float(xp.to_host(loss.calculate(logits, on_xp))))
        gradient = xp.to_host(loss.backward(loss.output, on_xp))
        assert gradient.sum(axis=1) == pytest.approx(0, abs=1e-6)  # probabilities and one-hot rows both sum to 1
        assert (gradient[np.arange(len(labels)), labels] <= 0).all()
    assert len(set(values)) == 1


@given(label=st.one_of(st.integers(-300, -1), st.integers(CLASSES, 300)), row=st.integers(0, 3))
def test_a_label_out_of_range_is_refused_on_every_backend(xp, label, row):
    """A GPU would wrap it silently."""
    targets = np.zeros(4, np.int64)
    targets[row] = label
    loss = nn.SoftmaxCategoricalCrossentropy(backend=xp)
    with pytest.raises(nn.DataError, match=f"label {label} in row {row} is out of range"):
        loss.calculate(xp.zeros((4, CLASSES)), xp.asarray(targets))
