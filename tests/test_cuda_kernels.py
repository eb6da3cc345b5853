"""The CUDA kernels: they compile for three architectures, and compute what the reference does.

Without a GPU their arithmetic is checked by an emulator that runs them on the CPU (cuda_emulator.h); every test that takes
`device` runs again on a GPU where one works. What that leaves unproved is in docs/gpu-status.md.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnbackend as nn
from nnbackend import ops
from nnbackend.backend.dispatch import references
from nnbackend.kernels.cuda import compile as cuda_compile
from nnbackend.kernels.cuda import grids
from nnbackend.kernels.cuda.compile import CupyModule, compile_without_gpu, signatures
from nnbackend.kernels.cuda.launch import Kernels
from nnbackend.kernels.cuda.products import CublasProducts, load_cublas
from tests import cuda_emulator
from tests.cuda_cases import CASES, EXACT, NOT_EMPTY, WITHOUT_KERNEL, Call, Maker
from tests.cuda_emulator import EmulatedModule, GuardedNumPy
from tests.test_rng import KNOWN_ANSWERS

ARCHITECTURES = ("sm_80", "sm_90", "sm_120")  # A100, H100 and H200, RTX 50
DTYPES = ("float32", "float64")

# No rows, one of everything, part of a warp, whole warps, one more, a block to a row; enough rows for two stages.
SHAPES = [(0, 3), (1, 1), (1, 5), (7, 1), (9, 3), (33, 32), (64, 33), (300, 3), (3, 1500), (2101, 7)]


def needed(reason: str) -> None:
    """Skip a test for want of a tool, but fail in CI, where it must not be skipped."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; in CI this test may not be skipped")
    pytest.skip(reason)


# -- compiling ---------------------------------------------------------------------------------------------------------


@functools.cache
def compiled(dtype: str, architecture: str, method: str = "cubin") -> Any:
    """The kernels for an architecture; the tests that ask skip where CuPy or NVRTC is missing."""
    try:
        importlib.import_module("cupy.cuda.compiler")
        importlib.import_module("cupy_backends.cuda.libs.nvrtc").getVersion()
    except (ImportError, RuntimeError) as error:
        needed(f"CuPy with NVRTC is not installed ({error}): pip install '.[test]'")
    return compile_without_gpu(dtype, architecture, method=method)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles_without_a_gpu(dtype, architecture):
    cubin = compiled(dtype, architecture)
    found = {name.decode() for name in re.findall(rb"\.text\.(\w+)\0", cubin)}
    assert found == set(signatures())


def test_nothing_is_computed_in_double_by_accident():
    """A literal such as 0.5 makes a double of everything it meets, at a 64th of the speed on most GPUs."""
    ptx = compiled("float32", "sm_90", "ptx").decode()
    in_double = {"accuracy_end", "categorical_accuracy", "binary_accuracy", "regression_accuracy"}  # one division
    in_double |= {"decayed_learning_rate", "adam_step_sizes", "record"}  # one thread
    for entry in ptx.split(".entry ")[1:]:
        name = entry[: entry.index("(")]
        assert name in in_double or ".f64" not in entry, f"{name} computes in double"


def test_a_mistake_is_reported_with_its_line(monkeypatch):
    compiled("float32", "sm_90")
    monkeypatch.setattr(cuda_compile, "source", lambda: '#line 1 "layers.cu"\nint good;\nint bad = nothing;\n')
    with pytest.raises(Exception, match=r"layers\.cu\(2\): error"):
        compile_without_gpu("float32", "sm_90")


# -- signatures --------------------------------------------------------------------------------------------------------


def test_every_kernel_is_read_with_all_its_parameters():
    text = cuda_compile.source()
    assert text.count("__global__") == 1, "declare kernels with KERNEL"
    assert len(signatures()) == len(re.findall(r"^KERNEL", text, re.MULTILINE))
    for name, parameters in signatures().items():
        listed = re.search(rf"^KERNEL {name}\(([^)]*)\)", text, re.MULTILINE)[1]
        assert len(parameters) == listed.count(",") + 1, name


@pytest.mark.parametrize("name", signatures())
def test_every_parameter_has_a_type_that_launches_can_convert(name):
    args = [None if kind.endswith("*") else 1 for kind, _ in signatures()[name]]
    for dtype in DTYPES:
        converted = cuda_compile.converted(name, dtype, args)
        assert [None if arg is None else arg.dtype.itemsize for arg in converted] == [
            None if kind.endswith("*") else 4 if (kind, dtype) == ("real", "float32") else 8
            for kind, _ in signatures()[name]
        ]


def test_a_launch_with_wrong_arguments_is_refused():
    x = np.zeros(3, np.float32)
    with pytest.raises(TypeError, match="takes 3 arguments, not 2"):
        cuda_compile.converted("sigmoid", "float32", (x, 3))
    with pytest.raises(TypeError, match="inputs is an array of float32, expected float64"):
        cuda_compile.converted("sigmoid", "float64", (x, 3, x))


class PretendCupy:
    """As much of CuPy as a launch touches; keeps what it was given."""

    def __init__(self) -> None:
        self.modules: list[dict[str, Any]] = []
        self.launches: list[tuple[Any, ...]] = []

    def RawModule(self, **settings: Any) -> Any:
        self.modules.append(settings)
        return self

    def get_function(self, name: str) -> Any:
        return lambda grid, block, args: self.launches.append((name, grid, block, args))


def test_a_module_is_compiled_once_for_each_dtype_that_is_used():
    cupy = PretendCupy()
    module = CupyModule(cupy)
    counter = np.zeros(1, np.int64)
    for dtype in ("float64", None, "float64", "float32"):
        module.launch("advance", dtype, (1,), (1,), 2, counter)
    assert [settings["options"] for settings in cupy.modules] == [
        ("-DREAL=double", "-fmad=false"),
        ("-DREAL=float", "-fmad=false"),
    ]
    assert all(settings["code"] == cuda_compile.source() for settings in cupy.modules)
    name, grid, block, (amount, state) = cupy.launches[0]
    assert (name, grid, block) == ("advance", (1,), (1,))
    assert isinstance(amount, np.int64)
    assert state is counter


# -- the emulator ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def libraries(tmp_path_factory):
    """The kernels compiled for the CPU."""
    if cuda_emulator.COMPILER is None:
        needed("g++ is not installed: it compiles the CUDA kernels for the emulator")
    return cuda_emulator.build(tmp_path_factory.mktemp("emulated"), cuda_compile.source())


FAULTY = """
#define KERNEL extern "C" __global__ void
KERNEL no_barrier(REAL* out) {
    __shared__ int shared[64];
    shared[threadIdx.x] = threadIdx.x;
    out[threadIdx.x] = shared[63 - threadIdx.x];
}
KERNEL uninitialized(REAL* out) {
    __shared__ REAL shared[64];
    out[threadIdx.x] = shared[threadIdx.x];
}
KERNEL divergent_barrier(REAL* out) {
    if (threadIdx.x < 32) __syncthreads();
}
KERNEL two_barriers(REAL* out) {
    if (threadIdx.x < 32) __syncthreads();
    else
        __syncthreads();
}
KERNEL part_of_a_warp(REAL* out) {
    if (threadIdx.x % 2) *out = __shfl_xor_sync(0xffffffffu, *out, 1);
}
KERNEL beyond_the_end(REAL* out) { out[64 + threadIdx.x] = 1; }
"""


@pytest.fixture(scope="module")
def faulty(libraries, tmp_path_factory):
    """Kernels with mistakes that a GPU may or may not punish."""
    return cuda_emulator.build(tmp_path_factory.mktemp("faulty"), FAULTY)


def run_faulty(faulty, name: str, order: int = 0) -> np.ndarray:
    memory = GuardedNumPy()
    out = memory.empty(64, "float32")
    EmulatedModule(faulty).run(name, "float32", (1,), (64,), (out,), order)
    memory.check_guards()
    return out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("divergent_barrier", "waits at line"),
        ("two_barriers", "waits at line"),
        ("part_of_a_warp", "waits at line"),
        ("beyond_the_end", "outside of an array"),
    ],
)
def test_the_emulator_notices(faulty, name, words):
    with pytest.raises(AssertionError, match=words):
        run_faulty(faulty, name)


def test_the_emulator_notices_a_missing_barrier(faulty):
    assert run_faulty(faulty, "no_barrier", 0).tolist() != run_faulty(faulty, "no_barrier", 1).tolist()


def test_the_emulator_notices_uninitialized_shared_memory(faulty):
    assert np.isnan(run_faulty(faulty, "uninitialized")).all()


# -- against the reference ---------------------------------------------------------------------------------------------


class Device:
    """Where kernels run: the emulator, or a GPU."""

    def __init__(self, namespace: Any, module: Any, array: Any, to_host: Any, products: Any = None) -> None:
        self.array, self.to_host = array, to_host
        self.module = module
        self.kernels = Kernels(namespace, module, products)
        self.overrides = {name: override for name, (override,) in self.kernels.overrides().items()}


@pytest.fixture(params=["emulated", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request):
    """The kernels on each device."""
    if request.param == "gpu":
        cupy = importlib.import_module("cupy")
        products = CublasProducts(cupy, load_cublas, "float32")
        yield Device(cupy, CupyModule(cupy), cupy.asarray, cupy.asnumpy, products)
        return
    memory = GuardedNumPy()
    module = EmulatedModule(request.getfixturevalue("libraries"))
    yield Device(memory, module, memory.array, np.copy)
    memory.check_guards()


def mapped(function: Any, value: Any) -> Any:
    """The function applied to each array in nested tuples and dictionaries."""
    if isinstance(value, (tuple, list)):
        return tuple(mapped(function, part) for part in value)
    if isinstance(value, dict):
        return {name: mapped(function, part) for name, part in value.items()}
    return function(value) if hasattr(value, "dtype") else value


def arrays_in(value: Any) -> list[Any]:
    found: list[Any] = []
    mapped(found.append, value)
    return found


def check(device: Device, name: str, case: Call, dtype: str, length: int) -> None:
    """The override accepts the call, and leaves in every array what the reference leaves there."""
    expected = mapped(np.copy, (case.args, case.kwargs))
    args, kwargs = mapped(device.array, (case.args, case.kwargs))
    override = device.overrides[name]
    assert override.accepts(*args, **kwargs)
    with np.errstate(all="ignore"):
        getattr(ops, name)(np, *expected[0], **expected[1])
        result = override.function(*args, **kwargs)
    assert result is kwargs.get("out", kwargs.get("state"))
    for found, wanted in zip(arrays_in((args, kwargs)), arrays_in(expected), strict=True):
        exact = name in EXACT or wanted.dtype.kind != "f"
        what = f"{name} of {mapped(np.shape, case.args)}"
        compare(device.to_host(found), wanted, 0 if exact else 16 * np.finfo(dtype).eps * max(length, 1) ** 0.5, what)


def compare(found: np.ndarray, wanted: np.ndarray, tolerance: float, what: str) -> None:
    """Alike to the bit for a tolerance of 0, else relative to the number or to 1, which is what was summed."""
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    if tolerance == 0:
        np.testing.assert_array_equal(found, wanted, err_msg=what)
        return
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance, err_msg=what)


def made(name: str, dtype: str, shape: tuple[int, int], special: bool = False, seed: int = 0) -> Call:
    rng = np.random.default_rng([zlib.crc32(name.encode()), *shape, special, seed])
    return CASES[name](Maker(rng, dtype, special), *shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_equals_the_reference(device, name, dtype):
    for shape in SHAPES:
        if np.prod(shape) or name not in NOT_EMPTY:
            check(device, name, made(name, dtype, shape), dtype, max(shape) if 1 in shape else int(np.prod(shape)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_nan_and_infinities_come_through_as_through_the_reference(device, name, dtype):
    for seed, shape in enumerate([(1, 1), (9, 3), (40, 5), (3, 70), (30, 20)] * 2):
        check(device, name, made(name, dtype, shape, special=True, seed=seed), dtype, int(np.prod(shape)))


@pytest.mark.parametrize("name", CASES)
@given(rows=st.integers(1, 40), columns=st.integers(1, 40), special=st.booleans(), seed=st.integers(0, 2**31))
def test_equals_the_reference_on_any_shape(device, name, rows, columns, special, seed):
    check(device, name, made(name, "float32", (rows, columns), special, seed), "float32", rows * columns)


@pytest.mark.parametrize("name", CASES)
def test_any_grid_gives_a_right_answer(device, name, monkeypatch):
    """A grid that is smaller than the work: what happens beyond MAX_BLOCKS and MAX_PARTS."""
    monkeypatch.setattr(grids, "MAX_BLOCKS", 2)
    monkeypatch.setattr(grids, "MAX_PARTS", 2)
    monkeypatch.setattr(grids, "PER_THREAD", 1)
    monkeypatch.setattr(grids, "MAX_CHUNKS", 3)
    monkeypatch.setattr(grids, "ROWS_PER_THREAD", 1)
    for shape in ((301, 9), (3, 1500)):
        check(device, name, made(name, "float32", shape), "float32", shape[0] * shape[1])


def test_every_op_has_a_kernel_or_a_reason():
    names = set(Kernels(np, None).overrides())
    assert names == set(CASES)
    assert names | WITHOUT_KERNEL == set(references(ops))


def test_the_status_page_lists_every_override():
    """docs/gpu-status.md: a row for each, and what it says of a GPU is what `proved` says."""
    page = (Path(__file__).parent.parent / "docs" / "gpu-status.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.+?) \|$", page, re.MULTILINE)
    status = {name: override.proved for name, (override,) in Kernels(np, None).overrides().items()}
    assert {name: on_gpu != "not yet" for name, on_gpu in rows} == status
    for name in re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| `\w+` \|(.*)$", page, re.MULTILINE))):
        assert name in signatures(), f"the page names a kernel {name} that is not there"


def test_every_kernel_is_launched_by_some_op(libraries):
    memory = GuardedNumPy()
    module = EmulatedModule(libraries, orders=("forwards",))
    kernels = Kernels(memory, module)
    for shape in ((2, 3), (2101, 7)):
        for name in CASES:
            case = made(name, "float64", shape)
            getattr(kernels, name)(*case.args, **case.kwargs)
    kernels.random_words(3, key=1, stream=2, step=np.zeros(1, np.int64))
    module.launch("penalty", "float64", (1,), (32,), memory.array(np.ones(3)), 1, 1, 3, None, memory.array(1.0))
    assert set(signatures()) == module.launched


# -- what single kernels promise beyond that --------------------------------------------------------------------------------


def single(device: Device, name: str, *args: Any, **kwargs: Any) -> Any:
    """The result of one op, on the host."""
    args, kwargs = mapped(device.array, (args, kwargs))
    return mapped(device.to_host, device.overrides[name].function(*args, **kwargs))


@pytest.mark.parametrize(("block", "stream", "step", "key", "words"), KNOWN_ANSWERS)
def test_philox_gives_the_published_words(device, block, stream, step, key, words):
    step = device.array(np.array([step], np.uint64).astype(np.int64))
    found = device.kernels.random_words(4, key=key, stream=stream, step=step, first=block)
    assert device.to_host(found).tolist() == list(words)


@pytest.mark.parametrize("count", [0, 1, 4, 1027])
def test_random_words_are_those_of_the_host(device, count):
    from nnbackend.rng import random_words

    settings = {"key": 2**64 - 3, "stream": 7, "step": np.array([2**40 + 1])}
    found = device.kernels.random_words(count, **mapped(device.array, settings))
    np.testing.assert_array_equal(device.to_host(found), random_words(np, count, **settings))


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_masks_are_those_of_the_host_to_the_bit(device, dtype):
    for rate in (0.0, 0.1, 0.5, 1 - 2.0**-40):
        maker = Maker(np.random.default_rng(0), dtype)
        args = maker.real(50, 7), maker.number(3, "int64")
        settings = {"rate": rate, "key": 11, "stream": 2}
        out = maker.out(50, 7), maker.out(50, 7)
        expected = ops.dropout(np, *args, **settings, out=mapped(np.copy, out))
        found = single(device, "dropout", *args, **settings, out=out)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_word_at_the_threshold_keeps_its_element(device):
    """Dropped is what lies below rate · 2³², and here one word is exactly that."""
    settings = {"key": 11, "stream": 2}
    step = np.zeros(1, np.int64)
    words = device.to_host(device.kernels.random_words(8, **settings, step=device.array(step)))
    out = np.zeros(8), np.zeros(8)
    _, mask = single(device, "dropout", np.ones(8), step, rate=float(words[5]) / 2**32, **settings, out=out)
    np.testing.assert_array_equal(mask > 0, words >= words[5])


@pytest.mark.parametrize("columns", [3, 40, 1500])
def test_a_label_that_names_no_class_gives_nan_and_touches_nothing_else(device, columns):
    maker = Maker(np.random.default_rng(0), "float32")
    inputs, targets = maker.real(5, columns), np.array([0, columns, -1, -columns - 1, 2**40])
    _, losses = single(device, "softmax_crossentropy", inputs, targets, out=(maker.out(5, columns), maker.out(5)))
    np.testing.assert_array_equal(np.isnan(losses), [False, True, False, True, True])
    probabilities = maker.probabilities(5, columns)
    losses = single(device, "categorical_crossentropy", probabilities, targets, out=maker.out(5))
    np.testing.assert_array_equal(np.isnan(losses), [False, True, False, True, True])
    gradient = single(device, "categorical_crossentropy_backward", probabilities, targets, out=maker.out(5, columns))
    assert (gradient[[1, 3, 4]] == 0).all()


def test_accuracies_at_the_boundary(device):
    half, out = np.array([[0.5, 0.75]]), np.zeros(())
    assert single(device, "binary_accuracy", half, np.array([[0.0, 1.0]]), out=out) == 1.0
    assert single(device, "regression_accuracy", half, np.array([[0.25, 0.75]]), np.full(1, 0.25), out=out) == 0.5


def test_an_index_out_of_range_wraps_as_in_cupy(device):
    data, indices = np.arange(6.0).reshape(3, 2), np.array([-1, 3, 7, -4])
    found = single(device, "gather", data, indices, out=np.zeros((4, 2)))
    np.testing.assert_array_equal(found, data[indices % 3])
    out, position = np.zeros(4, np.int64), np.zeros(1, np.int64)
    found = single(device, "batch_indices", np.array([5, 6, 7]), position, indices, out=out)
    np.testing.assert_array_equal(found, np.array([5, 6, 7])[indices % 3])


@pytest.mark.parametrize("row_bytes", [1, 4, 12, 16, 48, 784, 20_000])
@pytest.mark.parametrize("shift", [0, 1, 4])
def test_gather_moves_rows_of_any_length_from_any_address(device, row_bytes, shift):
    rng = np.random.default_rng(0)
    raw = device.array(rng.integers(0, 256, shift + 5 * row_bytes).astype(np.uint8))
    data = raw[shift:].reshape(5, row_bytes)
    indices = np.array([4, 0, 0, 3])
    out = device.kernels.gather(data, device.array(indices), out=device.array(np.zeros((4, row_bytes), np.uint8)))
    np.testing.assert_array_equal(device.to_host(out), device.to_host(data)[indices])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sgd_momentum", "rmsprop", "adam", "adamw"])
def test_denormals_become_zero(device, name, dtype):
    case = made(name, dtype, (8, 4))
    tiny = np.finfo(dtype).tiny
    case.args[0][...] = 0
    for state in case.kwargs["state"][1:]:
        state[...] = np.array([tiny / 2, tiny, 4 * tiny, 1.0] * 8)
    single_state = single(device, name, *case.args, **case.kwargs)[1:]
    for state in single_state:
        assert not ((state != 0) & (np.abs(state) < tiny)).any()
        assert (state[2::4] != 0).all()


@pytest.mark.parametrize("name", ["softmax", "sigmoid", "softmax_crossentropy_backward", "sigmoid_backward"])
def test_an_output_may_be_an_input(device, name):
    case = made(name, "float64", (9, 5))
    expected = single(device, name, *case.args, **case.kwargs)
    first = device.array(case.args[0])
    device.overrides[name].function(first, *mapped(device.array, case.args[1:]), out=first)
    np.testing.assert_array_equal(device.to_host(first), expected)


def test_same_bits_on_every_run(device):
    for name in ("relu_biases_gradient", "mean", "penalty", "softmax_crossentropy"):
        case = made(name, "float32", (2101, 7))
        runs = [arrays_in(single(device, name, *case.args, **case.kwargs)) for _ in range(2)]
        for one, other in zip(*runs, strict=True):
            np.testing.assert_array_equal(one, other)


# -- what is accepted --------------------------------------------------------------------------------------------------


def accepted(name: str, *args: Any, **kwargs: Any) -> bool:
    (override,) = Kernels(np, None).overrides()[name]
    return override.accepts(*args, **kwargs)


@pytest.mark.parametrize("name", CASES)
def test_only_contiguous_arrays_of_one_dtype_are_accepted(name):
    case = made(name, "float32", (6, 5))
    assert accepted(name, *case.args, **case.kwargs)
    everything = arrays_in((case.args, case.kwargs))
    for chosen, array in enumerate(everything):
        if array.size > 1:
            assert not accepted_with(name, case, chosen, np.repeat(array, 2, axis=-1)[..., ::2]), "strided"
            if name not in ("mean", "penalty"):  # which take any shape
                assert not accepted_with(name, case, chosen, array[None]), "one dimension more"
        if name not in ("gather", "record") and len(everything) > 1:
            other = "float16" if array.dtype.kind == "f" else "int32"
            assert not accepted_with(name, case, chosen, array.astype(other)), other


def accepted_with(name: str, case: Call, chosen: int, replacement: np.ndarray) -> bool:
    """Whether the call is accepted with one of its arrays replaced."""
    remaining = iter(range(len(arrays_in((case.args, case.kwargs)))))
    args, kwargs = mapped(lambda array: replacement if next(remaining) == chosen else array, (case.args, case.kwargs))
    return accepted(name, *args, **kwargs)


def test_what_would_broadcast_is_left_to_the_reference():
    m = Maker(np.random.default_rng(0), "float32")
    assert not accepted("mean_squared_error", m.real(4, 3), m.real(4, 1), out=m.out(4))
    assert not accepted("mean_squared_error", m.real(4, 3), m.real(4), out=m.out(4))
    assert not accepted("dense", m.real(4, 2), m.real(3, 3), m.real(1, 3), out=m.out(4, 3))
    assert not accepted("relu_backward", m.real(4, 3), m.real(4, 3), out=m.out(3, 4))
    assert not accepted("categorical_accuracy", m.real(4, 3), m.labels(5, 3), out=m.out())
    assert not accepted("sgd", m.real(4), m.number(1), state=(m.real(5),))
    assert not accepted("sgd", m.real(4), 0.1, state=(m.real(4),))
    assert not accepted("advance", 0.5, state=np.zeros(1, np.int64))
    assert not accepted("gather", m.real(0, 3), np.zeros(2, np.int64), out=m.out(2, 3))
    assert not accepted("record", *[m.number(1)] * 9, state=(m.out(5, 9), np.zeros(1, np.int64), m.out(9)))
    assert not accepted("softmax", m.real(4, 3))


# -- in the whole library ----------------------------------------------------------------------------------------------


def emulated_backend(libraries, dtype: str, kernels: str) -> nn.Backend:
    module = EmulatedModule(libraries, orders=("forwards",))
    overrides = Kernels(GuardedNumPy(), module).overrides()
    return nn.Backend("emulated", np, dtype=dtype, kernels=kernels, overrides=overrides)


def test_unproved_kernels_stay_off_unless_asked_for(libraries):
    assert not any(op.overrides for op in emulated_backend(libraries, "float32", "auto").ops)
    assert not any(op.overrides for op in emulated_backend(libraries, "float32", "reference").ops)
    with_kernels = {op.name for op in emulated_backend(libraries, "float32", "all").ops if op.overrides}
    assert with_kernels == set(CASES)


def trained(xp: nn.Backend, optimizer: nn.Optimizer) -> nn.Model:
    X, y = nn.datasets.spiral(samples=21, classes=3, seed=0)
    model = nn.Model(
        [
            nn.Dense(2, 16, weight_regularizer=nn.L1L2(1e-4, 5e-4), bias_regularizer=nn.L2(5e-4)),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Dense(16, 3),
            nn.Softmax(),
        ],
        loss=nn.CategoricalCrossentropy(),
        optimizer=optimizer,
        backend=xp,
        seed=0,
    )
    model.train(X, y, epochs=3, batch_size=20, validation_data=(X, y), print_every=0)
    return model


@pytest.mark.parametrize("optimizer", [nn.SGD, nn.Adagrad, nn.RMSprop, nn.Adam], ids=lambda kind: kind.__name__)
def test_a_model_trained_by_the_kernels_is_the_one_trained_by_the_reference(libraries, optimizer):
    """Which kernels really run when a model is trained, and that none gets arguments it was not made for."""
    xp = emulated_backend(libraries, "float64", "all")
    fallen_back = set()
    for op in xp.ops:
        op.reference = functools.partial(
            lambda name, function, *a, **k: (fallen_back.add(name), function(*a, **k))[1], op.name, op.reference
        )
    found = trained(xp, optimizer(0.05))
    wanted = trained(nn.get_backend("cpu", "float64", "reference"), optimizer(0.05))
    assert fallen_back <= WITHOUT_KERNEL
    for name, column in wanted.history.items():
        np.testing.assert_allclose(found.history[name], column, rtol=1e-9, atol=1e-9, err_msg=name)
