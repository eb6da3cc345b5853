"""The book's own chapter-14 runs, reproduced on every backend. tests/data/README.md says what they are."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.batches import Batch
from nnbackend.testing import tolerances
from tests.helpers import assert_close, host

DATA = Path(__file__).parent / "data"
RUNS = ("adam_l2_float64", "sgd_momentum_l1l2_float64")
STEPS = (0, 1, 10, 100)  # at which gradients were written down
COLUMNS = ("accuracy", "data_loss", "regularization_loss", "learning_rate")
SAMPLES, NEURONS = 300, 64

runs = pytest.mark.parametrize("name", RUNS)
joins = pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain"])


@functools.cache
def reference(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The settings and rows, and the arrays, of a run."""
    with np.load(DATA / f"{name}.npz") as arrays:
        return json.loads((DATA / f"{name}.json").read_text()), dict(arrays)


def rows_to(name: str, last: int) -> dict[str, np.ndarray]:
    """The columns of the steps 0 to `last`."""
    table = np.array(reference(name)[0]["rows"])[: last + 1]
    assert table[:, 0].tolist() == list(range(last + 1))
    return dict(zip(COLUMNS, table[:, 1:].T, strict=True))


def regularizers(settings: dict[str, float]) -> dict[str, nn.Regularizer]:
    return {
        f"{kind}_regularizer": nn.L1L2(
            settings.get(f"{kind}_regularizer_l1", 0.0), settings.get(f"{kind}_regularizer_l2", 0.0)
        )
        for kind in ("weight", "bias")
        if settings
    }


def model_of(name: str, xp: nn.Backend, *, fused: bool = True, at: str = "init") -> nn.Model:
    """The book's network with the parameters of a step."""
    settings, arrays = reference(name)
    dense1 = nn.Dense(2, NEURONS, **regularizers(settings["reg1"]))
    dense2 = nn.Dense(NEURONS, 3, **regularizers(settings["reg2"]))
    model = nn.Model(
        [dense1, nn.ReLU(), dense2, nn.Softmax()],
        loss=nn.CategoricalCrossentropy(),
        optimizer=getattr(nn, settings["optimizer"])(**settings["optimizer_args"]),
        backend=xp,
        seed=0,
        fused=fused,
    )
    for number, dense in enumerate((dense1, dense2), 1):
        dense.weights, dense.biases = arrays[f"w{number}_{at}"], arrays[f"b{number}_{at}"]
    return model


def gradients_of(model: nn.Model) -> dict[str, Any]:
    """The gradients by the names of the reference, on the device."""
    dense1, _, dense2, _ = model.layers
    return {"dw1": dense1.dweights, "db1": dense1.dbiases, "dw2": dense2.dweights, "db2": dense2.dbiases}


@functools.cache
def summed(name: str, step: int) -> dict[str, float]:
    """What the gradients' sums add up at a step, in the largest element: Σ|inputs|ᵀ·|dvalues|, and Σ|dvalues| for biases.

    A gradient may be the small remainder of such a sum, and is known to a part of the sum, not of itself.
    """
    xp = nn.get_backend("cpu", dtype="float64", kernels="reference")
    model, arrays = model_of(name, xp, fused=False, at=f"step{step}"), reference(name)[1]
    model.training_step(*model.built.prepare(arrays["X"], arrays["y"], for_training=True))
    dense1, relu, dense2, softmax = model.layers
    found = {}
    for number, dense, behind in ((1, dense1, relu), (2, dense2, softmax)):
        found[f"dw{number}"] = float((abs(dense.inputs).T @ abs(behind.dinputs)).max())
        found[f"db{number}"] = float(abs(behind.dinputs).sum(axis=0).max())
    return found


def as_in_numpy(xp: nn.Backend, fused: bool) -> bool:
    """Whether every rounding is that of the book's own NumPy code: NumPy's functions, and the joined gradient (p - y) / n.

    Elsewhere the first gradient of the last biases cannot agree to 1e-12 of itself: with tiny weights and balanced classes
    it is the remainder of a sum ten thousand times its size, and another exponential's last digit is in the 12th of the
    remainder (measured: 1.07e-12 to 1.3e-12). There it is held to rounding of what was summed.
    """
    return fused and (xp.kernels == "reference" or xp.name == "strict")


# -- float64: the same numbers, freely running -------------------------------------------------------------------------


@runs
@joins
def test_float64_runs_as_the_book_does(xp64, name, fused):
    model, (_, arrays) = model_of(name, xp64, fused=fused), reference(name)
    expected, found = rows_to(name, STEPS[-1]), {column: [] for column in COLUMNS}
    for step in STEPS:
        history = model.train(arrays["X"], arrays["y"], epochs=step + 1 - model.epoch, print_every=0)
        for column in COLUMNS:
            found[column] += history[column]
        for key, gradient in gradients_of(model).items():
            allowed, scale = tolerances.BOOK_RUN_GRADIENTS[step], None
            if (key, step) == ("db2", 0) and not as_in_numpy(xp64, fused):
                allowed, scale = tolerances.tolerance("gradient", "float64", SAMPLES), summed(name, step)[key]
            assert_close(gradient, arrays[f"{key}_step{step}"], allowed, f"{key} at step {step}", scale=scale)
    for column in ("data_loss", "regularization_loss"):
        np.testing.assert_allclose(found[column], expected[column], rtol=tolerances.BOOK_RUN_LOSS, err_msg=column)
    np.testing.assert_allclose(found["learning_rate"], expected["learning_rate"], rtol=1e-15)
    # No two probabilities are within 1e-9 of each other there but for exact ties, so not one sample changes sides.
    np.testing.assert_allclose(found["accuracy"], expected["accuracy"], rtol=1e-15)


# -- float32: one step at a time from the book's parameters, and freely as far as that makes sense -------------------------


@runs
@joins
@pytest.mark.parametrize("step", STEPS)
def test_float32_steps_from_the_books_parameters(xp, name, fused, step):
    model, arrays = model_of(name, xp, fused=fused, at=f"step{step}"), reference(name)[1]
    inputs, targets = model.built.prepare(arrays["X"], arrays["y"], for_training=True)
    model.built.measure(Batch(inputs, targets, len(inputs)), training=True)
    model.built.backward(targets)
    expected = {column: values[step] for column, values in rows_to(name, step).items()}
    data_loss, regularization_loss, accuracy, _ = model.measured
    allowed = tolerances.tolerance("loss", xp.dtype, SAMPLES)
    assert_close(data_loss, expected["data_loss"], allowed, "data loss")
    assert_close(regularization_loss, expected["regularization_loss"], allowed, "penalties")
    assert (
        abs(float(host(accuracy)) - expected["accuracy"]) < 1.5 / SAMPLES
    )  # a sample between two classes may change sides
    allowed = tolerances.tolerance("gradient", xp.dtype, SAMPLES)
    for key, gradient in gradients_of(model).items():
        assert_close(gradient, arrays[f"{key}_step{step}"], allowed, f"{key} at {step}", scale=summed(name, step)[key])


@runs
@joins
def test_float32_runs_as_far_as_rounding_allows(xp, name, fused):
    """SGD's run is calm to step 100. Adam, which divides by the size of tiny gradients, is so to step 10."""
    model, (settings, arrays) = model_of(name, xp, fused=fused), reference(name)
    history = model.train(arrays["X"], arrays["y"], epochs=STEPS[-1] + 1, print_every=0)
    expected, calm = rows_to(name, STEPS[-1]), 11 if settings["optimizer"] == "Adam" else STEPS[-1] + 1
    found = np.array(history["data_loss"])
    allowed = tolerances.tolerance("loss", xp.dtype, SAMPLES)
    np.testing.assert_allclose(found[:calm], expected["data_loss"][:calm], rtol=allowed)
    np.testing.assert_allclose(found, expected["data_loss"], rtol=tolerances.BOOK_RUN_LOSS_SINGLE)
    # The schedule is in float64 on every backend.
    np.testing.assert_allclose(history["learning_rate"], expected["learning_rate"], rtol=1e-15)


# -- where the book's training ends ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_ten_thousand_epochs_end_in_the_books_neighbourhood(seed):
    """The book prints a loss of 0.217 and a validation accuracy of 0.830; seeds differ by some percent."""
    regularizer = nn.L2(5e-4)
    model = nn.Model(
        [
            nn.Dense(2, NEURONS, weight_regularizer=regularizer, bias_regularizer=regularizer),
            nn.ReLU(),
            nn.Dense(NEURONS, 3),
            nn.Softmax(),
        ],
        loss=nn.CategoricalCrossentropy(),
        optimizer=nn.Adam(learning_rate=0.02, decay=5e-7),
        backend="cpu",
        seed=seed,
    )
    history = model.train(*nn.datasets.spiral(samples=100, classes=3, seed=seed), epochs=10_000, print_every=0)
    assert history["loss"][-1] < 0.36
    assert model.evaluate(*nn.datasets.spiral(samples=100, classes=3, seed=seed + 1)).accuracy > 0.72
    assert history["learning_rate"][-1] == 0.019900507413187767  # as the book prints it


@runs
def test_the_data_are_the_books(name):
    """`nnbackend.datasets.spiral` gives what the book's run had for the same seed, to the bit."""
    X, y = nn.datasets.spiral(samples=100, classes=3, seed=0)
    np.testing.assert_array_equal(X, reference(name)[1]["X"])
    np.testing.assert_array_equal(y, reference(name)[1]["y"])
