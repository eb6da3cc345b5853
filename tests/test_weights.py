"""Weights of samples and classes: what they mean, in batches and streams too, and that nothing changes without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.testing import gradcheck, tolerances
from tests.cases import LOSSES

X, Y = nn.datasets.spiral(samples=20, classes=3, seed=0)
WEIGHTS = np.random.default_rng(0).random(60) + 0.1


def new_model(xp: Any = None, *, fused: bool = True, dropout: float = 0.1) -> nn.Model:
    return nn.Model(
        [
            nn.Dense(2, 16, weight_regularizer=nn.L2(5e-4)),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Dense(16, 3),
            nn.Softmax(),
        ],
        loss=nn.CategoricalCrossentropy(),
        optimizer=nn.Adam(0.02),
        backend=xp,
        seed=0,
        fused=fused,
    )


def train(model: nn.Model, epochs: int = 4, x: Any = X, y: Any = Y, **settings: Any) -> nn.History:
    return model.train(x, y, epochs=epochs, **{"print_every": 0, **settings})


def same(left: nn.Model, right: nn.Model) -> None:
    for name, value in left.parameters().items():
        np.testing.assert_array_equal(value, right.parameters()[name], err_msg=name)


# -- what the loss is --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fused", [True, False])
def test_the_loss_is_the_weighted_mean(xp_any, fused: bool) -> None:
    model = new_model(xp_any, fused=fused)
    probabilities = model.predict(X).astype(np.float64)
    losses = -np.log(probabilities[np.arange(60), Y])
    evaluation = model.evaluate(X, Y, sample_weights=WEIGHTS)
    allowed = tolerances.tolerance("sum", xp_any.dtype, 60)
    assert evaluation.data_loss == pytest.approx(np.average(losses, weights=WEIGHTS), rel=allowed)
    assert evaluation.regularization_loss == model.evaluate(X, Y).regularization_loss
    assert evaluation.accuracy == model.evaluate(X, Y).accuracy, "accuracies count each sample once"
    batches = model.evaluate(X, Y, sample_weights=WEIGHTS, batch_size=7)
    assert batches.data_loss == pytest.approx(evaluation.data_loss, rel=allowed)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("fused", [True, False])
def test_gradients_are_those_of_the_weighted_loss(name: str, fused: bool) -> None:
    """Against central differences of what `evaluate` measures, in float64: right to 1e-7 with a step of 1e-5."""
    case = LOSSES[name]
    if case.activation is None:
        pytest.skip("joined losses are for loops by hand; models join theirs")
    rng = np.random.default_rng(1)
    x, labels = rng.standard_normal((9, 4)), rng.integers(0, 3, 9)
    targets, weights = case.targets(labels), rng.random(9) + 0.1
    accuracy = nn.RegressionAccuracy(1.0) if case.make.accuracy is nn.RegressionAccuracy else None
    dense = nn.Dense(4, case.outputs, weight_initializer=nn.Normal(0.5))
    model = nn.Model(
        [dense, case.activation()],
        loss=case.make(),
        accuracy=accuracy,
        optimizer=nn.SGD(1.0),
        backend=nn.get_backend("cpu", dtype="float64"),
        seed=3,
        fused=fused,
    )
    start = model.parameters()
    differences = {}
    for parameter, value in start.items():
        slopes = np.empty(value.shape)
        for index in np.ndindex(*value.shape):
            found = []
            for step in (1e-5, -1e-5):
                moved = {**start, parameter: value.copy()}
                moved[parameter][index] += step
                model.set_parameters(moved)
                found.append(model.evaluate(x, targets, sample_weights=weights).data_loss)
            slopes[index] = (found[0] - found[1]) / 2e-5
        differences[parameter] = slopes
    model.set_parameters(start)
    model.train(x, targets, sample_weights=weights, print_every=0)  # one step of SGD with a learning rate of 1
    for parameter, slopes in differences.items():
        moved = start[parameter] - model.parameters()[parameter]
        tolerances.assert_close(moved, slopes, tolerances.GRADIENT_CHECK, parameter)


@pytest.mark.parametrize("fused", [True, False])
def test_gradcheck_takes_weights(xp_any, fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With dropout and penalties; and it notices a gradient without them."""
    model = new_model(xp_any, fused=fused)
    model.set_parameters({name: 40 * value for name, value in model.parameters().items()})  # of order 1
    gradcheck(model, X[1::7], Y[1::7], sample_weights=WEIGHTS[:9])
    monkeypatch.setattr(
        nn.Loss, "data_gradient", lambda self, predictions, targets, weights: self.gradient(predictions, targets)
    )
    with pytest.raises(nn.CheckError, match="differences of the loss give"):
        gradcheck(model, X[1::7], Y[1::7], sample_weights=WEIGHTS[:9])
    with pytest.raises(nn.ArgumentError, match="with sample_weights: expected a model"):
        gradcheck(nn.Dense(2, 3), X, sample_weights=WEIGHTS)


@pytest.mark.parametrize("settings", [{}, {"batch_size": 16}, {"batch_size": 16, "stream": True}])
def test_equal_weights_are_none_to_the_bit(xp, settings: dict[str, Any]) -> None:
    plain, weighted, classes = (new_model(xp) for _ in range(3))
    train(plain, **settings)
    train(weighted, sample_weights=np.full(60, 0.3), **settings)
    train(classes, class_weights="balanced", **settings)  # there are as many of each
    same(plain, weighted)
    same(plain, classes)


@pytest.mark.parametrize("settings", [{}, {"batch_size": 16}, {"batch_size": 16, "stream": True}])
def test_a_weight_of_zero_leaves_a_sample_out_to_the_bit(xp, settings: dict[str, Any]) -> None:
    kept = np.random.default_rng(2).random(60) > 0.3
    x = X.copy()
    left_out, zero = new_model(xp), new_model(xp)
    expected = train(left_out, x=x[kept], y=Y[kept], sample_weights=WEIGHTS[kept], **settings)
    found = train(zero, x=x, sample_weights=WEIGHTS * kept, **settings)
    same(left_out, zero)
    assert dict(found) == dict(expected)
    by_class = new_model(xp)
    train(by_class, class_weights={1: 0}, **settings)
    train(without := new_model(xp), x=X[Y != 1], y=Y[Y != 1], **settings)
    same(by_class, without)


@pytest.mark.parametrize("batch_size", [None, 16])
def test_only_ratios_matter(xp, batch_size: int | None) -> None:
    """To the bit for powers of two, and for sums too large for a number."""
    models = [new_model(xp) for _ in range(3)]
    for model, factor in zip(models, (1.0, 4.0, 2.0**1023), strict=True):
        train(model, sample_weights=WEIGHTS * factor, batch_size=batch_size)
    same(models[0], models[1])
    same(models[0], models[2])


def test_whole_weights_are_samples_repeated(xp_any) -> None:
    """Without batches and dropout, where the order of a sum is all that differs."""
    times = np.random.default_rng(3).integers(1, 4, 60)
    weighted, repeated = new_model(xp_any, dropout=0.0), new_model(xp_any, dropout=0.0)
    one = train(weighted, epochs=1, sample_weights=times)
    many = train(repeated, epochs=1, x=np.repeat(X, times, axis=0), y=np.repeat(Y, times))
    allowed = tolerances.tolerance("sum", xp_any.dtype, 120)
    assert one["data_loss"][0] == pytest.approx(many["data_loss"][0], rel=allowed)
    for name in weighted.parameters():
        gradients = [model.parameter_buffer.named[name].grad for model in (weighted, repeated)]
        found, expected = map(xp_any.to_host, gradients)
        allowed = tolerances.tolerance("gradient", xp_any.dtype, 120)
        tolerances.assert_close(found, expected, allowed, name, scale=1.0)  # of sums of p - y, which is of order 1


def test_batches_share_weights_by_the_mean_of_all_samples(xp) -> None:
    """The gradients of an epoch's batches, without a step in between, have the weighted gradient as their mean."""
    model = new_model(nn.get_backend(xp, dtype="float64"), dropout=0.0)
    data = model.built.data(X, Y, nn.model.Weights(WEIGHTS))
    buffer = model.parameter_buffer

    def gradient(rows: slice) -> np.ndarray:
        batch = nn.batches.Batch(data.inputs[rows], data.targets[rows], 0, data.weights[rows])
        with model.xp.quiet():
            model.built.measure(batch, training=True)
            model.built.backward(batch.targets, batch.weights)
        return model.xp.to_host(buffer.grads)

    parts = [gradient(slice(start, start + 10)) for start in range(0, 60, 10)]
    tolerances.assert_close(np.mean(parts, axis=0), gradient(slice(0, 60)), 1e-12)  # float64, sums of sixty


def test_streamed_weights_go_along_with_their_samples(xp) -> None:
    resident, streamed = new_model(xp), new_model(xp)
    weights = WEIGHTS * (np.random.default_rng(4).random(60) > 0.2)
    expected = train(resident, sample_weights=weights, batch_size=16, stream=False)
    found = train(streamed, sample_weights=weights, batch_size=16, stream=True)
    same(resident, streamed)
    assert dict(found) == dict(expected)


def test_a_bad_sample_in_a_stream_is_named_by_its_row() -> None:
    x = X.copy()
    x[40] = np.nan
    weights = WEIGHTS.copy()
    weights[:7] = 0
    with pytest.raises(nn.DataError, match="row 40 of X holds NaN"):
        train(new_model(), x=x, sample_weights=weights, batch_size=16, stream=True)


# -- classes -------------------------------------------------------------------------------------------------------------


def test_class_weights_are_the_weights_of_their_samples(xp) -> None:
    by_class, by_sample, both = (new_model(xp) for _ in range(3))
    train(by_class, class_weights={0: 1.0, 2: 5})
    train(by_sample, sample_weights=np.array([1.0, 1.0, 5.0])[Y])
    train(both, class_weights={np.int64(2): 2.5}, sample_weights=np.array([1.0, 1.0, 2.0])[Y])
    same(by_class, by_sample)
    same(by_class, both)


def test_balanced_classes_count_as_much(xp) -> None:
    rows = np.r_[0:20, 20:25, 40:52]  # 20, 5 and 12 of the classes
    balanced, by_hand = new_model(xp), new_model(xp)
    counts = np.bincount(Y[rows])
    train(balanced, x=X[rows], y=Y[rows], class_weights="balanced")
    train(by_hand, x=X[rows], y=Y[rows], class_weights={label: 37 / (3 * n) for label, n in enumerate(counts)})
    same(balanced, by_hand)
    sklearn = pytest.importorskip("sklearn.utils.class_weight")
    found = nn.model.Weights(classes="balanced").settle(balanced.xp, Y[rows], balanced.loss, 3).relative
    np.testing.assert_allclose(found, sklearn.compute_sample_weight("balanced", Y[rows]), rtol=1e-14)


def test_one_hot_and_binary_targets_have_classes() -> None:
    labels, one_hot = new_model(), new_model()
    train(labels, class_weights={1: 3.0})
    train(one_hot, y=np.eye(3)[Y], class_weights={1: 3.0})
    same(labels, one_hot)
    models = [
        nn.Model([nn.Dense(2, 1), nn.Sigmoid()], loss=nn.BinaryCrossentropy(), optimizer=nn.SGD(), seed=0)
        for _ in range(2)
    ]
    positive = (Y == 0).astype(int)
    train(models[0], y=positive, class_weights="balanced")
    train(models[1], y=positive, sample_weights=np.where(positive, 2.0, 1.0))
    same(*models)


# -- validation, resuming ------------------------------------------------------------------------------------------------


def test_validation_has_the_weights_it_brings(xp) -> None:
    model, plain = new_model(xp), new_model(xp)
    history = train(model, sample_weights=WEIGHTS, validation_data=(X, Y, WEIGHTS[::-1].copy()))
    assert history["validation_loss"][-1] == model.evaluate(X, Y, sample_weights=WEIGHTS[::-1].copy()).data_loss
    history = train(plain, sample_weights=WEIGHTS, class_weights={0: 9.0}, validation_data=(X, Y))
    assert history["validation_loss"][-1] == plain.evaluate(X, Y).data_loss
    with pytest.raises(nn.DataError, match=r"expected a pair \(X, y\), or \(X, y, sample_weights\)"):
        train(model, validation_data=(X, Y, WEIGHTS, 1))


def test_a_resumed_run_has_the_same_weights(tmp_path: Path) -> None:
    def run(epochs: int, **settings: Any) -> nn.Model:
        model = new_model()
        checkpoint = nn.Checkpoint(tmp_path / "runs", every=1, resume=True)
        train(model, epochs, batch_size=16, callbacks=[checkpoint], **settings)
        return model

    run(2, sample_weights=WEIGHTS)
    resumed = run(5, sample_weights=WEIGHTS)
    train(whole := new_model(), 5, batch_size=16, sample_weights=WEIGHTS)
    same(whole, resumed)
    for settings in ({}, {"sample_weights": WEIGHTS[::-1]}):
        with pytest.raises(nn.FileError, match=r"is of another run: run\.weights is"):
            run(6, **settings)


# -- what is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample_weights": WEIGHTS[:-1]}, r"sample_weights have shape \(59,\): expected \(60,\), one for each"),
        ({"sample_weights": np.ones((60, 2))}, r"sample_weights have shape \(60, 2\): expected \(60,\)"),
        ({"sample_weights": 1.0}, r"sample_weights have shape \(\): expected \(60,\)"),
        (
            {"sample_weights": np.where(np.arange(60) == 7, -1, 1)},
            r"sample_weights\[7\] is -1: expected finite numbers",
        ),
        ({"sample_weights": np.where(np.arange(60) == 9, np.nan, 1)}, r"sample_weights\[9\] is nan: expected finite"),
        ({"sample_weights": np.full(60, np.inf)}, r"sample_weights\[0\] is inf: expected finite numbers"),
        ({"sample_weights": np.zeros(60)}, "all samples have a weight of 0: expected at least one above it"),
        ({"class_weights": {0: 0, 1: 0, 2: 0}}, "all samples have a weight of 0: expected at least one above it"),
        ({"class_weights": {3: 1.0}}, "class_weights name the class 3: expected labels from 0 to 2"),
        ({"class_weights": {"1": 1.0}}, "class_weights name the class '1': expected labels from 0 to 2"),
        ({"class_weights": {True: 1.0}}, "class_weights name the class True: expected labels from 0 to 2"),
        ({"class_weights": {1: -1.0}}, r"class_weights\[1\] -1.0: expected a finite number of at least 0"),
        ({"class_weights": {1: "much"}}, r"class_weights\[1\] 'much': expected a finite number of at least 0"),
        ({"class_weights": "even"}, "class_weights 'even': expected 'balanced' or a dict"),
        ({"class_weights": [1.0, 2.0, 3.0]}, r"class_weights \[1.0, 2.0, 3.0\]: expected 'balanced' or a dict"),
    ],
)
def test_bad_weights_are_named(xp, settings: dict[str, Any], message: str) -> None:
    with pytest.raises((nn.DataError, nn.ArgumentError), match=message):
        train(new_model(xp), **settings)


def test_class_weights_are_for_classes() -> None:
    model = nn.Model([nn.Dense(2, 1)], loss=nn.MeanSquaredError(), optimizer=nn.SGD(), seed=0)
    with pytest.raises(
        nn.ArgumentError, match=r"class_weights with MeanSquaredError\(\) on 1 outputs: .* sample_weights"
    ):
        train(model, y=Y.astype(float), class_weights="balanced")
