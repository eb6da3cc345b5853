"""Asking for a GPU that does not work gets one sentence, and never the CPU; each fault is provoked or simulated here.

The backend itself runs on a stand-in for CuPy (tests/fake_cupy.py): on several devices, every call finds its own one current.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.metadata
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.backend import choose_backend, cupy_probe, registry
from tests.conftest import why_no_gpu
from tests.fake_cupy import current, fake_cupy


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No backend of these tests outlives its test, and none from before is found."""
    before = dict(registry._cache)
    said = set(registry._said)
    registry._cache.clear()
    registry._said.clear()
    monkeypatch.setattr(cupy_probe, "installed_wheels", lambda: ["cupy-cuda13x"])
    yield
    registry._cache.clear()
    registry._cache.update(before)
    registry._said.clear()
    registry._said.update(said)


def install(monkeypatch: pytest.MonkeyPatch, devices: int = 1) -> Any:
    """Let `import cupy` find a stand-in."""
    cupy = fake_cupy(devices)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy


def refusal(name: str = "gpu") -> str:
    """The sentence that a GPU which does not work is refused with: one line, that ends with what to do."""
    with pytest.raises(nn.BackendError) as raised:
        nn.get_backend(name)
    message = str(raised.value)
    assert "\n" not in message
    assert len(message) < 350
    assert raised.value.__suppress_context__ or raised.value.__context__ is None  # no traceback of CuPy's behind it
    return message


# -- what may be wrong ------------------------------------------------------------------------------------------------------


def test_cupy_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    message = refusal()
    assert message.startswith("backend 'gpu' needs CuPy, which is not installed; install it with: pip install")
    assert "nnbackend[cuda13]" in message
    assert "nnbackend[cuda12]" in message


def test_cupy_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a library of CUDA that it is linked with is missing."""

    class Broken:
        def find_spec(self, name: str, *args: Any) -> None:
            if name == "cupy":
                raise ImportError("libcudart.so.13: cannot open shared object file\n\nlong advice")

    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    message = refusal()
    assert "CuPy does not import (ImportError: libcudart.so.13: cannot open shared object file)" in message
    assert "reinstall it with: pip install" in message


@pytest.mark.parametrize(
    "present", [("cupy-cuda12x", "cupy-cuda13x"), ("cupy", "cupy-cuda12x"), ("cupy-cuda11x", "cupy-cuda13x")]
)
def test_two_wheels_are_installed(monkeypatch: pytest.MonkeyPatch, present: tuple[str, ...]) -> None:
    def version(name: str) -> str:
        if name not in present:
            raise importlib.metadata.PackageNotFoundError(name)
        return "14.2.0"

    monkeypatch.undo()  # the real look at what is installed
    monkeypatch.setattr(importlib.metadata, "version", version)
    install(monkeypatch)
    message = refusal()
    assert "are both installed and break each other" in message
    assert "run: pip uninstall" in message
    assert all(name in message for name in present)


def test_one_wheel_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    assert nn.get_backend("gpu").name == "gpu"


# What CUDA says, and what the sentence says.
DRIVER = {
    "driver missing or too old": (
        "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version",
        ("no NVIDIA driver was found, or it is older", "driver 580", "--gpus all", "--backend cpu"),
    ),
    "no device": (
        "cudaErrorNoDevice: no CUDA-capable device is detected",
        ("the driver sees no GPU", "nvidia-smi", "CUDA_VISIBLE_DEVICES", "--backend cpu"),
    ),
    "anything else": (
        "cudaErrorSystemNotReady: system not yet initialized\nmore",
        ("CUDA does not start (RuntimeError: cudaErrorSystemNotReady: system not yet initialized)", "nvidia-smi"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", DRIVER)
def test_the_driver(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    text, words = DRIVER[fault]

    def count() -> int:
        raise RuntimeError(text)

    install(monkeypatch).cuda.runtime.getDeviceCount = count
    message = refusal()
    assert message.startswith("backend 'gpu' cannot be used: ")
    for word in words:
        assert word in message


def test_no_driver_for_real() -> None:
    """The machine that runs the tests is usually one without a GPU."""
    cupy = pytest.importorskip("cupy")
    with contextlib.suppress(Exception):
        if cupy.cuda.runtime.getDeviceCount():
            pytest.skip("a GPU is there")
    assert refusal() == why_no_gpu()
    assert "driver" in refusal()


def test_a_machine_with_no_device_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, devices=0)
    assert "the driver sees no GPU" in refusal()


@pytest.mark.parametrize(("devices", "name"), [(1, "gpu:1"), (2, "gpu:2"), (8, "gpu:9999")])
def test_a_number_that_is_too_large(monkeypatch: pytest.MonkeyPatch, devices: int, name: str) -> None:
    install(monkeypatch, devices)
    message = refusal(name)
    assert message == f"no GPU number {name[4:]}: this machine has {devices}, numbered from 0; use 'gpu:0'"


class OutOfMemoryError(MemoryError):
    """CuPy's class of that name."""


KERNEL = {
    "NVRTC is missing": (
        RuntimeError("CuPy failed to load libnvrtc.so.13: OSError: cannot open shared object file"),
        ("cannot compile a kernel", "CUDA headers or NVRTC are missing", "reinstall it with: pip install"),
    ),
    "headers are missing": (
        RuntimeError('/tmp/x.cubin.cu(3): catastrophic error: cannot open source file "vector_types.h"\n#include'),
        ("cannot compile a kernel", 'cannot open source file "vector_types.h"', "pip install"),
    ),
    "headers are not found": (
        RuntimeError("Failed to find CUDA headers: set CUDA_PATH"), ("cannot compile a kernel", "headers"),
    ),
    "CuPy's memory error": (
        OutOfMemoryError("Out of memory allocating 8,192 bytes (allocated so far: 0 bytes)."),
        ("no memory left", "8,192 bytes", "end other programs", "nvidia-smi"),
    ),
    "CUDA's memory error": (
        RuntimeError("cudaErrorMemoryAllocation: out of memory"), ("no memory left", "end other programs"),
    ),
    "a kernel that fails": (
        RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered"),
        ("a first kernel failed (RuntimeError: cudaErrorIllegalAddress", "nvidia-smi", "--backend cpu"),
    ),
    "an error without words": (RuntimeError(), ("a first kernel failed (RuntimeError)", "--backend cpu")),
}  # fmt: skip


@pytest.mark.parametrize("fault", KERNEL)
def test_the_first_kernel(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    error, words = KERNEL[fault]

    def arange(*args: Any, **kwargs: Any) -> Any:
        raise error

    cupy = install(monkeypatch, devices=2)
    cupy.arange = arange
    message = refusal("gpu:1")
    assert message.startswith("backend 'gpu' cannot be used: ")
    for word in words:
        assert word in message
    assert cupy.cuda.runtime.getDevice() == 0  # the device that was current before


def test_wrong_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = install(monkeypatch)
    cupy.arange = lambda *args, **kwargs: np.zeros(3, np.int64)
    message = refusal()
    assert "as 0 instead of 999000" in message
    assert "do not trust it; check the driver" in message


FAULTS: dict[str, Callable[[Any], None]] = {
    "driver": lambda cupy: setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 1 / 0),
    "kernel": lambda cupy: setattr(cupy, "arange", lambda *args, **kwargs: 1 / 0),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_gpu_never_falls_back_and_auto_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    FAULTS[fault](install(monkeypatch))
    message = refusal()
    for use in (
        lambda: nn.get_backend("gpu", dtype="float64"),
        lambda: nn.Dense(2, 3, backend="gpu"),
        lambda: nn.Model([nn.Dense(2, 3)], backend="gpu"),
        lambda: nn.use_backend("gpu").__enter__(),
    ):
        with pytest.raises(nn.BackendError) as raised:
            use()
        assert str(raised.value) == message
    assert "gpu" not in nn.available_backends()
    assert capsys.readouterr() == ("", "")
    assert choose_backend() == (nn.get_backend("cpu"), message)
    assert nn.get_backend("auto") is nn.get_backend("cpu")
    assert capsys.readouterr().err == f"nnbackend: using the CPU: {message}\n"


def test_a_gpu_that_failed_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may have ended the program that held the memory."""
    cupy = install(monkeypatch)
    FAULTS["kernel"](cupy)
    refusal()
    del cupy.arange
    assert nn.get_backend("gpu").name == "gpu"


def test_the_probe_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy, calls = install(monkeypatch), []
    arange = cupy.arange
    cupy.arange = lambda *args, **kwargs: calls.append(args) or arange(*args, **kwargs)
    nn.get_backend("gpu")
    nn.get_backend("gpu")
    assert nn.available_backends()["gpu"]
    assert len(calls) == 1


# -- the backend, on the stand-in -------------------------------------------------------------------------------------------


def test_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = install(monkeypatch)
    monkeypatch.delenv("CUPY_TF32", raising=False)
    xp = nn.get_backend("gpu")
    assert xp.description == "Fake GPU 0, 8 GiB, CuPy 14.2.0, driver for CUDA 13.2"
    monkeypatch.setenv("CUPY_TF32", "1")
    assert xp.description.endswith("TF32 products (CUPY_TF32 is set)")
    assert nn.get_backend("auto") is xp
    assert copy.deepcopy(xp) is xp is pickle.loads(pickle.dumps(xp))
    xp.synchronize()
    assert cupy.cuda.synchronized == [0]
    with xp.quiet():
        pass


def test_kernels_that_no_gpu_has_run_stay_off(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    assert not any(op.overrides for op in nn.get_backend("gpu", kernels="reference").ops)
    proved = [override.proved for op in nn.get_backend("gpu").ops for override in op.overrides]
    assert all(proved)


def test_the_doors(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = install(monkeypatch)
    xp = nn.get_backend("gpu")
    array = xp.asarray([[1.0, 2.0]])
    assert xp.is_array(array)
    assert not xp.is_array(np.ones(2))
    assert isinstance(array, cupy.ndarray)
    assert array.dtype == np.float32
    assert xp.asarray(array) is array
    assert xp.asarray(array, dtype="float64").dtype == np.float64
    taken = xp.to_host(array)
    assert type(taken) is np.ndarray
    assert taken.flags.owndata
    assert (xp.transfers.calls_in, xp.transfers.bytes_in, xp.transfers.calls_out) == (1, 8, 1)
    with pytest.raises(nn.DataError, match="arrays of this backend only"):
        xp.to_host(np.ones(2))
    assert nn.get_backend("cpu").asarray(array).tolist() == [[1, 2]]
    assert xp.aligned_zeros(3).dtype == np.float32


class CudaTensor:
    """A tensor of another library in the memory of a GPU: it cannot be read on the host."""

    def __init__(self, values: np.ndarray, device_type: int = 2) -> None:
        self.values, self.device_type = values, device_type

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        if self.device_type == 2:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        return self.values

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.values.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device_type, 0


def test_another_library_s_array_on_the_gpu_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    xp = nn.get_backend("gpu")
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert xp.asarray(CudaTensor(values)).get().tolist() == values.tolist()
    assert xp.transfers.calls == 0
    assert xp.asarray(CudaTensor(values, device_type=1)).dtype == np.float32
    assert xp.transfers.calls_in == 1
    model = small_model(xp)
    assert (model.predict(CudaTensor(values)) == model.predict(values)).all()
    labels = np.array([0, 2])
    assert model.evaluate(CudaTensor(values), CudaTensor(labels)) == model.evaluate(values, labels)
    with pytest.raises(nn.DataError, match="can't convert cuda:0"):
        nn.get_backend("cpu").asarray(CudaTensor(values))


# -- several devices ----------------------------------------------------------------------------------------------------------

X, Y = nn.datasets.spiral(10, 3, seed=0)


def small_model(backend: Any) -> nn.Model:
    return nn.Model(
        [nn.Dense(2, 8, weight_regularizer=nn.L2(5e-4)), nn.ReLU(), nn.Dropout(0.1), nn.Dense(8, 3), nn.Softmax()],
        loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.02), backend=backend, seed=0,
    )  # fmt: skip


def everything(backend: Any) -> tuple[Any, ...]:
    """What a user may do with a model, from beginning to end."""
    model = small_model(backend)
    history = model.train(X, Y, epochs=3, batch_size=8, validation_data=(X, Y), print_every=0)
    model.optimizer.learning_rate = 0.01
    model.set_parameters(model.parameters())
    twin = copy.deepcopy(model)
    twin.train(X, Y, epochs=2, print_every=0)
    twin.layers[0].weights = twin.parameters()["dense_1.weights"] * 2
    return dict(history), twin.evaluate(X, Y, batch_size=7), twin.predict(X, batch_size=7), model.predict(X)


def by_hand(backend: Any) -> np.ndarray:
    """A loop like the book's."""
    xp = nn.get_backend(backend)
    dense, relu, loss = nn.Dense(2, 3, backend=xp, seed=0), nn.ReLU(backend=xp), nn.SoftmaxCategoricalCrossentropy(xp)
    parameters, optimizer = nn.ParameterBuffer.of(dense), nn.SGD(0.1, momentum=0.9)
    inputs, targets = xp.asarray(X), xp.asarray(Y)
    for _ in range(3):
        loss.calculate(relu.forward(dense.forward(inputs)), targets)
        dense.backward(relu.backward(loss.backward(loss.output, targets)))
        optimizer.update(parameters)
    optimizer.learning_rate, optimizer.decay, optimizer.iterations = 0.2, 0.1, 7
    optimizer.update(parameters)
    assert (optimizer.iterations, optimizer.current_learning_rate) == (8, 0.2 * (1 / (1 + 0.1 * 7)))
    return xp.to_host(dense.weights)


@pytest.mark.parametrize(("devices", "name"), [(1, "gpu"), (2, "gpu"), (2, "gpu:1"), (3, "gpu:2")])
def test_a_model_lives_on_its_device(monkeypatch: pytest.MonkeyPatch, devices: int, name: str) -> None:
    """The arithmetic is NumPy's, so the results are those of the CPU's reference, to the bit."""
    expected, expected_weights = everything(nn.get_backend("cpu", kernels="reference")), by_hand("cpu")
    cupy = install(monkeypatch, devices)
    xp = nn.get_backend(name)
    for start in range(devices):
        with current(cupy, start):
            found = everything(name)
            assert found[:2] == expected[:2]
            assert all((a == b).all() for a, b in zip(found[2:], expected[2:], strict=True))
            assert np.allclose(by_hand(xp), expected_weights, rtol=1e-5)
            assert cupy.cuda.runtime.getDevice() == start
    assert set(cupy.cuda.runtime.log) <= {*range(devices)}


def test_one_device_alone_is_never_switched(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = install(monkeypatch)
    small_model("gpu")
    log = len(cupy.cuda.runtime.log)
    everything("gpu")
    assert len(cupy.cuda.runtime.log) == log


def test_every_op_and_door_finds_its_device_current(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = install(monkeypatch, devices=2)
    xp = nn.get_backend("gpu:1")
    made = [
        xp.zeros(3), xp.ones(3, dtype="float64"), xp.arange(3), xp.asarray([1.0]), xp.aligned_zeros(3),
        xp.exp(xp.zeros(3)), xp.ops.relu(xp.zeros(3), out=xp.empty(3)), xp.asarray(xp.zeros(3), dtype="float64"),
        xp.rng(0).words(5), xp.rng(0).normal((2,)),
    ]  # fmt: skip
    assert [array.device_id for array in made] == [1] * len(made)
    assert xp.to_host(made[0]).tolist() == [0, 0, 0]
    xp.synchronize()
    assert cupy.cuda.synchronized == [1]
    assert cupy.cuda.runtime.getDevice() == 0
    with nn.use_backend("gpu:1"):
        assert cupy.cuda.runtime.getDevice() == 1
    assert cupy.cuda.runtime.getDevice() == 0


def test_the_device_is_set_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = install(monkeypatch, devices=2)
    xp = nn.get_backend("gpu:1")
    for wrong in (lambda: xp.ops.relu(xp.zeros(3), out=xp.zeros(4)), lambda: xp.zeros("three")):
        with pytest.raises((ValueError, TypeError)):
            wrong()
        assert cupy.cuda.runtime.getDevice() == 0


def test_a_block_that_cannot_be_entered_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = install(monkeypatch, devices=2)
    xp = nn.get_backend("gpu:1")
    cupy.cuda.runtime.devices = 1
    with pytest.raises(RuntimeError, match="InvalidDevice"):
        xp.zeros(3)
    cupy.cuda.runtime.devices = 2
    with current(cupy, 0):
        xp.zeros(3)
        assert cupy.cuda.runtime.getDevice() == 0


def test_each_thread_has_its_own_current_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads are inside at once, and leave in the order in which they came."""
    cupy = install(monkeypatch, devices=2)
    scope = nn.get_backend("gpu:1").op_scope
    inside, leave, after = threading.Barrier(2), threading.Event(), []

    def other() -> None:
        cupy.cuda.runtime.setDevice(1)
        with scope:
            inside.wait(timeout=10)
            leave.wait(timeout=10)
        after.append(cupy.cuda.runtime.getDevice())

    thread = threading.Thread(target=other)
    with scope:
        thread.start()
        inside.wait(timeout=10)
    after.append(cupy.cuda.runtime.getDevice())
    leave.set()
    thread.join(timeout=10)
    assert after == [0, 1]
