"""The CPU kernels: each override computes what its reference does, called by itself and as part of a program."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnbackend as nn
from nnbackend import ops
from tests.cuda_cases import CASES as SHARED_CASES
from tests.cuda_cases import EXACT as EXACT_ON_CUDA
from tests.cuda_cases import Call, Maker, call

pytest.importorskip("numba", reason="the CPU kernels need Numba: pip install '.[jit]'")

from nnbackend.kernels.cpu import link, overrides
from nnbackend.kernels.cpu.plan import Shapes
from tests.teams import team_of

OVERRIDES = overrides()
DTYPES = ("float32", "float64")

# Ops without a kernel: they run once, outside of training, or for nnbackend.book, which counts on the reference's bits.
WITHOUT_KERNEL = {"labels_from_one_hot", "dropout_mask", "binary_predictions", "regression_hits", "bias_corrections"}
WITHOUT_KERNEL |= {"adam_unfolded"}


def _product(*shapes: str) -> Callable[[Maker, int, int], Call]:
    """An op on matrices of n rows, an inner size and an outer size, of which one or both are small."""

    def make(m: Maker, n: int, k: int) -> Call:
        inner, outer = (k, 1 + n % 9) if n % 2 else (1 + n % 9, k)
        sizes = {"n": n, "k": inner, "m": outer, "1": 1}
        *inputs, out = (tuple(sizes[letter] for letter in shape) for shape in shapes)
        return call(*(m.real(*shape) for shape in inputs), out=m.out(*out))

    return make


def _gather(m: Maker, n: int, k: int) -> Call:
    dtype = (m.dtype, "int64")[n % 2]
    data = (100 * m.rng.random((n + 2, k) if k % 2 else n + 2)).astype(dtype)
    return call(data, m.labels(2 * n, n + 2), out=m.out(2 * n, *data.shape[1:], dtype=dtype))


def _record(m: Maker, n: int, k: int) -> Call:
    state = m.out(n + 1, 3, dtype="float64"), m.number(n // 2, "int64"), m.out(3, dtype="float64")
    return call(m.real(), m.number(2.5), m.number(0.1, "float64"), state=state)


def _assign(m: Maker, n: int, k: int) -> Call:
    values = (2.5, m.real(n, k), m.labels(n, k).reshape(n, 1))[n % 3]
    return call(values, out=m.out(*np.shape(values), dtype=("float32", "float64")[k % 2]))


CASES = {name: case for name, case in SHARED_CASES.items() if name not in WITHOUT_KERNEL} | {
    "dense": _product("nk", "km", "1m", "nm"),
    "dense_relu": _product("nk", "km", "1m", "nm"),
    "weights_gradient": _product("nk", "nm", "km"),
    "inputs_gradient": _product("nm", "km", "nk"),
    "relu": lambda m, n, k: call(m.real(n, k), out=m.out(n, k)),
    "multiply": lambda m, n, k: call(m.real(n, k), m.real(n, k), out=m.out(n, k)),
    "gather": _gather,
    "record": _record,
    "clip_factor": lambda m, n, k: call(m.real(n * k), limit=float(n), out=(m.out(1, dtype="float64"), m.out(1))),
    "weighted_mean": lambda m, n, k: call(m.real(n * k), m.positive(n * k), out=m.out()),
    "weigh": lambda m, n, k: call(m.real(n, k), m.positive(n), out=m.out(n, k)),
    "scale": lambda m, n, k: call(m.real(n * k), m.number(0.3), out=m.out(n * k)),
    "assign": _assign,
}

# To the bit: what moves values, counts or compares, and what is rounded once. The compiler may join a product and a sum into one
# rounding in all others.
EXACT = (EXACT_ON_CUDA - {name for name in CASES if name.endswith("_backward")}) & {
    *("dropout", "categorical_accuracy", "binary_accuracy", "regression_accuracy", "decayed_learning_rate", "record"),
}
EXACT |= {"relu", "relu_backward", "multiply", "gather", "assign", "advance", "batch_indices"}


def made(name: str, dtype: str, shape: tuple[int, int], special: bool = False, seed: int = 0) -> Call:
    rng = np.random.default_rng([zlib.crc32(name.encode()), *shape, special, seed])
    return CASES[name](Maker(rng, dtype, special), *shape)


def mapped(function: Any, value: Any) -> Any:
    """The function applied to each array in nested tuples and dictionaries."""
    if isinstance(value, (tuple, list)):
        return tuple(mapped(function, part) for part in value)
    if isinstance(value, dict):
        return {name: mapped(function, part) for name, part in value.items()}
    return function(value) if isinstance(value, np.ndarray) else value


def arrays_in(value: Any) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    mapped(found.append, value)
    return found


def by_itself(function: Any, args: Any, kwargs: Any) -> None:
    """As an op runs outside of a recorded step."""
    result = function(*args, **kwargs)
    assert result is kwargs.get("out", kwargs.get("state"))


def in_a_program(function: Any, args: Any, kwargs: Any) -> None:
    """As an op runs in a recorded step."""
    for part in link.link_steps(function.plan(*args, **kwargs)):
        part()


def check(name: str, case: Call, dtype: str, length: int, run: Any) -> None:
    """An override accepts the call, and leaves in every array what the reference leaves there."""
    expected = mapped(np.copy, (case.args, case.kwargs))
    args, kwargs = mapped(np.copy, (case.args, case.kwargs))
    override = next((o for o in OVERRIDES[name] if o.accepts(*args, **kwargs)), None)
    if override is None:  # products that are not narrow are NumPy's
        assert name in ("weights_gradient", "inputs_gradient"), (
            f"no override of {name} accepts {mapped(np.shape, args)}"
        )
        return
    with np.errstate(all="ignore"):
        getattr(ops, name)(np, *expected[0], **expected[1])
        run(override.function, args, kwargs)
    for found, wanted in zip(arrays_in((args, kwargs)), arrays_in(expected), strict=True):
        what = f"{name} of {mapped(np.shape, case.args)}"
        if name in EXACT or wanted.dtype.kind != "f":
            np.testing.assert_array_equal(found, wanted, err_msg=what)
        else:  # relative to the number or to 1, which is the size of what was summed
            tolerance = 16 * np.finfo(wanted.dtype).eps * max(length, 1) ** 0.5
            np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance, err_msg=what)


@pytest.mark.parametrize("run", [by_itself, in_a_program])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_equals_the_reference(name, dtype, run):
    for shape in [(1, 1), (1, 5), (2, 64), (7, 1), (9, 3), (33, 32), (64, 33), (300, 3), (301, 4), (3, 1500)]:
        check(name, made(name, dtype, shape), dtype, int(np.prod(shape)), run)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_nan_and_infinities_come_through_as_through_the_reference(name, dtype):
    for seed, shape in enumerate([(1, 1), (9, 3), (40, 5), (3, 70), (30, 20), (31, 2)] * 2):
        check(name, made(name, dtype, shape, special=True, seed=seed), dtype, int(np.prod(shape)), in_a_program)


@pytest.mark.parametrize("name", CASES)
@given(rows=st.integers(1, 40), columns=st.integers(1, 40), special=st.booleans(), seed=st.integers(0, 2**31))
def test_equals_the_reference_on_any_shape(name, rows, columns, special, seed):
    check(name, made(name, "float32", (rows, columns), special, seed), "float32", rows * columns, by_itself)


@pytest.fixture(params=[1, 3])
def thread_count(request, monkeypatch):
    """So many threads, for arrays of any size, and small blocks."""
    monkeypatch.setattr(link, "PARALLEL_WORK", 1)
    monkeypatch.setattr(link, "BLOCK_BYTES", 256)
    with team_of(request.param):
        yield request.param


@pytest.mark.parametrize("name", CASES)
def test_equals_the_reference_on_one_thread_and_several(name, thread_count):
    for shape in [(1, 1), (5, 3), (40, 7), (301, 2), (67, 33)]:
        check(name, made(name, "float32", shape), "float32", int(np.prod(shape)), in_a_program)


def test_every_op_has_a_kernel_or_a_reason():
    assert set(OVERRIDES) == set(CASES)
    names = {op.name for op in nn.get_backend("cpu").ops}
    assert names - set(CASES) == WITHOUT_KERNEL


# -- what is left to the reference -------------------------------------------------------------------------------------


def every_other_element(array: np.ndarray) -> np.ndarray:
    """The same numbers, not contiguous; a single number always is."""
    if array.size == 1:
        return array
    wide = np.empty(tuple(2 * length for length in array.shape), array.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def unaligned(array: np.ndarray) -> np.ndarray:
    """The same numbers at an odd address."""
    raw = np.empty(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("change", [every_other_element, unaligned, lambda a: a.astype(a.dtype.newbyteorder())])
def test_unusual_arrays_are_left_to_the_reference(name, change):
    case = made(name, "float32", (8, 3))
    args, kwargs = mapped(change, (case.args, case.kwargs))
    if all(array.flags.carray and array.dtype.isnative for array in arrays_in((args, kwargs))):
        return  # one number each: there was nothing to change
    assert not any(override.accepts(*args, **kwargs) for override in OVERRIDES[name])


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_left_to_the_reference(name):
    """Arrays of no elements."""
    case = made(name, "float32", (8, 3))
    args, kwargs = mapped(lambda a: a[:0] if a.ndim else a, (case.args, case.kwargs))
    assert not any(override.accepts(*args, **kwargs) for override in OVERRIDES[name])


@pytest.mark.parametrize("name", CASES)
def test_read_only_inputs_are_accepted_and_read_only_outputs_are_not(name):
    case = made(name, "float32", (9, 3))
    for array in arrays_in(case.args):
        array.flags.writeable = False
    check(name, case, "float32", 27, by_itself)
    for array in arrays_in(case.kwargs):
        array.flags.writeable = False
    assert not any(override.accepts(*case.args, **case.kwargs) for override in OVERRIDES[name])


def test_shapes_that_do_not_belong_together_are_left_to_the_reference_which_says_so():
    xp = nn.get_backend("cpu")
    with pytest.raises(ValueError, match="mismatch"):
        xp.ops.dense(xp.ones((4, 3)), xp.ones((2, 5)), xp.ones((1, 5)), out=xp.ones((4, 5)))


def test_shapes():
    shapes = Shapes("n k, n:int -> n")
    real, labels = np.ones((4, 2), np.float32), np.ones(4, np.int64)
    assert shapes.accepts(real, labels, out=np.ones(4, np.float32))
    assert not shapes.accepts(real, labels, out=np.ones(4))  # not the inputs' dtype
    assert not shapes.accepts(real, labels, out=np.ones(3, np.float32))
    assert not shapes.accepts(real, labels.astype(np.int32), out=np.ones(4, np.float32))
    assert not shapes.accepts(real, labels.astype(np.float32), out=np.ones(4, np.float32))
    assert not shapes.accepts(real, out=np.ones(4, np.float32))
    assert not shapes.accepts(real.tolist(), labels, out=np.ones(4, np.float32))


@pytest.mark.parametrize("name", ["dense", "softmax", "sigmoid", "relu"])
def test_an_op_may_write_into_its_input(name):
    """As the reference may; no kernel reads what it has overwritten."""
    square = np.random.default_rng(0).standard_normal((5, 5)).astype(np.float32)
    others = (square[::-1].copy(), square[:1].copy()) if name == "dense" else ()
    results = [square.copy(), square.copy()]
    for kernels, values in zip(("auto", "reference"), results, strict=True):
        getattr(nn.get_backend("cpu", kernels=kernels).ops, name)(values, *others, out=values)
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("run", [by_itself, in_a_program])
@pytest.mark.parametrize("label", [-1, 3, 2**62, -(2**62)])
def test_a_label_out_of_range_reads_no_foreign_memory(label, run):
    """The reference raises; a kernel cannot, so the loss of that sample becomes NaN, which ends training with its step."""
    predictions, targets = np.full((2, 3), 0.5, np.float32), np.array([1, label])
    losses, gradient = np.zeros(2, np.float32), np.zeros((2, 3), np.float32)
    run(OVERRIDES["categorical_crossentropy"][0].function, (predictions, targets), {"out": losses})
    assert np.isfinite(losses).tolist() == [True, False]
    run(OVERRIDES["categorical_crossentropy_backward"][0].function, (predictions, targets), {"out": gradient})
    run(OVERRIDES["softmax_crossentropy_backward"][0].function, (predictions, targets), {"out": gradient})
    rows = np.ones((2, 2), np.float32)
    run(OVERRIDES["gather"][0].function, (predictions[:, :2].copy(), np.array([0, label])), {"out": rows})
    assert np.isnan(rows[1]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sgd_momentum", "rmsprop", "adam", "adamw"])
def test_numbers_too_small_to_be_normal_become_zero(name, dtype):
    """What is thirty times slower on a CPU: caches of units whose gradient stays zero."""
    case = made(name, dtype, (40, 5))
    case.args[0][...] = 0
    for array in case.kwargs["state"]:
        array[...] = 8 * np.finfo(dtype).tiny
    for _ in range(40):
        by_itself(
            OVERRIDES[name][0].function, case.args, case.kwargs | {"rho": 0.5} if name == "rmsprop" else case.kwargs
        )
    for array in case.kwargs["state"][1:]:
        assert ((array == 0) | (np.abs(array) >= np.finfo(dtype).tiny)).all()


def test_exponentials_and_logarithms_are_as_good_as_numpys():
    """Over all of their range, against float64, in units in the last place; the docstrings say 0.7."""
    inputs = np.stack([np.zeros(400_000), np.linspace(-87.3, 0, 400_000)], axis=1).astype(np.float32)
    out = np.empty_like(inputs), np.empty(len(inputs), np.float32)
    by_itself(OVERRIDES["sigmoid"][0].function, (-np.abs(inputs),), {"out": out[0]})
    exact = np.exp(inputs[:, 1].astype(np.float64))
    np.testing.assert_allclose(out[0][:, 1], exact / (1 + exact), rtol=3 * 2.0**-24)
    predictions = np.geomspace(1e-7, 1 - 1e-7, 400_000).astype(np.float32).reshape(-1, 1)
    by_itself(
        OVERRIDES["categorical_crossentropy"][0].function,
        (predictions, np.zeros(len(predictions), np.int64)),
        {"out": out[1]},
    )
    np.testing.assert_allclose(out[1], -np.log(predictions[:, 0].astype(np.float64)), rtol=2 * 2.0**-24)
