"""The two doors between host and device: what they take, what they give, and that they count alike on every backend."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.backend import Transfers
from tests import helpers

VALUES = np.array([[1.5, -2.0, 0.25], [3.0, 4.0, -0.5]])
LABELS = np.array([0, 2, 1])


class OnAnotherGPU:
    """Looks like a CuPy array: it has no `__array__` that works, a method `get` and a device."""

    device = "<CUDA Device 0>"

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def get(self) -> np.ndarray:
        return self.values.copy()


class Exported:
    """Speaks DLPack, as arrays of most libraries do, and nothing else."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.values.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.values.__dlpack_device__()


class Tensor:
    """Looks like a torch tensor on the host: it has a device too, and `__array__`."""

    device = "cpu"

    def __init__(self, values: np.ndarray, refusal: Exception | None = None) -> None:
        self.values, self.refusal = values, refusal

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.refusal is not None:
            raise self.refusal
        return self.values

    def __dlpack__(self, **kwargs: Any) -> Any:
        raise BufferError("this way was not to be taken")


class Frame:
    """Looks like a data frame with columns named `get` and `device`."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.get, self.device = values, LABELS, LABELS

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.values


def read_only(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values.flags.writeable = False
    return values


# What may be brought in, for the values above.
SOURCES: dict[str, Callable[[np.ndarray], Any]] = {
    "list": lambda values: values.tolist(),
    "tuple": lambda values: tuple(map(tuple, values)) if values.ndim == 2 else tuple(values),
    "generator": lambda values: (row for row in values),
    "list of arrays": list,
    "array": lambda values: values,
    "Fortran order": np.asfortranarray,
    "every other of a larger array": lambda values: np.repeat(values, 2, axis=0)[::2],
    "backwards": lambda values: values[::-1].copy()[::-1],
    "big-endian": lambda values: values.astype(values.dtype.newbyteorder(">")),
    "read-only": read_only,
    "long double or short integers": lambda values: values.astype("longdouble" if values.dtype.kind == "f" else "int8"),
    "half precision or unsigned bytes": lambda values: values.astype("float16" if values.dtype.kind == "f" else "uint8"),
    "masked array without masked entries": lambda values: np.ma.array(values, mask=False),
    "subclass": lambda values: values.view(type("Subclass", (np.ndarray,), {})),
    "CuPy-like": OnAnotherGPU,
    "DLPack": Exported,
    "torch-like": Tensor,
    "data frame": Frame,
    "pretend GPU": lambda values: nn.get_backend("strict", dtype="float64").asarray(values),
}  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_all_that_holds_numbers_comes_in(xp_any, source: str) -> None:
    """Values of the table are exact in half precision, so all sources give the same bits."""
    for values, dtype in ((VALUES, xp_any.dtype), (LABELS, xp_any.index_dtype)):
        array = xp_any.asarray(SOURCES[source](values))
        assert array.dtype == dtype
        assert array.dtype.isnative
        helpers.assert_same(array, values)


@pytest.mark.parametrize("source", SOURCES)
def test_a_dtype_that_is_asked_for_is_given(xp, source: str) -> None:
    for dtype in ("float64", "float32", "int64", "uint8", "bool"):
        array = xp.asarray(SOURCES[source](LABELS % 2), dtype=dtype)
        assert array.dtype == np.dtype(dtype)
        helpers.assert_same(array, (LABELS % 2).astype(dtype))


@pytest.mark.parametrize("source", SOURCES)
def test_a_model_converts_what_it_is_given(xp, source: str) -> None:
    """`train`, `evaluate` and `predict` take what the door takes, and give the bits that they give for NumPy arrays."""
    convert = SOURCES[source]
    X, y = np.tile(VALUES, (3, 1)), np.arange(6) % 3
    found, expected = classifier(xp), classifier(xp)
    settings = {"epochs": 2, "batch_size": 4, "print_every": 0}
    history = found.train(convert(X), convert(y), validation_data=(convert(X), convert(y)), **settings)
    assert dict(history) == dict(expected.train(X, y, validation_data=(X, y), **settings))
    assert found.evaluate(convert(X), convert(y)) == expected.evaluate(X, y)
    np.testing.assert_array_equal(found.predict(convert(X)), expected.predict(X))


def classifier(xp: nn.Backend) -> nn.Model:
    """A small one, for the values above."""
    return nn.Model(
        [nn.Dense(3, 4), nn.ReLU(), nn.Dense(4, 3), nn.Softmax()],
        loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01), backend=xp, seed=0,
    )  # fmt: skip


# Layers, losses and accuracies convert nothing: a copy from device to host in every call is what would make a GPU slow.
LAYERS = (lambda: nn.Dense(3, 3), nn.Linear, nn.ReLU, nn.Sigmoid, nn.Softmax, lambda: nn.Dropout(0.5, seed=0))
LOSSES = (
    nn.CategoricalCrossentropy, nn.SoftmaxCategoricalCrossentropy, nn.BinaryCrossentropy, nn.SigmoidBinaryCrossentropy,
    nn.MeanSquaredError, nn.MeanAbsoluteError,
)  # fmt: skip


def refuses(call: Callable[..., Any], xp: nn.Backend, what: str, *arguments: Any) -> None:
    with pytest.raises(nn.DataError, match=f"{what} is a .* not an array of backend '{xp.name}'") as raised:
        call(*arguments)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("name", "other"), [("cpu", "strict"), ("strict", "cpu")])
def test_parts_refuse_the_arrays_of_another_backend(name: str, other: str) -> None:
    xp = nn.get_backend(name)
    mine, foreign = xp.ones((4, 3)), nn.get_backend(other).ones((4, 3))
    labels, foreign_labels = xp.asarray([0, 1, 2, 0]), nn.get_backend(other).asarray([0, 1, 2, 0])
    with nn.use_backend(xp):
        for layer in [make() for make in LAYERS]:
            refuses(layer.forward, xp, "inputs", foreign)
            layer.forward(mine, training=True)
            refuses(layer.backward, xp, "dvalues", foreign)
        for loss in [make() for make in LOSSES]:
            categorical = "Categorical" in type(loss).__name__
            targets, foreign_targets = (labels, foreign_labels) if categorical else (mine, foreign)
            for call in (loss.calculate, loss.forward, loss.backward):
                refuses(call, xp, "predictions", foreign, targets)
                refuses(call, xp, "targets", mine, foreign_targets)
        for accuracy in (nn.CategoricalAccuracy(), nn.BinaryAccuracy(), nn.RegressionAccuracy(precision=0.1)):
            refuses(accuracy.calculate, xp, "predictions", foreign, labels)
    model = classifier(xp)
    refuses(model.forward, xp, "inputs", foreign)
    refuses(model.training_step, xp, "inputs", foreign, labels)
    model.evaluation_step(mine, labels)
    refuses(model.backward, xp, "targets", foreign_labels)


SCALARS = [1, 1.5, True, np.float64(1.5), np.float16(1.5), np.int8(3), np.bool_(True), np.array(2.5), 2**62]


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda value: f"{type(value).__name__} {value}")
def test_a_number_becomes_an_array_of_no_axes(xp_any, scalar: Any) -> None:
    array = xp_any.asarray(scalar)
    assert array.shape == ()
    assert array.dtype == (xp_any.dtype if np.asarray(scalar).dtype.kind == "f" else xp_any.index_dtype)
    array[...] = 1  # an array, not a number: it can be written to
    helpers.assert_same(array, np.asarray(1, array.dtype))


@pytest.mark.parametrize("empty", [[], [[]], np.zeros((0, 3)), np.zeros((2, 0), int)])
def test_nothing_comes_in_too(xp, empty: Any) -> None:
    array = xp.asarray(empty)
    assert array.shape == np.shape(empty)


def test_a_matrix_becomes_an_array() -> None:
    """NumPy's old matrix class multiplies where an array works elementwise."""
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix(VALUES)
    xp = nn.get_backend("cpu", dtype="float64")
    assert type(xp.asarray(matrix)) is np.ndarray
    model = nn.Model([nn.Dense(3, 2)], backend=xp, seed=0)
    assert (model.predict(matrix) == model.predict(VALUES)).all()


def test_what_is_here_already_stays_as_it_is(xp) -> None:
    array, labels = xp.ones((2, 3)), xp.arange(3, dtype="int64")
    assert xp.asarray(array) is array
    assert xp.asarray(labels) is labels
    assert xp.asarray(labels, dtype=xp.dtype).dtype == xp.dtype
    assert xp.asarray(array, dtype="int64").dtype == np.int64


def test_what_is_too_large_becomes_infinity(xp) -> None:
    helpers.assert_same(xp.asarray([1e300, -1e300, 1e-300]), np.float32([np.inf, -np.inf, 0]))


class Raising:
    """An array of some other library, with an error of its own."""

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise RuntimeError("the simulation\nhas ended")


NO_NUMBERS: dict[str, tuple[Any, str]] = {
    "text": ("abc", "a str holds <U3 values"),
    "None": (None, "a NoneType holds object values"),
    "a class": (float, "a type holds object values"),
    "a set": ({1, 2}, "a set holds object values"),
    "a dictionary": ({"a": 1}, "a dict holds object values"),
    "dates": (np.array(["2020-01-01"], "datetime64[D]"), r"datetime64\[D\] values"),
    "complex numbers": (1j, "complex128 values"),
    "ragged rows": ([[1.0], [1.0, 2.0]], "cannot be read as an array of numbers: "),
    "integers of 100 digits": ([10**100], "object values"),
    "too large for int64": ([2**63], f"holds {2**63}: expected integers of at most"),
    "a list of itself": ((lambda items: items.append(items) or items)([]), "expected an array|cannot be read"),
    "masked entries": (np.ma.array([1.0, 2.0], mask=[0, 1]), "masked entries"),
    "another library's refusal": (Raising(), "a tests.Raising cannot be read .*: the simulation$"),
    "a tensor that wants gradients": (
        Tensor(VALUES, RuntimeError("Can't call numpy() on Tensor that requires grad.")), "requires grad",
    ),
    "a tensor of a GPU": (Tensor(VALUES, TypeError("can't convert cuda:0 tensor; use Tensor.cpu()")), r"Tensor\.cpu"),
    "get that gives no array": (OnAnotherGPU(type("Odd", (), {"copy": lambda self: [1.0]})()), "other values"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_NUMBERS)
def test_what_is_no_array_of_numbers_is_refused(xp, name: str) -> None:
    data, words = NO_NUMBERS[name]
    before = xp.transfers.calls
    with pytest.raises(nn.DataError, match=words) as raised:
        xp.asarray(data)
    assert "\n" not in str(raised.value)
    assert xp.transfers.calls == before


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_no_integer_is_made_up(xp, value: float) -> None:
    with pytest.raises(nn.DataError, match="int64 cannot hold"):
        xp.asarray([1.0, value], dtype="int64")


@pytest.mark.parametrize("dtype", ["wat", "complex64", object, "datetime64[s]", 3, [("a", "f4")], "f4,f4", VALUES])
def test_an_odd_dtype_is_refused(xp, dtype: Any) -> None:
    for data in ([1.0], xp.ones(2)):
        with pytest.raises(nn.ArgumentError, match="unknown dtype"):
            xp.asarray(data, dtype=dtype)


# -- to_host --------------------------------------------------------------------------------------------------------------


def test_what_leaves_is_the_caller_s_own(xp_any) -> None:
    array = xp_any.asarray(np.arange(12.0).reshape(3, 4))
    for view in (array, array.T, array[::2], array[1], array[1, 2], array.sum(), array > 3, xp_any.arange(3)):
        taken = xp_any.to_host(view)
        assert type(taken) is np.ndarray
        assert taken.flags.owndata
        assert taken.flags.writeable
        assert (taken.shape, taken.dtype) == (view.shape, view.dtype)
        taken[...] = 0
    helpers.assert_same(array, np.arange(12).reshape(3, 4))


@pytest.mark.parametrize("other", [[1.0], 1.0, None, "abc", np, np.ndarray, OnAnotherGPU(VALUES)])
def test_only_its_own_arrays_leave(xp, other: Any) -> None:
    with pytest.raises(nn.DataError, match="takes arrays of this backend only"):
        xp.to_host(other)


# -- counting -------------------------------------------------------------------------------------------------------------


def count(transfers: Transfers) -> np.ndarray:
    return np.array([transfers.calls_in, transfers.bytes_in, transfers.calls_out, transfers.bytes_out])


@pytest.mark.parametrize("source", [name for name in SOURCES if name != "pretend GPU"])
def test_counters_are_alike_on_every_backend(xp_any, source: str) -> None:
    """In are counted the bytes as they are on the device, so float64 data count half on a float32 backend."""
    before = count(xp_any.transfers)
    array = xp_any.asarray(SOURCES[source](VALUES))
    size = 6 * xp_any.dtype.itemsize
    assert (count(xp_any.transfers) - before).tolist() == [1, size, 0, 0]
    xp_any.to_host(array[0])
    assert (count(xp_any.transfers) - before).tolist() == [1, size, 1, size // 2]
    xp_any.asarray(SOURCES[source](LABELS))
    assert (count(xp_any.transfers) - before).tolist() == [2, size + 24, 1, size // 2]
    assert xp_any.transfers.calls == xp_any.transfers.calls_in + xp_any.transfers.calls_out


def test_a_number_is_counted_alike(xp) -> None:
    before = count(xp.transfers)
    for number in (1.5, np.float64(1.5), np.array(1.5)):
        xp.asarray(number)
    assert (count(xp.transfers) - before).tolist() == [3, 12, 0, 0]


def test_the_counter_says_what_it_counted() -> None:
    transfers = Transfers()
    transfers.count_in("x", 8)
    transfers.count_in("x", 8)
    transfers.count_out("x", 4)
    assert repr(transfers) == "Transfers(in: 2 calls, 16 bytes; out: 1 calls, 4 bytes)"


# -- no_transfers ---------------------------------------------------------------------------------------------------------


def test_doors_are_shut_inside_a_block(xp) -> None:
    array, before = xp.ones(3), count(xp.transfers)
    with xp.no_transfers():
        for crossing in (lambda: xp.asarray([1.0]), lambda: xp.asarray(VALUES), lambda: xp.to_host(array)):
            with pytest.raises(nn.TransferError, match=r"inside xp\.no_transfers\(\)"):
                crossing()
        array = array + xp.exp(array)
    assert (count(xp.transfers) == before).all()
    xp.to_host(array)


def test_blocks_may_be_nested_and_entered_again(xp) -> None:
    block = xp.no_transfers()
    with block:
        with block, xp.no_transfers():
            pass
        with pytest.raises(nn.TransferError):
            xp.asarray([1.0])
    xp.asarray([1.0])


def test_a_block_that_fails_opens_the_doors_again(xp) -> None:
    with pytest.raises(ZeroDivisionError), xp.no_transfers():
        1 / 0  # noqa: B018
    xp.asarray([1.0])


def test_a_block_is_for_its_thread() -> None:
    """A server may answer with one model while another is trained on the same backend."""
    xp, done = nn.get_backend("cpu"), []

    def cross() -> None:
        done.append(xp.to_host(xp.asarray([1.0])))

    with xp.no_transfers():
        thread = threading.Thread(target=cross)
        thread.start()
        thread.join(timeout=20)
    assert len(done) == 1


def test_a_block_is_for_its_backend() -> None:
    with nn.get_backend("strict").no_transfers():
        nn.get_backend("cpu").asarray([1.0])
