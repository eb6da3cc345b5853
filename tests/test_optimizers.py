"""Every optimizer of `cases.py`, on every backend: steps against the book's formulas, schedules, state, copies."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnbackend as nn
from nnbackend.testing import tolerances
from tests.cases import OPTIMIZERS
from tests.helpers import assert_close, assert_same

STEPS = 12
cases = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


class Book:
    """The book's formulas for one parameter array, in NumPy and float64, with nothing folded or reordered."""

    def __init__(self, optimizer: nn.Optimizer, values: np.ndarray) -> None:
        self.kind, self.settings = type(optimizer).__name__, vars(optimizer)
        self.rate, self.decay = optimizer.learning_rate, optimizer.decay
        self.values, self.iterations = values.copy(), 0
        self.momentums, self.cache = np.zeros_like(values), np.zeros_like(values)

    def update(self, g: np.ndarray) -> None:
        self.current = self.rate / (1 + self.decay * self.iterations)
        names = ("momentum", "epsilon", "rho", "beta_1", "beta_2", "weight_decay")
        getattr(self, self.kind)(g, self.current, **self._given(*names))
        self.iterations += 1

    def _given(self, *names: str) -> dict[str, float]:
        return {name: self.settings[name] for name in names if name in self.settings}

    def SGD(self, g, rate, momentum):
        self.momentums = momentum * self.momentums - rate * g
        self.values += self.momentums

    def Adagrad(self, g, rate, epsilon):
        self.cache += g**2
        self.values += -rate * g / (np.sqrt(self.cache) + epsilon)

    def RMSprop(self, g, rate, epsilon, rho):
        self.cache = rho * self.cache + (1 - rho) * g**2
        self.values += -rate * g / (np.sqrt(self.cache) + epsilon)

    def Adam(self, g, rate, epsilon, beta_1, beta_2):
        self.momentums = beta_1 * self.momentums + (1 - beta_1) * g
        corrected_momentums = self.momentums / (1 - beta_1 ** (self.iterations + 1))
        self.cache = beta_2 * self.cache + (1 - beta_2) * g**2
        corrected_cache = self.cache / (1 - beta_2 ** (self.iterations + 1))
        self.values += -rate * corrected_momentums / (np.sqrt(corrected_cache) + epsilon)

    def AdamW(self, g, rate, weight_decay, **settings):
        self.values *= 1 - rate * weight_decay
        self.Adam(g, rate, **settings)


def clipped(optimizer: nn.Optimizer, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The gradients of all parameters, as short as the optimizer wants them."""
    norm = np.sqrt(sum(np.sum(g**2) for g in found.values()))
    limit = optimizer.clip_norm
    return found if limit is None or norm <= limit else {name: g / (norm / limit) for name, g in found.items()}


def network(xp: nn.Backend) -> nn.ParameterBuffer:
    """The parameters of two layers, of sizes that need padding, with values that float32 holds exactly."""
    layers = [nn.Dense(3, 5, backend=xp, seed=0), nn.Dense(5, 2, backend=xp, seed=1)]
    buffer, rng = nn.ParameterBuffer.of(*layers), np.random.default_rng(0)
    buffer.load({name: exact(rng, parameter.shape) for name, parameter in buffer.named.items()})
    return buffer


def exact(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32).astype(np.float64)


def gradients(buffer: nn.ParameterBuffer, step: int) -> dict[str, np.ndarray]:
    """The gradients of a step: the last weights get none in every second one, so that their caches decay."""
    rng = np.random.default_rng((7, step))
    found = {name: exact(rng, parameter.shape) for name, parameter in buffer.named.items()}
    if step % 2:
        found["dense_2.weights"][:] = 0
    return found


def set_gradients(buffer: nn.ParameterBuffer, values: dict[str, np.ndarray]) -> None:
    for name, parameter in buffer.named.items():
        parameter.grad[...] = buffer.xp.asarray(values[name])


def run(optimizer: nn.Optimizer, buffer: nn.ParameterBuffer, steps: range) -> None:
    for step in steps:
        set_gradients(buffer, gradients(buffer, step))
        with buffer.xp.quiet(), buffer.xp.no_transfers():
            optimizer.update(buffer)


# -- steps ---------------------------------------------------------------------------------------------------------------


@cases
def test_steps_are_the_books(xp_any, make):
    """The gradients are given, so errors only add up; each step may be off by the tolerance of one."""
    optimizer, buffer = make(), network(xp_any)
    books = {name: Book(optimizer, value.astype(np.float64)) for name, value in buffer.to_host().items()}
    for step in range(STEPS):
        run(optimizer, buffer, range(step, step + 1))
        for name, gradient in clipped(optimizer, gradients(buffer, step)).items():
            books[name].update(gradient)
            allowed = (step + 1) * tolerances.tolerance("update", xp_any.dtype)
            assert_close(buffer.named[name].value, books[name].values, allowed, f"{name} after step {step}")
        assert optimizer.iterations == step + 1
        assert optimizer.current_learning_rate == pytest.approx(books[name].current, rel=1e-15)


@cases
def test_state_is_the_books(xp_any, make):
    optimizer, buffer = make(), network(xp_any)
    books = {name: Book(optimizer, value.astype(np.float64)) for name, value in buffer.to_host().items()}
    run(optimizer, buffer, range(STEPS))
    for step in range(STEPS):
        for name, gradient in clipped(optimizer, gradients(buffer, step)).items():
            books[name].update(gradient)
    allowed = STEPS * tolerances.tolerance("state", xp_any.dtype)
    for state_name, array in optimizer.state.items():
        assert array.dtype == xp_any.dtype
        for name, found in buffer.split(array).items():
            tolerances.assert_close(found, getattr(books[name], state_name), allowed, f"{state_name} of {name}")


@cases
def test_agrees_with_the_cpu_in_float64(xp_any, make):
    """From common parameters, gradients and state: one step, at the beginning and after some."""
    reference = nn.get_backend("cpu", dtype="float64", kernels="reference")
    pairs = [(make(), network(xp)) for xp in (reference, xp_any)]
    for step in (0, 1, 50):
        for optimizer, buffer in pairs:
            optimizer.bind(buffer)
            optimizer.iterations = step
            run(optimizer, buffer, range(step, step + 1))
        (_, expected), (_, found) = pairs
        for name, value in expected.to_host().items():
            assert_close(found.named[name].value, value, 3 * tolerances.tolerance("update", xp_any.dtype), name)


@cases
def test_gradients_and_padding_are_left_alone(xp_any, make):
    """Padding of zeros stays zero, whatever the optimizer divides by."""
    optimizer, buffer = make(), network(xp_any)
    run(optimizer, buffer, range(3))
    for name, gradient in gradients(buffer, 2).items():
        assert_same(buffer.named[name].grad, gradient)
    padding = np.ones(buffer.values.size, bool)
    for parameter in buffer.named.values():
        padding[parameter.offset : parameter.offset + parameter.size] = False
    assert padding.any()
    for array in (buffer.values, buffer.grads, *optimizer.state.values()):
        assert not xp_any.to_host(array)[padding].any()
        assert array.dtype == xp_any.dtype


@cases
def test_repeats_to_the_bit(xp_any, make):
    found = []
    for _ in range(2):
        optimizer, buffer = make(), network(xp_any)
        run(optimizer, buffer, range(STEPS))
        found.append(xp_any.to_host(buffer.values))
    assert_same(buffer.values, found[0])


@cases
def test_a_copy_goes_on_as_the_original(xp_any, make):
    """A deep copy of optimizer and parameters together, in the middle of training."""
    optimizer, buffer = make(), network(xp_any)
    run(optimizer, buffer, range(5))
    copied: tuple[Any, Any] = copy.deepcopy((optimizer, buffer))
    run(optimizer, buffer, range(5, STEPS))
    after = xp_any.to_host(buffer.values)
    run(*copied, range(5, STEPS))
    assert_same(copied[1].values, after)
    assert_same(buffer.values, after)
    assert copied[0].iterations == STEPS


@cases
def test_may_be_replayed(xp_any, make):
    """Iteration, learning rate and bias correction go on in a replayed step, as in steps that are called."""
    expected_optimizer, expected = make(), network(xp_any)
    run(expected_optimizer, expected, range(STEPS))
    optimizer, buffer = make(), network(xp_any)
    optimizer.bind(buffer)
    assert vars(type(optimizer))["only_ops"]
    step = xp_any.compiled_step(lambda: optimizer.update(buffer), only_ops=True)
    for number in range(STEPS):
        set_gradients(buffer, gradients(buffer, number))
        with xp_any.quiet(), xp_any.no_transfers():
            step()
    assert optimizer.iterations == STEPS
    assert optimizer.current_learning_rate == expected_optimizer.current_learning_rate
    allowed = STEPS * tolerances.tolerance("update", xp_any.dtype)
    assert_close(buffer.values, xp_any.to_host(expected.values), allowed)


# -- settings --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        (nn.SGD(), {"learning_rate": 1.0, "decay": 0.0, "momentum": 0.0}),
        (nn.Adagrad(), {"learning_rate": 1.0, "decay": 0.0, "epsilon": 1e-7}),
        (nn.RMSprop(), {"learning_rate": 0.001, "decay": 0.0, "epsilon": 1e-7, "rho": 0.9}),
        (nn.Adam(), {"learning_rate": 0.001, "decay": 0.0, "epsilon": 1e-7, "beta_1": 0.9, "beta_2": 0.999}),
        (nn.AdamW(), {"learning_rate": 0.001, "weight_decay": 0.01, "beta_1": 0.9, "beta_2": 0.999}),
    ],
    ids=repr,
)
def test_defaults_are_the_books(optimizer, settings):
    assert {name: getattr(optimizer, name) for name in settings} == settings


@cases
def test_a_learning_rate_can_be_changed_within_a_compiled_step(xp, make):
    optimizer, buffer = make(), network(xp)
    optimizer.bind(buffer)
    step = xp.compiled_step(lambda: optimizer.update(buffer), only_ops=True)
    set_gradients(buffer, gradients(buffer, 0))
    step()
    optimizer.learning_rate, optimizer.decay = 0.125, 0.5
    step()
    assert optimizer.current_learning_rate == 0.125 / (1 + 0.5 * 1)


@given(rate=st.floats(1e-6, 10), decay=st.floats(0, 1, allow_subnormal=False), iterations=st.integers(0, 10**6))
def test_decay_of_any_size(xp, rate, decay, iterations):
    """learning_rate / (1 + decay · iterations), in float64 on every backend."""
    optimizer, buffer = nn.SGD(rate, decay=decay), network(xp)
    optimizer.bind(buffer)
    optimizer.iterations = iterations
    optimizer.update(buffer)
    assert optimizer.current_learning_rate == pytest.approx(rate / (1 + decay * iterations), rel=1e-15)
    assert optimizer.iterations == iterations + 1


def test_an_optimizer_belongs_to_one_network(xp):
    optimizer = nn.Adam()
    optimizer.update(network(xp))
    with pytest.raises(nn.StateError, match="already updates another ParameterBuffer"):
        optimizer.update(network(xp))


# -- weight decay ----------------------------------------------------------------------------------------------------------


def test_adamw_without_decay_is_adam(xp_any):
    found = []
    for optimizer in (nn.Adam(0.02, decay=1e-2), nn.AdamW(0.02, decay=1e-2, weight_decay=0.0)):
        buffer = network(xp_any)
        run(optimizer, buffer, range(STEPS))
        found.append(xp_any.to_host(buffer.values))
    np.testing.assert_array_equal(*found)


def test_adamw_shrinks_weights_and_biases_without_a_gradient(xp_any):
    """By the learning rate of the step, after its decay; momentums and cache do not know of it."""
    optimizer, buffer = nn.AdamW(0.5, decay=1.0, weight_decay=0.2), network(xp_any)
    before = buffer.to_host()
    for _ in range(2):
        set_gradients(buffer, {name: np.zeros(parameter.shape) for name, parameter in buffer.named.items()})
        optimizer.update(buffer)
    for name, value in before.items():
        expected = value.astype(np.float64) * (1 - 0.5 * 0.2) * (1 - 0.25 * 0.2)
        assert_close(buffer.named[name].value, expected, 2 * tolerances.tolerance("update", xp_any.dtype), name)
    assert not any(xp_any.to_host(array).any() for array in optimizer.state.values())


def test_adamw_is_pytorchs():
    torch = pytest.importorskip("torch")
    buffer = network(nn.get_backend("cpu", dtype="float64"))
    theirs = {name: torch.tensor(value, requires_grad=True) for name, value in buffer.to_host().items()}
    optimizer = nn.AdamW(0.02, weight_decay=0.1, epsilon=1e-8, beta_1=0.8, clip_norm=2.5)
    their_optimizer = torch.optim.AdamW(theirs.values(), lr=0.02, weight_decay=0.1, eps=1e-8, betas=(0.8, 0.999))
    for step in range(STEPS):
        run(optimizer, buffer, range(step, step + 1))
        for name, gradient in gradients(buffer, step).items():
            theirs[name].grad = torch.tensor(gradient)
        norm = torch.nn.utils.clip_grad_norm_(theirs.values(), 2.5)
        their_optimizer.step()
        assert optimizer.gradient_norm == pytest.approx(float(norm), rel=1e-12)
    for name, value in theirs.items():
        # PyTorch divides by the norm + 1e-6, which moves a step of 0.02 by that much, and Adam hardly at all.
        np.testing.assert_allclose(buffer.named[name].value, value.detach().numpy(), rtol=0, atol=1e-6)


# -- clipping --------------------------------------------------------------------------------------------------------------


def test_gradients_are_as_long_as_asked_for(xp_any):
    """SGD with a learning rate of 1 walks along the gradient that it was given."""
    buffer, optimizer = network(xp_any), nn.SGD(1.0, clip_norm=0.25)
    before = buffer.to_host()
    run(optimizer, buffer, range(1))
    found = {name: before[name].astype(np.float64) - value for name, value in buffer.to_host().items()}
    given = gradients(buffer, 0)
    norm = np.sqrt(sum(np.sum(g**2) for g in given.values()))
    assert optimizer.gradient_norm == pytest.approx(norm, rel=1e-6)
    for name, moved in found.items():  # a difference of two numbers of order 1
        np.testing.assert_allclose(moved, 0.25 / norm * given[name], rtol=0, atol=8 * tolerances.eps(xp_any.dtype))
        assert_same(buffer.named[name].grad, given[name])


def test_short_gradients_are_not_touched(xp_any):
    found = []
    for clip_norm in (None, 1e6):
        buffer = network(xp_any)
        run(nn.SGD(0.3, momentum=0.9, clip_norm=clip_norm), buffer, range(3))
        found.append(xp_any.to_host(buffer.values))
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_is_not_hidden(xp_any, bad):
    buffer, optimizer = network(xp_any), nn.SGD(0.1, clip_norm=1.0)
    given = gradients(buffer, 0)
    given["dense_1.weights"][1, 1] = bad
    set_gradients(buffer, given)
    with xp_any.quiet():
        optimizer.update(buffer)
    assert all(np.isnan(value).all() for value in buffer.to_host().values())
    assert not np.isfinite(optimizer.gradient_norm)


def test_squares_may_be_too_large_for_float32(xp):
    """The norm is summed in float64."""
    buffer, optimizer = network(xp), nn.SGD(1.0, clip_norm=1.0)
    given = gradients(buffer, 0)
    set_gradients(buffer, {name: 1e30 * g for name, g in given.items()})
    with xp.quiet():
        optimizer.update(buffer)
    norm = np.sqrt(sum(np.sum(g**2) for g in given.values()))
    assert optimizer.gradient_norm == pytest.approx(1e30 * norm, rel=1e-6)
    assert all(np.isfinite(value).all() for value in buffer.to_host().values())


def test_settings_of_clipping_and_decay():
    for bad in (0, -1.0, float("nan"), "1", True):
        with pytest.raises(nn.ArgumentError, match=r"RMSprop clip_norm .*: expected a finite number above 0"):
            nn.RMSprop(clip_norm=bad)
        if bad != 0:
            with pytest.raises(
                nn.ArgumentError, match=r"AdamW weight_decay .*: expected a finite number of at least 0"
            ):
                nn.AdamW(weight_decay=bad)
    assert repr(nn.SGD(clip_norm=0.5)) == "SGD(learning_rate=1, decay=0, momentum=0, clip_norm=0.5)"
    assert nn.SGD(clip_norm=0.5).gradient_norm == 0
    with pytest.raises(nn.StateError, match="this Adam measures no norm of the gradient: give it a clip_norm"):
        _ = nn.Adam().gradient_norm
