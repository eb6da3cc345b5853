"""All parameters of a network in one flat array, their gradients in another, and views of both by name.

An optimizer step is one call over the whole network, a checkpoint is a few arrays, and nothing is allocated while
training. `layer.weights` is a view into `ParameterBuffer.values`, `layer.dweights` one into `ParameterBuffer.grads`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .backend import Backend
from .backend.base import converted, describe, host_array, on_device
from .backend.memory import check_memory, free_host_memory
from .checks import seed as checked_seed
from .errors import ArgumentError, DataError, did_you_mean, shown
from .initializers import Initializer
from .regularizers import Regularizer
from .rng import host_generator

if TYPE_CHECKING:
    from .layers import Layer

# Every parameter starts at a multiple of this many bytes, so that kernels may load whole vectors.
ALIGNMENT = 256


class Parameter:
    """One named array of a layer: its shape, how it begins, what it is penalized with, and where it lives."""

    def __init__(
        self, shape: tuple[int, ...], initializer: Initializer, regularizer: Regularizer | None = None
    ) -> None:
        self.shape = shape
        self.initializer = initializer
        self.regularizer = regularizer
        self.buffer: ParameterBuffer | None = None
        self.offset = 0
        self._value: Any = None
        self._grad: Any = None

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def value(self) -> Any:
        """The view of its values."""
        if self._value is None and self.buffer is not None:
            self._value = self._view(self.buffer.values)
        return self._value

    @property
    def grad(self) -> Any:
        """The view of its gradient."""
        if self._grad is None and self.buffer is not None:
            self._grad = self._view(self.buffer.grads)
        return self._grad

    def place(self, buffer: ParameterBuffer, offset: int) -> None:
        """Live in `buffer` from now on, from element `offset`."""
        self.buffer, self.offset = buffer, offset
        self._value = self._grad = None

    def _view(self, flat: Any) -> Any:
        return flat[self.offset : self.offset + self.size].reshape(self.shape)

    def __getstate__(self) -> dict[str, Any]:
        """A copy finds its views in the copied buffer."""
        return {**vars(self), "_value": None, "_grad": None}


class ParameterBuffer:
    """The parameters of some layers in one flat array `values`, their gradients in another, `grads`.

    Padding between parameters is zero and stays zero.

    >>> import nnbackend as nn
    >>> dense1, dense2 = nn.Dense(2, 64, seed=0), nn.Dense(64, 3, seed=1)
    >>> parameters = nn.ParameterBuffer.of(dense1, dense2)
    >>> list(parameters.named)
    ['dense_1.weights', 'dense_1.biases', 'dense_2.weights', 'dense_2.biases']
    >>> parameters.count
    387
    """

    def __init__(self, xp: Backend, named: Mapping[str, Parameter]) -> None:
        self.xp = xp
        self.named = dict(named)
        step = ALIGNMENT // xp.dtype.itemsize
        offsets, end = [], 0
        for parameter in self.named.values():
            offsets.append(end)
            end += -(-parameter.size // step) * step
        what, needed = f"{shown(end)} parameters and their gradients", 2 * end * xp.dtype.itemsize
        with xp.taking(needed, what, "use smaller layers"):
            self.values, self.grads = xp.aligned_zeros(end), xp.aligned_zeros(end)
        for parameter, offset in zip(self.named.values(), offsets, strict=True):
            self._move_in(parameter, offset)

    @on_device
    def _move_in(self, parameter: Parameter, offset: int) -> None:
        old, known = parameter.buffer, parameter.value
        parameter.place(self, offset)
        if old is not None and old.xp is not self.xp:
            known = self.xp.asarray(old.xp.to_host(known), dtype=self.xp.dtype)
        if known is not None:
            parameter.value[...] = known

    @classmethod
    def of(cls, *layers: Layer) -> ParameterBuffer:
        """Move the parameters of these layers, which share one backend, into one buffer. Values are kept.

        Raises `ArgumentError` when a layer is given twice, or layers live on different backends.
        """
        if not layers:
            raise ArgumentError("ParameterBuffer.of() was given no layer: expected at least one")
        for layer in layers:
            if not isinstance(getattr(layer, "parameters", None), dict):
                raise ArgumentError(
                    f"ParameterBuffer.of() was given {shown(layer)}: expected layers such as nn.Dense(2, 64)"
                )
        if len({id(layer) for layer in layers}) < len(layers):
            raise ArgumentError(
                "ParameterBuffer.of() was given the same layer twice: each layer has its own parameters"
            )
        if len({id(layer.xp) for layer in layers}) > 1:
            backends = sorted({repr(layer.xp) for layer in layers})
            raise ArgumentError(f"the layers live on different backends ({', '.join(backends)}): build them on one")
        fresh = [layer for layer in layers if layer.parameters and not layer.has_values]
        buffer = cls(layers[0].xp, collect(layers))
        for layer in fresh:
            draw(layer)
        return buffer

    def part(self, layers: Iterable[Layer]) -> ParameterBuffer:
        """The parameters of some of its layers, which stay where they are: the same arrays under the names of these layers."""
        part = object.__new__(type(self))
        vars(part).update(vars(self), named=collect(layers))
        return part

    @property
    def count(self) -> int:
        """How many parameters there are, padding not counted."""
        return sum(parameter.size for parameter in self.named.values())

    def regularization_loss(self) -> Any:
        """The sum of all penalties (book, chapter 14), a device scalar, for a loop by hand; a `Model` has its own.

        >>> import nnbackend as nn
        >>> dense = nn.Dense(2, 3, weight_regularizer=nn.L2(0.5))
        >>> dense.weights = [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
        >>> float(nn.ParameterBuffer.of(dense).regularization_loss())
        2.5
        """
        total = self.xp.zeros(())
        for parameter in self.named.values():
            if parameter.regularizer is not None:
                parameter.regularizer.penalty(self.xp, parameter.value, state=total)
        return total

    def to_host(self) -> dict[str, np.ndarray]:
        """Copies of all values by name: one transfer."""
        return self.split(self.values)

    def split(self, flat: Any) -> dict[str, np.ndarray]:
        """Host copies, by parameter, of any flat device array laid out like `values`: one transfer."""
        host = self.xp.to_host(flat)
        return {name: host[p.offset : p.offset + p.size].reshape(p.shape).copy() for name, p in self.named.items()}

    @on_device
    def load(self, values: Mapping[str, Any]) -> None:
        """Take values by name, as `to_host` gives them: one transfer. All names and shapes are checked first."""
        flat = self.join(values)
        for parameter in self.named.values():  # not the whole array, of which this may be a part
            part = slice(parameter.offset, parameter.offset + parameter.size)
            self.values[part] = flat[part]

    def join(self, values: Mapping[str, Any]) -> Any:
        """A flat device array laid out like `values`, from arrays by parameter: the inverse of `split`; one transfer."""
        if not isinstance(values, Mapping):
            raise DataError(f"parameters are {describe(values)}: expected arrays by name, as model.parameters() gives")
        if missing := self.named.keys() - values.keys():
            raise DataError(f"no value for parameter {min(missing)!r}: expected all of {', '.join(self.named)}")
        if unknown := values.keys() - self.named.keys():
            name = min(unknown, key=str)
            raise DataError(f"unknown parameter {shown(name)}: {did_you_mean(name, self.named)}")
        flat = np.zeros(self.values.shape, self.xp.dtype)
        for name, parameter in self.named.items():
            value = host_array(values[name])
            if value.shape != parameter.shape:
                raise DataError(f"parameter {name!r} has shape {value.shape}: expected {parameter.shape}")
            flat[parameter.offset : parameter.offset + parameter.size] = converted(value, self.xp.dtype).ravel()
        return self.xp.asarray(flat, dtype=self.xp.dtype)

    def moved_to(self, other: ParameterBuffer) -> bool:
        """Whether exactly its parameters, in their order, were moved into another buffer of its backend."""
        mine, theirs = list(self.named.values()), list(other.named.values())
        return other.xp is self.xp and mine == theirs and all(parameter.buffer is other for parameter in mine)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy begins at a boundary too."""
        vars(self).update(state)
        self.values, self.grads = (aligned(self.xp, array) for array in (self.values, self.grads))

    def __repr__(self) -> str:
        return f"<ParameterBuffer of {self.count} parameters on {self.xp!r}>"


def aligned(xp: Backend, array: Any) -> Any:
    """A copy of a flat array that starts at a 256-byte boundary."""
    copy = xp.aligned_zeros(array.size)
    with xp.device_scope:
        copy[...] = array
    return copy


def layer_names(layers: Iterable[Layer]) -> list[str]:
    """A name for each layer: its class and its number among those of its class, as in dense_1, relu_1, dense_2."""
    seen: dict[str, int] = {}
    names = []
    for layer in layers:
        kind = type(layer).__name__.lower()
        seen[kind] = seen.get(kind, 0) + 1
        names.append(f"{kind}_{seen[kind]}")
    return names


def collect(layers: Iterable[Layer]) -> dict[str, Parameter]:
    """All parameters of these layers by full name."""
    layers = list(layers)
    return {
        f"{prefix}.{name}": parameter
        for prefix, layer in zip(layer_names(layers), layers, strict=True)
        for name, parameter in layer.parameters.items()
    }


def draw(layer: Layer) -> None:
    """Give a layer's parameters their first values, from its seed (fresh entropy, recorded, where it has none)."""
    layer.seed = checked_seed(layer.seed)
    for stream, (name, parameter) in enumerate(layer.parameters.items()):
        what, size = f"the first values of the {name} of {layer!r}", parameter.size * layer.xp.dtype.itemsize
        needed = 8 * parameter.size + 2 * size  # drawn in float64, converted, and brought in
        check_memory(needed, free_host_memory, what=what, where="this machine", advice="use smaller layers")
        drawn = parameter.initializer.draw(host_generator(layer.seed, stream), parameter.shape)
        with layer.xp.taking(size, what, "use smaller layers"):
            values = layer.xp.asarray(drawn, dtype=layer.xp.dtype)
        if values.shape != parameter.shape:
            raise DataError(
                f"{parameter.initializer!r} drew shape {values.shape} for {layer!r}.{name}: expected {parameter.shape}"
            )
        with layer.xp.device_scope:
            parameter.value[...] = values
