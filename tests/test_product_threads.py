"""Small matrix products take one thread, and afterwards the process has as many as before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import nnbackend as nn
from nnbackend.backend.blas import SMALL_PRODUCT, one_thread_a_product
from nnbackend.kernels.cpu import cores


def threads() -> int:
    """Those of the BLAS that NumPy brings along: other packages may have loaded theirs."""
    return next(
        (p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas" and "numpy" in p["filepath"]), 1
    )


pytestmark = pytest.mark.skipif(
    threads() < 2, reason="the BLAS of this NumPy has one thread, or is none that can be asked"
)


@pytest.fixture(autouse=True)
def nobody_has_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in cores.LIMITS:
        monkeypatch.delenv(name, raising=False)


def test_one_thread_for_small_products_and_as_before_after_them():
    before = threads()
    with one_thread_a_product(True):
        assert threads() == 1
        with one_thread_a_product(True):
            assert threads() == 1
        assert threads() == 1
    assert threads() == before
    with one_thread_a_product(False):
        assert threads() == before
    with pytest.raises(ZeroDivisionError), one_thread_a_product(True):
        1 / 0  # noqa: B018
    assert threads() == before


@pytest.mark.parametrize("name", cores.LIMITS)
def test_whoever_set_a_variable_has_decided(monkeypatch, name):
    before = threads()
    monkeypatch.setenv(name, str(before))
    with one_thread_a_product(True):
        assert threads() == before


def test_blocks_at_the_same_time():
    """In whatever order they end, the process has its threads back when all have ended."""
    before, inside, leave = threads(), threading.Event(), threading.Event()

    def other() -> None:
        with one_thread_a_product(True):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with one_thread_a_product(True):
        thread.start()
        assert inside.wait(10)
        assert threads() == 1
    assert threads() == 1, "the other block is not left yet"
    leave.set()
    thread.join()
    assert threads() == before


class Asking(nn.Callback):
    """Notes the threads while training."""

    def on_epoch(self, run: Any) -> None:
        self.found = threads()


def found(make: Callable[[], list[Any]], kernels: str = "reference", samples: int = 64, **settings: Any) -> int:
    with nn.use_backend("cpu", kernels=kernels):
        layers = make()
    model = nn.Model(layers, loss=nn.MeanSquaredError(), optimizer=nn.SGD(1e-4), seed=0)
    X, asking = np.zeros((samples, 4), "float32"), Asking()
    model.train(X, np.zeros((samples, 1)), callbacks=[asking], print_every=0, **settings)
    return asking.found


def through(wide: int) -> Callable[[], list[Any]]:
    return lambda: [nn.Dense(4, 256), nn.Dense(256, wide), nn.Dense(wide, 1)]


def test_training_takes_one_thread_where_its_products_are_small():
    before = threads()
    wide = SMALL_PRODUCT // 64 // 256
    assert found(through(wide)) == 1
    assert found(through(wide + 1)) == before
    assert found(through(wide + 1), batch_size=32) == 1
    assert threads() == before


def test_kernels_share_out_larger_products_themselves():
    gemm = pytest.importorskip("nnbackend.kernels.cpu.gemm", reason="the CPU kernels need Numba")
    if not gemm.available():
        pytest.skip("NumPy has no OpenBLAS here: products are left to it")
    before = threads()
    wide = gemm.MULTIPLICATIONS // 64 // 256
    assert found(through(wide), "auto") == 1
    assert found(through(wide + 1), "auto") == before
    assert found(through(gemm.WEIGHTS // 256), "auto", samples=1000) == 1
    assert found(through(gemm.WEIGHTS // 256 + 1), "auto", samples=1000) == before


def test_layers_of_ones_own_may_multiply_more_than_they_say():
    class Own(nn.Linear):
        """Its products are unknown."""

    assert found(lambda: [nn.Dense(4, 1), Own()]) == threads()


def test_evaluating():
    model = nn.Model([nn.Dense(2, 3), nn.Softmax()], loss=nn.CategoricalCrossentropy(), backend="cpu", seed=0)
    seen: list[int] = []
    measure = model.built.measure
    model.built.measure = lambda *args, **kwargs: (seen.append(threads()), measure(*args, **kwargs))  # type: ignore[method-assign,assignment]
    model.evaluate(np.zeros((5, 2), "float32"), np.zeros(5, int))
    assert seen == [1]
