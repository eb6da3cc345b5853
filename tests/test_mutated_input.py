"""Whatever is given in the place of whatever argument: it works, or one sentence says what is wrong. Nothing else comes out.

`CALLS` holds a valid call of every public entry point. In each, one argument after the other is replaced by everything that
`odd_values` knows, and by what Hypothesis makes up. Only `NNBackendError` may be raised, with a message of one line. A
keyword that does not exist is Python's `TypeError`.
"""

from __future__ import annotations

import inspect
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nnbackend as nn
from nnbackend.errors import shown
from tests.odd_values import Hostile, X, Y, odd_values, recursive_list

SINE = nn.datasets.sine(8)


NAMES = list(odd_values())


# -- valid calls ----------------------------------------------------------------------------------------------------------


class StopSoon(nn.Callback):
    """However many epochs somebody wants."""

    def on_epoch(self, run: Any) -> None:
        run.stop = run.epoch >= run.first_epoch + 1


def classifier() -> nn.Model:
    return nn.Model(
        [nn.Dense(2, 4), nn.ReLU(), nn.Dropout(0.1), nn.Dense(4, 3), nn.Softmax()],
        loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01), seed=0,
    )  # fmt: skip


def regression() -> nn.Model:
    return nn.Model(
        [nn.Dense(1, 4), nn.ReLU(), nn.Dense(4, 1)], loss=nn.MeanSquaredError(), optimizer=nn.SGD(0.01), seed=0
    )  # fmt: skip


def binary() -> nn.Model:
    return nn.Model([nn.Dense(2, 1), nn.Sigmoid()], loss=nn.BinaryCrossentropy(), optimizer=nn.Adagrad(0.01), seed=0)


CPU = nn.get_backend("cpu")


def device(*shape: int) -> Any:
    return CPU.ones(shape)


def use(build: Callable[..., Any], go_on: Callable[[Any], Any]) -> Callable[..., Any]:
    """Build something and use it: what was accepted has to work."""

    def call(*args: Any, **kwargs: Any) -> None:
        go_on(build(*args, **kwargs))

    call.__signature__ = inspect.signature(build)  # type: ignore[attr-defined]
    return call


def use_layer(layer: nn.Layer) -> None:
    """Forward and backward, where it has a size one can afford."""
    repr(layer)
    size = (layer.n_inputs or 1) * (layer.n_outputs or 1)
    if size > 1000:
        assert size < 10**15 or layer.weights is not None  # raises
        return
    output = layer.forward(layer.xp.ones((2, layer.n_inputs or 2)), training=True)
    layer.backward(layer.xp.ones(output.shape))


def use_optimizer(optimizer: nn.Optimizer) -> None:
    dense = nn.Dense(1, 1)
    optimizer.update(nn.ParameterBuffer.of(dense))
    repr(optimizer)


def use_regularizer(regularizer: nn.Regularizer) -> None:
    with np.errstate(over="ignore"):  # strengths of 1e300 are the user's wish
        regularizer.penalty(CPU, device(2, 2), state=CPU.zeros(()))
        regularizer.gradient(CPU, device(2, 2), state=CPU.zeros((2, 2)))


def use_loss(loss: nn.Loss) -> None:
    xp = loss.xp
    classes = isinstance(loss, nn.SoftmaxCategoricalCrossentropy)
    loss.calculate(xp.full((2, 3), 0.5), xp.asarray([0, 1] if classes else [[1, 0, 1], [0, 1, 0]]))


def use_callback(callback: nn.Callback) -> None:
    classifier().train(X, Y, epochs=3, print_every=0, callbacks=[callback, StopSoon()], validation_data=(X, Y))


def use_checkpoint(checkpoint: nn.Checkpoint) -> None:
    shutil.rmtree("checkpoints", ignore_errors=True)
    use_callback(checkpoint)


def enter(*args: Any, **kwargs: Any) -> None:
    with nn.use_backend(*args, **kwargs) as xp:
        xp.zeros(3)


def assign(thing: Any, name: str, value: Any) -> None:
    setattr(thing, name, value)


def bound() -> nn.Adam:
    optimizer = nn.Adam()
    optimizer.update(nn.ParameterBuffer.of(nn.Dense(2, 3)))
    return optimizer


def forwarded(layer: nn.Layer, width: int) -> nn.Layer:
    layer.forward(device(2, width))
    return layer


def measured() -> nn.Model:
    model = classifier()
    model.evaluation_step(CPU.asarray(X, dtype="float32"), CPU.asarray(Y))
    return model


SAVED = "saved.safetensors"
TRAINING = {"epochs": 2, "batch_size": 5, "shuffle": True, "print_every": 0, "callbacks": [StopSoon()]}

# name: a function that makes the call, and its arguments. What is used up is made anew, by a function without arguments.
CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    # constructors, and a use of what they made
    "Dense": (use(nn.Dense, use_layer), {
        "n_inputs": 2, "n_neurons": 3, "weight_regularizer": nn.L2(1e-3), "bias_regularizer": None,
        "weight_initializer": nn.Normal(0.1), "bias_initializer": nn.Zeros(), "backend": "cpu", "seed": 0,
    }),
    "Dropout": (use(nn.Dropout, use_layer), {"rate": 0.5, "backend": None, "seed": 1}),
    **{kind.__name__: (use(kind, use_layer), {"backend": None, "seed": 1}) for kind in (
        nn.ReLU, nn.Sigmoid, nn.Softmax, nn.Linear,
    )},
    "L1": (use(nn.L1, use_regularizer), {"strength": 1e-3}),
    "L2": (use(nn.L2, use_regularizer), {"strength": 1e-3}),
    "L1L2": (use(nn.L1L2, use_regularizer), {"l1": 1e-3, "l2": 1e-3}),
    "Normal": (nn.Normal, {"scale": 0.1}),
    "SGD": (use(nn.SGD, use_optimizer), {"learning_rate": 0.1, "decay": 0.0, "momentum": 0.9}),
    "Adagrad": (use(nn.Adagrad, use_optimizer), {"learning_rate": 0.1, "decay": 0.0, "epsilon": 1e-7}),
    "RMSprop": (use(nn.RMSprop, use_optimizer), {"learning_rate": 0.1, "decay": 0.0, "rho": 0.9, "epsilon": 1e-7}),
    "Adam": (use(nn.Adam, use_optimizer), {
        "learning_rate": 0.1, "decay": 0.0, "epsilon": 1e-7, "beta_1": 0.9, "beta_2": 0.999,
    }),
    "AdamW": (use(nn.AdamW, use_optimizer), {
        "learning_rate": 0.1, "weight_decay": 0.01, "decay": 0.0, "epsilon": 1e-7, "beta_1": 0.9, "beta_2": 0.999,
        "clip_norm": 1.0,
    }),
    **{kind.__name__: (use(kind, use_loss), {"backend": "cpu"}) for kind in (
        nn.BinaryCrossentropy, nn.MeanSquaredError, nn.MeanAbsoluteError, nn.SoftmaxCategoricalCrossentropy,
        nn.SigmoidBinaryCrossentropy,
    )},
    "RegressionAccuracy": (nn.RegressionAccuracy, {"precision": 0.1, "backend": None}),
    "Model": (nn.Model, {
        "layers": [nn.Dense(2, 3), nn.Softmax()], "loss": nn.CategoricalCrossentropy(), "optimizer": nn.Adam(),
        "accuracy": nn.CategoricalAccuracy(), "backend": "cpu", "dtype": "float32", "seed": 0, "fused": True,
    }),
    # callbacks
    "EarlyStopping": (use(nn.EarlyStopping, use_callback), {
        "monitor": "validation_loss", "patience": 2, "minimum_change": 0.0, "every": 1, "restore_best": True,
    }),
    "StopOnNonFinite": (use(nn.StopOnNonFinite, use_callback), {"restore": True, "every": 2}),
    "CosineSchedule": (use(nn.CosineSchedule, use_callback), {"learning_rate": 0.1, "epochs": 5, "minimum": 0.0, "warmup": 1}),
    "StepSchedule": (use(nn.StepSchedule, use_callback), {"learning_rate": 0.1, "every": 2, "factor": 0.5}),
    "CSVLog": (use(nn.CSVLog, use_callback), {"path": "log.csv", "every": 1}),
    "TensorBoardLog": (use(nn.TensorBoardLog, use_callback), {"folder": "runs", "every": 1}),
    "Checkpoint": (use(nn.Checkpoint, use_checkpoint), {
        "folder": "checkpoints", "every": 1, "minutes": None, "keep": 2, "resume": False,
    }),
    # files
    "save": (lambda path: classifier().save(path), {"path": "model.safetensors"}),
    "load": (nn.Model.load, {"path": SAVED, "backend": "cpu", "dtype": None, "custom": None}),
    "save_parameters": (lambda path: classifier().save_parameters(path), {"path": "parameters.safetensors"}),
    "load_parameters": (lambda path: classifier().load_parameters(path), {"path": SAVED}),
    "to_csv": (lambda path: classifier().train(X, Y, print_every=0).to_csv(path), {"path": "history.csv"}),
    # backends
    "get_backend": (nn.get_backend, {"name": "cpu", "dtype": "float32", "kernels": "auto"}),
    "use_backend": (enter, {"name": "cpu", "dtype": "float32", "kernels": "auto"}),
    "register_backend": (nn.register_backend, {"name": "cpu:1", "factory": lambda device, dtype, kernels: None}),
    "asarray": (CPU.asarray, {"data": [1.0], "dtype": None}),
    "strict asarray": (nn.get_backend("strict").asarray, {"data": [1.0], "dtype": None}),
    "to_host": (CPU.to_host, {"array": device(2)}),
    "rng": (CPU.rng, {"seed": 0}),
    # data sets
    "spiral": (nn.datasets.spiral, {"samples": 3, "classes": 2, "seed": 0}),
    "vertical": (nn.datasets.vertical, {"samples": 3, "classes": 2, "seed": 0}),
    "sine": (nn.datasets.sine, {"samples": 3}),
    # models
    "add": (lambda layer: classifier().add(layer), {"layer": lambda: nn.ReLU()}),
    "set": (lambda **parts: classifier().set(**parts), {
        "loss": nn.CategoricalCrossentropy(), "optimizer": lambda: nn.Adam(), "accuracy": nn.CategoricalAccuracy(),
    }),
    "train": (
        lambda X, y, **settings: classifier().train(X, y, **settings),
        {"X": X, "y": Y, **TRAINING, "validation_data": (X, Y)},
    ),
    "train a regression": (
        lambda X, y, **settings: regression().train(X, y, **settings), {"X": SINE[0], "y": SINE[1], **TRAINING},
    ),
    "train a binary classifier": (
        lambda X, y, **settings: binary().train(X, y, **settings), {"X": X, "y": Y % 2, **TRAINING},
    ),
    "evaluate": (lambda X, y, **settings: classifier().evaluate(X, y, **settings), {"X": X, "y": Y, "batch_size": 5}),
    "predict": (lambda X, **settings: classifier().predict(X, **settings), {"X": X, "batch_size": 5}),
    "forward": (lambda inputs: classifier().forward(inputs), {"inputs": device(3, 2)}),
    "backward": (lambda targets: measured().backward(targets), {"targets": CPU.asarray(Y)}),
    "set_parameters": (lambda values: classifier().set_parameters(values), {"values": classifier().parameters()}),
    "one parameter": (
        lambda value: classifier().set_parameters({**classifier().parameters(), "dense_1.biases": value}),
        {"value": np.ones((1, 4))},
    ),
    # by hand
    "weights": (lambda value: assign(nn.Dense(2, 3), "weights", value), {"value": np.ones((2, 3))}),
    "dbiases": (lambda value: assign(nn.Dense(2, 3), "dbiases", value), {"value": np.ones((1, 3))}),
    "Dense.forward": (lambda inputs: nn.Dense(2, 3).forward(inputs), {"inputs": device(4, 2)}),
    "Dense.backward": (lambda dvalues: forwarded(nn.Dense(2, 3), 2).backward(dvalues), {"dvalues": device(2, 3)}),
    "Dropout.forward": (lambda inputs: nn.Dropout(0.5).forward(inputs, training=True), {"inputs": device(4, 2)}),
    "Softmax.backward": (lambda dvalues: forwarded(nn.Softmax(), 3).backward(dvalues), {"dvalues": device(2, 3)}),
    "ParameterBuffer.of": (lambda one, other: nn.ParameterBuffer.of(one, other), {"one": nn.Dense(2, 3), "other": nn.ReLU()}),
    "update": (lambda parameters: nn.Adam().update(parameters), {"parameters": lambda: nn.ParameterBuffer.of(nn.Dense(2, 3))}),
    "learning_rate": (lambda value: assign(bound(), "learning_rate", value), {"value": 0.1}),
    "decay": (lambda value: assign(bound(), "decay", value), {"value": 0.1}),
    "iterations": (lambda value: assign(bound(), "iterations", value), {"value": 7}),
    **{f"{kind.__name__}.{method}": (
        lambda predictions, targets, kind=kind, method=method: getattr(kind(), method)(predictions, targets),
        {"predictions": CPU.full((12, 3), 1 / 3), "targets": targets},
    ) for kind, targets in (
        (nn.CategoricalCrossentropy, CPU.asarray(Y)), (nn.SoftmaxCategoricalCrossentropy, CPU.asarray(np.eye(3)[Y])),
        (nn.BinaryCrossentropy, CPU.asarray(np.eye(3)[Y])), (nn.MeanAbsoluteError, device(12, 3)),
    ) for method in ("calculate", "backward", "forward")},
    **{f"{name}.calculate": (
        lambda predictions, targets, make=make: make().calculate(predictions, targets),
        {"predictions": CPU.full((12, 3), 1 / 3), "targets": targets},
    ) for name, make, targets in (
        ("CategoricalAccuracy", nn.CategoricalAccuracy, CPU.asarray(Y)), ("BinaryAccuracy", nn.BinaryAccuracy, device(12, 3)),
        ("RegressionAccuracy", lambda: nn.RegressionAccuracy(0.1), device(12, 3)),
    )},
}  # fmt: skip


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """What `register_backend` is given here is forgotten afterwards, and files are written elsewhere."""
    from nnbackend.backend import registry

    monkeypatch.chdir(tmp_path)
    classifier().save(SAVED)
    monkeypatch.delenv("NNBACKEND", raising=False)
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    monkeypatch.setattr(registry, "_cache", dict(registry._cache))


def made(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value() if inspect.isfunction(value) and name != "factory" else value for name, value in arguments.items()
    }


def attempt(call: Callable[..., Any], arguments: dict[str, Any], what: str) -> None:
    """Make a call; anything but success or a sentence fails the test."""
    try:
        call(**arguments)
    except nn.NNBackendError as error:
        message = str(error)
        assert message, what
        assert "\n" not in message, f"{what}: {message}"
        assert len(message) < 500, f"{what}: {message}"
    except BaseException as error:
        raise AssertionError(f"{what}: {type(error).__name__} came out: {error}") from error


CASES = [(name, argument) for name, (_, arguments) in CALLS.items() for argument in arguments]


@pytest.mark.parametrize("name", CALLS)
def test_the_valid_calls_are_valid(name: str) -> None:
    call, arguments = CALLS[name]
    if name == "register_backend":
        arguments = {**arguments, "name": "counted"}
    call(**made(arguments))


@pytest.mark.parametrize(("name", "argument"), CASES, ids=lambda text: text)
def test_an_odd_argument_gets_a_sentence_or_works(name: str, argument: str) -> None:
    call, arguments = CALLS[name]
    values = odd_values()
    for label in NAMES:
        attempt(call, {**made(arguments), argument: values[label]}, f"{name} with {argument} = {label}")


# -- made up by Hypothesis ------------------------------------------------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-50, 50)
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=4)
)
dtypes = (
    hnp.scalar_dtypes()
    | hnp.boolean_dtypes()
    | hnp.byte_string_dtypes(max_len=3)
    | hnp.unicode_string_dtypes(max_len=3)
)
arrays = hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=13))
# arrays that are nearly right: shapes of valid data, and numbers of which one or the other is none
nearly = hnp.arrays(
    st.sampled_from(["float64", "float32", "int64", "bool"]),
    st.sampled_from([(12, 2), (12,), (12, 1), (12, 3), (2, 3)]),
)
anything = st.recursive(
    scalars | arrays | nearly,
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(scalars, inner, max_size=3),
    max_leaves=8,
)
# Sizes that a machine could just about allocate are left out: whoever asks for 10 GB gets them, if they are there.
affordable = anything.filter(lambda value: not (isinstance(value, int) and 10**3 < abs(value) < 10**17))


@pytest.mark.parametrize("name", CALLS)
@hypothesis.given(data=st.data())
def test_whatever_is_made_up(name: str, data: st.DataObject) -> None:
    """Any of the arguments, and now and then two of them at once."""
    call, arguments = CALLS[name]
    chosen = data.draw(st.lists(st.sampled_from(sorted(arguments)), min_size=1, max_size=2, unique=True))
    if "epochs" in chosen and "callbacks" in chosen:  # somebody has to end the training
        chosen = ["epochs"]
    replaced = {argument: data.draw(affordable, label=argument) for argument in chosen}
    attempt(call, {**made(arguments), **replaced}, f"{name} with {shown(replaced, 200)}")


# -- names of arguments ---------------------------------------------------------------------------------------------------

KEYWORDS = [name for name, (call, _) in CALLS.items() if name not in ("set",)]


@pytest.mark.parametrize("name", KEYWORDS)
def test_a_keyword_that_does_not_exist_is_a_type_error(name: str) -> None:
    call, arguments = CALLS[name]
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        call(**made(arguments), no_such_setting=1)


def test_every_public_class_and_function_is_tried() -> None:
    bases = {"Backend", "Callback", "Layer", "Loss", "Accuracy", "Optimizer", "Regularizer", "Schedule"}
    without_settings = {"Evaluation", "History", "Zeros", "available_backends", "datasets"}
    tried = " ".join(CALLS)
    for name in set(nn.__all__) - bases - without_settings:
        thing = getattr(nn, name)
        if not (isinstance(thing, type) and issubclass(thing, Exception)):
            assert name in tried, f"nn.{name} is not among CALLS"


SHOWN = [Hostile(), 10**5000, "x" * 1000, np.zeros((50, 50)), "a\n  b", recursive_list()]


@pytest.mark.parametrize("value", SHOWN, ids=range(len(SHOWN)))
def test_any_value_is_shown_in_one_short_line(value: Any) -> None:
    text = shown(value)
    assert "\n" not in text
    assert 0 < len(text) <= 80
