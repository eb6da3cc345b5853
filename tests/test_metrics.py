"""Every accuracy of `cases.py`, on every backend. Values of ties and edges are in test_ops.py."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import nnbackend as nn
from tests.cases import ACCURACIES, LOSSES
from tests.helpers import assert_same, host

SAMPLES = 40
cases = pytest.mark.parametrize("case", ACCURACIES.values(), ids=ACCURACIES)


def on_device(xp, case, n=SAMPLES):
    """An accuracy that has looked at its targets, predictions and targets."""
    predictions, targets = LOSSES[case.loss].draw(np.random.default_rng(n), n)
    accuracy = case.make()
    accuracy.place(xp)
    accuracy.init(targets)
    return accuracy, xp.asarray(predictions), xp.asarray(targets)


def expected_share(case, n=SAMPLES):
    """How often the predictions are right, counted one by one."""
    predictions, targets = LOSSES[case.loss].draw(np.random.default_rng(n), n)
    hits = []
    for prediction, target in zip(predictions, targets, strict=True):
        if case.make is nn.CategoricalAccuracy:
            label = target if np.ndim(target) == 0 else list(target).index(1)
            hits.append(list(prediction).index(max(prediction)) == label)
        elif case.make is nn.BinaryAccuracy:
            hits += [(p > 0.5) == (t == 1) for p, t in zip(prediction, target, strict=True)]
        else:
            precision = case.make().precision or np.std(targets) / 250
            hits += [abs(p - t) < precision for p, t in zip(prediction, target, strict=True)]
    return sum(hits) / len(hits)


@cases
@pytest.mark.parametrize("n", [1, SAMPLES])
def test_counts_what_is_right(xp_any, case, n):
    accuracy, predictions, targets = on_device(xp_any, case, n)
    found = host(accuracy.calculate(predictions, targets))
    assert found.dtype == xp_any.dtype
    assert float(found) == pytest.approx(expected_share(case, n), rel=1e-6)


def test_the_cases_are_sometimes_right_and_sometimes_wrong():
    for name, case in ACCURACIES.items():
        if name != "RegressionAccuracy-default":  # a standard deviation / 250 is missed by all of 40 guesses
            assert 0.1 < expected_share(case) < 0.9


@cases
def test_arguments_are_left_alone(xp_any, case):
    accuracy, predictions, targets = on_device(xp_any, case)
    before = xp_any.to_host(predictions), xp_any.to_host(targets)
    accuracy.calculate(predictions, targets)
    assert_same(predictions, before[0])
    assert_same(targets, before[1])


@cases
def test_may_be_replayed_and_copied(xp_any, case):
    xp = xp_any
    accuracy, predictions, targets = on_device(xp, case)
    fixed, out = xp.zeros(predictions.shape), xp.empty(())
    accuracy = copy.deepcopy(accuracy)
    assert vars(type(accuracy))["only_ops"]
    step = xp.compiled_step(lambda: accuracy.measure(fixed, targets, out=out), only_ops=True)
    with xp.no_transfers():
        step()
        fixed[...] = predictions
        step()
    assert float(host(out)) == pytest.approx(expected_share(case), rel=1e-6)


def test_the_default_precision_is_the_books(xp):
    """std(y) / 250, settled by the first training and kept by a copy of the model."""
    X, y = nn.datasets.sine(50)
    model = nn.Model(
        [nn.Dense(1, 1), nn.Linear()], loss=nn.MeanSquaredError(), optimizer=nn.SGD(0.1), backend=xp, seed=0
    )
    model.train(X, y, print_every=0)
    copied = copy.deepcopy(model)
    assert copied.evaluate(X, y) == model.evaluate(X, y)
    predictions = model.predict(X)
    expected = np.mean(abs(predictions - y) < np.std(y) / 250)
    assert model.evaluate(X, y).accuracy == pytest.approx(expected)


def test_a_precision_is_needed(xp):
    accuracy = nn.RegressionAccuracy(backend=xp)
    with pytest.raises(nn.StateError, match="has no precision yet"):
        accuracy.calculate(xp.zeros((2, 1)), xp.zeros((2, 1)))
