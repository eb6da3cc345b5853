"""Steps as CUDA graphs, and several steps in one launch.

On a machine without a GPU: the backend's own Python on a stand-in for CuPy (fake_cupy.py, fake_graphs.py) that writes down
instead of computing while it captures and refuses what CuPy refuses then, with the CUDA kernels in the emulator and cuBLAS
replaced by fake_cublas.py. Several steps a launch are also run on `strict`. Every test that takes `gpu` runs on a real one too.
"""

from __future__ import annotations

import gc
import importlib
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.backend import cupy_probe, registry
from nnbackend.backend.graph import CapturedStep
from nnbackend.kernels.cuda import compile as cuda_compile
from nnbackend.kernels.cuda import products
from nnbackend.testing.strict import StrictBackend
from tests import cuda_emulator
from tests.cuda_emulator import EmulatedModule
from tests.fake_cublas import FakeCublas
from tests.fake_cupy import fake_cupy
from tests.test_cuda_kernels import needed


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The kernels compiled for the CPU."""
    if cuda_emulator.COMPILER is None:
        needed("g++ is not installed: it compiles the CUDA kernels for the emulator")
    return EmulatedModule(cuda_emulator.build(tmp_path_factory.mktemp("captured"), cuda_compile.source()))


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No backend on the stand-in outlives its test."""
    monkeypatch.setattr(registry, "_cache", {})
    monkeypatch.setattr(cupy_probe, "installed_wheels", lambda: ["cupy-cuda13x"])
    return


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch, emulated: Any) -> Any:
    """The stand-in for CuPy, with one device and with cuBLAS."""
    return install(monkeypatch, emulated, devices=1)


def install(monkeypatch: pytest.MonkeyPatch, emulated: Any, devices: int) -> Any:
    """Let `import cupy` and the loading of cuBLAS find stand-ins."""
    cupy = fake_cupy(devices, emulated)
    cupy.cublas = FakeCublas(lambda call, out: cupy.cuda.enqueue(lambda _: call(), (), writes=(out,)))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupyx", types.SimpleNamespace(empty_pinned=np.empty))
    monkeypatch.setattr(products, "load_cublas", lambda: cupy.cublas)
    return cupy


@pytest.fixture(params=["fake", pytest.param("gpu", marks=pytest.mark.gpu)])
def gpu(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`get_backend("gpu", ...)` on the stand-in and on a GPU."""
    if request.param == "fake":
        request.getfixturevalue("cupy")
    else:
        importlib.import_module("cupy")
    return lambda *args, **kwargs: nn.get_backend("gpu", *args, **kwargs)


def spiral(xp: Any, *, layers: int = 1, dropout: float = 0.0) -> nn.Model:
    hidden: list[Any] = []
    for i in range(layers):
        hidden += [nn.Dense(8 if i else 2, 8, weight_regularizer=nn.L2(5e-4)), nn.ReLU()]
        hidden += [nn.Dropout(dropout)] if dropout else []
    return nn.Model(
        [*hidden, nn.Dense(8, 3), nn.Softmax()],
        loss=nn.CategoricalCrossentropy(),
        optimizer=nn.Adam(0.02, decay=1e-3),
        backend=xp,
        seed=3,
    )


SETTINGS: dict[str, dict[str, Any]] = {
    "one batch": {"epochs": 40},
    "one batch, reports between": {"epochs": 40, "print_every": 7},
    "batches and a short one": {"epochs": 4, "batch_size": 4},
    "more batches than a launch": {"epochs": 3, "batch_size": 1},
    "in order": {"epochs": 4, "batch_size": 5, "shuffle": False},
}


SAMPLES = nn.datasets.spiral(samples=10, classes=3, seed=0)


def trained(xp: Any, dropout: float = 0.0, *, validated: bool = False, **settings: Any) -> tuple[Any, Any, nn.Model]:
    """(history, parameters, model) of a training on 30 samples."""
    X, y = SAMPLES
    model = spiral(xp, dropout=dropout)
    validation = (X[::2], y[::2]) if validated else None
    history = model.train(X, y, validation_data=validation, **{"print_every": 0, **settings})
    return history, model.parameters(), model


def assert_same(found: Any, expected: Any, tolerance: float = 0.0) -> None:
    assert len(found[0]) == len(expected[0])
    assert list(found[0]) == list(expected[0])
    for name in expected[0]:
        np.testing.assert_allclose(found[0][name], expected[0][name], rtol=tolerance, atol=tolerance, err_msg=name)
    for name, value in expected[1].items():
        np.testing.assert_allclose(found[1][name], value, rtol=tolerance, atol=tolerance, err_msg=name)


# -- several steps a launch ------------------------------------------------------------------------------------------------


def strict(steps_per_launch: int) -> StrictBackend:
    xp = StrictBackend(dtype="float32", kernels="auto")
    xp.steps_per_launch = steps_per_launch
    return xp


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_several_steps_a_launch_give_the_same_bits(settings, dropout, validated):
    one = trained(strict(1), dropout, validated=validated, **settings)
    assert_same(trained(strict(4), dropout, validated=validated, **settings), one)


def test_a_callback_hears_of_every_epoch_even_where_several_steps_are_launched_at_once():
    class Listener(nn.Callback):
        def __init__(self) -> None:
            self.epochs: list[int] = []

        def on_epoch(self, run: Any) -> None:
            self.epochs.append(run.epoch)
            run.stop = run.epoch == 10

    listener = Listener()
    history, _, model = trained(strict(4), epochs=40, callbacks=[listener])
    assert listener.epochs == list(range(1, 11))
    assert len(history) == model.epoch == 10


@pytest.mark.parametrize("batch_size", [None, 4])
def test_a_loss_that_is_not_finite_is_reported_at_the_same_step(batch_size):
    X, y = nn.datasets.spiral(samples=10, classes=3, seed=0)
    places = []
    for together in (1, 4):
        model = nn.Model(
            [nn.Dense(2, 8), nn.Linear()],
            loss=nn.MeanSquaredError(),
            optimizer=nn.SGD(30.0),
            backend=strict(together),
            seed=0,
        )
        with pytest.raises(nn.NonFiniteLossError) as raised:
            model.train(X, np.eye(8)[y], epochs=60, batch_size=batch_size, print_every=0)
        places.append((raised.value.step, raised.value.epoch, len(model.history)))
    assert places[0] == places[1]
    assert places[0][0] > 4


def test_launches_are_counted_out(monkeypatch):
    """10 batches of 3 and 4 steps a launch: two launches of 4 and one of 2 in every epoch. One batch: 4 epochs."""
    xp, counts = strict(4), []
    compiled_step = xp.compiled_step

    def counting(step: Any, **kwargs: Any) -> Any:
        compiled = compiled_step(step, **kwargs)
        return lambda: (counts.append(compiled), compiled())[1]

    monkeypatch.setattr(xp, "compiled_step", counting)
    trained(xp, epochs=2, batch_size=3)
    assert [counts.index(c) for c in counts] == [0, 0, 2, 0, 0, 2]
    counts.clear()
    trained(xp, epochs=11, print_every=0)
    assert [counts.index(c) for c in counts] == [0, 1, 1, 0, 0], "the first epoch is reported alone"


# -- capture -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_training_by_graphs_is_training(gpu, settings, dtype):
    """As on the CPU by the reference, within what differently rounded sums make of some 40 steps of Adam."""
    expected = trained(nn.get_backend("cpu", dtype, kernels="reference"), 0.2, **settings)
    found = trained(gpu(dtype, kernels="all"), 0.2, **settings)
    assert_same(found, expected, 2e-3 if dtype == "float32" else 1e-9)


def test_the_same_seed_gives_the_same_bits_by_graphs(gpu):
    xp = gpu(kernels="all")
    assert_same(trained(xp, 0.2, epochs=4, batch_size=4), trained(xp, 0.2, epochs=4, batch_size=4))


def counting_step(xp: Any) -> tuple[Any, Any, list[int]]:
    """(compiled step, its counter on the device, how often its Python ran)"""
    counter, ran = xp.zeros(1, dtype="int64"), []

    def step() -> None:
        ran.append(1)
        xp.ops.advance(1, state=counter)

    return xp.compiled_step(step), counter, ran


def test_the_first_call_runs_the_second_captures_and_all_do_the_step_once(gpu):
    xp = gpu(kernels="all")
    step, counter, ran = counting_step(xp)
    for call in range(1, 6):
        step()
        assert xp.to_host(counter) == call
        assert len(ran) == min(call, 2)


def test_with_kernels_auto_nothing_is_captured(cupy):
    for kernels in ("auto", "reference"):
        xp = nn.get_backend("gpu", kernels=kernels)
        step, _, ran = counting_step(xp)
        for _ in range(3):
            step()
        assert (len(ran), xp.steps_per_launch) == (3, 1)
        assert not any(op.overrides for op in xp.ops) or kernels == "all"
        trained(xp, epochs=3)
    assert not cupy.cuda.streams, "no stream of its own"
    assert not cupy.cublas.calls


def test_the_first_call_is_between_what_came_before_and_what_comes_after(cupy):
    xp = nn.get_backend("gpu", kernels="all")
    step, *_ = counting_step(xp)
    step()
    (own,) = cupy.cuda.streams
    default = cupy.cuda.get_current_stream()
    assert own.non_blocking
    assert own.log == [("wait", default), "record"]
    assert default.log == ["record", ("wait", own)]
    step()
    assert step.graph.launches == [default], "a graph is launched on the current stream, in its turn"


def test_a_graph_keeps_alive_what_it_works_on(cupy):
    """Buffers that nobody else holds any more, and temporary arrays, are still there when a graph is launched."""
    xp = nn.get_backend("gpu", kernels="all")
    total = xp.zeros(1)
    held = {"values": xp.ones(5), "out": xp.empty(5)}

    def step() -> None:
        xp.ops.relu(held["values"] if held else None, out=held["out"])
        xp.add(total, (held["out"] * 2).sum(), out=total)  # two temporary arrays

    compiled = xp.compiled_step(step)
    compiled()
    compiled()
    held.clear()
    gc.collect()
    compiled()
    assert xp.to_host(total) == 30
    del compiled._held
    gc.collect()
    with pytest.raises(RuntimeError, match="illegal memory access"):  # the stand-in would notice
        compiled()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda xp, a: xp.matmul(a, a), r"NotImplementedError: calling cuBLAS API during stream capture"),
        (lambda xp, a: xp.synchronize(), r"not permitted when stream is capturing"),
        (lambda xp, a: float(a.sum()), r"while the stream is capturing"),
        (lambda xp, a: xp.asarray([1.0]), r"while the stream is capturing"),
    ],
)
def test_a_step_that_cannot_be_captured_says_so_and_does_nothing(cupy, fault, words):
    xp = nn.get_backend("gpu", kernels="all")
    counter, array = xp.zeros(1, dtype="int64"), xp.ones((2, 2))

    def step() -> None:
        xp.ops.advance(1, state=counter)
        fault(xp, array)

    compiled = xp.compiled_step(step)
    compiled()
    for _ in range(2):
        with pytest.raises(nn.BackendError, match=words) as raised:
            compiled()
        assert str(raised.value).endswith('with kernels="auto"')
        assert "\n" not in str(raised.value)
        assert isinstance(raised.value.__cause__, Exception)
        assert xp.to_host(counter) == 1, "nothing was executed"
        assert xp.tape is None
    good, counter, _ = counting_step(xp)  # the stream can still be used
    good(), good(), good()
    assert xp.to_host(counter) == 3


@pytest.mark.parametrize("error", [nn.DataError("mine"), KeyboardInterrupt()])
def test_errors_of_its_own_and_interrupts_come_through_a_capture_as_they_are(cupy, error):
    xp = nn.get_backend("gpu", kernels="all")
    calls: list[int] = []

    def step() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise error

    compiled = xp.compiled_step(step)
    compiled()
    with pytest.raises(type(error)):
        compiled()
    compiled()
    assert compiled.graph is not None


def test_a_compiled_step_inside_another_is_a_part_of_it(gpu):
    xp = gpu(kernels="all")
    inner, counter, _ = counting_step(xp)
    outer = xp.compiled_step(lambda: (inner(), inner()))
    for call in range(1, 4):
        outer()
        assert xp.to_host(counter) == 2 * call
    assert inner.graph is None


def test_predictions_are_replayed_and_see_new_parameters(gpu):
    xp = gpu(kernels="all")
    model, reference = spiral(xp), spiral(nn.get_backend("cpu", kernels="reference"))
    X, _ = nn.datasets.spiral(samples=5, classes=3, seed=1)
    for scale in (1.0, 0.5, 2.0):
        values = {name: scale * value for name, value in reference.parameters().items()}
        model.set_parameters(values)
        reference.set_parameters(values)
        for _ in range(3):
            np.testing.assert_allclose(model.predict(X), reference.predict(X), rtol=1e-5, atol=1e-6)


def test_every_product_of_a_captured_step_goes_through_the_own_handle(cupy):
    trained(nn.get_backend("gpu", kernels="all"), epochs=40)
    assert cupy.cublas.handles == 1
    (own,) = cupy.cuda.streams
    assert set(cupy.cublas.streams) == {own.ptr}, "products ran on the stream that was captured, and nowhere else"


@pytest.mark.parametrize("devices", [2])
def test_on_the_second_of_two_devices(monkeypatch, emulated, devices):
    cupy = install(monkeypatch, emulated, devices)
    found = trained(nn.get_backend("gpu:1", kernels="all"), 0.2, epochs=4, batch_size=4)
    assert_same(found, trained(nn.get_backend("cpu", kernels="reference"), 0.2, epochs=4, batch_size=4), 2e-3)
    assert cupy.cuda.runtime.getDevice() == 0


def test_two_threads_do_not_capture_each_other(cupy):
    xp = nn.get_backend("gpu", kernels="all")
    results: list[Any] = [None, None]

    def work(number: int) -> None:
        results[number] = trained(xp, epochs=3, batch_size=4)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_same(results[0], results[1])


# -- precision ------------------------------------------------------------------------------------------------------------------


def test_the_precision_is_the_backends(cupy):
    xp = nn.get_backend("gpu", kernels="all", matmul_precision="tf32")
    assert xp is nn.get_backend("gpu", kernels="all", matmul_precision="tf32")
    assert xp is nn.get_backend(xp)
    assert nn.get_backend(xp, "float64").matmul_precision == "tf32"
    assert nn.get_backend("gpu", kernels="all").matmul_precision == "float32"
    assert "matmul_precision='tf32'" in repr(xp)
    assert "tf32 products" in xp.description
    function, args = xp.__reduce__()
    assert function(*args) is xp
    trained(xp, epochs=2)
    assert set(cupy.cublas.computes) == {77}


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("cpu", {"matmul_precision": "tf32"}, "for backend 'gpu', not for 'cpu'"),
        ("strict", {"matmul_precision": "bfloat16", "kernels": "all"}, "for backend 'gpu', not for 'strict'"),
        ("auto", {"matmul_precision": "tf32", "kernels": "all"}, "for backend 'gpu', not for 'auto'"),
        ("gpu", {"matmul_precision": "tf32"}, 'so ask for kernels="all" as well'),
        ("gpu", {"matmul_precision": "tf23", "kernels": "all"}, "did you mean 'tf32'"),
        ("cpu", {"matmul_precision": 32}, "unknown matmul_precision 32"),
    ],
)
def test_a_precision_that_cannot_be_had_is_refused(cupy, name, settings, words):
    with pytest.raises(nn.ArgumentError, match=words):
        nn.get_backend(name, **settings)


def test_a_captured_step_is_what_the_gpu_compiles_to(cupy):
    assert isinstance(nn.get_backend("gpu", kernels="all").compiled_step(lambda: None), CapturedStep)


def test_the_option_of_the_command_line(cupy, capsys):
    from nnbackend.cli import main

    run = ["train", "spiral", "--backend", "gpu", "--samples", "5", "--epochs", "3", "--matmul-precision"]
    assert main([*run, "bfloat16"]) == 0
    assert "bfloat16 products), float32, as --backend says" in capsys.readouterr().out
    assert set(cupy.cublas.computes) == {75}
    assert main([*run, "bfloat61"]) == 2
    assert "did you mean 'bfloat16'" in capsys.readouterr().err
    assert main(["train", "spiral", "--backend", "cpu", "--matmul-precision", "tf32"]) == 2
    assert "is for backend 'gpu', not for 'cpu'" in capsys.readouterr().err


@pytest.mark.parametrize("kernels", ["auto", "all"])
def test_streamed_batches(gpu, kernels):
    """Uploads on a stream beside, into buffers that captured steps look at: the same bits as with the data on the device."""
    X, y = nn.datasets.spiral(samples=20, classes=3, seed=0)
    resident, streamed = (spiral(gpu(kernels=kernels), dropout=0.1) for _ in range(2))
    settings: dict[str, Any] = {"epochs": 4, "batch_size": 16, "print_every": 0, "validation_data": (X, y)}
    expected = resident.train(X, y, stream=False, **settings)
    found = streamed.train(X, y, stream=True, **settings)
    assert list(found["loss"]) == list(expected["loss"])
    for name, values in resident.parameters().items():
        np.testing.assert_array_equal(streamed.parameters()[name], values, err_msg=name)
