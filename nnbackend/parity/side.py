"""One side of a comparison: a model on its backend, stepped batch by batch as `Model.train` does, with its values in reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..activations import Linear, Sigmoid, Softmax
from ..backend import Backend
from ..batches import Batch, Batches, check_batch_size
from ..errors import ArgumentError, shown
from ..layers import Layer
from ..model import Model
from ..parameters import layer_names
from ..weights import NO_WEIGHTS, Weights

Named = dict[str, np.ndarray]

# Makes the model to compare, on the backend that it is given: the same one every time.
Build = Callable[[Backend], Model]


def called(backend: Backend) -> str:
    """A backend's name, with what tells one without its kernels from one with them."""
    return f"{backend.name}-reference" if backend.kernels == "reference" else backend.name


def within_range(array: Any, dtype: np.dtype) -> bool:
    """Whether all elements are finite in that dtype."""
    return bool((np.abs(array) <= np.finfo(dtype).max).all())


@dataclass(frozen=True)
class Snapshot:
    """Parameters and optimizer state on the host, each by parameter."""

    values: Named
    state: dict[str, Named]

    def rounded(self, dtype: np.dtype) -> Snapshot:
        """The same in another precision, in which both sides can begin."""
        return Snapshot(
            {name: value.astype(dtype) for name, value in self.values.items()},
            {key: {name: value.astype(dtype) for name, value in named.items()} for key, named in self.state.items()},
        )


class Side:
    """A model on one backend, and its place in the data."""

    def __init__(
        self, build: Build, xp: Backend, X: Any, y: Any, batch_size: int | None, weights: Weights = NO_WEIGHTS
    ) -> None:
        if not callable(build):
            raise ArgumentError(
                f"build {shown(build)}: expected a function of a backend that returns a new Model, "
                "such as lambda xp: nn.Model(..., backend=xp)"
            )
        self.model, self.xp = build(xp), xp
        if not isinstance(self.model, Model) or self.model.xp is not xp:
            raise ArgumentError("build(xp) must return a Model on the backend that it is given: Model(..., backend=xp)")
        self.network = self.model.built
        self.network.need(loss=True)
        self.layers: dict[str, Layer] = dict(zip(layer_names(self.model.layers), self.model.layers, strict=True))
        data = self.network.data(X, y, weights, for_training=True, stream=False)
        size = check_batch_size(batch_size, len(data.inputs))
        self._batches = Batches(xp, data.inputs, data.targets, size, data.weights)
        self._by_size = {size: self._batches.batch(size) for size in dict.fromkeys(self._batches.sizes)}
        self._whole_steps = {
            size: xp.compiled_step(partial(self._whole_step, batch), only_ops=self.model.only_ops)
            for size, batch in self._by_size.items()
        }
        self._kept: dict[int, dict[tuple[str, str], Any]] = {}
        self._taken = 0
        self.batch = self._by_size[self._batches.sizes[0]]

    @property
    def learns(self) -> bool:
        """Whether a step ends with an update: a model without an optimizer has outputs, losses and gradients only."""
        return self.model.optimizer is not None

    def kinds(self) -> dict[str, str]:
        """The class of each layer by its name, and of what stands behind the loss, the accuracy and the update."""
        penalties = dict.fromkeys(type(parameter.regularizer).__name__ for parameter in self.network.penalized)
        return {
            **{name: type(layer).__name__ for name, layer in self.layers.items()},
            "data_loss": type(self.model.loss).__name__,
            "regularization_loss": ", ".join(penalties),
            "accuracy": type(self.network.accuracy).__name__,
            "update": type(self.model.optimizer).__name__ if self.learns else "",
        }

    # -- stepping ------------------------------------------------------------------------------------------------------

    def next_batch(self) -> Batch:
        """Go to the next batch, at the beginning of an epoch in a new order; its buffers are not loaded yet."""
        sizes = self._batches.sizes
        epoch, position = divmod(self._taken, len(sizes))
        if position == 0:
            whole = self._batches.whole
            order = None if whole else self.xp.rng(self.model.seed).permutation(len(self._batches.inputs), step=epoch)
            self._batches.start_epoch(order)
        self._taken += 1
        self.batch = self._by_size[sizes[position]]
        return self.batch

    def step(self) -> None:
        """A whole training step, compiled and replayed as in `Model.train`."""
        batch = self.next_batch()
        with self.xp.quiet(), self.xp.op_scope, self.xp.no_transfers():
            self._whole_steps[batch.size]()
        self._kept.setdefault(batch.size, self._arrays())

    def _whole_step(self, batch: Batch) -> None:
        for part in self.network.training_step(batch).values():
            part()

    def _run(self, *names: str) -> None:
        """Parts of a step on the batch."""
        parts = self.network.training_step(self.batch)
        with self.xp.quiet(), self.xp.op_scope:
            for name in names:
                parts[name]()

    def forward(self) -> None:
        """The first part of a step: the next batch's predictions, loss and accuracy."""
        self.next_batch()
        self._run("batch", "forward")

    def backward(self) -> None:
        """The second part: all gradients."""
        self._run("backward")

    def update(self, gradients: Named | None = None) -> None:
        """The third part, with these gradients instead of its own if they are given."""
        if gradients is not None:
            buffer = self.network.parameters
            with self.xp.quiet(), self.xp.op_scope:
                buffer.grads[...] = buffer.join(gradients)
        self._run("update")

    def unupdate(self, snapshot: Snapshot) -> None:
        """Back to before an update: parameters, state and iteration; not what the layers keep."""
        self.load(snapshot)
        optimizer = self.network.optimizer
        optimizer.iterations = optimizer.iterations - 1

    # -- values, on the host ----------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Parameters and optimizer state."""
        buffer = self.network.parameters
        return Snapshot(buffer.to_host(), {name: buffer.split(flat) for name, flat in self._state().items()})

    def load(self, snapshot: Snapshot) -> None:
        """Begin from these parameters and this state."""
        buffer = self.network.parameters
        buffer.load(snapshot.values)
        for name, flat in self._state().items():
            flat[...] = buffer.join(snapshot.state[name])

    def _state(self) -> Mapping[str, Any]:
        """The optimizer's flat arrays, if there is an optimizer."""
        return self.network.optimizer.state if self.learns else {}

    def gradients(self) -> Named:
        """The gradients by parameter."""
        return self.network.parameters.split(self.network.parameters.grads)

    def kept(self, layer: str, name: str) -> np.ndarray | None:
        """What a layer keeps of the last step under a name, or None where a join leaves it out."""
        value = self._arrays().get((layer, name))
        return None if value is None else self.xp.to_host(value)

    def weights(self) -> np.ndarray:
        """How much each sample of the batch counts, shape (n, 1)."""
        weights = self.batch.weights
        return np.ones((self.batch.size, 1)) if weights is None else self.xp.to_host(weights).reshape(-1, 1)

    def predictions(self) -> np.ndarray:
        """The last layer's output."""
        value = self.kept(next(reversed(self.layers)), "output")
        assert value is not None
        return value

    def end_from(self, other: Side) -> bool:
        """Repeat the last activation and the loss from what the other side's activation took in, where there is one."""
        name, last = next(reversed(self.layers.items()))
        inputs, ending = other.kept(name, "inputs"), self.network.ending
        if inputs is None or ending is None or type(last) not in (Linear, Sigmoid, Softmax):
            return False
        with self.xp.quiet(), self.xp.op_scope:
            inputs = self.xp.asarray(inputs, dtype=self.xp.dtype)
            targets, weights = self.batch.targets, self.batch.weights
            ending.forward(inputs, targets, weights, training=True, out=self.model.measured[0])
        return True

    def overflows(self, dtype: np.dtype) -> bool:
        """Whether the last step gave numbers that this dtype cannot hold, or that are none: training diverges."""
        kept = (self.xp.to_host(value) for value in self._arrays().values() if value.dtype.kind == "f")
        arrays = (*kept, *self.snapshot().values.values(), *self.measured())
        return not all(within_range(array, dtype) for array in arrays)

    def take_over(self, other: Side) -> None:
        """Go on from what the other side's layers keep of a forward pass, as if it had been this side's own."""
        theirs = other._arrays()
        for key, array in self._arrays().items():
            value = theirs.get(key)
            if key[1] != "dinputs" and value is not None and value.shape == array.shape:
                array[...] = self.xp.asarray(other.xp.to_host(value), dtype=array.dtype)

    def _arrays(self) -> dict[tuple[str, str], Any]:
        """The arrays that layers keep, by layer and name. A replayed step fills those of the first one of its size."""
        return self._kept.get(self.batch.size) or {
            (name, key): value
            for name, layer in self.layers.items()
            for key, value in vars(layer).items()
            if not key.startswith("_") and self.xp.is_array(value)
        }

    def measured(self) -> tuple[float, float, float]:
        """Data loss, regularization loss and accuracy of the last step."""
        data_loss, regularization_loss, accuracy, _ = (
            float(self.xp.to_host(value).reshape(())) for value in self.model.measured
        )
        return data_loss, regularization_loss, accuracy
