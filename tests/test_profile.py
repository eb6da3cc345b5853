"""`profile_step`: every op of a step with its layer, on every backend, and the model as it was."""

from __future__ import annotations

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.errors import StateError
from nnbackend.profile import by_layer, profile_step

X, y = nn.datasets.spiral(samples=10, classes=3, seed=0)


def model(**settings):
    return nn.Model(
        [nn.Dense(2, 8, weight_regularizer=nn.L2(1e-3)), nn.ReLU(), nn.Dropout(0.1), nn.Dense(8, 3), nn.Softmax()],
        **{"loss": nn.CategoricalCrossentropy(), "optimizer": nn.Adam(0.02), "seed": 0, **settings},
    )


# What a step does, in order, for which layer.
STEP = [
    ("forward", "dense_1", "dense_relu"),
    ("forward", "dropout_1", "dropout"),
    ("forward", "dropout_1", "advance"),
    ("forward", "dense_2", "dense"),
    ("forward", "loss", "softmax_crossentropy"),
    ("forward", "loss", "mean"),
    ("forward", "penalty", "assign"),
    ("forward", "dense_1", "penalty"),
    ("forward", "accuracy", "categorical_accuracy"),
    ("backward", "loss", "softmax_crossentropy_backward"),
    ("backward", "dense_2", "biases_gradient"),
    ("backward", "dense_2", "weights_gradient"),
    ("backward", "dense_2", "inputs_gradient"),
    ("backward", "dropout_1", "multiply"),
    ("backward", "dense_1", "relu_biases_gradient"),
    ("backward", "dense_1", "weights_gradient"),
    ("backward", "dense_1", "penalty_gradient"),
    ("update", "optimizer", "decayed_learning_rate"),
    ("update", "optimizer", "adam_step_sizes"),
    ("update", "optimizer", "adam"),
    ("update", "optimizer", "advance"),
]


def test_every_op_has_its_phase_and_its_layer(xp):
    rows = profile_step(model(backend=xp), X, y, repeats=2)
    assert [row[:3] for row in rows] == STEP
    assert all(row.seconds > 0 for row in rows)
    assert sum(row.share for row in rows) == pytest.approx(1)


def test_batches_are_gathered_first(xp):
    rows = profile_step(model(backend=xp), X, y, batch_size=7, repeats=2)
    assert [row[:3] for row in rows[4:]] == STEP
    assert {row.layer for row in rows[:4]} == {"batch"}


def test_separate_layers_are_named_too(xp):
    rows = profile_step(model(backend=xp, fused=False), X, y, repeats=1)
    assert [row.layer for row in rows if row.op.startswith("relu")] == ["relu_1", "relu_1"]
    assert "" not in {row.layer for row in rows}


def test_the_sums_by_layer_are_those_of_the_ops(xp):
    rows = profile_step(model(backend=xp), X, y, repeats=2)
    layers = by_layer(rows)
    assert len({row[:2] for row in layers}) == len(layers)
    assert sum(row.seconds for row in layers) == pytest.approx(sum(row.seconds for row in rows))
    (dense,) = (row for row in layers if row[:2] == ("backward", "dense_1"))
    assert dense.op == "relu_biases_gradient, weights_gradient, penalty_gradient"


def test_the_model_is_not_trained(xp):
    trained = model(backend=xp)
    before = trained.parameters()
    profile_step(trained, X, y, repeats=2)
    for name, values in trained.parameters().items():
        np.testing.assert_array_equal(values, before[name])
    assert trained.optimizer.iterations == 0


def test_a_model_without_optimizer_is_refused():
    with pytest.raises(StateError, match="the model has no optimizer"):
        profile_step(nn.Model([nn.Dense(2, 3), nn.Softmax()], loss=nn.CategoricalCrossentropy()), X, y)
