"""`gradcheck`: right gradients pass with digits to spare, wrong ones and kinks are noticed; and the library's own models."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnbackend as nn
from nnbackend.testing import gradcheck
from tests.cases import LOSSES

RNG = np.random.default_rng(0)


class Function(nn.Layer):
    """An elementwise function and its derivative, which may be wrong."""

    def __init__(self, function, derivative):
        super().__init__()
        self.function, self.derivative = function, derivative

    def forward(self, inputs, *, training=False):
        self.inputs = inputs
        self.output = self.function(inputs)
        return self.output

    def backward(self, dvalues):
        self.dinputs = self.derivative(self.inputs) * dvalues
        return self.dinputs


# -- what it says of right and wrong gradients --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 4), (30, 40)], ids=["every element", "random directions"])
def test_right_gradients_have_digits_to_spare(shape):
    errors = gradcheck(Function(np.tanh, lambda x: 1 - np.tanh(x) ** 2), RNG.standard_normal(shape))
    assert list(errors) == ["inputs"]
    assert 0 < errors["inputs"] < 1e-9


@pytest.mark.parametrize("shape", [(3, 4), (30, 40)], ids=["every element", "random directions"])
@pytest.mark.parametrize("factor", [-1, 0, 1 + 1e-6], ids=["sign", "nothing", "a millionth"])
def test_wrong_gradients_are_noticed(shape, factor):
    wrong = Function(np.tanh, lambda x: factor * (1 - np.tanh(x) ** 2))
    with pytest.raises(nn.CheckError, match=r"the gradient of inputs is .* but differences of the loss give"):
        gradcheck(wrong, RNG.standard_normal(shape))


@pytest.mark.parametrize("shape", [(3, 4), (30, 40)], ids=["every element", "random directions"])
def test_one_wrong_element_is_noticed(shape):
    def derivative(x):
        result = 1 - np.tanh(x) ** 2
        result[1, 2] *= 1.1
        return result

    with pytest.raises(nn.CheckError):
        gradcheck(Function(np.tanh, derivative), RNG.standard_normal(shape))


def test_the_element_is_named():
    def derivative(x):
        result = 2 * x
        result[1, 2] = 0
        return result

    with pytest.raises(nn.CheckError, match=r"is 0 at \[1, 2\]"):
        gradcheck(Function(np.square, derivative), RNG.standard_normal((3, 4)))


def test_a_gradient_of_nothing_is_right():
    assert gradcheck(Function(np.zeros_like, np.zeros_like), RNG.standard_normal((3, 4))) == {"inputs": 0.0}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_gradients_that_are_not_finite(bad):
    with pytest.raises(nn.CheckError, match="NaN or infinity"):
        gradcheck(Function(np.square, lambda x: x * bad), RNG.standard_normal((3, 4)))


def test_a_gradient_of_another_shape():
    class Wrong(Function):
        def backward(self, dvalues):
            return dvalues.T

    with pytest.raises(nn.CheckError, match=r"has shape \(4, 3\): expected \(3, 4\)"):
        gradcheck(Wrong(np.square, np.square), RNG.standard_normal((3, 4)))


# -- kinks ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [0, 1e-7, 2e-6, 5e-6, 20e-6 / 3, 8e-6, 9.9e-6])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_kink_within_the_step_is_noticed(distance, side):
    with pytest.raises(nn.NonDifferentiableError, match=r"inputs cannot be checked at \[0, 1\]"):
        gradcheck(nn.ReLU(), [[1.0, side * distance, -1.0]])


def test_a_kink_outside_of_the_step_is_not():
    assert gradcheck(nn.ReLU(), [[1.0, 1.1e-5, -1.1e-5]])["inputs"] < 1e-9


def test_a_kink_on_which_both_agree_is_noticed_too():
    """The gradient of |x| at 0 is given as 0, and so are the differences."""
    with pytest.raises(nn.NonDifferentiableError):
        gradcheck(Function(np.abs, np.sign), [[0.0, 1.0]])


@pytest.mark.parametrize("strength", [1.0, 1e-3, 1e-6])
def test_l1_at_zero_is_noticed_however_weak(strength):
    dense = nn.Dense(2, 3, weight_regularizer=nn.L1(strength), seed=0)
    dense.weights = np.array([[1, 2, 0], [3, 4, 5]])
    with pytest.raises(nn.NonDifferentiableError, match=r"weights cannot be checked at \[0, 2\]"):
        gradcheck(dense, [[1.0, 2.0]])


@pytest.mark.parametrize("frequency", [1.0, 30.0])
def test_curvature_is_not_taken_for_a_kink(frequency):
    """At the top of a sine the slope changes its sign and nothing is wrong."""
    wave = Function(lambda x: np.sin(frequency * x), lambda x: frequency * np.cos(frequency * x))
    gradcheck(wave, [[np.pi / 2 / frequency, 0.0, 0.3]], tolerance=1e-6)


def test_a_kink_excuses_no_wrong_gradient_elsewhere():
    """|x| far from its kink with the wrong sign is wrong, and not called a kink."""
    with pytest.raises(nn.CheckError) as caught:
        gradcheck(Function(np.abs, lambda x: -np.sign(x)), [[1.0, 2.0]])
    assert not isinstance(caught.value, nn.NonDifferentiableError)


# -- what it is given ----------------------------------------------------------------------------------------------------


def test_the_subject_stays_as_it_is():
    dense = nn.Dense(4, 3, seed=0)
    before = dense.weights.copy()
    gradcheck(dense, RNG.standard_normal((5, 4)))
    assert dense.xp.dtype == dense.weights.dtype == np.float32
    np.testing.assert_array_equal(dense.weights, before)
    assert "inputs" not in vars(dense)


def test_data_may_be_lists_or_arrays_of_the_backend(xp):
    for inputs in ([[1, 2], [3, 4]], xp.asarray([[1.0, 2.0], [3.0, 4.0]])):
        assert set(gradcheck(nn.Dense(2, 3, backend=xp, seed=0), inputs)) == {"inputs", "weights", "biases"}


def test_a_mask_without_a_seed_stays_the_same():
    assert gradcheck(nn.Dropout(0.5), RNG.standard_normal((5, 4)))["inputs"] < 1e-9


@pytest.mark.parametrize("subject", [nn.MeanSquaredError(), nn.Model([nn.Dense(2, 1)], loss=nn.MeanSquaredError())])
def test_losses_and_models_need_targets(subject):
    with pytest.raises(nn.ArgumentError, match="needs targets"):
        gradcheck(subject, [[1.0, 2.0]])


def test_it_takes_layers_losses_and_models():
    with pytest.raises(nn.ArgumentError, match="expected a layer, a loss or a model"):
        gradcheck(nn.Adam(), [[1.0]])


# -- losses ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("n", [1, 6])
def test_losses(xp64, case, n):
    loss = case.make()
    loss.place(xp64)
    gradcheck(loss, *case.draw(np.random.default_rng(1), n))


# -- whole models ----------------------------------------------------------------------------------------------------------

ENDINGS = {
    "categorical": (lambda: [nn.Dense(6, 3), nn.Softmax()], nn.CategoricalCrossentropy, lambda y: y),
    "one-hot": (lambda: [nn.Dense(6, 3), nn.Softmax()], nn.CategoricalCrossentropy, lambda y: np.eye(3)[y]),
    "binary": (lambda: [nn.Dense(6, 1), nn.Sigmoid()], nn.BinaryCrossentropy, lambda y: y == 0),
    "squared": (lambda: [nn.Dense(6, 1), nn.Linear()], nn.MeanSquaredError, lambda y: y + 0.5),
    "absolute": (lambda: [nn.Dense(6, 1)], nn.MeanAbsoluteError, lambda y: 10.0 + y),
    "without activation": (lambda: [nn.Dense(6, 2)], nn.MeanSquaredError, lambda y: np.eye(3)[y][:, :2]),
}


def small_model(ending, loss, *, backend=None, fused=True):
    """Two hidden layers with every penalty and a dropout, and parameters of order 1, which are away from all kinks."""
    regularizers = {"weight_regularizer": nn.L1L2(0.01, 0.02), "bias_regularizer": nn.L1L2(0.03, 0.01)}
    start = {"weight_initializer": nn.Normal(0.6), "bias_initializer": nn.Normal(0.6)}
    hidden = [
        nn.Dense(2, 5, **regularizers, **start),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Dense(5, 6, **start),
        nn.Sigmoid(),
    ]
    return nn.Model([*hidden, *ending], loss=loss, backend=backend, seed=4, fused=fused)


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain"])
def test_models(xp64, ending, fused):
    last, loss, targets = ending
    X, y = nn.datasets.spiral(samples=4, classes=3, seed=1)
    model = small_model(last(), loss(), backend=xp64, fused=fused)
    errors = gradcheck(model, X, targets(y), max_elements=20, number=3)
    assert errors.keys() == {"inputs", *model.parameters()}
    assert len(errors) == 7


def test_a_model_whose_penalty_is_forgotten_is_noticed():
    class Forgetful(nn.Dense):
        def add_penalty_gradients(self):
            pass

    model = nn.Model(
        [Forgetful(2, 3, weight_regularizer=nn.L2(0.1)), nn.Softmax()], loss=nn.CategoricalCrossentropy(), seed=0
    )
    with pytest.raises(nn.CheckError, match=r"the gradient of forgetful_1\.weights"):
        gradcheck(model, *nn.datasets.spiral(samples=4, classes=3, seed=0))


def test_a_join_that_measures_another_loss_is_noticed(monkeypatch):
    model = nn.Model([nn.Dense(2, 3), nn.Softmax()], loss=nn.CategoricalCrossentropy(), seed=0)
    right = nn.SoftmaxCategoricalCrossentropy.sample_losses
    monkeypatch.setattr(nn.SoftmaxCategoricalCrossentropy, "sample_losses", lambda *a: right(*a) * 1.001)
    with pytest.raises(nn.CheckError, match="mend the join"):
        gradcheck(model, *nn.datasets.spiral(samples=4, classes=3, seed=0))


# -- any shape, any strength ----------------------------------------------------------------------------------------------

strengths = st.sampled_from([0.0, 1e-6, 1e-3, 0.5, 10.0])


@given(
    n=st.integers(1, 6),
    n_inputs=st.integers(1, 6),
    n_neurons=st.integers(1, 6),
    strengths=st.tuples(strengths, strengths, strengths, strengths),
    seed=st.integers(0, 10),
)
def test_dense_of_any_shape_and_strength(n, n_inputs, n_neurons, strengths, seed):
    rng = np.random.default_rng(seed)
    away_from_zero = {
        name: rng.uniform(0.1, 1, shape) * rng.choice([-1, 1], shape)
        for name, shape in (("weights", (n_inputs, n_neurons)), ("biases", (1, n_neurons)))
    }
    dense = nn.Dense(
        n_inputs,
        n_neurons,
        weight_regularizer=nn.L1L2(*strengths[:2]),
        bias_regularizer=nn.L1L2(*strengths[2:]),
        backend=nn.get_backend("cpu", dtype="float64"),
    )
    dense.weights, dense.biases = away_from_zero["weights"], away_from_zero["biases"]
    gradcheck(dense, rng.standard_normal((n, n_inputs)), max_elements=12, number=4)
