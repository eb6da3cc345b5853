"""Where memory does not suffice: one sentence says what was needed, what was free, and a batch size that fits - and it fits."""

from __future__ import annotations

import gc
import pickle
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.backend import cupy_probe, memory, registry
from nnbackend.backend.gpu import GPUBackend
from nnbackend.cli import main
from nnbackend.footprint import EVALUATING, PREDICTING, TRAINING, footprint, numbers_per_sample
from tests.fake_cupy import Memory, fake_cupy
from tests.fuzz.watch import address_space

MIB = 2**20
N = 20_000
X = np.random.default_rng(0).normal(size=(N, 2))
LABELS, TARGETS = np.arange(N) % 3, X[:, :1]


def classifier(backend: Any, width: int = 64, **settings: Any) -> nn.Model:
    return nn.Model(
        [nn.Dense(2, width), nn.ReLU(), nn.Dropout(0.1), nn.Dense(width, 3), nn.Softmax()],
        loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01), backend=backend, seed=0, **settings,
    )  # fmt: skip


# -- backends of which the memory can be limited -----------------------------------------------------------------------------


class LimitedNumPy:
    """NumPy, where arrays of one `Memory` are made."""

    def __init__(self, budget: Memory) -> None:
        self._budget = budget

    def __getattr__(self, name: str) -> Any:
        value = getattr(np, name)
        if name not in ("empty", "zeros", "ones", "full", "arange"):
            return value

        def make(*args: Any, **kwargs: Any) -> Any:
            array = value(*args, **kwargs)
            self._budget.take(array)
            return array

        return make


class LimitedCPU(nn.Backend):
    """The CPU with a memory of its own."""

    def __init__(self, budget: Memory, dtype: str = "float32") -> None:
        super().__init__("limited", LimitedNumPy(budget), dtype=dtype)
        self.budget = budget

    def aligned_zeros(self, size: int) -> Any:
        array = super().aligned_zeros(size)
        self.budget.take(array.base.base if array.base.base is not None else array.base)
        return array

    def free_memory(self) -> int:
        return self.budget.limit - self.budget.used


@pytest.fixture(params=["cpu", "gpu"])
def limited(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Memory]]:
    """A backend and its memory: the CPU's, and that of the stand-in for CuPy."""
    if request.param == "cpu":
        budget = Memory()
        yield LimitedCPU(budget), budget
        return
    cupy = fake_cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(cupy_probe, "installed_wheels", lambda: ["cupy-cuda13x"])
    before = dict(registry._cache)
    registry._cache.clear()
    yield nn.get_backend("gpu"), cupy.memory
    registry._cache.clear()
    registry._cache.update(before)


# -- what a batch takes ------------------------------------------------------------------------------------------------------

MODELS: dict[str, Any] = {
    "classifier": lambda **settings: classifier("cpu", 10, **settings),
    "regression": lambda **settings: nn.Model(
        [nn.Dense(2, 8), nn.Sigmoid(), nn.Dense(8, 1), nn.Linear()], loss=nn.MeanSquaredError(), optimizer=nn.SGD(0.1),
        seed=0, **settings,
    ),
    "binary": lambda **settings: nn.Model(
        [nn.Dropout(0.2), nn.Dense(2, 7), nn.ReLU(), nn.Dense(7, 5), nn.ReLU(), nn.Dense(5, 1), nn.Sigmoid()],
        loss=nn.BinaryCrossentropy(), optimizer=nn.SGD(0.1), seed=0, **settings,
    ),
}  # fmt: skip


def held(model: nn.Model) -> int:
    """The numbers in all buffers."""
    parts = [*model.built._parts, getattr(model.built.ending, "joined", None)]
    spaces = [part._workspace for part in parts if part is not None and part._workspace is not None]
    return sum(array.size for space in spaces for array in space._memory.values())


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_the_estimate_is_what_layers_hold(name: str, fused: bool) -> None:
    n = 1000
    y = {"classifier": LABELS, "regression": TARGETS, "binary": LABELS % 2}[name][:n]
    model = MODELS[name](fused=fused)
    model.predict(X[:n])  # of which a batch beyond what is replayed makes buffers
    model.built.let_go()
    model.finalize()
    model.built.forward(model.xp.asarray(X[:n], dtype="float32"))
    assert held(model) == n * numbers_per_sample(model, 2, training=False)
    model.built.let_go()
    model.train(X[:n], y, print_every=0)
    found, expected = held(model) / n, numbers_per_sample(model, 2, training=True)
    # Beside them losses and accuracies keep a number of each sample, and numbers that are no sample's.
    assert expected <= found <= expected + 3.01


@pytest.mark.parametrize("doing", [TRAINING, EVALUATING, PREDICTING])
def test_data_count_where_they_are_brought_in(doing: str) -> None:
    model = classifier("cpu")
    targets = 0 if doing == PREDICTING else 8
    assert footprint(model, doing, X, N, stream=None).data == N * (8 + targets)
    assert footprint(model, doing, X.astype("float32"), N, stream=None).data == N * targets  # on the CPU they are there
    assert footprint(model, doing, X, 100, stream=True).data == 0
    batched = 0 if doing == PREDICTING else 8  # the order of an epoch
    assert footprint(model, doing, X, 100, stream=None).data == N * (8 + targets + batched)


# -- what does not fit -------------------------------------------------------------------------------------------------------


def refusal(call: Any, *args: Any, **kwargs: Any) -> nn.OutOfMemoryError:
    with pytest.raises(nn.OutOfMemoryError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, MemoryError)
    assert isinstance(caught.value, nn.NNBackendError)
    return caught.value


def test_training_that_does_not_fit_names_a_batch_size_that_does(limited: tuple[Any, Memory]) -> None:
    xp, budget = limited
    model = classifier(xp)
    model.finalize()
    budget.limit = budget.used + 8 * MIB
    error = refusal(model.train, X, LABELS, print_every=0)
    assert str(error).startswith("training on 20,000 samples at a time takes about ")
    assert f"on backend {xp.name!r}, and 8.0 MiB are free: use batch_size=" in str(error)
    assert error.batch_size
    assert error.needed > error.free
    history = model.train(X, LABELS, epochs=2, batch_size=error.batch_size, print_every=0)
    assert history["loss"][-1] < 1.2
    assert error.batch_size * 4 > 0.2 * budget.limit / 1000  # it is not just any that fits
    too_large = refusal(classifier(xp).train, X, LABELS, batch_size=8 * error.batch_size, print_every=0)
    assert too_large.batch_size <= error.batch_size


def test_evaluating_and_predicting(limited: tuple[Any, Memory]) -> None:
    xp, budget = limited
    model = classifier(xp)
    model.finalize()
    budget.limit = budget.used + 4 * MIB
    for call, start in (
        (lambda **s: model.evaluate(X, LABELS, **s), "evaluating"),
        (lambda **s: model.predict(X, **s), "predicting"),
    ):
        error = refusal(call)
        assert str(error).startswith(f"{start} 20,000 samples at a time takes about")
        assert f"use batch_size={error.batch_size} or less" in str(error)
        call(batch_size=error.batch_size)


def test_data_that_do_not_fit_may_stay_on_the_host(limited: tuple[Any, Memory]) -> None:
    xp, budget = limited
    model = classifier(xp, width=4)
    wide = np.zeros((N, 2))
    model.finalize()
    budget.limit = budget.used + MIB // 8
    if isinstance(xp, GPUBackend):  # on the CPU they are on the host anyway
        error = refusal(model.train, wide, LABELS, batch_size=100, print_every=0)
        assert "the data alone are too many; leave them on the host, with stream=True and batch_size=128" in str(error)
        error = refusal(model.train, wide.tolist(), LABELS, batch_size=100, print_every=0)
        assert str(error).endswith("the data alone are too many; use fewer")


def test_layers_that_are_too_large(limited: tuple[Any, Memory]) -> None:
    xp, budget = limited
    budget.limit = budget.used + MIB
    dense = refusal(lambda: nn.Dense(1000, 1000, backend=xp).forward(xp.ones((5, 1000))))
    assert str(dense) == (
        f"1001024 parameters and their gradients: 7.6 MiB needed, more than backend {xp.name!r} has; use smaller layers"
    )
    outputs = refusal(lambda: nn.Dense(1, 100, backend=xp).forward(xp.ones((N, 1))))
    assert str(outputs).startswith("output of shape (20000, 100): ")
    assert "use smaller batches or layers" in str(outputs)
    buffer = nn.ParameterBuffer.of(nn.Dense(20, 1000, backend=xp))
    budget.limit = budget.used + 100_000
    assert "the state of Adam for 21056 parameters: " in str(refusal(lambda: nn.Adam().update(buffer)))
    if isinstance(xp, GPUBackend):  # on the CPU they are drawn where they are
        budget.limit = budget.used + 700_000
        first_values = refusal(lambda: nn.Dense(80, 1000, backend=xp).weights)
        assert str(first_values).startswith("the first values of the weights of Dense(80, 1000): 0.3 MiB needed")
    budget.limit = budget.used + MIB
    model = nn.Model([nn.Dense(1000, 1000)], loss=nn.MeanSquaredError(), optimizer=nn.SGD(), backend=xp)
    assert "use smaller layers" in str(refusal(model.train, np.zeros((3, 1000)), np.zeros((3, 1000))))


def test_not_even_one_sample(limited: tuple[Any, Memory]) -> None:
    xp, budget = limited
    model = nn.Model(
        [nn.Dense(1, 5000, bias_initializer=nn.Zeros())], loss=nn.MeanSquaredError(), optimizer=nn.SGD(), backend=xp
    )
    model.finalize()
    budget.limit = budget.used + 30_000
    error = refusal(model.train, np.zeros((1, 1)), np.zeros((1, 5000)), print_every=0)
    assert error.batch_size is None
    assert str(error).endswith("not even one sample fits; use smaller layers")


def test_nothing_is_left_of_the_attempt(limited: tuple[Any, Memory]) -> None:
    xp, budget = limited
    model = classifier(xp)
    model.finalize()
    gc.collect()
    before = budget.used
    budget.limit = before + 8 * MIB
    refusal(model.train, X, LABELS, print_every=0)
    gc.collect()
    assert budget.used <= before + 1000


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("cudaErrorMemoryAllocation: out of memory"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
    ],
)
def test_errors_of_cuda_that_are_no_memory_errors(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = fake_cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    before = dict(registry._cache)
    registry._cache.clear()
    try:
        model = classifier("gpu")
        model.finalize()
        xp = model.xp
        assert xp.is_out_of_memory(error)
        assert not xp.is_out_of_memory(RuntimeError("cudaErrorIllegalAddress"))

        def fail(*args: Any, **kwargs: Any) -> Any:
            raise error

        monkeypatch.setattr(xp, "empty", fail)
        refused = refusal(model.train, X[:100], LABELS[:100], print_every=0)
        assert "though it says that" in str(refused)
        assert refused.batch_size == 50
    finally:
        registry._cache.clear()
        registry._cache.update(before)


def test_other_errors_pass() -> None:
    class Odd(nn.Callback):
        def on_epoch(self, run: Any) -> None:
            raise RuntimeError("out of ideas")

    with pytest.raises(RuntimeError, match="out of ideas"):
        classifier("cpu").train(X[:10], LABELS[:10], callbacks=[Odd()], print_every=0)


def test_the_error_goes_from_one_process_to_another() -> None:
    error = pickle.loads(pickle.dumps(nn.OutOfMemoryError("x", needed=3, free=2, batch_size=1)))
    assert (str(error), error.needed, error.free, error.batch_size) == ("x", 3, 2, 1)


# -- the machine's own limits --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit of a process is Linux's")
def test_a_limit_of_the_process_is_what_is_free() -> None:
    model = classifier("cpu", 2048)
    model.train(X[:100], LABELS[:100], print_every=0)  # threads and kernels take their part
    with address_space(400 * MIB):
        assert (memory.free_host_memory() or 0) <= 400 * MIB
        error = refusal(model.train, X, LABELS, print_every=0)
        assert error.batch_size
        model.train(X, LABELS, batch_size=error.batch_size // 2, print_every=0)  # threads reserve addresses as well


def test_strict_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = classifier("strict", 1024)
    model.finalize()
    monkeypatch.setattr("nnbackend.backend.base.free_host_memory", lambda: 70 * MIB)
    error = refusal(model.train, X, LABELS, print_every=0)
    assert "on backend 'strict', 0.3 MiB of it" in str(error) or "on backend 'strict', and 70.0 MiB are free" in str(
        error
    )
    model.train(X[:2000], LABELS[:2000], batch_size=error.batch_size, print_every=0)


def test_at_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("nnbackend.backend.base.free_host_memory", lambda: 100 * MIB)
    assert main(["train", "spiral", "--samples", "20000", "--hidden", "512", "--epochs", "1"]) != 0
    _, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert err.startswith("nnbackend: training on 60,000 samples at a time takes about ")
    assert "100.0 MiB are free: use --batch-size 8192 or less" in err
