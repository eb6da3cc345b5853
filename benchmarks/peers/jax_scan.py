"""JAX as its documentation recommends for training loops: one `jit`, `lax.scan` over steps, all state carried."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np

from ..settings import Setting
from ..workloads import Workload
from . import BasePeer

# Steps in one compiled call where a unit is a step; more changes nothing measurable.
CHUNK = 500


_PRECISIONS = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "bfloat16"}


class Peer(BasePeer):
    def __init__(self, workload: Workload, setting: Setting) -> None:
        super().__init__(workload, setting)
        if setting.on_gpu:  # where JAX's own choice would be TF32
            jax.config.update("jax_default_matmul_precision", _PRECISIONS[workload.precision])
        self.data = jnp.asarray(self.X), jnp.asarray(self.y)
        self.state = self._initial(workload)

    @classmethod
    def refusal(cls, workload: Workload, setting: Setting) -> str:
        if setting.on_gpu and jax.default_backend() == "cpu":
            return f"jax {jax.__version__} sees no GPU"
        return ""

    @staticmethod
    def _initial(workload: Workload) -> Any:
        parameters = [(jnp.asarray(w), jnp.asarray(b)) for w, b in workload.initial()]
        momentums, caches = (jax.tree.map(jnp.zeros_like, parameters) for _ in range(2))
        return parameters, momentums, caches, jnp.int32(0), jax.random.key(0)

    def versions(self) -> str:
        return f"jax {jax.__version__}, jaxlib {jaxlib.__version__}, {jax.devices()[0].device_kind}"

    def loss_after(self, steps: int) -> float:
        workload = self.workload.for_check
        state = self._initial(workload)
        loss = 0.0
        for batch in self.first_batches(steps):
            state, (loss, _) = _jitted_step(workload)(state, (self.data[0][batch], self.data[1][batch]))
        return float(loss)

    def train(self, units: int) -> None:
        X, y = self.data
        workload = self.workload
        if workload.batch_size is None:
            calls, run = -(-units // CHUNK), _whole(workload, min(units, CHUNK))
        else:
            calls, steps = self.passes(units)
            run = _epoch(workload, steps)
        for _ in range(calls):
            self.state, measured = run(self.state, X, y)
        jax.block_until_ready((self.state, measured))

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.asarray(_predict(self.state[0], X))

    def units_done(self, units: int) -> int:
        """Whole chunks are run."""
        if self.workload.training and self.workload.batch_size is None:
            return -(-units // CHUNK) * min(units, CHUNK)
        return super().units_done(units)

    def device_peak(self) -> int | None:
        statistics = jax.devices()[0].memory_stats() if self.setting.on_gpu else None
        return statistics.get("peak_bytes_in_use") if statistics else None


def _forward(parameters: Any, X: Any, rate: float, key: Any) -> Any:
    values = X
    for i, (weights, biases) in enumerate(parameters):
        values = values @ weights + biases
        if i < len(parameters) - 1:
            values = jax.nn.relu(values)
            if rate and not i:
                values = jnp.where(jax.random.bernoulli(key, 1 - rate, values.shape), values / (1 - rate), 0)
    return values


@jax.jit
def _predict(parameters: Any, X: Any) -> Any:
    return jax.nn.softmax(_forward(parameters, X, 0.0, None))


def _loss(parameters: Any, X: Any, y: Any, workload: Workload, key: Any) -> Any:
    logits = _forward(parameters, X, workload.dropout, key)
    loss = -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1))
    if workload.l2:
        loss += workload.l2 * sum(jnp.sum(p * p) for p in parameters[0])
    return loss, jnp.mean(jnp.argmax(logits, axis=1) == y)


def _step(workload: Workload, state: Any, batch: Any) -> Any:
    parameters, momentums, caches, iterations, key = state
    key, mask_key = jax.random.split(key) if workload.dropout else (key, None)
    measured, grads = jax.value_and_grad(_loss, has_aux=True)(parameters, *batch, workload, mask_key)
    rate = workload.learning_rate / (1 + workload.decay * iterations)
    t = iterations + 1
    momentums = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, momentums, grads)
    caches = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, caches, grads)
    first, second = 1 - 0.9**t, 1 - 0.999**t
    parameters = jax.tree.map(
        lambda p, m, v: p - rate * (m / first) / (jnp.sqrt(v / second) + 1e-7), parameters, momentums, caches
    )
    return (parameters, momentums, caches, t, key), measured


@functools.cache
def _jitted_step(workload: Workload) -> Any:
    return jax.jit(functools.partial(_step, workload))


@functools.cache
def _whole(workload: Workload, steps: int) -> Any:
    """Steps on all samples at once."""

    @functools.partial(jax.jit, donate_argnums=0)
    def run(state: Any, X: Any, y: Any) -> Any:
        return jax.lax.scan(lambda state, _: _step(workload, state, (X, y)), state, length=steps)

    return run


def _scan_batches(workload: Workload, state: Any, X: Any, y: Any, indices: Any) -> Any:
    return jax.lax.scan(lambda state, batch: _step(workload, state, (X[batch], y[batch])), state, indices)


@functools.cache
def _epoch(workload: Workload, steps: int) -> Any:
    """So many steps of an epoch in a new order; the last short batch, if it is among them, after the scan."""

    @functools.partial(jax.jit, donate_argnums=0)
    def run(state: Any, X: Any, y: Any) -> Any:
        *rest, key = state
        key, order_key = jax.random.split(key)
        size, state = workload.batch_size, (*rest, key)
        order = jax.random.permutation(order_key, len(X))[: steps * size]
        full = len(order) // size * size
        state, measured = _scan_batches(workload, state, X, y, order[:full].reshape(-1, size))
        if full < len(order):
            state, _ = _step(workload, state, (X[order[full:]], y[order[full:]]))
        return state, measured

    return run
