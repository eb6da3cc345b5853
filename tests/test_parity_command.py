"""`nnbackend parity`: on the built-in networks and on a model of the user's; one broken kernel is named wherever it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.backend import registry
from nnbackend.cli import main
from nnbackend.kernels.cpu.plan import OVERRIDES
from nnbackend.kernels.override import Override
from nnbackend.parity.networks import SUBJECTS
from tests.test_parity import broken, scaled

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NNBACKEND", raising=False)
    monkeypatch.delenv("NNBACKEND_TRACEBACK", raising=False)


def document(capsys: Capture, *arguments: str, status: int = 0) -> dict[str, Any]:
    """What the command prints with --json."""
    assert main(["parity", *arguments, "--json"]) == status
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


# -- the built-in networks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["cpu", "strict"])
def test_it_says_that_a_backend_agrees(capsys: Capture, backend: str) -> None:
    assert main(["parity", "--backend", backend, "--steps", "2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"backend: {backend} (")
    for dtype in ("float32", "float64"):
        assert f"{backend} in {dtype}: the largest differences from the judge" in out
    for name in ("Dense", "Dropout", "CategoricalCrossentropy", "L1L2", "Adagrad", "softmax_1.dinputs"):
        assert name in out
    assert f"{backend} agrees with the judge: in 2 steps of each of {len(SUBJECTS)} networks" in out
    assert max(map(len, out.split("largest differences")[0].splitlines())) <= 130


@pytest.mark.gpu
def test_parity_of_the_gpu(capsys: Capture) -> None:
    assert main(["parity", "--backend", "gpu"]) == 0, capsys.readouterr().out


def test_the_default_is_to_follow(capsys: Capture) -> None:
    arguments = ("--steps", "1", "--dtype", "float32")
    assert document(capsys, *arguments) == document(capsys, "--follow", *arguments)


@pytest.mark.parametrize("other", ["strict", "cpu-reference"])
def test_two_backends_can_be_asked_for(capsys: Capture, other: str) -> None:
    assert main(["parity", "--backend", "cpu", "--against", other, "--steps", "2"]) == 0
    out = capsys.readouterr().out
    assert f"against: {other} (" in out
    assert f"cpu agrees with {other}: in 2 steps" in out
    assert document(capsys, "--against", other, "--free", "--steps", "3")["against"] == other


def test_running_freely(capsys: Capture) -> None:
    assert main(["parity", "--free", "--steps", "100", "--dtype", "float32"]) == 0
    assert "Chaos takes over at step" in capsys.readouterr().out
    found = document(capsys, "--free", "--steps", "4", "--dtype", "float32")
    assert (found["mode"], found["passed"], len(found["runs"][0]["loss"])) == ("free", True, 4)


@pytest.mark.parametrize("mode", [[], ["--free"]])
def test_it_draws(tmp_path: Path, mode: list[str]) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "differences.png"
    assert main(["parity", *mode, "--steps", "3", "--plot", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")


# -- a model of the user's -------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a trained model, a model without an optimizer, one without a loss, and data in files."""
    monkeypatch.chdir(tmp_path)
    X, y = nn.datasets.spiral(40, 3, seed=0)
    layers = [
        nn.Dense(2, 16, weight_regularizer=nn.L2(5e-4)),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Dense(16, 3),
        nn.Softmax(),
    ]
    model = nn.Model(layers, loss=nn.CategoricalCrossentropy(), optimizer=nn.RMSprop(0.01), seed=3)
    model.train(X, y, epochs=30, batch_size=50, print_every=0)
    model.save("trained.safetensors")
    fixed = nn.Model([nn.Dense(2, 3, seed=1), nn.Softmax()], loss=nn.CategoricalCrossentropy(), seed=0)
    fixed.save("fixed.safetensors")
    nn.Model([nn.Dense(2, 3)], seed=0).save("bare.safetensors")
    np.savez("data.npz", X=X, y=y)
    np.savetxt("data.csv", np.column_stack([X, y]), delimiter=",")
    return tmp_path


OWN = ("--model", "trained.safetensors", "--data")


@pytest.mark.parametrize("data", ["spiral", "vertical", "data.npz", "data.csv"])
@pytest.mark.parametrize("backend", ["cpu", "strict"])
def test_a_model_and_data_of_ones_own(capsys: Capture, folder: Path, data: str, backend: str) -> None:
    assert main(["parity", *OWN, data, "--backend", backend, "--steps", "5", "--batch-size", "32"]) == 0
    out = capsys.readouterr().out
    assert f"model: trained.safetensors; data: {data}, " in out
    assert f"{backend} agrees with the judge: in 5 steps of trained.safetensors on {data} no difference" in out
    assert "weights.cache" in out or "biases.cache" in out  # RMSprop's state, as in the file


def test_the_comparison_begins_where_training_stopped(capsys: Capture, folder: Path) -> None:
    model = nn.Model.load("trained.safetensors", dtype="float64")
    with np.load("data.npz") as data:
        X, y = data["X"].astype(np.float32), data["y"]
    run = document(capsys, *OWN, "data.npz", "--dtype", "float32", "--free", "--steps", "1")["runs"][0]
    again = nn.Model.load("trained.safetensors")
    losses = [each.train(X, y, print_every=0)["data_loss"][-1] for each in (model, again)]
    assert run["loss"][0] == pytest.approx(abs(losses[1] - losses[0]) / losses[0], rel=1e-3)


def test_a_model_and_two_backends(capsys: Capture, folder: Path) -> None:
    assert main(["parity", *OWN, "data.csv", "--against", "strict", "--steps", "5"]) == 0
    assert "cpu agrees with strict: in 5 steps of trained.safetensors on data.csv" in capsys.readouterr().out


def test_a_model_runs_freely(capsys: Capture, folder: Path) -> None:
    assert main(["parity", *OWN, "spiral", "--free", "--steps", "20", "--dtype", "float32"]) == 0
    assert "trained.safetensors on spiral, running freely" in capsys.readouterr().out


def test_a_model_without_an_optimizer(capsys: Capture, folder: Path) -> None:
    own = ("--model", "fixed.safetensors", "--data", "spiral")
    assert main(["parity", *own]) == 0
    out = capsys.readouterr().out
    assert "The model has no optimizer: outputs, losses and gradients are compared" in out
    assert "in 10 steps of fixed.safetensors on spiral" in out
    tensors = document(capsys, *own, "--dtype", "float64")["comparisons"][0]["tensors"]
    assert {"softmax_1.output", "data_loss", "dense_1.dweights"} <= tensors.keys()
    assert "dense_1.weights" not in tensors
    assert main(["parity", *own, "--free"]) != 0
    assert "the model has no optimizer, so it stays where it is" in capsys.readouterr().err


def test_training_that_diverges_is_no_difference(capsys: Capture, folder: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez("large.npz", X=rng.standard_normal((40, 2)) * 1e4, y=rng.standard_normal(40) * 1e4)
    optimizer = nn.SGD(1.0)
    layers = [nn.Dense(2, 8), nn.ReLU(), nn.Dense(8, 1), nn.Linear()]
    nn.Model(layers, loss=nn.MeanSquaredError(), optimizer=optimizer, seed=0).save("wild.safetensors")
    own = ("--model", "wild.safetensors", "--data", "large.npz", "--dtype", "float32")
    assert main(["parity", *own]) == 0
    assert "than float32 can hold: the training diverges, and the comparison ends there." in capsys.readouterr().out
    found = document(capsys, *own)["comparisons"][0]
    assert found["overflow"]["step"] == found["steps"] < 20
    assert main(["parity", *own, "--free"]) == 0
    assert "the training diverges: float32 cannot hold its values" in capsys.readouterr().out


# -- what is broken is named -----------------------------------------------------------------------------------------------


@pytest.fixture
def fresh_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backends that are built anew, and forgotten after the test."""
    nn.get_backend("strict")  # which registers itself when it is asked for
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    monkeypatch.setattr(registry, "_cache", {})


@pytest.fixture
def broken_backend(fresh_backends: None) -> str:
    """A backend with one kernel that is wrong from its third call on."""
    nn.register_backend("broken", lambda device, dtype, kernels: broken(dtype, "adam", scaled(1.001), from_call=3))
    return "broken"


def break_kernel(monkeypatch: pytest.MonkeyPatch, name: str, spoil: Callable[[Any], None]) -> None:
    """Spoil what the CPU's kernels for an op give, when they run alone and when they are linked into a program."""
    from nnbackend.kernels.cpu.compile import Step
    from nnbackend.kernels.cpu.plan import Planned

    def spoilt(kernel: Override) -> Override:
        def plan(*arguments: Any, **settings: Any) -> list[Step]:
            result = settings["out"] if "out" in settings else settings["state"]
            return [*kernel.function.plan(*arguments, **settings), Step(spoil, (result,))]  # type: ignore[attr-defined]

        return Override(Planned(plan), kernel.accepts)

    monkeypatch.setitem(OVERRIDES, name, [spoilt(kernel) for kernel in OVERRIDES[name]])


def break_op(monkeypatch: pytest.MonkeyPatch, backend: str, name: str, spoil: Callable[[Any], None]) -> None:
    """Spoil the reference of an op on one backend, in both dtypes."""
    for dtype in ("float32", "float64"):
        op = getattr(nn.get_backend(backend, dtype).ops, name)

        def function(*arguments: Any, right: Any = op.reference, **settings: Any) -> Any:
            result = right(*arguments, **settings)
            spoil(result)
            return result

        monkeypatch.setattr(op, "reference", function)


BROKEN = [
    ("softmax_crossentropy_backward", "softmax_1.dinputs"),
    ("rmsprop", "dense_1.weights"),
    ("dropout", "dropout_1.output"),
]


@pytest.mark.parametrize(("name", "found"), BROKEN, ids=[name for name, _ in BROKEN])
def test_a_broken_kernel_of_the_cpu(
    capsys: Capture, folder: Path, fresh_backends: None, monkeypatch: pytest.MonkeyPatch, name: str, found: str
) -> None:
    """In the user's model: the step, the layer, the tensor and the side."""
    pytest.importorskip("numba")
    assert nn.get_backend("cpu").ops is not None  # brings the kernels in
    registry._cache.clear()
    break_kernel(monkeypatch, name, scaled(1.0001))
    assert main(["parity", *OWN, "spiral", "--steps", "3", "--dtype", "float32"]) == 1
    out = capsys.readouterr().out
    assert f"float32, trained.safetensors on spiral: step 1: {found} is off by" in out
    assert "Backend 'cpu' is wrong there: the CPU with the reference operations in float32 agrees" in out
    assert main(["parity", *OWN, "spiral", "--steps", "3", "--kernels", "reference"]) == 0
    capsys.readouterr()
    assert main(["parity", *OWN, "spiral", "--steps", "3", "--dtype", "float32", "--against", "strict"]) == 1
    out = capsys.readouterr().out
    assert f"step 1: {found} is off by" in out
    assert f"By the float64 judge, cpu is wrong (cpu: step 1: {found}" in out


def test_a_broken_kernel_of_the_cpu_in_the_built_in_networks(
    capsys: Capture, fresh_backends: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba")
    nn.get_backend("cpu")
    registry._cache.clear()
    break_kernel(monkeypatch, "adagrad", scaled(1.0001))
    found = document(capsys, "--steps", "2", "--dtype", "float32", status=1)
    failed = [each for each in found["comparisons"] if not each["passed"]]
    assert [each["network"] for each in failed] == ["two classes of weights 1 and 3, Adagrad, L1"]
    first = failed[0]["first_beyond"]
    assert (first["step"], first["part"], first["layer"], first["tensor"]) == (1, "update", "dense_1", "weights")


@pytest.mark.parametrize("own", [(), (*OWN, "data.csv")], ids=["built in", "own"])
def test_a_broken_op_of_strict(
    capsys: Capture, folder: Path, fresh_backends: None, monkeypatch: pytest.MonkeyPatch, own: tuple[str, ...]
) -> None:
    break_op(monkeypatch, "strict", "weights_gradient", scaled(1.0001))
    assert main(["parity", *own, "--backend", "strict", "--steps", "2", "--dtype", "float64"]) == 1
    out = capsys.readouterr().out
    assert "step 1: dense_2.dweights is off by 0.0001 of its largest element" in out
    assert "Backend 'strict' is wrong there" in out
    assert main(["parity", *own, "--against", "strict", "--steps", "2", "--dtype", "float64"]) == 1
    assert "By the float64 judge, strict is wrong (strict: step 1: dense_2.dweights" in capsys.readouterr().out


def test_the_step_at_which_it_begins_is_named(capsys: Capture, broken_backend: str) -> None:
    assert main(["parity", "--backend", broken_backend, "--steps", "4", "--dtype", "float32"]) == 1
    out = capsys.readouterr().out
    assert "float32, chapter 14: step 3: dense_1.weights is off by 0.001 of its largest element" in out
    assert out.count("Backend 'broken' is wrong there: the CPU with the reference operations in float32 agrees") == 1


def test_as_json(capsys: Capture, broken_backend: str) -> None:
    found = document(capsys, "--backend", broken_backend, "--steps", "4", "--dtype", "float32", status=1)
    assert (found["passed"], found["backend"], found["steps"]) == (False, "broken", 4)
    first = found["comparisons"][0]
    assert (first["network"], first["dtype"], first["passed"]) == ("chapter 14", "float32", False)
    assert (first["first_beyond"]["step"], first["first_beyond"]["layer"]) == (3, "dense_1")
    assert first["tensors"]["dense_1.weights"]["share_of_tolerance"] > 1
    assert [step["update"] > 1 for step in first["shares_of_tolerance"]] == [False, False, True, True]
    assert first["classes"]["update"] == "Adam"
    assert first["wrong"].startswith("Backend 'broken' is wrong")
    assert document(capsys, "--steps", "1", "--dtype", "float64")["passed"]


# -- what makes no sense ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--follow --free", "--follow and --free are two ways to compare"),
        ("--data spiral", "--data is for a model of yours: name its file with --model"),
        ("--batch-size 3", "--batch-size is for a model of yours"),
        ("--model trained.safetensors", "--model trained.safetensors needs data: --data spiral"),
        ("--model none.safetensors --data spiral", "none.safetensors"),
        ("--model bare.safetensors --data data.npz", "the model has no loss"),
        ("--model trained.safetensors --data spirel", "unknown data 'spirel': did you mean 'spiral'?"),
        ("--model trained.safetensors --data none.csv", "cannot read none.csv"),
        ("--model trained.safetensors --data sine", "the first layer expects 2 features"),
        ("--model trained.safetensors --data spiral --batch-size 10000", "batch_size 10000 is larger than the data"),
        ("--backend cpu --against cpu", "--against cpu is the backend that is compared"),
        ("--against strikt", "unknown backend 'strikt': did you mean 'strict'?"),
        ("--steps 0", "steps 0: expected a whole number of at least 1"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(capsys: Capture, folder: Path, arguments: str, sentence: str) -> None:
    assert main(["parity", *arguments.split()]) in (1, 2)
    out, err = capsys.readouterr()
    assert sentence in err
    assert err.count("\n") == 1
    assert "agrees" not in out
