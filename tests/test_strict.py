"""The pretend GPU notices what it is there to notice: each rule is broken here on purpose.

`test_strict_table.py` compares its tables with the installed CuPy, and `test_ops.py` what it computes with the CPU.
"""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nnbackend.backend import Backend, available_backends, get_backend
from nnbackend.errors import BackendError, DataError, StateError, TransferError
from nnbackend.testing import strict
from nnbackend.testing.strict import StrictArray

xp = get_backend("strict")


def on_device(xp: Backend, *shape: int) -> Any:
    return xp.asarray(np.random.default_rng(1).normal(size=shape))


# -- the backend ----------------------------------------------------------------------------------------------------------


def test_it_is_a_backend_like_the_others() -> None:
    assert xp.name == "strict"
    assert "rules of a GPU" in xp.description
    assert available_backends()["strict"] == xp.description
    assert get_backend("strict") is xp
    with pytest.raises(BackendError, match="one pretend GPU"):
        get_backend("strict:1")


def test_data_come_in_and_go_out_as_copies() -> None:
    source = np.ones(3, np.float32)
    source.flags.writeable = False
    array = xp.asarray(source)
    array += 1  # what came in is writeable, whatever the source was
    taken = xp.to_host(array)
    taken += 1
    assert source.tolist() == [1, 1, 1]
    assert array.tolist() == [2, 2, 2]
    assert xp.asarray(array) is array


def test_memory_starts_at_a_boundary() -> None:
    array = xp.aligned_zeros(5)
    assert array._raw.ctypes.data % 256 == 0
    assert (array.shape, array.dtype) == ((5,), np.float32)


def test_another_backend_takes_its_arrays_in() -> None:
    array = on_device(xp, 2, 3)
    before = xp.transfers.calls_out
    assert get_backend("cpu").asarray(array).shape == (2, 3)
    assert xp.transfers.calls_out == before + 1


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda array: pickle.loads(pickle.dumps(array))])
def test_copies_have_memory_of_their_own(duplicate: Callable[[Any], Any]) -> None:
    array = on_device(xp, 2, 3)
    twin = duplicate(array)
    assert twin.tolist() == array.tolist()
    twin.fill(0)
    assert array.any()
    assert twin._xp is xp


# -- nothing mixes with the host ------------------------------------------------------------------------------------------

MIXTURES: dict[str, Callable[[Any, Any, np.ndarray], Any]] = {
    "device + host": lambda xp, device, host: device + host,
    "host + device": lambda xp, device, host: host + device,
    "device += host": lambda xp, device, host: operator.iadd(device, host),
    "host += device": lambda xp, device, host: operator.iadd(host, device),
    "device == host": lambda xp, device, host: device == host,
    "xp.add": lambda xp, device, host: xp.add(device, host),
    "out=host": lambda xp, device, host: xp.add(device, device, out=host),
    "xp.sum of host": lambda xp, device, host: xp.sum(host),
    "xp.matmul": lambda xp, device, host: xp.matmul(device, host.T),
    "xp.stack": lambda xp, device, host: xp.stack([device, host]),
    "xp.where": lambda xp, device, host: xp.where(device > 0, device, host),
    "xp.take": lambda xp, device, host: xp.take(device, np.array([0])),
    "xp.take of a list": lambda xp, device, host: xp.take(device, [0]),
    "xp.add of a list": lambda xp, device, host: xp.add(device, [1.0, 2.0, 3.0]),
    "xp.ascontiguousarray": lambda xp, device, host: xp.ascontiguousarray([1.0, 2.0]),
    "xp.full": lambda xp, device, host: xp.full(2, [1.0, 2.0]),
    "np.add": lambda xp, device, host: np.add(device, host),
    "np.stack": lambda xp, device, host: np.stack([host, device]),
    "method": lambda xp, device, host: device.dot(host.T),
    "clip": lambda xp, device, host: device.clip(host, None),
    "assignment": lambda xp, device, host: operator.setitem(device, ..., host),
    "assignment of a list": lambda xp, device, host: operator.setitem(device, 0, [1.0, 2.0, 3.0]),
    "index": lambda xp, device, host: device[np.array([0, 1])],
    "index list": lambda xp, device, host: device[[0, 1]],
    "xp.to_host of host": lambda xp, device, host: xp.to_host(host),
}


@pytest.mark.parametrize("mixture", MIXTURES)
def test_a_host_array_slipping_in_is_refused(mixture: str) -> None:
    with pytest.raises(DataError, match=r"xp\.asarray|of this backend|array of the device"):
        MIXTURES[mixture](xp, on_device(xp, 2, 3), np.ones((2, 3), np.float32))


def test_numbers_and_numpy_scalars_are_operands_as_on_a_gpu() -> None:
    array = xp.asarray([1.0, 2.0])
    results = [array * 2, 2 * array, np.float32(2) * array, array * np.float32(2), xp.multiply(2.0, array)]
    assert all(isinstance(result, StrictArray) and result.dtype == np.float32 for result in results)
    assert all(result.tolist() == [2, 4] for result in results)
    assert np.exp(array).tolist() == xp.exp(array).tolist()  # CuPy answers NumPy's functions too
    assert np.sum(array).tolist() == 3


@pytest.mark.parametrize("function", [np.asarray, np.array, np.linalg.norm, np.array_repr, np.add.reduce])
def test_numpy_gets_nothing_by_itself(function: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"not allowed|does not take arrays of the device"):
        function(on_device(xp, 2))


# -- what counts as a transfer --------------------------------------------------------------------------------------------

CROSSINGS: dict[str, Callable[[Any, Any], Any]] = {
    "float": lambda xp, array: float(array[0]),
    "int": lambda xp, array: int(array[0]),
    "complex": lambda xp, array: complex(array[0]),
    "bool": lambda xp, array: bool(array[0]),
    "if": lambda xp, array: 1 if array[0] > 0 else 2,
    "format": lambda xp, array: f"{array[0]:.3f}",
    "str": lambda xp, array: str(array),
    "repr": lambda xp, array: repr(array),
    "item": lambda xp, array: array[0].item(),
    "tolist": lambda xp, array: array.tolist(),
    "get": lambda xp, array: array.get(),
    "iteration": lambda xp, array: list(array),
    "in": lambda xp, array: 1.0 in array,
    "mask": lambda xp, array: array[array > 0],
    "assignment to a mask": lambda xp, array: operator.setitem(array, array > 0, 0),
    "nonzero": lambda xp, array: array.nonzero(),
    "where of one argument": lambda xp, array: xp.where(array > 0),
    "unique": lambda xp, array: xp.unique(array),
    "full of a device size": lambda xp, array: xp.full(xp.argmax(array), 0.0),
    "pickle": lambda xp, array: pickle.dumps(array),
    "to_host": lambda xp, array: xp.to_host(array),
}


@pytest.mark.parametrize("crossing", CROSSINGS)
def test_a_value_that_leaves_the_device_is_counted(crossing: str) -> None:
    array = on_device(xp, 3)
    before = xp.transfers.calls_out
    CROSSINGS[crossing](xp, array)
    assert xp.transfers.calls_out > before
    with xp.no_transfers(), pytest.raises(TransferError, match="moves data between host and device"):
        CROSSINGS[crossing](xp, array)


@pytest.mark.parametrize("crossing", [*CROSSINGS, "asarray"])
def test_a_compiled_step_captures_no_transfer(crossing: str) -> None:
    array, values = on_device(xp, 3), np.ones(3)
    crossings = {**CROSSINGS, "asarray": lambda xp, array: xp.asarray(values)}
    step = xp.compiled_step(lambda: crossings[crossing](xp, array))
    with pytest.raises(TransferError, match="CUDA graph"):
        step()
    float(array.sum())  # and afterwards the doors are open again


def test_shapes_and_dtypes_are_known_without_a_transfer() -> None:
    array = on_device(xp, 4, 3)
    with xp.no_transfers():
        assert (array.shape, array.ndim, array.size, array.nbytes, array.itemsize, len(array)) == (
            (4, 3),
            2,
            12,
            48,
            4,
            4,
        )
        assert array.strides == (12, 4)
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert array.T.flags["F_CONTIGUOUS"]
        assert xp.shape(array) == (4, 3)
        assert xp.result_type(array, xp.float64) == np.float64
        assert xp.finfo(array.dtype).bits == 32


def test_a_device_scalar_is_no_python_index() -> None:
    with pytest.raises(TypeError):  # neither is CuPy's
        range(xp.argmax(on_device(xp, 3)))


# -- arrays ---------------------------------------------------------------------------------------------------------------


def test_reductions_and_elements_stay_on_the_device() -> None:
    array = on_device(xp, 4, 3)
    with xp.no_transfers():
        for scalar in (array.sum(), xp.max(array), array[1, 2], xp.vdot(array, array), xp.allclose(array, array)):
            assert isinstance(scalar, StrictArray)
            assert scalar.shape == ()


def test_basic_indices_give_views_and_index_arrays_copies() -> None:
    array = xp.zeros((4, 3))
    array[1:3][0] = 1
    array.T[0, 3] = 2
    assert array.tolist() == [[0, 0, 0], [1, 1, 1], [0, 0, 0], [2, 0, 0]]
    array[xp.asarray([0, 1])].fill(9)
    array[xp.asarray(1)].fill(9)  # an index without dimensions gives a copy as well
    assert array.max().item() == 2


def test_out_is_what_comes_back() -> None:
    array, out, total = on_device(xp, 2, 3), xp.empty((2, 3)), xp.empty(3)
    assert xp.exp(array, out=out) is out
    assert xp.sum(array, axis=0, out=total) is total
    assert array.clip(0, 1, out=out) is out
    same = array
    same -= array
    assert same is array
    assert not array.any()


def test_memory_that_nobody_wrote_is_poison() -> None:
    assert xp.isnan(xp.empty((2, 2))).all()
    assert xp.isnan(xp.empty_like(xp.zeros(2))).all()
    assert xp.empty(1, dtype=xp.int64)[0].item() == np.iinfo(np.int64).max


def test_sorting_is_stable_and_nothing_else() -> None:
    keys = xp.asarray(np.tile([1, 0], 50))
    assert xp.argsort(keys).tolist() == [*range(1, 100, 2), *range(0, 100, 2)]
    with pytest.raises(ValueError, match="stable"):
        xp.argsort(keys, kind="quicksort")
    keys.sort()
    assert keys.tolist() == [0] * 50 + [1] * 50


# -- names and keywords that CuPy lacks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["nditer", "errstate", "apply_over_axes", "array", "random", "asanyarray", "frompyfunc"]
)
def test_a_name_of_numpy_alone_does_not_exist(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(xp, name)


KEYWORDS: dict[str, Callable[[Any, Any], Any]] = {
    "mode": lambda xp, array: xp.take(array, xp.asarray([0]), mode="clip"),
    "initial": lambda xp, array: xp.max(array, initial=0),
    "where": lambda xp, array: xp.sum(array, where=array > 0),
    "where of a ufunc": lambda xp, array: xp.add(array, 1, where=array > 0),
    "order of a ufunc": lambda xp, array: xp.exp(array, order="C"),
    "method's initial": lambda xp, array: array.max(initial=0),
    "numpy's keyword": lambda xp, array: np.max(array, initial=0),
    "out by position": lambda xp, array: xp.add(array, array, array),
    "too many": lambda xp, array: xp.max(array, 0, array),
}


@pytest.mark.parametrize("call", KEYWORDS)
def test_a_keyword_that_cupy_lacks_is_refused(call: str) -> None:
    with pytest.raises(TypeError, match=r"has no keyword|by position"):
        KEYWORDS[call](xp, on_device(xp, 3))


# -- where CuPy would go silently wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda xp, array, labels: array[xp.arange(3), labels],
        lambda xp, array, labels: operator.setitem(array, (xp.arange(3), labels), 0),
        lambda xp, array, labels: xp.take(array, labels, axis=1),
        lambda xp, array, labels: array.take(labels, axis=1),
        lambda xp, array, labels: xp.take_along_axis(array, labels[:, None], axis=1),
        lambda xp, array, labels: xp.ops.categorical_crossentropy(array, labels, out=xp.empty(3)),
    ],
)
def test_a_label_out_of_range_is_an_error(use: Callable[..., Any]) -> None:
    with pytest.raises(IndexError, match=r"index 7 is out of bounds .* size 3; a GPU would not notice"):
        use(xp, on_device(xp, 3, 3), xp.asarray([0, 7, 1]))


def test_negative_indices_are_legal() -> None:
    array = xp.asarray([1.0, 2.0, 3.0])
    assert array[xp.asarray([-1, 0])].tolist() == [3, 1]
    array[xp.asarray([-1, 0])] = 0
    assert array.tolist() == [0, 2, 0]


@pytest.mark.parametrize(
    ("shape", "index"),
    [
        ((3,), lambda xp: xp.asarray([0, 0])),
        ((3,), lambda xp: xp.asarray([2, -1])),
        ((3, 3), lambda xp: (xp.asarray([0, 1, 0]), xp.asarray([1, 1, 1]))),
        ((2, 3), lambda xp: (Ellipsis, xp.asarray([1, 1]))),
        ((2, 3), lambda xp: (slice(None), xp.asarray([0, 2, 0]))),
        ((3, 2, 3), lambda xp: (xp.asarray([[0], [0]]), 1, xp.asarray([[0, 1]]))),
    ],
)
def test_two_writes_to_one_element_are_an_error(shape: tuple[int, ...], index: Callable[..., Any]) -> None:
    array = xp.zeros(shape)
    with pytest.raises(DataError, match="twice in an assignment"):
        array[index(xp)] = 1
    with pytest.raises(DataError, match="twice in an assignment"):
        array[index(xp)] += 1
    assert not array.any()


def test_writes_to_different_elements_are_fine() -> None:
    array = xp.zeros((3, 3))
    array[xp.asarray([0, 0, 1]), xp.asarray([0, 1, 1])] += 1
    array[:, xp.asarray([2])] = 5
    assert array.tolist() == [[1, 1, 5], [0, 1, 5], [0, 0, 5]]


def test_an_output_may_not_overlap_what_is_still_read() -> None:
    array, order = on_device(xp, 4), xp.asarray([1, 0, 3, 2])
    with pytest.raises(DataError, match="overlaps an input"):
        xp.take(array, order, out=array)
    with pytest.raises(DataError, match="reads from memory that it overwrites"):
        array[1:] = array[:-1]
    with pytest.raises(DataError, match="reads from memory that it overwrites"):
        array[order] = array
    xp.add(array[1:], array[:-1], out=array[1:])  # elementwise functions copy first, on a GPU too
    array[:2] = array[2:]


def test_take_wants_an_output_of_the_same_dtype() -> None:
    with pytest.raises(TypeError, match="CuPy wants"):
        xp.take(xp.zeros(3), xp.asarray([0, 1]), out=xp.zeros(2, dtype=xp.float64))


@pytest.mark.parametrize(
    "use",
    [
        lambda xp, array: array * np.float64(0.5),
        lambda xp, array: array + xp.zeros(3, dtype=xp.float64),
        lambda xp, array: xp.multiply(array, xp.arange(3)),
        lambda xp, array: xp.where(array > 0, array, np.float64(0)),
        lambda xp, array: xp.stack([array, xp.zeros(3, dtype=xp.float64)]),
    ],
)
def test_float64_does_not_creep_in(use: Callable[..., Any]) -> None:
    with pytest.raises(DataError, match="quietly gave float64"):
        use(xp, on_device(xp, 3))
    use(get_backend("strict", dtype="float64"), on_device(get_backend("strict", dtype="float64"), 3))


def test_float64_that_was_asked_for_is_fine() -> None:
    array, schedule = on_device(xp, 3), xp.full(1, 0.5, dtype=xp.float64)
    assert array.astype(xp.float64).dtype == np.float64
    assert xp.add(array, 1, dtype=xp.float64).dtype == np.float64
    assert (1 / (1 + schedule)).dtype == np.float64
    array *= schedule  # computed wide, stored narrow
    assert array.dtype == np.float32


# -- compiled steps -------------------------------------------------------------------------------------------------------


def test_a_compiled_step_is_replayed_on_the_same_memory() -> None:
    values, counter, calls = xp.zeros(3), xp.zeros(1, dtype=xp.int64), []

    def step() -> None:
        calls.append(None)
        fresh = xp.arange(3) + counter  # made anew at each replay, and written into the same array
        values[:] = fresh.astype(xp.float32)[::-1] + xp.ones(3)
        values[xp.argmax(values)] = -1
        np.add(counter, 1, out=counter)

    compiled = xp.compiled_step(step)
    for iteration in range(4):
        compiled()
        assert values.tolist() == [-1, 2 + iteration, 1 + iteration]
    assert len(calls) == 1


def test_a_python_number_baked_into_a_step_shows() -> None:
    """A running sum of 1, 2, 3: right while the counter lives on the device, wrong as soon as it is a Python number."""
    total, iteration = xp.zeros(()), 0

    def careless() -> None:
        nonlocal total, iteration
        iteration += 1
        total += iteration

    compiled = xp.compiled_step(careless)
    for _ in range(3):
        compiled()
    assert total.item() != 1 + 2 + 3
    assert total.item() == 1 + 1 + 1  # the first number, again and again

    total, counter = xp.zeros(()), xp.zeros((), dtype=xp.int64)

    def careful() -> None:
        nonlocal total, counter
        counter += 1
        total += counter

    compiled = xp.compiled_step(careful)
    for _ in range(3):
        compiled()
    assert total.item() == 1 + 2 + 3


def test_a_slice_baked_into_a_step_replays_the_same_batch() -> None:
    data, batch, position = xp.asarray(np.arange(6)), xp.zeros(2, dtype=xp.int64), 0

    def careless() -> None:
        nonlocal position
        batch[:] = data[position : position + 2]
        position += 2

    compiled = xp.compiled_step(careless)
    compiled()
    compiled()
    assert batch.tolist() == [0, 1]  # not [2, 3]


def test_a_replay_is_checked_too() -> None:
    values, labels = xp.zeros(3), xp.asarray([0, 1])
    compiled = xp.compiled_step(lambda: operator.setitem(values, labels, 1))
    compiled()
    labels[:] = 1
    with pytest.raises(DataError, match="twice"):
        compiled()
    labels[0] = 8
    with pytest.raises(IndexError, match="GPU would not notice"):
        compiled()


def test_only_ops_refuses_work_outside_of_ops() -> None:
    inputs, output = on_device(xp, 4, 3), xp.zeros((4, 3))

    def good() -> None:
        scratch = xp.empty((4, 3))  # memory alone is no work
        xp.ops.relu(inputs[:2].reshape(2, 3), out=output[:2])
        xp.ops.relu(inputs, out=scratch)

    compiled = xp.compiled_step(good, only_ops=True)
    compiled()
    inputs.fill(7)
    compiled()
    assert output.tolist() == [[7, 7, 7]] * 2 + [[0, 0, 0]] * 2

    for name, work in {
        r"xp\.exp": lambda: xp.exp(inputs, out=output),
        r"operator \+=": lambda: operator.iadd(output, 1),
        r"xp\.zeros": lambda: xp.zeros(3),
        r"array\.sum": lambda: inputs.sum(),
        r"array\[index\] = value": lambda: operator.setitem(output, 0, 0),
    }.items():
        with pytest.raises(StateError, match=name + " computes outside of an op"):
            xp.compiled_step(work, only_ops=True)()


def test_an_op_without_a_buffer_is_refused_in_a_compiled_step() -> None:
    inputs = on_device(xp, 3)
    with pytest.raises(StateError, match="without out="):
        xp.compiled_step(lambda: xp.ops.relu(inputs, out=None))()
    assert xp.tape is None


def test_a_step_that_failed_is_recorded_anew() -> None:
    values, healthy = xp.zeros(1), False

    def step() -> None:
        if not healthy:
            raise RuntimeError("not yet")
        np.add(values, 1, out=values)

    compiled = xp.compiled_step(step)
    with pytest.raises(RuntimeError, match="not yet"):
        compiled()
    healthy = True
    compiled()
    compiled()
    assert values.item() == 2


def test_a_step_within_a_step_is_part_of_it() -> None:
    values = xp.zeros(1)
    inner = xp.compiled_step(lambda: np.add(values, 1, out=values))
    inner()
    outer = xp.compiled_step(lambda: (inner(), inner()))
    outer()
    outer()
    assert values.item() == 5


def test_waiting_for_the_device_is_not_captured() -> None:
    xp.synchronize()
    with pytest.raises(StateError, match="synchronize"):
        xp.compiled_step(xp.synchronize)()


def test_random_numbers_are_the_same_as_on_the_cpu() -> None:
    mine, theirs = xp.rng(7), get_backend("cpu").rng(7)
    assert mine.permutation(101, step=2**33).tolist() == theirs.permutation(101, step=2**33).tolist()
    assert mine.words(10, stream=3).tolist() == theirs.words(10, stream=3).tolist()
    assert mine.uniform((3, 2)).tolist() == theirs.uniform((3, 2)).tolist()
    assert mine.normal((3, 2)).tolist() == theirs.normal((3, 2)).tolist()


def test_the_package_exports_what_it_says() -> None:
    assert set(strict.__all__) == {"StrictArray", "StrictBackend"}
    assert isinstance(get_backend("strict"), strict.StrictBackend)
