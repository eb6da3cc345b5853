"""`nnbackend.parity`: backends agree step by step; whatever is wrong on purpose is named, and chaos is told from a fault."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend import ops, parity
from nnbackend.backend import Override
from nnbackend.backend.dispatch import references
from nnbackend.parity.networks import CHAPTER_14, SUBJECTS, Subject
from nnbackend.testing import tolerances
from tests import cases

X, Y = nn.datasets.spiral(100, 3, seed=0)

subjects = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)


# -- agreement -------------------------------------------------------------------------------------------------------------


@subjects
def test_every_backend_agrees_with_the_judge(xp_any, subject: Subject) -> None:
    comparison = parity.follow(subject.build, *subject.data(), backend=xp_any, steps=12, **subject.settings)
    assert comparison.passed, str(comparison.first_beyond)
    assert comparison.steps == len(comparison.shares) == 12


@subjects
def test_a_long_comparison_stays_within_tolerance(subject: Subject) -> None:
    comparison = parity.follow(subject.build, *subject.data(), backend="cpu", steps=250, **subject.settings)
    assert comparison.passed, str(comparison.first_beyond)


def test_everything_that_a_step_computes_is_compared() -> None:
    comparison = parity.follow(SUBJECTS[1].build, X, Y, backend="cpu", steps=1)  # every layer by itself
    layers = ("dense_1", "relu_1", "dense_2", "softmax_1")
    parameters = [f"{layer}.{name}" for layer in ("dense_1", "dense_2") for name in ("weights", "biases")]
    assert set(comparison.worst) == {
        "batch.inputs", "batch.targets", "batch.weights", "data_loss", "regularization_loss", "accuracy",
        *(f"{layer}.{name}" for layer in layers for name in ("output", "dinputs")),
        *(name.replace(".", ".d") for name in parameters), *parameters,
        *(f"{name}.{state}" for name in parameters for state in ("momentums", "cache")),
    }  # fmt: skip
    assert next(iter(comparison.worst)) == "batch.inputs"  # in the order of computation


# -- everything public is compared ---------------------------------------------------------------------------------------------

# The ops that no step of a model runs.
ELSEWHERE = {
    "record": "the table of losses, which belongs to the training loop",
    "adam_unfolded": "nnbackend.book",
    "bias_corrections": "nnbackend.book",
    "binary_predictions": "nnbackend.book",
    "dropout_mask": "nnbackend.book",
    "labels_from_one_hot": "nnbackend.book, and accuracies used by themselves: a model looks at its targets on the host",
    "regression_hits": "nnbackend.book",
}


def classes_of(model: nn.Model) -> set[type]:
    """The classes of everything that takes part in a model's steps, joins included."""
    built = model.built
    parts = [*model.layers, model.loss, model.optimizer, built.accuracy, vars(built.ending).get("joined")]
    return {type(part) for part in (*parts, *(parameter.regularizer for parameter in built.penalized))}


@pytest.mark.parametrize("base", cases.TABLES, ids=lambda base: base.__name__)
def test_every_public_part_is_in_a_network_that_is_compared(base: type) -> None:
    """A plain `nnbackend parity` leaves nothing out: who adds a class adds it to one of `parity.networks.SUBJECTS`."""
    xp = nn.get_backend("cpu")
    compared = set[type]().union(*(classes_of(subject.build(xp)) for subject in SUBJECTS))
    public = {kind for name in nn.__all__ if isinstance(kind := getattr(nn, name), type) and issubclass(kind, base)}
    missing = sorted(kind.__name__ for kind in public - compared - {base})
    assert not missing, f"use {', '.join(missing)} in a network of nnbackend/parity/networks.py"


def test_every_op_of_a_step_is_compared() -> None:
    public = set(references(ops))
    used: set[str] = set()

    def noted(name: str) -> Override:
        def function(*arguments: Any, **settings: Any) -> Any:
            used.add(name)
            return getattr(ops, name)(xp, *arguments, **settings)

        return Override(function, lambda *arguments, **settings: True)

    xp = nn.Backend("noting", np, dtype="float64", overrides={name: [noted(name)] for name in public})
    for subject in SUBJECTS:
        parity.follow(subject.build, *subject.data(), backend=xp, steps=1, **subject.settings)
    assert public - used == ELSEWHERE.keys()


@subjects
def test_the_networks_learn(subject: Subject) -> None:
    """Steps that change nothing would be compared in vain."""
    model = subject.build(nn.get_backend("cpu"))
    losses = model.train(*subject.data(), epochs=100, **subject.settings, print_every=0)["data_loss"]
    assert losses[-1] < 0.999 * losses[0]


# -- other networks ------------------------------------------------------------------------------------------------------------


def regression(loss: Callable[[], nn.Loss]) -> Callable[[nn.Backend], nn.Model]:
    def build(xp: nn.Backend) -> nn.Model:
        layers = [nn.Dense(1, 32, weight_initializer=nn.Normal(0.1)), nn.ReLU(), nn.Dense(32, 1), nn.Linear()]
        return nn.Model(layers, loss=loss(), optimizer=nn.Adam(0.005, decay=1e-3), backend=xp, seed=0)

    return build


def binary(xp: nn.Backend) -> nn.Model:
    """With a learning rate that drives predictions into the clipping."""
    layers = [nn.Dense(2, 32), nn.ReLU(), nn.Dense(32, 1), nn.Sigmoid()]
    return nn.Model(layers, loss=nn.BinaryCrossentropy(), optimizer=nn.Adagrad(1.0), backend=xp, seed=0)


def deep(xp: nn.Backend) -> nn.Model:
    layers = [nn.Dense(2, 16), nn.Sigmoid(), nn.Dropout(0.2), nn.Dense(16, 8), nn.Softmax(), nn.Dense(8, 3)]
    loss = nn.CategoricalCrossentropy()
    return nn.Model([*layers, nn.Softmax()], loss=loss, optimizer=nn.RMSprop(0.02), backend=xp, seed=0)


@pytest.mark.parametrize(
    ("build", "data"),
    [
        (regression(nn.MeanSquaredError), nn.datasets.sine(200)),
        (regression(nn.MeanAbsoluteError), nn.datasets.sine(200)),
        (binary, nn.datasets.spiral(100, 2, seed=0)),
        (deep, (X, Y)),
        (deep, (X, np.eye(3)[Y])),
    ],
    ids=["squared", "absolute", "binary", "deep", "one-hot"],
)
@pytest.mark.parametrize("backend", ["cpu", "strict"])
def test_other_networks_agree_too(build: Any, data: Any, backend: str) -> None:
    comparison = parity.follow(build, *data, backend=backend, steps=60)
    assert comparison.passed, str(comparison.first_beyond)


def unscaled(n_outputs: int, last: type[nn.Layer], loss: type[nn.Loss], optimizer: nn.Optimizer) -> Any:
    """A network on raw columns, whose logits reach the hundreds: a loss inherits the rounding of what they are sums of."""

    def build(xp: nn.Backend) -> nn.Model:
        start = [nn.Normal(float(np.sqrt(2 / width))) for width in (13, 64, 64)]
        layers = [
            nn.Dense(13, 64, weight_initializer=start[0]), nn.ReLU(),
            nn.Dense(64, 64, weight_initializer=start[1]), nn.ReLU(),
            nn.Dense(64, n_outputs, weight_initializer=start[2]), last(),
        ]  # fmt: skip
        return nn.Model(layers, loss=loss(), optimizer=copy.deepcopy(optimizer), backend=xp, seed=0)

    return build


def raw_columns() -> tuple[np.ndarray, np.ndarray]:
    """Thirteen columns as a table of wines has them, up to 1,700, and three classes."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 13))
    X[:, 4], X[:, 12] = 100 + 15 * X[:, 4], 750 + 300 * X[:, 12]
    return X, rng.integers(0, 3, len(X))


RAW, CLASSES = raw_columns()
UNSCALED = [
    (unscaled(3, nn.Softmax, nn.CategoricalCrossentropy, nn.Adam(0.001)), CLASSES),
    (unscaled(1, nn.Sigmoid, nn.BinaryCrossentropy, nn.Adam(0.01)), CLASSES == 0),
    (unscaled(1, nn.Linear, nn.MeanSquaredError, nn.Adam(0.01)), 3 * RAW[:, 12]),
    (unscaled(1, nn.Linear, nn.MeanAbsoluteError, nn.RMSprop(0.01)), 3 * RAW[:, 12]),
]


@pytest.mark.parametrize(("build", "targets"), UNSCALED, ids=["classes", "binary", "squared", "absolute"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_sums_are_no_fault(build: Any, targets: np.ndarray, dtype: str) -> None:
    comparison = parity.follow(build, RAW, targets, backend="cpu", dtype=dtype, steps=80, batch_size=64)
    assert comparison.passed, str(comparison.first_beyond)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "found"), [("mean", "data_loss"), ("softmax_crossentropy", "softmax_1.output")], ids=["mean", "softmax"]
)
def test_a_small_fault_at_the_end_is_noticed_behind_large_sums(dtype: str, name: str, found: str) -> None:
    build, targets = UNSCALED[0]
    xp = broken(dtype, name, scaled(1.0001))
    comparison = parity.follow(build, RAW, targets, backend=xp, steps=5, batch_size=64)
    assert comparison.first_beyond is not None
    assert (comparison.first_beyond.step, comparison.first_beyond.name) == (1, found)


def test_a_model_without_an_optimizer_has_all_but_updates() -> None:
    def build(xp: nn.Backend) -> nn.Model:
        layers = [nn.Dense(2, 8), nn.ReLU(), nn.Dropout(0.1), nn.Dense(8, 3), nn.Softmax()]
        return nn.Model(layers, loss=nn.CategoricalCrossentropy(), backend=xp, seed=0)

    comparison = parity.follow(build, X, Y, backend="strict", steps=6, batch_size=64)
    assert comparison.passed
    assert {found.part for found in comparison.worst.values()} == {"forward", "backward"}
    spoilt = parity.follow(build, X, Y, backend=broken("float64", "biases_gradient", scaled(1.01)), steps=2)
    assert spoilt.first_beyond is not None
    assert spoilt.first_beyond.name == "dense_2.dbiases"
    with pytest.raises(nn.StateError, match="has no optimizer, so it stays where it is"):
        parity.free(build, X, Y, backend="cpu", steps=2)


def exploding(xp: nn.Backend) -> nn.Model:
    layers = [nn.Dense(2, 8), nn.ReLU(), nn.Dense(8, 1), nn.Linear()]
    return nn.Model(layers, loss=nn.MeanSquaredError(), optimizer=nn.SGD(1.0), backend=xp, seed=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_that_diverges_ends_the_comparison(dtype: str) -> None:
    data = 1e4 * X, 1e4 * X[:, :1] + 1.0
    comparison = parity.follow(exploding, *data, backend="cpu", dtype=dtype, steps=60)
    assert comparison.passed
    assert comparison.overflow is not None
    assert comparison.overflow.step == comparison.steps < 60
    divergence = parity.free(exploding, *data, backend="cpu", dtype=dtype, steps=60)
    assert divergence.passed
    assert divergence.overflow_at is not None
    assert "the training diverges" in divergence.verdict()


def test_a_fault_before_training_diverges_is_a_fault() -> None:
    def spoil(result: Any) -> None:
        result.fill(np.nan)

    xp = broken("float32", "weights_gradient", spoil)
    comparison = parity.follow(exploding, X, X[:, :1], backend=xp, steps=3)
    assert comparison.first_beyond is not None
    assert comparison.overflow is None


# -- faults are named ------------------------------------------------------------------------------------------------------


def broken(dtype: str, name: str, spoil: Callable[[Any], None], *, from_call: int = 1) -> nn.Backend:
    """NumPy with one op whose result is spoilt from a certain call on."""
    calls = 0

    def function(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        result = getattr(ops, name)(xp, *args, **kwargs)
        calls += 1
        if calls >= from_call:
            spoil(result)
        return result

    always = Override(function, lambda *args, **kwargs: True)
    xp = nn.Backend("broken", np, dtype=dtype, overrides={name: [always]})
    return xp


def scaled(factor: float) -> Callable[[Any], None]:
    """The op's first result, a little too large."""

    def spoil(result: Any) -> None:
        array = result[0] if isinstance(result, tuple) else result
        array *= factor

    return spoil


def a_spoilt_element(result: Any) -> None:
    array = result[0] if isinstance(result, tuple) else result
    array.reshape(-1)[-1] += 0.01 * np.abs(array).max()


FAULTS = [  # the op, what is done to it, what uses it, and the name of what must be found
    ("dense_relu", scaled(1.0001), CHAPTER_14, "relu_1.output"),
    ("dense", scaled(1.0001), SUBJECTS[1], "dense_1.output"),
    ("relu", scaled(1.0001), SUBJECTS[1], "relu_1.output"),
    ("softmax", scaled(1.0001), SUBJECTS[1], "softmax_1.output"),
    ("softmax_crossentropy", scaled(1.0001), CHAPTER_14, "softmax_1.output"),
    ("categorical_crossentropy", scaled(1.0001), SUBJECTS[1], "data_loss"),
    ("mean", scaled(1.0001), CHAPTER_14, "data_loss"),
    ("penalty", scaled(1.0001), CHAPTER_14, "regularization_loss"),
    ("categorical_accuracy", scaled(0.997), CHAPTER_14, "accuracy"),
    ("softmax_crossentropy_backward", scaled(-1), CHAPTER_14, "softmax_1.dinputs"),
    ("softmax_backward", scaled(1.0001), SUBJECTS[1], "softmax_1.dinputs"),
    ("inputs_gradient", a_spoilt_element, CHAPTER_14, "dense_2.dinputs"),
    ("weights_gradient", a_spoilt_element, CHAPTER_14, "dense_2.dweights"),
    ("biases_gradient", scaled(1.1), CHAPTER_14, "dense_2.dbiases"),
    ("relu_biases_gradient", scaled(1.0001), CHAPTER_14, "relu_1.dinputs"),
    ("penalty_gradient", scaled(1.01), CHAPTER_14, "dense_1.dweights"),
    ("adam", scaled(1.0001), CHAPTER_14, "dense_1.weights"),
    ("adam_step_sizes", scaled(1.0001), CHAPTER_14, "dense_1.weights"),
    ("sgd_momentum", scaled(1.0001), SUBJECTS[2], "dense_1.weights"),
    ("dropout", scaled(1.0001), SUBJECTS[3], "dropout_1.output"),
    ("multiply", scaled(1.0001), SUBJECTS[3], "dropout_1.dinputs"),
    ("weighted_mean", scaled(1.0001), SUBJECTS[4], "data_loss"),
    ("weigh", scaled(1.0001), SUBJECTS[4], "sigmoid_1.dinputs"),
    ("adagrad", scaled(1.0001), SUBJECTS[4], "dense_1.weights"),
    ("sigmoid", scaled(1.0001), SUBJECTS[5], "sigmoid_1.output"),
    ("binary_crossentropy", scaled(1.0001), SUBJECTS[5], "data_loss"),
    ("sigmoid_backward", scaled(1.0001), SUBJECTS[5], "sigmoid_1.dinputs"),
    ("rmsprop", scaled(1.0001), SUBJECTS[5], "dense_1.weights"),
    ("mean_squared_error", scaled(1.0001), SUBJECTS[6], "data_loss"),
    ("mean_squared_error_backward", scaled(1.0001), SUBJECTS[6], "linear_1.dinputs"),
    ("mean_absolute_error_backward", scaled(1.0001), SUBJECTS[8], "linear_1.dinputs"),
    ("sgd", scaled(1.0001), SUBJECTS[8], "dense_1.weights"),
    ("gather", a_spoilt_element, SUBJECTS[3], "batch.inputs"),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "spoil", "subject", "found"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_a_broken_op_is_named(dtype: str, name: str, spoil: Any, subject: Subject, found: str) -> None:
    if name == "gather":
        spoil = _spoil_inputs_only
    xp = broken(dtype, name, spoil)
    comparison = parity.follow(subject.build, *subject.data(), backend=xp, steps=3, **subject.settings)
    first = comparison.first_beyond
    assert not comparison.passed
    assert first is not None
    assert (first.step, first.name) == (1, found)
    assert found in str(first)


def _spoil_inputs_only(result: Any) -> None:
    if result.dtype.kind == "f":
        a_spoilt_element(result)


def test_the_first_step_that_is_wrong_is_named() -> None:
    xp = broken("float32", "adam", scaled(1.01), from_call=4)
    comparison = parity.follow(CHAPTER_14.build, X, Y, backend=xp, steps=6)
    assert comparison.first_beyond is not None
    assert (comparison.first_beyond.step, comparison.first_beyond.part) == (4, "update")
    assert comparison.steps == 6
    stopped = parity.follow(
        CHAPTER_14.build,
        X,
        Y,
        backend=broken("float32", "adam", scaled(1.01), from_call=4),
        steps=6,
        stop_at_first=True,
    )
    assert stopped.steps == 4


def test_products_in_tf32_are_noticed() -> None:
    """A GPU that is told to may multiply with eleven bits, which is a thousandth off: `CUPY_TF32=1`."""

    def rounded(array: np.ndarray) -> np.ndarray:
        return ((array.view(np.uint32) + 0x1000) & 0xFFFFE000).view(np.float32)

    def weights_gradient(inputs: Any, dvalues: Any, *, out: Any) -> Any:
        return np.matmul(rounded(np.ascontiguousarray(inputs)).T, rounded(np.ascontiguousarray(dvalues)), out=out)

    override = Override(weights_gradient, lambda *args, **kwargs: True)
    xp = nn.Backend("tensor-cores", np, dtype="float32", overrides={"weights_gradient": [override]})
    comparison = parity.follow(CHAPTER_14.build, X, Y, backend=xp, steps=2)
    assert comparison.first_beyond is not None
    assert comparison.first_beyond.name == "dense_2.dweights"


def test_a_result_that_is_not_a_number_is_beyond_any_tolerance() -> None:
    def spoil(result: Any) -> None:
        result.fill(np.nan)

    comparison = parity.follow(CHAPTER_14.build, X, Y, backend=broken("float32", "weights_gradient", spoil), steps=2)
    assert comparison.first_beyond is not None
    assert comparison.first_beyond.name == "dense_2.dweights"
    assert comparison.first_beyond.share == math.inf


def test_a_number_baked_into_a_compiled_step_is_noticed() -> None:
    class Warming(nn.SGD):
        """Takes its learning rate from a Python number, which a compiled step keeps as it was."""

        only_ops = True
        steps = 0

        def step(self, xp: nn.Backend, grads: Any, values: Any) -> None:
            self.steps += 1
            xp.ops.sgd(grads, xp.full(1, 0.1 * self.steps), state=(values,))

    def build(xp: nn.Backend) -> nn.Model:
        layers = [nn.Dense(2, 8), nn.ReLU(), nn.Dense(8, 3), nn.Softmax()]
        return nn.Model(layers, loss=nn.CategoricalCrossentropy(), optimizer=Warming(), backend=xp, seed=0)

    comparison = parity.follow(build, X, Y, backend=nn.get_backend("cpu", "float64", "reference"), steps=3)
    assert comparison.first_beyond is not None
    assert (comparison.first_beyond.step, comparison.first_beyond.part) == (2, "update")


# -- who is wrong ----------------------------------------------------------------------------------------------------------


def test_a_wrong_kernel_is_blamed_on_its_backend() -> None:
    comparison = parity.follow(CHAPTER_14.build, X, Y, backend=broken("float32", "adam", scaled(1.01)), steps=1)
    sentence = parity.which_side(CHAPTER_14.build, X, Y, comparison)
    assert sentence.startswith(
        "Backend 'broken' is wrong there: the CPU with the reference operations in float32 agrees"
    )


def test_a_layer_that_is_wrong_everywhere_is_not_blamed_on_the_backend() -> None:
    class Careless(nn.ReLU):
        """Right in float64 only."""

        def forward(self, inputs: Any, *, training: bool = False) -> Any:
            output = super().forward(inputs, training=training)
            if self.xp.dtype == np.float32:
                self.xp.add(output, 1e-3, out=output)
            return output

    def build(xp: nn.Backend) -> nn.Model:
        layers = [nn.Dense(2, 8), Careless(), nn.Dense(8, 3), nn.Softmax()]
        return nn.Model(layers, loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(), backend=xp, seed=0)

    comparison = parity.follow(build, X, Y, backend="strict", dtype="float32", steps=1)
    assert comparison.first_beyond is not None
    assert comparison.first_beyond.name == "careless_1.output"
    sentence = parity.which_side(build, X, Y, comparison)
    assert sentence.startswith("Neither does the CPU with the reference operations in float32 agree with the judge")
    assert "careless_1.output" in sentence


def test_of_two_backends_the_wrong_one_is_named() -> None:
    wrong, right = broken("float32", "adam", scaled(1.01)), nn.get_backend("strict", "float32")
    for pair in ((wrong, right), (right, wrong)):
        comparison = parity.follow(CHAPTER_14.build, X, Y, backend=pair[0], judge=pair[1], steps=2)
        assert comparison.first_beyond is not None
        assert comparison.first_beyond.name == "dense_1.weights"
        sentence = parity.which_side(CHAPTER_14.build, X, Y, comparison)
        assert sentence.startswith(
            "By the float64 judge, broken is wrong (broken: step 1: dense_1.weights is off by 0.01"
        )
        assert sentence.endswith("and the other is right.")


def test_two_backends_may_share_a_fault() -> None:
    pair = broken("float32", "adam", scaled(1.01)), broken("float32", "adam", scaled(0.99))
    comparison = parity.follow(CHAPTER_14.build, X, Y, backend=pair[0], judge=pair[1], steps=1)
    assert "both are wrong" in parity.which_side(CHAPTER_14.build, X, Y, comparison)


def test_two_backends_may_be_twice_as_far_apart_as_one_from_the_truth() -> None:
    """Both round, so that one and a half tolerances between them are no fault of either."""
    pair = [broken("float32", "softmax_crossentropy_backward", scaled(1 + sign * 3e-7)) for sign in (1, -1)]
    alone = [parity.follow(CHAPTER_14.build, X, Y, backend=xp, steps=1) for xp in pair]
    together = parity.follow(CHAPTER_14.build, X, Y, backend=pair[0], judge=pair[1], steps=1)
    shares = [found.worst["softmax_1.dinputs"].share for found in (*alone, together)]
    assert shares[2] <= max(shares[:2]) + 1e-9
    assert all(found.passed for found in (*alone, together))
    assert 2 * shares[2] > 1  # more than one alone may be off


# -- running freely --------------------------------------------------------------------------------------------------------


def test_free_runs_part_no_faster_than_rounding_makes_them(xp_any) -> None:
    divergence = parity.free(CHAPTER_14.build, X, Y, backend=xp_any, steps=40)
    assert divergence.passed
    assert divergence.steps == 40


def test_chaos_is_called_chaos() -> None:
    divergence = parity.free(CHAPTER_14.build, X, Y, backend="cpu", dtype="float32", steps=120)
    assert divergence.passed
    assert divergence.parted_at is not None
    assert divergence.control_parted_at is not None
    assert 10 < divergence.parted_at < 120
    assert divergence.verdict().startswith(f"Chaos takes over at step {divergence.parted_at}")
    assert "no fault" in divergence.verdict()


def test_in_float64_the_difference_grows_slowly_from_the_last_bit() -> None:
    divergence = parity.free(CHAPTER_14.build, X, Y, backend=broken("float64", "adam", scaled(1 + 1e-15)), steps=150)
    assert divergence.passed
    assert divergence.parted_at is None
    assert divergence.tenfold_in is not None
    assert 5 < divergence.tenfold_in < 60


def test_runs_that_are_the_same_to_the_bit() -> None:
    xp = nn.get_backend("cpu", "float64", "reference")
    divergence = parity.free(CHAPTER_14.build, X, Y, backend=xp, steps=5)
    assert divergence.verdict() == "The runs are the same to the bit for 5 steps."


@pytest.mark.parametrize(("dtype", "factor"), [("float32", 1.01), ("float64", 1 + 1e-7)])
def test_a_fault_is_not_called_chaos(dtype: str, factor: float) -> None:
    xp = broken(dtype, "weights_gradient", scaled(factor))
    divergence = parity.free(SUBJECTS[2].build, X, Y, backend=xp, steps=60)  # SGD: Adam does not mind the factor
    assert not divergence.passed
    assert divergence.beyond_at is not None
    assert divergence.beyond_at <= 20
    assert "That is no chaos" in divergence.verdict()


def slowly(xp: nn.Backend) -> nn.Model:
    """Small steps from large parameters: what rounds is the parameters, not the gradients."""
    layers = [nn.Dense(2, 16, weight_initializer=nn.Normal(0.5)), nn.ReLU(), nn.Dense(16, 3), nn.Softmax()]
    return nn.Model(layers, loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(1e-4), backend=xp, seed=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_that_round_are_no_fault(dtype: str) -> None:
    divergence = parity.free(slowly, X, Y, backend="cpu", dtype=dtype, steps=60)
    assert divergence.passed, divergence.verdict()
    assert not parity.free(slowly, X, Y, backend=broken(dtype, "adam_step_sizes", scaled(1.5)), steps=60).passed


# -- arguments -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compare", [parity.follow, parity.free])
def test_what_is_not_a_model_on_that_backend_is_refused(compare: Any) -> None:
    elsewhere = nn.get_backend("strict")
    with pytest.raises(nn.ArgumentError, match="on the backend that it is given"):
        compare(lambda xp: CHAPTER_14.build(elsewhere), X, Y, backend="cpu", steps=1)
    with pytest.raises(nn.ArgumentError, match="expected a function of a backend that returns a new Model"):
        compare(CHAPTER_14.build(elsewhere), X, Y, backend="cpu", steps=1)
    with pytest.raises(nn.ArgumentError, match="must return a Model"):
        compare(lambda xp: None, X, Y, backend="cpu", steps=1)
    with pytest.raises(nn.ArgumentError, match="steps 0"):
        compare(CHAPTER_14.build, X, Y, backend="cpu", steps=0)
    with pytest.raises(nn.BackendError, match="did you mean 'strict'"):
        compare(CHAPTER_14.build, X, Y, backend="strikt", steps=1)


# -- tolerances ------------------------------------------------------------------------------------------------------------


def test_differences_of_what_is_not_finite() -> None:
    nan, inf = math.nan, math.inf
    assert tolerances.difference([1.0, nan, inf], [1.0, nan, inf]) == 0
    assert tolerances.difference([1.0, nan], [1.0, 2.0]) == inf
    assert tolerances.difference([1.0, inf], [1.0, -inf]) == inf
    assert tolerances.difference([0.0], [0.0]) == 0
    assert tolerances.difference([1.0], [0.0]) == inf
    assert tolerances.difference([], []) == 0
    with pytest.raises(ValueError, match="cannot be compared"):
        tolerances.difference([1.0, 1.0], [[1.0, 1.0]])


def test_a_tolerance_grows_with_the_root_of_what_is_summed() -> None:
    one, hundred = (tolerances.tolerance("gradient", "float32", length) for length in (1, 100))
    assert hundred == pytest.approx(10 * one)
    assert tolerances.tolerance("gradient", "float64") < 1e-8 * one
    with pytest.raises(KeyError):
        tolerances.tolerance("gradiant", "float32")


def test_assert_close_says_what_is_how_far_off() -> None:
    tolerances.assert_close([1.0], [1.1], 0.1)
    with pytest.raises(AssertionError, match=r"dweights: relative difference 0\.0909, tolerance 0\.01"):
        tolerances.assert_close([1.0], [1.1], 0.01, "dweights")
    with pytest.raises(AssertionError):
        tolerances.assert_close([math.nan], [1.0], 1e9)
