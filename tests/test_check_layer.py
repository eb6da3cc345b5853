"""`check_layer` notices: each layer here is broken on purpose in one way, and fails the check that is there for it."""

from __future__ import annotations

import random

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.layers import Gradient, Value
from nnbackend.parameters import Parameter
from nnbackend.testing import check_layer
from nnbackend.testing.layers import LAYER_CHECKS, Trial, nonzero

SHAPE = (5, 4)


class Square(nn.Layer):
    """output = inputs², which is right."""

    def forward(self, inputs, *, training=False):
        self.inputs = inputs
        self.output = inputs * inputs
        return self.output

    def backward(self, dvalues):
        self.dinputs = 2 * self.inputs * dvalues
        return self.dinputs


class Scale(nn.Layer):
    """output = inputs · factors, which is right."""

    factors = Value("factors")
    dfactors = Gradient("factors")

    def __init__(self, n_inputs=4, regularizer=None):
        super().__init__(seed=0)
        self.n_inputs = self.n_outputs = n_inputs
        self.regularizer = regularizer
        self.parameters = {"factors": Parameter((1, n_inputs), nn.Normal(1.0), regularizer)}

    def forward(self, inputs, *, training=False):
        self.inputs = inputs
        self.output = inputs * self.factors
        return self.output

    def backward(self, dvalues):
        self.xp.sum(dvalues * self.inputs, axis=0, keepdims=True, out=self.dfactors)
        self.add_penalty_gradients()
        self.dinputs = dvalues * self.factors
        return self.dinputs


class Counting(Square):
    """output = inputs² · (how often it was called), which is right: the count is an array that files hold."""

    state_names = ("count",)

    def place(self, xp):
        before = self.xp.to_host(self.count) if "count" in vars(self) else np.ones(())
        super().place(xp)
        self.count = xp.asarray(before)

    def forward(self, inputs, *, training=False):
        if training:
            self.count += 1
        self.inputs = inputs
        self.output = inputs * inputs * self.count
        return self.output

    def backward(self, dvalues):
        self.dinputs = 2 * self.inputs * dvalues * self.count
        return self.dinputs


@pytest.mark.parametrize("layer", [Square(), Scale(), Scale(regularizer=nn.L1L2(0.1, 0.2)), Counting()], ids=repr)
def test_right_layers_pass(layer):
    check_layer(layer, SHAPE)


# -- wrong gradients ---------------------------------------------------------------------------------------------------


class WrongSign(Square):
    def backward(self, dvalues):
        self.dinputs = -2 * self.inputs * dvalues
        return self.dinputs


class SlightlyWrong(Square):
    """Off by a millionth: float32 would never show it."""

    def backward(self, dvalues):
        self.dinputs = (2 + 2e-6) * self.inputs * dvalues
        return self.dinputs


class ForgetsItsPenalty(Scale):
    def backward(self, dvalues):
        self.xp.sum(dvalues * self.inputs, axis=0, keepdims=True, out=self.dfactors)
        self.dinputs = dvalues * self.factors
        return self.dinputs


class ForgetsToReturn(Square):
    def backward(self, dvalues):
        super().backward(dvalues)


class ForgetsToReturnItsOutput(Square):
    def forward(self, inputs, *, training=False):
        super().forward(inputs, training=training)


class ForgetsItsParameter(Scale):
    def backward(self, dvalues):
        self.dinputs = dvalues * self.factors
        return self.dinputs


@pytest.mark.parametrize(
    "layer",
    [
        WrongSign(),
        SlightlyWrong(),
        ForgetsItsPenalty(regularizer=nn.L2(0.1)),
        ForgetsToReturn(),
        ForgetsToReturnItsOutput(),
        ForgetsItsParameter(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_wrong_gradients_fail(layer):
    with pytest.raises(nn.CheckError, match=type(layer).__name__):
        check_layer(layer, SHAPE, backends=["cpu"])


class Kinked(Square):
    """output = |inputs| rounded to steps: no point is away from a kink."""

    def forward(self, inputs, *, training=False):
        self.inputs = inputs
        self.output = self.xp.abs(self.xp.sin(1e5 * inputs))
        return self.output


def test_a_layer_with_kinks_everywhere_cannot_be_checked():
    with pytest.raises(nn.NonDifferentiableError, match="kink"):
        check_layer(Kinked(), SHAPE, backends=["cpu"])


# -- everything else that can be wrong: the check that notices, and the backend on which it does ------------------------


class AnotherFormulaOnTheDevice(Square):
    def forward(self, inputs, *, training=False):
        output = super().forward(inputs)
        if self.xp.name == "strict":
            output *= 1.001
        return output


class Promotes(Square):
    def forward(self, inputs, *, training=False):
        self.inputs = inputs
        self.output = inputs * self.xp.full((1, 1), 2.0, dtype="float64") * inputs / 2
        return self.output


class ForgetsItsOutput(Square):
    def forward(self, inputs, *, training=False):
        self.inputs = inputs
        return inputs * inputs


class KeepsACopyOfItsInputs(Square):
    def forward(self, inputs, *, training=False):
        return super().forward(inputs.copy())


class ModifiesItsInputs(Square):
    def forward(self, inputs, *, training=False):
        self.inputs = inputs
        self.output = inputs * inputs
        inputs += 1
        return self.output


class ModifiesDvalues(Square):
    def backward(self, dvalues):
        dvalues *= 2 * self.inputs
        self.dinputs = dvalues
        return self.dinputs


class ModifiesItsParameters(Scale):
    def forward(self, inputs, *, training=False):
        output = super().forward(inputs)
        self.parameters["factors"].value[...] *= 0.5
        return output


class Noisy(Square):
    def forward(self, inputs, *, training=False):
        self.inputs = inputs
        self.output = inputs * inputs * (1 + 1e-5 * random.random())
        return self.output


class TakesElementsAsTheyLieInMemory(Square):
    def forward(self, inputs, *, training=False):
        self.inputs = inputs
        self.output = self.xp.square(self.xp.ravel(inputs, order="K")).reshape(inputs.shape)
        return self.output


class ModifiesItsInputsForAMoment(Square):
    def forward(self, inputs, *, training=False):
        self.inputs = inputs
        inputs *= 2
        self.output = inputs * inputs / 4
        inputs *= 0.5
        return self.output


class RemembersAnOldBatch(Square):
    def forward(self, inputs, *, training=False):
        super().forward(inputs)
        self.first = getattr(self, "first", self.output)
        if len(self.first) == len(self.output):
            self.output = self.first
        return self.output

    def backward(self, dvalues):
        self.dinputs = 2 * self.inputs * dvalues + getattr(self, "last", 0)
        self.last = self.dinputs[:1]
        return self.dinputs


class AddsToItsGradient(Scale):
    def backward(self, dvalues):
        gradient = self.parameters["factors"].grad
        gradient += (dvalues * self.inputs).sum(axis=0, keepdims=True)
        self.dinputs = dvalues * self.factors
        return self.dinputs


class SharesItsCopies(Scale):
    def __deepcopy__(self, memo):
        return self


class CopiesWithoutItsState(Square):
    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "inputs"}


class HidesAParameter(Scale):
    def forward(self, inputs, *, training=False):
        self.hidden = getattr(self, "hidden", self.factors.copy())
        self.inputs = inputs
        self.output = inputs * self.hidden
        return self.output


class CountsWithoutSaying(Square):
    """Every call gives more than the one before; the count is in no file."""

    def forward(self, inputs, *, training=False):
        self.count = getattr(self, "count", 0) + (self.xp.ones(()) if training else 0)
        self.inputs = inputs
        self.output = inputs * inputs * self.count
        return self.output

    def backward(self, dvalues):
        self.dinputs = 2 * self.inputs * dvalues * self.count
        return self.dinputs


class KeepsNoArgument(Square):
    def __init__(self, power=2):
        super().__init__()


class KeepsAnotherArgument(Scale):
    def __init__(self, n_inputs=4, factor=1.0):
        super().__init__(n_inputs)
        self.factor = 2 * factor

    def forward(self, inputs, *, training=False):
        self.inputs = inputs
        self.output = inputs * self.factors * self.factor
        return self.output

    def backward(self, dvalues):
        self.xp.sum(dvalues * self.inputs * self.factor, axis=0, keepdims=True, out=self.dfactors)
        self.dinputs = dvalues * self.factors * self.factor
        return self.dinputs


class PromisesInVain(Square):
    only_ops = True


class BakesANumberIn(Square):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, inputs, *, training=False):
        self.calls += 1
        self.inputs = inputs
        self.output = self.calls * inputs
        return self.output

    def backward(self, dvalues):
        self.dinputs = self.calls * dvalues
        return self.dinputs


class FetchesAScalar(Square):
    def forward(self, inputs, *, training=False):
        float(inputs.sum())
        return super().forward(inputs)


class UsesNumPy(Square):
    def forward(self, inputs, *, training=False):
        self.inputs = inputs
        self.output = self.xp.multiply(np.asarray(inputs), inputs)
        return self.output


# The broken layer, the backend, the check that notices, and what it says.
BROKEN = [
    (AnotherFormulaOnTheDevice, "strict", "agrees_with_the_reference", "output compared with cpu float64 is 0.001"),
    (FetchesAScalar, "strict", "agrees_with_the_reference", r"float\(\) of a device array moves data"),
    (UsesNumPy, "strict", "agrees_with_the_reference", "conversion to a NumPy array is not allowed"),
    (Promotes, "cpu", "keeps_the_dtype", "output has dtype float64, expected float32"),
    (Promotes, "strict", "keeps_the_dtype", "quietly gave float64"),
    (ForgetsItsOutput, "cpu", "stores_what_it_returns", "output is not there yet"),
    (KeepsACopyOfItsInputs, "cpu", "stores_what_it_returns", "forward does not store inputs"),
    (ModifiesItsInputs, "cpu", "leaves_its_arguments_alone", "inputs were modified"),
    (ModifiesDvalues, "cpu", "leaves_its_arguments_alone", "dvalues were modified"),
    (ModifiesDvalues, "strict", "leaves_its_arguments_alone", "dvalues were modified"),
    (ModifiesItsParameters, "cpu", "leaves_its_arguments_alone", "factors were modified"),
    (Noisy, "cpu", "repeats_to_the_bit", "output differs in a second run"),
    (TakesElementsAsTheyLieInMemory, "cpu", "takes_any_layout", "output for transposed inputs"),
    (ModifiesItsInputsForAMoment, "cpu", "takes_any_layout", "read-only"),
    (RemembersAnOldBatch, "cpu", "takes_any_batch_size", "for a batch of 1 after other sizes"),
    (AddsToItsGradient, "cpu", "takes_any_batch_size", "dfactors for a batch of 1 after other sizes"),
    (SharesItsCopies, "cpu", "copies_whole_and_apart", "when a copy of the layer was used"),
    (CopiesWithoutItsState, "cpu", "copies_whole_and_apart", "inputs is not there yet"),
    (HidesAParameter, "cpu", "parameters_round_trip", "output after a round trip"),
    (CountsWithoutSaying, "cpu", "survives_a_file", "output differs after saving and loading"),
    (CountsWithoutSaying, "strict", "survives_a_file", "output differs after saving and loading"),
    (KeepsNoArgument, "cpu", "survives_a_file", "cannot be saved and loaded: KeepsNoArgument .* 'power'"),
    (KeepsAnotherArgument, "cpu", "survives_a_file", "output differs after saving and loading"),
    (PromisesInVain, "cpu", "may_be_replayed", "of a replayed step"),
    (PromisesInVain, "strict", "may_be_replayed", "promised only_ops"),
    (BakesANumberIn, "strict", "may_be_replayed", "of a replayed step"),
]
SOMETHING_IS_WRONG = (nn.NNBackendError, ValueError, TypeError)


# In both dtypes; float64 is promoted to nothing.
ROWS = [(*row, dtype) for row in BROKEN for dtype in ("float32", "float64") if (row[0], dtype) != (Promotes, "float64")]


@pytest.mark.parametrize(("kind", "backend", "name", "message", "dtype"), ROWS, ids=lambda v: getattr(v, "__name__", v))
def test_what_is_broken_fails_its_check(kind, backend, name, message, dtype):
    with pytest.raises(SOMETHING_IS_WRONG, match=message):
        LAYER_CHECKS[name](Trial(nonzero(kind(), np.random.default_rng(0)), nn.get_backend(backend, dtype), SHAPE))


@pytest.mark.parametrize("kind", dict.fromkeys(row[0] for row in BROKEN), ids=lambda kind: kind.__name__)
def test_what_is_broken_fails_check_layer(kind):
    with pytest.raises(SOMETHING_IS_WRONG):
        check_layer(kind(), SHAPE, backends=["cpu", "strict"])


def test_the_layer_stays_as_it_is():
    layer = Scale()
    before = layer.xp.to_host(layer.factors)
    check_layer(layer, SHAPE)
    assert layer.xp is nn.get_backend("cpu")
    np.testing.assert_array_equal(layer.factors, before)
    assert "output" not in vars(layer)


@pytest.mark.parametrize("shape", [(5,), (1, 4), (5, 0), (5, 4, 3), 5, None, "ab"])
def test_shapes_that_make_no_sense(shape):
    with pytest.raises(nn.ArgumentError, match="inputs_shape"):
        check_layer(Square(), shape)


@pytest.mark.parametrize(
    ("layer", "hint"), [(ForgetsToReturnItsOutput(), "return self.output"), (ForgetsToReturn(), "return self.dinputs")]
)
def test_a_model_says_what_is_missing_at_the_end(layer, hint):
    model = nn.Model(
        [nn.Dense(2, 3), layer, nn.Dense(3, 1)], loss=nn.MeanSquaredError(), optimizer=nn.SGD(0.1), backend="cpu"
    )
    with pytest.raises(nn.DataError, match=f"is a NoneType.*{hint}"):
        model.train([[1.0, 2.0]], [[1.0]], epochs=1, print_every=0)


def test_only_layers():
    with pytest.raises(nn.ArgumentError, match="expected a layer"):
        check_layer(nn.Adam(), SHAPE)
