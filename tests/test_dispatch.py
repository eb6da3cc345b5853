"""`xp.ops`: which implementation runs, and `xp.compiled_step`: ops written down once and replayed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.backend import Backend, Override
from nnbackend.backend.base import RecordedStep
from tests import helpers

# -- overrides ------------------------------------------------------------------------------------------------------------


class Spy:
    """An implementation of ReLU that counts its calls and says which one it is by adding to the result."""

    def __init__(self, mark: float = 0.0) -> None:
        self.mark = mark
        self.calls = 0

    def __call__(self, inputs: Any, *, out: Any) -> Any:
        self.calls += 1
        np.maximum(inputs, 0, out=out)
        out += self.mark
        return out


def backend_with(overrides: dict[str, list[Override]], kernels: str = "auto") -> Backend:
    return Backend("overridden", np, kernels=kernels, overrides=overrides)


def always(*args: Any, **kwargs: Any) -> bool:
    return True


def never(*args: Any, **kwargs: Any) -> bool:
    return False


def relu_of_one(xp: Backend) -> float:
    return float(xp.ops.relu(xp.ones(1), out=xp.empty(1))[0])


# kernels=, is it proved: does it run?
MODES = [("auto", True, True), ("auto", False, False), ("all", True, True), ("all", False, True),
         ("reference", True, False), ("reference", False, False)]  # fmt: skip


@pytest.mark.parametrize(("kernels", "proved", "runs"), MODES)
def test_which_overrides_may_run(kernels: str, proved: bool, runs: bool) -> None:
    xp = backend_with({"relu": [Override(Spy(10.0), always, proved=proved)]}, kernels)
    assert relu_of_one(xp) == (11.0 if runs else 1.0)
    assert len(xp.ops.relu.overrides) == runs
    assert not xp.ops.sigmoid.overrides


def test_the_first_that_accepts_runs() -> None:
    refused, first, second = Spy(1.0), Spy(10.0), Spy(100.0)
    xp = backend_with({"relu": [Override(refused, never), Override(first, always), Override(second, always)]})
    assert relu_of_one(xp) == 11.0
    assert (refused.calls, first.calls, second.calls) == (0, 1, 0)
    assert xp.ops.relu.implementation(xp.ones(1), out=xp.ones(1)) is first


def test_the_reference_runs_where_none_accepts() -> None:
    spy = Spy(10.0)
    xp = backend_with({"relu": [Override(spy, never)]})
    assert relu_of_one(xp) == 1.0
    assert spy.calls == 0


def test_an_override_sees_what_the_reference_sees() -> None:
    seen = []

    def accepts(*args: Any, **kwargs: Any) -> bool:
        seen.append((args, kwargs))
        return args[0].flags.c_contiguous

    spy = Spy(10.0)
    xp = backend_with({"relu": [Override(spy, accepts)]})
    row, column, out = xp.ones((1, 3)), xp.ones((3, 2)).T, xp.empty((1, 3))
    assert xp.ops.relu(row, out=out) is out
    assert seen == [((row,), {"out": out})]
    assert xp.ops.relu(column, out=xp.empty((2, 3))).max() == 1.0  # not contiguous: the reference
    assert spy.calls == 1


def test_an_override_of_an_op_that_does_not_exist_is_named() -> None:
    with pytest.raises(nn.ArgumentError, match=r"unknown op 'reluu': did you mean 'relu'"):
        backend_with({"reluu": [Override(Spy(), always)]})


@pytest.mark.parametrize("kernels", ["auto", "all", "reference"])
def test_the_modes_of_every_backend(xp, kernels: str) -> None:
    mode = nn.get_backend(xp, kernels=kernels)
    assert mode.kernels == kernels
    if kernels == "reference":
        assert not any(op.overrides for op in mode.ops)
    if kernels == "auto":
        assert all(override.proved for op in mode.ops for override in op.overrides)


def advance(xp: Backend, state: Any) -> None:
    xp.ops.advance(1, state=state)


# -- compiled steps -------------------------------------------------------------------------------------------------------


def counting_step(xp: Backend, calls: list[int]) -> tuple[Any, Callable[[], None]]:
    """A step that doubles a number through an op, and notes in Python that it was called."""
    state, twos = xp.ones(1), xp.full(1, 2.0)

    def step() -> None:
        calls.append(1)
        xp.ops.multiply(state, twos, out=state)

    return state, step


def test_a_promised_step_is_recorded_once_and_replayed(xp) -> None:
    calls: list[int] = []
    state, step = counting_step(xp, calls)
    compiled = xp.compiled_step(step, only_ops=True)
    for _ in range(5):
        compiled()
    helpers.assert_same(state, np.float32([32]))
    assert len(calls) == (5 if xp.name == "gpu" else 1)  # on a GPU, steps are called as they are for now
    assert xp.tape is None


def test_a_step_without_the_promise_computes_what_it_computes(xp) -> None:
    state, ones = xp.zeros(2), xp.ones(2)

    def step() -> None:
        state[...] = state + ones * 3

    compiled = xp.compiled_step(step)
    for _ in range(4):
        compiled()
    helpers.assert_same(state, np.float32([12, 12]))


def test_without_the_promise_the_cpu_calls_the_step() -> None:
    xp, calls = nn.get_backend("cpu"), []
    compiled = xp.compiled_step(lambda: calls.append(1))
    compiled()
    compiled()
    assert len(calls) == 2


def test_what_changes_lives_in_an_array(xp) -> None:
    """A counter on the device ticks in every replay; a Python number is replayed as it was."""
    position, seen, number = xp.zeros(1, dtype="int64"), xp.zeros(1, dtype="int64"), [0]

    def step() -> None:
        number[0] += 1
        xp.ops.advance(1, state=position)
        xp.ops.assign(position, out=seen)

    compiled = xp.compiled_step(step, only_ops=True)
    for _ in range(3):
        compiled()
    helpers.assert_same(seen, np.array([3]))
    assert number[0] == (3 if xp.name == "gpu" else 1)


def test_a_step_needs_buffers(xp) -> None:
    """An op that makes its own result would replay into an array that nobody holds."""
    if xp.name == "gpu":
        pytest.skip("steps are not captured there yet")

    def step() -> None:
        xp.ops.multiply(ones, ones, out=None)

    ones = xp.ones(2)

    compiled = xp.compiled_step(step, only_ops=True)
    for _ in range(2):
        with pytest.raises(nn.StateError, match=r"'multiply' was called without out= inside a compiled step"):
            compiled()
    assert xp.tape is None


def test_an_error_while_recording_leaves_nothing_behind(xp) -> None:
    state, failing = xp.ones(1), [True]

    def step() -> None:
        xp.ops.advance(1, state=state)
        if failing:
            raise KeyboardInterrupt
        xp.ops.advance(10, state=state)

    compiled = xp.compiled_step(step, only_ops=True)
    with pytest.raises(KeyboardInterrupt):
        compiled()
    assert xp.tape is None
    failing.clear()
    compiled()  # recorded anew, whole
    compiled()
    done_before = 0 if xp.name == "cpu" else 1  # the CPU runs a step when all of it is written down, or nothing
    helpers.assert_same(state, np.float32([1 + done_before + 11 + 11]))


def test_an_op_that_fails_in_a_recorded_step_is_named(xp) -> None:
    def step() -> None:
        xp.ops.dense(xp.ones((4, 3)), xp.ones((2, 5)), xp.ones((1, 5)), out=xp.ones((4, 5)))

    with pytest.raises(Exception) as caught:  # noqa: PT011  (what a library says of shapes that do not fit)
        xp.compiled_step(step, only_ops=True)()
    there = any(entry.name == "step" for entry in caught.traceback)
    assert there or "in dense, an op of a recorded step" in caught.value.__notes__
    assert xp.tape is None


def test_a_step_inside_a_step_is_a_part_of_it(xp) -> None:
    inner_state, outer_state = xp.zeros(1), xp.zeros(1)
    inner = xp.compiled_step(lambda: advance(xp, inner_state), only_ops=True)

    def step() -> None:
        xp.ops.advance(1, state=outer_state)
        inner()
        xp.ops.advance(1, state=outer_state)

    for recorded_before in (False, True):
        if recorded_before:
            inner()
            inner()
        outer = xp.compiled_step(step, only_ops=True)
        for _ in range(3):
            outer()
    helpers.assert_same(outer_state, np.float32([12]))
    helpers.assert_same(inner_state, np.float32([8]))


def test_replays_work_on_the_arrays_of_the_first_call() -> None:
    xp = nn.get_backend("cpu")
    buffers = {"out": xp.zeros(2)}
    first = buffers["out"]

    def step() -> None:
        xp.ops.assign(xp.ones(2), out=buffers["out"])

    compiled = xp.compiled_step(step, only_ops=True)
    compiled()
    first.fill(0)
    buffers["out"] = xp.zeros(2)
    compiled()
    assert first.tolist() == [1, 1]
    assert buffers["out"].tolist() == [0, 0]


def test_the_override_is_chosen_when_the_step_is_recorded() -> None:
    asked = []

    def accepts(*args: Any, **kwargs: Any) -> bool:
        asked.append(1)
        return True

    spy = Spy()
    xp = backend_with({"relu": [Override(spy, accepts)]})
    inputs, out = xp.full(3, -1.0), xp.ones(3)
    compiled = RecordedStep(xp, lambda: xp.ops.relu(inputs, out=out))
    for _ in range(4):
        compiled()
    assert len(asked) == 1
    assert spy.calls == 4
    assert out.tolist() == [0, 0, 0]


def test_two_threads_record_two_steps() -> None:
    """Two models trained at once on one backend: the ops of one may not end up in the step of the other."""
    xp = nn.get_backend("cpu")
    barrier, errors = threading.Barrier(2), []
    states = [xp.zeros(1), xp.zeros(1)]

    def work(state: Any, amount: int) -> None:
        def step() -> None:
            xp.ops.advance(amount, state=state)
            if not recorded:
                barrier.wait(timeout=10)  # both are in the middle of recording
            recorded.append(1)
            xp.ops.advance(amount, state=state)

        recorded: list[int] = []
        compiled = xp.compiled_step(step, only_ops=True)
        try:
            for _ in range(3):
                compiled()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(state, 10**i)) for i, state in enumerate(states)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert not errors
    assert [state.tolist() for state in states] == [[6.0], [60.0]]


def test_ops_run_in_the_backend_s_scope() -> None:
    """Where a device must be made current, it is, for every op and for nothing else."""
    depth: list[str] = []

    class Scope:
        def __enter__(self) -> None:
            depth.append("in")

        def __exit__(self, *exception: object) -> None:
            depth.append("out")

    xp = backend_with({})
    xp.op_scope = xp.device_scope = Scope()  # type: ignore[assignment]
    relu_of_one(xp)
    assert depth == ["in", "out"]
    with pytest.raises(TypeError):
        xp.ops.relu()
    assert depth == ["in", "out"] * 2
    with nn.use_backend(xp):
        assert depth[4:] == ["in"]
    assert depth[4:] == ["in", "out"]
