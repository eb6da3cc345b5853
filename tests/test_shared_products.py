"""Matrix products that programs do by calling NumPy's BLAS themselves: what np.matmul gives, for any rows, in any parts."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import ThreadpoolController

import nnbackend as nn
from nnbackend import ops

pytest.importorskip("numba", reason="the CPU kernels need Numba: pip install '.[jit]'")

from nnbackend.kernels.cpu import cores, gemm, link, openblas, overrides
from tests.teams import team_of

pytestmark = pytest.mark.skipif(not gemm.available(), reason="NumPy has no OpenBLAS here: products are left to it")

OVERRIDES = overrides()
PRODUCTS = ("dense", "dense_relu", "weights_gradient", "inputs_gradient")
DTYPES = ("float32", "float64")


@pytest.fixture(autouse=True)
def one_thread_a_product() -> Iterator[None]:
    with ThreadpoolController().select(user_api="blas").limit(limits=1), gemm.calling(1, 1):
        yield


def arguments(name: str, n: int, k: int, m: int, dtype: str, seed: int = 0, special: bool = False) -> tuple[Any, Any]:
    """Inputs of an op on n samples, k inputs and m outputs, and an array for what it gives."""
    rng = np.random.default_rng([seed, n, k, m])

    def real(*shape: int) -> np.ndarray:
        values = rng.standard_normal(shape).astype(dtype)
        if special:
            values[rng.random(shape) < 0.05] = rng.choice([np.nan, np.inf, -np.inf, 0.0])
        return values

    if name.startswith("dense"):
        return (real(n, k), real(k, m), real(1, m)), np.empty((n, m), dtype)
    if name == "weights_gradient":
        return (real(n, k), real(n, m)), np.empty((k, m), dtype)
    return (real(n, m), real(k, m)), np.empty((n, k), dtype)


def check(name: str, n: int, k: int, m: int, dtype: str = "float32", **made: Any) -> None:
    inputs, out = arguments(name, n, k, m, dtype, **made)
    override = next(each for each in OVERRIDES[name] if each.accepts(*inputs, out=out))
    with np.errstate(all="ignore"):
        expected = getattr(ops, name)(np, *inputs, out=np.empty_like(out))
    out[...] = 7.0  # a BLAS that added to what it finds would be found out
    for part in link.link_steps(override.function.plan(*inputs, out=out)):
        part()
    tolerance = 16 * np.finfo(dtype).eps * max(n, k, m) ** 0.5  # relative to sums of so many products, each about 1
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=tolerance)


SHAPES = [(2, 9, 7), (64, 9, 128), (128, 784, 128), (129, 130, 131), (300, 64, 64), (500, 33, 10), (65, 9, 7)]


def test_products_are_loops_of_a_program():
    for name in PRODUCTS:
        inputs, out = arguments(name, 128, 40, 30, "float32")
        (override,) = (each for each in OVERRIDES[name] if each.accepts(*inputs, out=out))
        assert "product" in override.function.plan(*inputs, out=out)[0].function.name


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("parallel", [1, 2**17])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PRODUCTS)
def test_equals_the_reference(name, dtype, parallel, threads, monkeypatch):
    monkeypatch.setattr(link, "PARALLEL_WORK", parallel)
    with team_of(threads):
        for shape in SHAPES:
            check(name, *shape, dtype)


@pytest.mark.parametrize("name", PRODUCTS)
@given(n=st.integers(1, 200), k=st.integers(1, 60), m=st.integers(1, 60), seed=st.integers(0, 2**31))
def test_equals_the_reference_on_any_shape(name, n, k, m, seed):
    check(name, n, k, m, seed=seed)


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinities_come_through_as_through_the_reference(name, dtype):
    for seed in range(4):
        check(name, 130, 20, 15, dtype, seed=seed, special=True)


def test_integers_of_32_bits():
    """The other kind of library: that of SciPy's wheel has 32 bits where NumPy's has 64."""
    pytest.importorskip("scipy.linalg")
    for found in ThreadpoolController().select(internal_api="openblas").lib_controllers:
        function = getattr(ctypes.CDLL(found.filepath), "scipy_cblas_dgemm", None)
        if function is not None:
            break
    else:
        pytest.skip("this SciPy brings no such OpenBLAS")
    address = ctypes.cast(function, ctypes.c_void_p).value
    (X, W, _), out = arguments("dense", 70, 20, 30, "float64")
    gemm.product_loop(address, 0, X, W, out)
    np.testing.assert_allclose(out, X @ W, rtol=1e-12)
    dX, dW = np.empty_like(X), np.empty_like(W)
    gemm.inputs_gradient_product_loop(address, 0, out, W, dX)
    np.testing.assert_allclose(dX, out @ W.T, rtol=1e-12)
    gemm.weights_gradient_product_loop(address, 0, X, out, np.arange(20), dW)
    np.testing.assert_allclose(dW, X.T @ out, rtol=1e-12)


def test_with_several_threads_a_product_is_numpys():
    with ThreadpoolController().select(user_api="blas").limit(limits=2), gemm.calling(1, 1):
        if gemm.gemm("float32") is not None:
            pytest.skip("this BLAS has one thread only")
        (X, W, b), out = arguments("dense", 128, 40, 30, "float32")
        assert OVERRIDES["dense"][0].function.plan(X, W, b, out=out)[0].function is np.matmul
        (X, D), dW = arguments("weights_gradient", 128, 40, 30, "float32")
        assert not any(override.accepts(X, D, out=dW) for override in OVERRIDES["weights_gradient"])
        assert OVERRIDES["weights_gradient"][0].function.plan(X, D, out=dW)[0].function is np.matmul
        (D, W), dX = arguments("inputs_gradient", 128, 40, 30, "float32")
        assert not any(override.accepts(D, W, out=dX) for override in OVERRIDES["inputs_gradient"])
        assert OVERRIDES["inputs_gradient"][0].function.plan(D, W, out=dX)[0].function is np.matmul


def loaded(*found: tuple[str, str]) -> type:
    """A controller that has found such libraries of OpenBLAS."""

    class Controller:
        lib_controllers = [  # noqa: RUF012
            type("Found", (), {"filepath": path, "threading_layer": layer, "internal_api": "openblas"})
            for path, layer in found
        ]

    return Controller


@pytest.mark.parametrize(
    "found",
    [
        (),
        (("/a/one.so", "pthreads"), ("/b/two.so", "pthreads")),
        (("/a/one.so", "openmp"),),
        (("/numpy.libs/one.so", "openmp"), ("/b/two.so", "pthreads")),
    ],
    ids=["none", "two, neither NumPy's", "OpenMP", "NumPy's OpenMP"],
)
def test_a_library_that_cannot_be_told_or_has_threads_of_another_kind_is_left_alone(found, monkeypatch):
    monkeypatch.setattr("threadpoolctl.ThreadpoolController", loaded(*found))
    _nothing_is_called()


def test_another_numpy_than_one_with_openblas_is_left_alone(monkeypatch):
    monkeypatch.setattr(np, "show_config", lambda mode: {"Build Dependencies": {"blas": {"name": "mkl-sdl"}}})
    _nothing_is_called()


def _nothing_is_called() -> None:
    openblas.openblas.cache_clear()
    try:
        assert not gemm.available()
        assert not gemm.shares(1, 1)
        with gemm.calling(1, 1):
            assert gemm.gemm("float32") is None
    finally:
        openblas.openblas.cache_clear()


def test_blocks_of_large_products_leave_them_to_numpy():
    with gemm.calling(512, 512 * 512):
        assert gemm.gemm("float32") is None
        with gemm.calling(128, 784 * 128):
            assert gemm.gemm("float32") is not None
        assert gemm.gemm("float32") is None


def test_training_beside_other_training_gives_the_same_bits(monkeypatch):
    """Whoever begins or ends first: what is called here or left to NumPy is decided by a network's own sizes."""
    for name in cores.LIMITS:
        monkeypatch.delenv(name, raising=False)

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((1280, 784)).astype(np.float32), rng.integers(0, 10, 1280)

    def parameters(epochs: int) -> np.ndarray:
        model = nn.Model(
            [nn.Dense(784, 128), nn.ReLU(), nn.Dense(128, 128), nn.ReLU(), nn.Dense(128, 10), nn.Softmax()],
            loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01), seed=1,
        )  # fmt: skip
        model.train(X, y, epochs=epochs, batch_size=128, print_every=0)
        return np.array(model.parameter_buffer.values)

    lengths = (3, 40, 8)  # the first to begin ends first: what it set must hold for the others
    with team_of(2):
        alone = [parameters(epochs) for epochs in lengths]
        for _ in range(3):
            with ThreadPoolExecutor(len(lengths)) as pool:
                beside = list(pool.map(parameters, lengths))
            for epochs, found, expected in zip(lengths, beside, alone, strict=True):
                np.testing.assert_array_equal(found, expected, err_msg=f"{epochs} epochs")


def test_what_a_network_was_promised_holds_when_others_end_first(monkeypatch):
    """Training that began inside another thread's block has products of one thread to its end."""
    for name in cores.LIMITS:
        monkeypatch.delenv(name, raising=False)
    library = openblas.openblas()
    assert library is not None
    begun, left = threading.Event(), threading.Event()
    seen: list[tuple[int, bool]] = []

    class Asks(nn.Callback):
        def on_epoch(self, *_: Any, **__: Any) -> None:
            seen.append((library.get_threads(), gemm._thread.calling))
            begun.set()
            left.wait(10)

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((260, 50)).astype(np.float32), rng.integers(0, 10, 260)
    model = image_model()
    library.set_threads(2)
    training = threading.Thread(
        target=lambda: model.train(X, y, epochs=3, batch_size=130, print_every=0, callbacks=[Asks()])
    )
    with nn.get_backend("cpu").product_threads(128, 784 * 128):
        training.start()
        assert begun.wait(30)
    left.set()
    training.join()
    assert seen == [(1, True)] * 3


def test_predictions_are_numpys_products_wherever_they_are_asked_for(monkeypatch):
    """A callback of training asks for a shape first; what was recorded then is replayed outside of it."""
    for name in cores.LIMITS:
        monkeypatch.delenv(name, raising=False)
    made: list[Any] = []
    original = link.Program
    model = image_model()
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((600, 50)).astype(np.float32), rng.integers(0, 10, 600)

    class Asks(nn.Callback):
        def on_report(self, *_: Any, **__: Any) -> None:
            monkeypatch.setattr(link, "Program", lambda stages: made.append(stages) or original(stages))
            model.predict(X[:100])
            monkeypatch.setattr(link, "Program", original)

    model.train(X, y, epochs=1, batch_size=130, print_every=0, callbacks=[Asks()])
    names = {
        step.function.name
        for stages in made
        for stage in stages
        for item in stage
        for part in item
        for step in part.steps
    }
    assert names
    assert not any(name.startswith("gemm.") for name in names)


def test_an_output_that_overlaps_an_input_is_left_to_the_reference():
    pool = np.random.default_rng(0).standard_normal(3000).astype(np.float32)
    weights = np.ones((20, 10), np.float32)
    dvalues, out = pool[:1400].reshape(140, 10), pool[20:2820].reshape(140, 20)
    assert not any(override.accepts(dvalues, weights, out=out) for override in OVERRIDES["inputs_gradient"])
    shifted = pool[1:1401].reshape(140, 10)
    assert not any(override.accepts(dvalues, out=shifted) for override in OVERRIDES["relu"])
    assert any(override.accepts(dvalues, out=dvalues) for override in OVERRIDES["relu"])


def image_model() -> nn.Model:
    return nn.Model(
        [nn.Dense(50, 40), nn.ReLU(), nn.Dense(40, 30), nn.ReLU(), nn.Dense(30, 10), nn.Softmax()],
        loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01), seed=1,
    )  # fmt: skip


def trained(threads: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((600, 50)).astype(np.float32), rng.integers(0, 10, 600)
    with team_of(threads):
        model = image_model()
        model.train(X, y, epochs=5, batch_size=130, print_every=0)  # and a short last batch
        return np.array(model.parameter_buffer.values)


def test_a_training_step_with_products_is_one_program_and_has_the_same_bits_with_any_number_of_threads(monkeypatch):
    for name in cores.LIMITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(link, "PARALLEL_WORK", 1000)
    made = []
    original = link.Program
    monkeypatch.setattr(link, "Program", lambda stages: made.append(stages) or original(stages))
    first = trained(1)
    names = {
        step.function.name for stage in max(made, key=len) for item in stage for part in item for step in part.steps
    }
    assert {"gemm.product_loop", "gemm.weights_gradient_product_loop", "optimizers.adam_loop"} <= names
    for threads in (1, 2, 3, 8):
        np.testing.assert_array_equal(trained(threads), first)
