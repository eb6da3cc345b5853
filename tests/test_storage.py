"""Model files: nothing is lost on the way to a file and back. tests/test_model_files.py looks at files that are bad."""

from __future__ import annotations

import copy
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.storage import parts
from tests import cases
from tests.conftest import BACKENDS

ROOT = Path(__file__).resolve().parent.parent

# Everything that a file can hold, by name; a public class without an entry in tests/cases.py fails test_cases.py.
PARTS: dict[str, Callable[[], Any]] = {name: make for table in cases.TABLES.values() for name, make in table.items()}
PARTS |= {"Zeros": nn.Zeros, "Normal": lambda: nn.Normal(0.1)}


class Leaky(nn.Layer):
    """A user's layer that follows the rule: the argument is in an attribute of its name."""

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        self.inputs = inputs
        self.output = self.xp.where(inputs > 0, inputs, self.slope * inputs)
        return self.output

    def backward(self, dvalues: Any) -> Any:
        self.dinputs = self.xp.where(self.inputs > 0, dvalues, self.slope * dvalues)
        return self.dinputs


class Keeping(nn.Dropout):
    """A user's layer that says its arguments itself, and has a state of its own beside dropout's."""

    state_names = ("step", "passes")

    def __init__(self, keep: float) -> None:
        super().__init__(1 - keep)
        self.passes = self.xp.zeros((1, 2))

    def config(self) -> dict[str, Any]:
        return {"keep": 1 - self.rate}

    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        self.passes += 1
        return super().forward(inputs, training=training)


class Forgetful(nn.Layer):
    """A user's layer that keeps its argument under another name."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.n = width


def spiral() -> tuple[np.ndarray, np.ndarray]:
    return nn.datasets.spiral(samples=20, classes=3, seed=0)


def new_model(xp: Any = "cpu", **settings: Any) -> nn.Model:
    """A network in which everything that training changes is changed: dropout, decay, both of Adam's averages."""
    return nn.Model(
        [
            nn.Dense(2, 16, weight_regularizer=nn.L2(5e-4), bias_regularizer=nn.L1(1e-5)),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Dense(16, 3, weight_initializer=nn.Normal(0.1)),
            nn.Softmax(),
        ],
        loss=nn.CategoricalCrossentropy(),
        optimizer=nn.Adam(0.05, decay=1e-3),
        backend=xp,
        **{"seed": 7, **settings},
    )


def train(model: nn.Model, epochs: int) -> nn.Model:
    """A few epochs with shuffling, and a last batch that is short."""
    model.train(*spiral(), epochs=epochs, batch_size=16, print_every=0)
    return model


# -- saving and loading ----------------------------------------------------------------------------------------------------


def test_everything_comes_back(xp, tmp_path: Path) -> None:
    model = train(new_model(xp), 3)
    model.training_record = {"data": "spiral", "epochs": np.int64(3), "rates": (0.5, None, True)}
    model.class_names = ["red", "grün", "blue"]
    model.preprocessing = {"mean": np.array([1.5, -2.0]), "kept": np.arange(2, dtype=np.int32), "method": "standardize"}
    model.save(tmp_path / "model.safetensors")

    loaded = nn.Model.load(tmp_path / "model.safetensors", backend=xp)

    assert loaded.xp is xp
    assert repr(loaded) == repr(model)
    assert (loaded.seed, loaded.epoch, loaded.fused) == (model.seed, 3, True)
    assert [(layer.seed, layer.stream) for layer in loaded.layers] == [(x.seed, x.stream) for x in model.layers]
    assert repr(loaded.optimizer) == repr(model.optimizer)
    assert loaded.optimizer.iterations == model.optimizer.iterations == 12
    assert loaded.optimizer.current_learning_rate == model.optimizer.current_learning_rate != 0.05
    assert loaded.training_record == {"data": "spiral", "epochs": 3, "rates": [0.5, None, True]}
    assert loaded.class_names == ["red", "grün", "blue"]
    assert loaded.preprocessing.keys() == {"mean", "kept", "method"}
    np.testing.assert_array_equal(loaded.preprocessing["mean"], [1.5, -2.0])
    assert loaded.preprocessing["kept"].dtype == np.int64
    np.testing.assert_array_equal(loaded.predict(spiral()[0]), model.predict(spiral()[0]))
    assert loaded.evaluate(*spiral()) == model.evaluate(*spiral())


def test_equal_models_are_equal_bytes(xp, tmp_path: Path) -> None:
    for name in ("one", "two"):
        train(new_model(xp), 2).save(tmp_path / name)
    nn.Model.load(tmp_path / "one", backend=xp).save(tmp_path / "three")
    copy.deepcopy(nn.Model.load(tmp_path / "one", backend=xp)).save(tmp_path / "four")
    contents = {name: (tmp_path / name).read_bytes() for name in ("one", "two", "three", "four")}
    assert len(set(contents.values())) == 1
    train(new_model(xp), 3).save(tmp_path / "five")
    assert (tmp_path / "five").read_bytes() != contents["one"]


def test_training_goes_on_in_a_new_process_to_the_bit(xp, request, tmp_path: Path) -> None:
    """train(10) is train(5), save, load in another process, train(5): the files are the same, byte for byte."""
    settings = BACKENDS[request.node.callspec.params["xp"][0]]
    train(new_model(xp), 5).save(tmp_path / "half")
    program = f"""
import nnbackend as nn
from tests.test_storage import train
model = nn.Model.load({str(tmp_path / "half")!r}, backend=nn.get_backend(**{settings!r}))
train(model, 5).save({str(tmp_path / "resumed")!r})
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)
    train(new_model(xp), 10).save(tmp_path / "whole")
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize("there", ["float32", "float64"])
def test_a_model_trained_elsewhere_goes_on_here(xp, there: str, tmp_path: Path) -> None:
    """Padding depends on the dtype, so state must be stored by parameter; the iteration and the masks go on."""
    train(new_model("cpu", dtype=there), 2).save(tmp_path / "model")
    here = nn.Model.load(tmp_path / "model", backend=xp, dtype="float64")
    assert here.xp.dtype == "float64"
    there_again = nn.Model.load(tmp_path / "model", dtype="float64")
    for model in (here, there_again):
        train(model, 1)
    # One epoch of four steps in float64 from common parameters: rounding is about 1e-15 of values of order 1.
    for name, value in here.parameters().items():
        np.testing.assert_allclose(value, there_again.parameters()[name], atol=1e-12)
    np.testing.assert_array_equal(xp.to_host(here.layers[2].step), there_again.layers[2].step)


def test_the_dtype_is_the_files_unless_another_is_asked_for(tmp_path: Path) -> None:
    new_model(dtype="float64").save(tmp_path / "model")
    assert nn.Model.load(tmp_path / "model").xp.dtype == "float64"
    assert nn.Model.load(tmp_path / "model", dtype="float32").xp.dtype == "float32"
    assert nn.Model.load(tmp_path / "model", backend=nn.get_backend("cpu")).xp.dtype == "float32"
    with nn.use_backend("strict"):
        assert nn.Model.load(tmp_path / "model").xp.name == "strict"


def test_regression_keeps_its_precision(tmp_path: Path) -> None:
    X, y = nn.datasets.sine(50)
    model = nn.Model([nn.Dense(1, 8), nn.ReLU(), nn.Dense(8, 1), nn.Linear()], loss=nn.MeanSquaredError(), seed=0)
    model.set(optimizer=nn.RMSprop(0.01))
    model.train(X, y, epochs=2, print_every=0)
    model.save(tmp_path / "model")
    assert nn.Model.load(tmp_path / "model").accuracy.precision == pytest.approx(np.std(y) / 250)
    assert nn.Model.load(tmp_path / "model").evaluate(X, y) == model.evaluate(X, y)
    model.train(X, np.ones_like(y), epochs=1, print_every=0)
    constant = nn.Model([nn.Dense(1, 1)], loss=nn.MeanSquaredError(), optimizer=nn.SGD(0.01), seed=0)
    constant.train(X, np.ones_like(y), epochs=1, print_every=0)
    constant.save(tmp_path / "model")
    assert nn.Model.load(tmp_path / "model").evaluate(X, y) == constant.evaluate(X, y)


@pytest.mark.parametrize("optimizer", [nn.SGD(0.1), nn.SGD(0.1, momentum=0.9), nn.Adagrad(0.1), nn.RMSprop(0.01)])
def test_every_optimizers_state(optimizer: nn.Optimizer, tmp_path: Path) -> None:
    model = train(new_model(), 1)
    model.set(optimizer=copy.deepcopy(optimizer))
    train(model, 1).save(tmp_path / "model")
    train(model, 1).save(tmp_path / "whole")
    train(nn.Model.load(tmp_path / "model"), 1).save(tmp_path / "resumed")
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_learning_rate_that_was_changed_is_kept(tmp_path: Path) -> None:
    model = train(new_model(), 1)
    model.optimizer.learning_rate = 0.01
    model.save(tmp_path / "model")
    assert nn.Model.load(tmp_path / "model").optimizer.learning_rate == 0.01


def test_models_without_all_parts(tmp_path: Path) -> None:
    for model in (nn.Model([nn.ReLU()]), nn.Model([nn.Dense(2, 1)]), nn.Model([nn.ReLU()], optimizer=nn.Adam())):
        model.save(tmp_path / "model")
        loaded = nn.Model.load(tmp_path / "model")
        np.testing.assert_array_equal(loaded.predict([[1.0, -1.0]]), model.predict([[1.0, -1.0]]))
        assert loaded.loss is None
    with pytest.raises(nn.StateError):
        nn.Model().save(tmp_path / "model")


def test_saving_does_not_disturb_training(xp, tmp_path: Path) -> None:
    class Saving(nn.Callback):
        def on_report(self, run: Any, rows: Any) -> None:
            run.model.save(tmp_path / "now")

    quiet, saving = new_model(xp), new_model(xp)
    train(quiet, 4)
    saving.train(*spiral(), epochs=4, batch_size=16, print_every=0, callbacks=[Saving()])
    quiet.save(tmp_path / "quiet")
    assert (tmp_path / "quiet").read_bytes() == (tmp_path / "now").read_bytes()


def test_a_subclass_of_model_loads_as_itself(tmp_path: Path) -> None:
    class Named(nn.Model):
        pass

    new_model().save(tmp_path / "model")
    assert type(Named.load(tmp_path / "model")) is Named


def test_parameters_alone(xp, tmp_path: Path) -> None:
    model, other = train(new_model(xp), 2), new_model(xp, seed=8)
    model.save_parameters(tmp_path / "parameters")
    model.save(tmp_path / "model")
    for name in ("parameters", "model"):
        other.set_parameters({name: value * 0 for name, value in other.parameters().items()})
        other.load_parameters(tmp_path / name)
        for key, value in model.parameters().items():
            np.testing.assert_array_equal(other.parameters()[key], value)
    assert other.seed == 8
    assert other.epoch == 0
    assert (tmp_path / "parameters").stat().st_size < (tmp_path / "model").stat().st_size
    with pytest.raises(nn.FileError, match="holds parameters alone: build the model"):
        nn.Model.load(tmp_path / "parameters")


def test_parameters_of_another_network_are_refused(tmp_path: Path) -> None:
    new_model().save_parameters(tmp_path / "parameters")
    narrow = nn.Model([nn.Dense(2, 8), nn.ReLU(), nn.Dense(8, 3)], seed=0)
    before = narrow.parameters()
    with pytest.raises(nn.FileError, match=r"holds 'dense_1.weights' in shape \(2, 16\): the model expects \(2, 8\)"):
        narrow.load_parameters(tmp_path / "parameters")
    with pytest.raises(nn.FileError, match=r"holds an array 'dense_2.biases', which the model has no place for"):
        nn.Model([nn.Dense(2, 16)]).load_parameters(tmp_path / "parameters")
    deep = nn.Model([nn.Dense(2, 16), nn.Dense(16, 3), nn.Dense(3, 3)])
    with pytest.raises(nn.FileError, match=r"has no array for 'dense_3.biases', which the model needs"):
        deep.load_parameters(tmp_path / "parameters")
    for name, value in narrow.parameters().items():
        np.testing.assert_array_equal(value, before[name])


def test_numbers_too_large_for_the_dtype_are_refused(tmp_path: Path) -> None:
    model = nn.Model([nn.Dense(1, 1)], dtype="float64")
    model.set_parameters({"dense_1.weights": [[1e300]], "dense_1.biases": [[np.inf]]})
    model.save(tmp_path / "model")
    assert nn.Model.load(tmp_path / "model").parameters()["dense_1.weights"] == 1e300
    with pytest.raises(nn.FileError, match=r"holds numbers in 'dense_1.weights' that are too large for float32"):
        nn.Model.load(tmp_path / "model", dtype="float32")


# -- parts as JSON ---------------------------------------------------------------------------------------------------------


def place_of(part: Any) -> str:
    """Where a file may name this class."""
    return next(place for place, classes in parts.KNOWN.items() if type(part) in classes.values())


def test_the_table_holds_every_public_part() -> None:
    bases = tuple(cases.TABLES)
    public = {name: getattr(nn, name) for name in nn.__all__}
    wanted = {
        n for n, kind in public.items() if isinstance(kind, type) and issubclass(kind, bases) and kind not in bases
    }
    wanted |= {name for name, kind in public.items() if isinstance(kind, type) and hasattr(kind, "draw")}
    assert wanted == parts.ALL_KNOWN.keys()


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_the_same_after_json(name: str) -> None:
    part = PARTS[name]()
    entry = json.loads(json.dumps(parts.describe_part(part)))
    again = parts.build_part(entry, place_of(part), {})
    assert type(again) is type(part)
    assert repr(again) == repr(part)
    assert parts.describe_part(again) == entry
    elsewhere = {"backend", "seed"}
    assert entry["arguments"].keys() == inspect.signature(type(part)).parameters.keys() - elsewhere


@pytest.mark.parametrize("name", PARTS)
def test_every_number_given_to_a_part_is_in_its_description(name: str) -> None:
    """An argument that a class keeps under its name, but not as it was given, would be lost unseen."""
    part = PARTS[name]()
    entry = parts.describe_part(part)
    for argument, value in entry["arguments"].items():
        if type(value) in (int, float) and value != 0:
            other = value + 1 if type(value) is int else value * 0.75
            changed = {**entry, "arguments": {**entry["arguments"], argument: other}}
            assert parts.describe_part(parts.build_part(changed, place_of(part), {})) == changed


def test_a_users_own_layers(xp, tmp_path: Path) -> None:
    custom = {"Leaky": Leaky, "Keeping": Keeping}
    with nn.use_backend(xp):
        model = nn.Model(
            [nn.Dense(2, 8), Leaky(0.2), Keeping(0.75), nn.Dense(8, 3), nn.Softmax()],
            loss=nn.CategoricalCrossentropy(),
            optimizer=nn.SGD(0.1),
            seed=0,
        )
        train(model, 1).save(tmp_path / "half")
        loaded = nn.Model.load(tmp_path / "half", custom=custom)
    assert loaded.layers[1].slope == 0.2
    np.testing.assert_array_equal(xp.to_host(loaded.layers[2].passes), 4.0)
    train(model, 1).save(tmp_path / "whole")
    train(loaded, 1).save(tmp_path / "resumed")
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()
    with pytest.raises(
        nn.FileError, match=r"holds the layer 'Leaky', which is unknown here: pass your own class, custom="
    ):
        nn.Model.load(tmp_path / "half")


def test_what_cannot_be_saved_is_said(tmp_path: Path) -> None:
    class Dense(nn.Dense):
        pass

    for layer, sentence in (
        (Forgetful(3), "Forgetful cannot be saved: its argument 'width' is in no attribute of that name"),
        (Dense(2, 3), "cannot be saved under its name, which is that of a class of nnbackend: rename it"),
        (Leaky(np.ones(3)), r"Leaky slope is a numpy.ndarray of shape \(3,\)"),
        (Leaky(float("nan")), "Leaky slope is nan, which a file cannot hold"),
        (Leaky({}), "Leaky slope is a dict"),
    ):
        with pytest.raises(nn.ArgumentError, match=sentence):
            nn.Model([layer]).save(tmp_path / "model")
    for record in ({"a": object()}, {"a": {1: 2}}, {"a": "\ud800"}, {"a": [float("inf")]}):
        model = nn.Model([nn.ReLU()])
        model.training_record = record
        with pytest.raises(nn.ArgumentError, match=r"training_record\.a"):
            model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("custom", [{"Dense": Leaky}, {"Leaky": Leaky()}, {3: Leaky}])
def test_custom_classes_are_checked(custom: Any, tmp_path: Path) -> None:
    new_model().save(tmp_path / "model")
    with pytest.raises(nn.ArgumentError, match="custom"):
        nn.Model.load(tmp_path / "model", custom=custom)


def test_a_device_is_not_replaced_by_a_file() -> None:
    from nnbackend.files import write_file

    with pytest.raises(nn.FileError, match="device or a pipe"):
        write_file("/dev/null", b"model")
