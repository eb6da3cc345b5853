"""Names to backends, and the `xp` object itself: settings, what it offers and what it refuses, copies."""

from __future__ import annotations

import copy
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend import ops as reference_ops
from nnbackend.backend import choose_backend, registry
from tests import helpers

CPU = nn.get_backend("cpu")


@pytest.fixture
def names() -> Iterator[None]:
    """The registered names and the cached backends, as they were afterwards."""
    factories, cache = dict(registry._factories), dict(registry._cache)
    try:
        yield
    finally:
        for known, before in ((registry._factories, factories), (registry._cache, cache)):
            known.clear()
            known.update(before)


@pytest.fixture(autouse=True)
def no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have chosen a default."""
    monkeypatch.delenv("NNBACKEND", raising=False)


def in_a_thread(function: Callable[[], Any]) -> Any:
    """What the function returns in a thread of its own; what it raises is raised here."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(timeout=20)
    assert not thread.is_alive()
    if errors:
        raise errors[0]
    return results[0]


class Counted(nn.Backend):
    """NumPy under another name."""

    def __init__(self, device: int | None, dtype: str, kernels: str) -> None:
        super().__init__("counted" if device is None else f"counted:{device}", np, dtype=dtype, kernels=kernels)
        self.device = device


# -- get_backend ----------------------------------------------------------------------------------------------------------


def test_the_same_arguments_give_the_same_object() -> None:
    assert nn.get_backend("cpu") is nn.get_backend("cpu", dtype="float32") is nn.get_backend("cpu", kernels="auto")
    assert nn.get_backend("cpu") is not nn.get_backend("cpu", dtype="float64")
    assert nn.get_backend("cpu") is not nn.get_backend("cpu", kernels="reference")


@pytest.mark.parametrize("dtype", ["float64", np.float64, np.dtype("float64"), float, "d", ">f8"])
def test_a_dtype_may_be_written_in_many_ways(dtype: Any) -> None:
    xp = nn.get_backend("cpu", dtype=dtype)
    assert xp is nn.get_backend("cpu", dtype="float64")
    assert xp.dtype == np.float64
    assert xp.dtype.isnative


def test_an_instance_passes_through(xp) -> None:
    assert nn.get_backend(xp) is xp
    double = nn.get_backend(xp, dtype="float64")
    assert (double.name, double.dtype, double.kernels) == (xp.name, np.float64, xp.kernels)
    assert nn.get_backend(xp, kernels="reference").kernels == "reference"


def test_without_a_name_it_is_the_cpu() -> None:
    assert nn.get_backend() is nn.get_backend("cpu")
    assert nn.get_backend(dtype="float64") is nn.get_backend("cpu", dtype="float64")


def test_the_environment_names_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNBACKEND", "strict")
    assert nn.get_backend() is nn.get_backend("strict")
    assert nn.get_backend(dtype="float64") is nn.get_backend("strict", dtype="float64")
    assert nn.Dense(2, 3).xp.name == "strict"
    assert nn.get_backend("cpu").name == "cpu"
    monkeypatch.setenv("NNBACKEND", "")
    assert nn.get_backend().name == "cpu"


def test_a_wrong_name_in_the_environment_says_where_it_is_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNBACKEND", "gpuu")
    with pytest.raises(nn.BackendError, match=r"unknown backend 'gpuu'.*NNBACKEND"):
        nn.get_backend()


@pytest.mark.parametrize(
    "name", ["gpu:", "cpu:", "strict:", "gpu:1.5", "gpu:+1", "gpu: 1", "gpu:" + "9" * 5000, " cpu", "CPU:x"]
)
def test_a_malformed_name_is_unknown(name: str) -> None:
    with pytest.raises(nn.BackendError, match="unknown backend"):
        nn.get_backend(name)


def test_a_number_has_one_spelling(names: None) -> None:
    nn.register_backend("counted", Counted)
    assert nn.get_backend("counted:1") is nn.get_backend("counted:01")
    assert nn.get_backend("counted:1").name == "counted:1"
    assert nn.get_backend("counted").device is None
    assert nn.get_backend("counted:0").device == 0


# -- use_backend ----------------------------------------------------------------------------------------------------------


def test_the_innermost_block_decides() -> None:
    with nn.use_backend("strict") as outer:
        assert nn.get_backend() is outer is nn.get_backend("strict")
        with nn.use_backend("cpu", dtype="float64") as inner:
            assert nn.get_backend() is inner is nn.get_backend("cpu", dtype="float64")
            assert nn.Dense(2, 3).xp is inner
        assert nn.get_backend() is outer
        with nn.use_backend(None) as same:
            assert same is outer
        with nn.use_backend(None, dtype="float64") as double:
            assert double is nn.get_backend("strict", dtype="float64")
    assert nn.get_backend() is CPU


def test_a_block_is_left_when_it_fails(xp) -> None:
    with pytest.raises(ZeroDivisionError), nn.use_backend(xp):
        1 / 0  # noqa: B018
    assert nn.get_backend() is CPU


def test_the_environment_counts_only_outside_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNBACKEND", "strict")
    with nn.use_backend("cpu"):
        assert nn.get_backend() is CPU


def test_a_block_belongs_to_its_thread() -> None:
    with nn.use_backend("strict"):
        assert in_a_thread(nn.get_backend) is CPU

    def block() -> nn.Backend:
        with nn.use_backend("strict"):
            return nn.get_backend()

    assert in_a_thread(block) is nn.get_backend("strict")
    assert nn.get_backend() is CPU


def test_a_layer_keeps_the_backend_of_its_first_use(xp) -> None:
    early, late = nn.Dense(2, 3, seed=0), nn.Dense(2, 3, seed=0)
    with nn.use_backend(xp):
        _ = early.weights
    _ = late.weights
    with nn.use_backend("strict"):
        assert early.xp is xp
        assert late.xp is CPU


def test_a_model_is_built_and_trained_inside_a_block(xp) -> None:
    X, y = nn.datasets.spiral(5, 3, seed=0)
    with nn.use_backend(xp):
        model = nn.Model(
            [nn.Dense(2, 4), nn.ReLU(), nn.Dense(4, 3), nn.Softmax()],
            loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01), seed=0,
        )  # fmt: skip
        inside = model.train(X, y, epochs=2, print_every=0)
    with nn.use_backend("cpu", dtype="float64"):  # it stays where it was built
        outside = model.train(X, y, epochs=2, print_every=0)
    assert model.xp is xp
    assert inside["epoch"] + outside["epoch"] == [1, 2, 3, 4]


# -- register_backend, available_backends ----------------------------------------------------------------------------------


def test_a_registered_backend_is_one_like_the_others(names: None) -> None:
    nn.register_backend("counted", Counted)
    xp = nn.get_backend("counted:7", dtype="float64", kernels="reference")
    assert (xp.name, xp.device, xp.dtype, xp.kernels) == ("counted:7", 7, np.float64, "reference")
    assert nn.available_backends()["counted"].startswith("NumPy")
    assert nn.Dense(2, 3, backend="counted").xp is nn.get_backend("counted")
    with pytest.raises(nn.BackendError, match="did you mean 'counted'"):
        nn.get_backend("countd")


def test_registering_again_forgets_what_was_built(names: None) -> None:
    nn.register_backend("counted", Counted)
    first = nn.get_backend("counted:1")
    nn.register_backend("counted", Counted)
    assert nn.get_backend("counted:1") is not first
    assert nn.get_backend("cpu") is CPU


@pytest.mark.parametrize("name", ["cpu", "gpu", "strict"])
def test_a_built_in_backend_stays_what_it_is(names: None, name: str) -> None:
    nn.available_backends()  # strict registers itself when it is asked for
    with pytest.raises(
        nn.ArgumentError, match=f"'{name}' is that of a built-in backend: register yours by another name"
    ):
        nn.register_backend(name, Counted)
    nn.register_backend(name, registry._factories[name])  # as when its module is loaded again


def test_a_factory_that_gives_no_backend_is_named(names: None) -> None:
    nn.register_backend("counted", lambda device, dtype, kernels: np)
    with pytest.raises(nn.BackendError, match="'counted'"):
        nn.get_backend("counted")


def test_two_threads_get_one_object(names: None) -> None:
    """Else the layers of one program would live on two backends of one name."""
    barrier = threading.Barrier(2)
    built: list[nn.Backend] = []

    def slow(device: int | None, dtype: str, kernels: str) -> nn.Backend:
        time.sleep(0.05)
        return Counted(device, dtype, kernels)

    def ask() -> None:
        barrier.wait(timeout=10)
        built.append(nn.get_backend("counted"))

    nn.register_backend("counted", slow)
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert len(built) == 2
    assert built[0] is built[1]


def test_available_are_those_that_can_be_had(names: None) -> None:
    def broken(device: int | None, dtype: str, kernels: str) -> nn.Backend:
        raise nn.BackendError("it is not there")

    nn.register_backend("broken", broken)
    found = nn.available_backends()
    assert found["cpu"] == CPU.description
    assert "strict" in found
    assert "broken" not in found
    assert all(nn.get_backend(name).description == text for name, text in found.items())


# -- auto ------------------------------------------------------------------------------------------------------------------


def test_auto_takes_a_gpu_that_works(names: None, capsys: pytest.CaptureFixture[str]) -> None:
    registry._register("gpu", Counted)
    assert nn.get_backend("auto", dtype="float64") is nn.get_backend("gpu", dtype="float64")
    assert choose_backend() == (nn.get_backend("gpu"), "a GPU works here")
    assert capsys.readouterr() == ("", "")


def test_auto_falls_back_and_says_why_once(names: None, capsys: pytest.CaptureFixture[str]) -> None:
    def none(device: int | None, dtype: str, kernels: str) -> nn.Backend:
        raise nn.BackendError("no GPU in this machine; buy one")

    registry._register("gpu", none)
    assert nn.get_backend("auto") is CPU
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "nnbackend: using the CPU: no GPU in this machine; buy one\n"
    assert nn.get_backend("auto") is CPU  # every layer of a script may ask
    assert nn.get_backend("auto", dtype="float64") is nn.get_backend("cpu", dtype="float64")
    assert capsys.readouterr().err == ""
    registry._register("gpu", none)  # a new chance, and a new reason
    assert nn.get_backend("auto") is CPU
    assert capsys.readouterr().err.count("buy one") == 1
    backend, reason = choose_backend("float64", "reference")
    assert backend is nn.get_backend("cpu", dtype="float64", kernels="reference")
    assert reason == "no GPU in this machine; buy one"


def test_auto_stays_with_its_choice(names: None, capsys: pytest.CaptureFixture[str]) -> None:
    """A GPU whose memory is freed in between would else split a model over two devices."""
    failing = [True]

    def sometimes(device: int | None, dtype: str, kernels: str) -> nn.Backend:
        if failing:
            raise nn.BackendError("the GPU has no memory left")
        return Counted(device, dtype, kernels)

    registry._register("gpu", sometimes)
    assert nn.get_backend("auto") is CPU
    failing.clear()
    assert nn.get_backend("auto") is CPU
    assert nn.get_backend("gpu").name == "counted"
    assert capsys.readouterr().err.count("\n") == 1


def test_auto_in_the_environment(
    names: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry._register("gpu", Counted)
    monkeypatch.setenv("NNBACKEND", "auto")
    assert nn.Dense(2, 3).xp is nn.get_backend("gpu")


def test_auto_does_not_hide_a_wrong_setting() -> None:
    with pytest.raises(nn.ArgumentError, match="float16"):
        nn.get_backend("auto", dtype="float16")


# -- the namespace ---------------------------------------------------------------------------------------------------------


def test_functions_are_the_library_s_own() -> None:
    assert CPU.matmul is np.matmul
    assert CPU.exp is np.exp
    assert CPU.pi is np.pi


CREATION: dict[str, tuple[Any, ...]] = {
    "empty": (3,), "eye": (3,), "full": ((2, 2), 7), "identity": (3,), "linspace": (0, 1, 5), "ones": (3,), "zeros": ((2, 3),),
}  # fmt: skip


@pytest.mark.parametrize("name", CREATION)
def test_creation_defaults_to_the_backend_s_dtype(xp_any, name: str) -> None:
    function, args = getattr(xp_any, name), CREATION[name]
    assert function(*args).dtype == xp_any.dtype
    assert function(*args, dtype=xp_any.index_dtype).dtype == np.int64
    assert function.__name__ == name
    if name != "empty":
        helpers.assert_close(function(*args), getattr(np, name)(*args), 2e-7)


CLOSED = ("array", "asanyarray", "asnumpy", "copyto", "frombuffer", "fromiter", "from_dlpack", "load", "random", "save")


@pytest.mark.parametrize("name", [*CLOSED, "_private", "__wrapped__"])
def test_there_is_no_third_door(xp, name: str) -> None:
    assert not hasattr(xp, name)
    with pytest.raises(AttributeError, match=rf"xp\.{name} is not offered: .*xp\.asarray.*xp\.to_host"):
        getattr(xp, name)


def test_an_unknown_function_is_named(xp) -> None:
    with pytest.raises(AttributeError, match=rf"backend '{xp.name}' has no 'softmx'"):
        _ = xp.softmx


def test_memory_begins_at_a_boundary_of_256_bytes() -> None:
    for dtype in ("float32", "float64"):
        xp = nn.get_backend("cpu", dtype=dtype)
        for size in (1, 63, 64, 1000):
            array = xp.aligned_zeros(size)
            assert array.ctypes.data % 256 == 0
            assert (array.shape, array.dtype) == ((size,), xp.dtype)
            assert not array.any()


def test_quiet_and_synchronize(xp) -> None:
    with xp.quiet():
        assert bool(xp.isnan(xp.log(xp.full(1, -1.0)))[0])
    xp.synchronize()


# -- for people, and copies ------------------------------------------------------------------------------------------------


def test_its_repr_builds_it(xp_any) -> None:
    assert eval(repr(xp_any), {"get_backend": nn.get_backend}) is xp_any


def test_a_copy_is_the_object_itself(xp_any) -> None:
    assert copy.copy(xp_any) is xp_any
    assert copy.deepcopy(xp_any) is xp_any
    assert copy.deepcopy([xp_any, {"xp": xp_any}]) == [xp_any, {"xp": xp_any}]
    assert pickle.loads(pickle.dumps(xp_any)) is xp_any


def test_every_op_shows_the_docstring_of_its_reference(xp) -> None:
    found = {op.name for op in xp.ops}
    public = {
        name
        for name, value in vars(reference_ops).items()
        if callable(value) and not name.startswith("_") and value.__module__.startswith(f"{reference_ops.__name__}.")
    }
    assert found == public
    for op in xp.ops:
        assert op.__doc__ == getattr(reference_ops, op.name).__doc__
        assert op.__doc__
        assert op.name in repr(op)
        assert getattr(xp.ops, op.name) is op


def test_an_unknown_op_is_an_attribute_error(xp) -> None:
    with pytest.raises(AttributeError, match="no_such_op"):
        _ = xp.ops.no_such_op
