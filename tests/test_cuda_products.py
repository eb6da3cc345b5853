"""Matrix products through cuBLAS: what it is asked for, checked by a stand-in that computes column by column."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnbackend as nn
from nnbackend import ops
from nnbackend.kernels.cuda import products
from nnbackend.kernels.cuda.launch import Kernels
from nnbackend.kernels.cuda.products import CublasProducts
from tests.cuda_emulator import GuardedNumPy
from tests.fake_cublas import FakeCublas


class Setup:
    """Products on guarded NumPy memory, and a device and a stream that a test can change."""

    def __init__(self, precision: str = "float32") -> None:
        self.memory = GuardedNumPy()
        self.cublas = FakeCublas()
        self.device, self.stream = 0, 17
        runtime = types.SimpleNamespace(getDevice=lambda: self.device)
        current = lambda: types.SimpleNamespace(ptr=self.stream)  # noqa: E731
        cupy = types.SimpleNamespace(
            empty=self.memory.empty, cuda=types.SimpleNamespace(runtime=runtime, get_current_stream=current)
        )
        self.products = CublasProducts(cupy, lambda: self.cublas, precision, lambda array: array.ctypes.data)

    def product(self, *shape: int, dtype: str = "float32", left: bool = False, right: bool = False) -> Any:
        """(found, expected) for factors of shapes (n, k) and (k, m), lying transposed where asked."""
        n, k, m = shape
        rng = np.random.default_rng([n, k, m])
        first = self.memory.array(rng.integers(-9, 9, (k, n) if left else (n, k)).astype(dtype))
        second = self.memory.array(rng.integers(-9, 9, (m, k) if right else (k, m)).astype(dtype))
        out = self.memory.empty((n, m), dtype)
        result = self.products.multiply(first, second, out=out, left_transposed=left, right_transposed=right)
        assert result is out
        self.memory.check_guards()
        return out, (first.T if left else first) @ (second.T if right else second)


sizes = st.integers(0, 9)


@given(sizes, sizes, sizes, st.booleans(), st.booleans(), st.sampled_from(["float32", "float64"]))
def test_products_of_any_shape_lying_either_way(n, k, m, left, right, dtype):
    """Whole numbers, so that the order of sums does not matter and the results are equal."""
    found, expected = Setup().product(n, k, m, dtype=dtype, left=left, right=right)
    np.testing.assert_array_equal(found, expected)


@given(n=st.integers(0, 7), k=st.integers(0, 7), m=st.integers(0, 7), seed=st.integers(0, 99))
def test_the_ops_ask_for_the_right_products(n, k, m, seed):
    """The ops of a Dense layer through cuBLAS equal their references; the kernels after them are left out here."""
    setup = Setup()
    kernels = Kernels(setup.memory, types.SimpleNamespace(launch=lambda *args: None), setup.products)
    rng = np.random.default_rng(seed)
    inputs, weights, dvalues = (rng.integers(-9, 9, s).astype("float32") for s in ((n, k), (k, m), (n, m)))
    zeros = np.zeros((1, m), "float32")
    calls = {
        "dense": ((inputs, weights, zeros), (n, m)),
        "weights_gradient": ((inputs, dvalues), (k, m)),
        "inputs_gradient": ((dvalues, weights), (n, k)),
    }
    for name, (args, shape) in calls.items():
        (override,) = kernels.overrides()[name]
        found, expected = np.full((2, *shape), 5, "float32")
        assert override.accepts(*args, out=found)
        override.function(*args, out=found)
        np.testing.assert_array_equal(found, getattr(ops, name)(np, *args, out=expected), err_msg=name)


@pytest.mark.parametrize(("precision", "compute"), [("float32", 68), ("tf32", 77), ("bfloat16", 75)])
def test_the_precision_is_that_of_float32_products_alone(precision, compute):
    setup = Setup(precision)
    setup.product(2, 3, 4)
    setup.product(2, 3, 4, dtype="float64")
    assert setup.cublas.computes == [compute, 70]


def test_a_rounded_precision_rounds_factors():
    """1 + 2^-9 survives TF32 (10 bits) and not bfloat16 (7 bits): what the stand-in is told to do, it does."""
    for precision, expected in (("float32", 1 + 2**-9), ("tf32", 1 + 2**-9), ("bfloat16", 1.0)):
        factor, one = np.full((1, 1), 1 + 2**-9, "float32"), np.ones((1, 1), "float32")
        assert Setup(precision).products.multiply(factor, one, out=np.empty_like(one)) == expected


def test_the_stream_is_set_before_the_workspace_and_only_when_it_changes():
    setup = Setup()
    for _ in range(3):
        setup.product(2, 2, 2)
    gemm, change = "cublasGemmEx_64", ["cublasSetStream_v2", "cublasSetWorkspace_v2"]
    assert setup.cublas.calls == ["cublasCreate_v2", *change, gemm, gemm, gemm]
    setup.stream = 18
    setup.product(2, 2, 2)
    setup.stream = 17
    setup.product(2, 2, 2)
    assert setup.cublas.calls[6:] == [*change, gemm, *change, gemm]
    assert setup.cublas.streams == [17, 17, 17, 18, 17]
    assert len(setup.products._workspaces) == 2, "one workspace a stream, and it stays"


def test_every_device_has_its_own_handle():
    setup = Setup()
    for setup.device in (0, 1, 0):
        setup.product(2, 2, 2)
    assert setup.cublas.handles == 2
    assert setup.cublas.calls.count("cublasSetStream_v2") == 2


def test_a_refusal_is_an_error_that_names_the_call():
    setup = Setup()
    setup.cublas._functions["cublasGemmEx_64"] = lambda *args: 13
    with pytest.raises(nn.BackendError, match=r"cuBLAS refused cublasGemmEx with status 13: .* kernels=\"auto\""):
        setup.product(2, 2, 2)


def test_a_stream_that_could_not_be_set_is_tried_again():
    """The handle may be set to another stream by then, and without a workspace: the one before is set again as well."""
    setup = Setup()
    setup.product(2, 2, 2)
    working = setup.cublas._functions["cublasSetWorkspace_v2"]
    setup.cublas._functions["cublasSetWorkspace_v2"] = lambda *args: 7
    setup.stream = 18
    with pytest.raises(nn.BackendError, match="cublasSetWorkspace"):
        setup.product(2, 2, 2)
    setup.cublas._functions["cublasSetWorkspace_v2"] = working
    for setup.stream in (17, 18):
        found, expected = setup.product(2, 2, 2)
        np.testing.assert_array_equal(found, expected)
    assert setup.cublas.streams == [17, 17, 18]


def test_a_cublas_that_is_missing_is_one_sentence(monkeypatch):
    pathfinder = pytest.importorskip("cuda.pathfinder")

    def missing(name: str) -> Any:
        raise RuntimeError(f"no {name}\nmany\nlines")

    monkeypatch.setattr(pathfinder, "load_nvidia_dynamic_lib", missing)
    with pytest.raises(
        nn.BackendError, match=r"^cuBLAS 12 or newer cannot be loaded \(no cublas\): install it with.*$"
    ):
        products.load_cublas()
