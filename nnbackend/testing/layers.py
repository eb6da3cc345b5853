"""`check_layer`: the whole treatment that the library's own layers get, for a layer of your own.

`LAYER_CHECKS` holds the single checks. Each takes a `Trial`, a layer on one backend with its inputs and the gradient
that comes back to it, and raises `CheckError`.
"""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..backend import Backend, available_backends, get_backend
from ..backend.base import DTYPES, describe
from ..checks import count
from ..errors import ArgumentError, CheckError, FileError, NonDifferentiableError, shown
from ..layers import Layer
from ..model import Model
from ..network import promises_only_ops
from ..parameters import ParameterBuffer
from . import tolerances
from .gradcheck import copy_to, gradcheck

# How often inputs are drawn anew because a kink was too near.
TRIES = 10


def check_layer(
    layer: Layer,
    inputs_shape: Sequence[int],
    *,
    training: bool = True,
    backends: Sequence[str] | None = None,
    seed: int = 0,
) -> None:
    """Put a layer through every check, on every backend of this machine; raise `CheckError` at the first that fails.

    Checked are: gradients against numerical differences (`gradcheck`); and on each of `backends` (default: all that
    work here, the pretend GPU `strict` among them), in float32 and float64, that results agree with the CPU in float64,
    dtype and backend are kept, `inputs`, `output` and `dinputs` are there, inputs and parameters are not modified,
    nothing moves between host and device, non-contiguous and read-only inputs and batches of other sizes give the same,
    a copy is independent, parameters survive a round trip, the layer goes on as before when it was saved and loaded, and a
    compiled step may be replayed.

    `inputs_shape` is (samples, features), with at least 2 samples. `training=False` checks the layer as it is outside of
    training. The layer itself stays as it is. A parameter that begins as zeros is checked at random values: zeros hide
    mistakes. Raises `NonDifferentiableError` when no inputs were found that are away from kinks.

    >>> import nnbackend as nn
    >>> from nnbackend.testing import check_layer
    >>> check_layer(nn.Dense(4, 3), inputs_shape=(5, 4), backends=["cpu"])
    """
    if not isinstance(layer, Layer):
        raise ArgumentError(
            f"check_layer was given {describe(layer)}: expected a layer, an object derived from nn.Layer"
        )
    shape = _shape(inputs_shape)
    layer = nonzero(layer, np.random.default_rng(seed))
    check_gradients(layer, shape, training=training, seed=seed)
    for name in available_backends() if backends is None else backends:
        for dtype in DTYPES:
            trial = Trial(layer, get_backend(name, dtype), shape, training=training, seed=seed)
            for check in LAYER_CHECKS.values():
                check(trial)


def _shape(inputs_shape: Sequence[int]) -> tuple[int, int]:
    shape = tuple(inputs_shape) if isinstance(inputs_shape, (tuple, list)) else ()
    if len(shape) != 2:
        raise ArgumentError(f"inputs_shape {shown(inputs_shape)}: expected (samples, features)")
    return count("inputs_shape samples", shape[0], least=2), count("inputs_shape features", shape[1])


def check_gradients(layer: Layer, shape: tuple[int, int], *, training: bool = True, seed: int = 0) -> None:
    """`gradcheck` at random inputs, drawn anew where a kink is too near, as Chainer's function tests do."""
    for attempt in range(TRIES):
        inputs = np.random.default_rng((seed, attempt)).standard_normal(shape)
        try:
            gradcheck(layer, inputs, training=training, seed=seed)
        except NonDifferentiableError:
            if attempt + 1 == TRIES:
                raise
        else:
            return


def nonzero(layer: Layer, rng: np.random.Generator) -> Layer:
    """A copy of a layer in which random values stand for the parameters that are all zero."""
    copied = copy_to(layer, layer.xp)
    for parameter in copied.parameters.values():
        if not copied.xp.to_host(parameter.value).any():
            parameter.value[...] = copied.xp.asarray(rng.standard_normal(parameter.shape), dtype=copied.xp.dtype)
    return copied


class Trial:
    """A layer on one backend, its inputs, and the gradient with respect to its outputs.

    Numbers are drawn so that float32 holds them exactly: every backend and dtype sees the same.
    """

    def __init__(
        self, layer: Layer, xp: Backend, shape: tuple[int, int], *, training: bool = True, seed: int = 0
    ) -> None:
        self.layer, self.xp, self.training = layer, xp, training
        self.rng = np.random.default_rng(seed)
        single = copy_to(layer, get_backend("cpu", dtype="float32"))  # parameters as float32 holds them
        self.original = copy_to(single, xp)
        self.reference_layer = copy_to(single, get_backend("cpu", dtype="float64", kernels="reference"))
        self.inputs = self.draw(shape)
        self.dvalues = self.draw(self.new().forward(xp.asarray(self.inputs), training=training).shape)

    def draw(self, shape: tuple[int, ...]) -> np.ndarray:
        """Random numbers of order 1 that float32 holds exactly."""
        return self.rng.standard_normal(shape).astype(np.float32).astype(np.float64)

    def new(self) -> Layer:
        """A fresh copy of the layer on the backend under test."""
        return copy.deepcopy(self.original)

    def run(self, layer: Layer, inputs: Any, dvalues: Any, training: bool | None = None) -> dict[str, np.ndarray]:
        """Forward and backward on device arrays, and everything they gave, on the host."""
        xp, training = layer.xp, self.training if training is None else training
        with xp.quiet(), xp.no_transfers():
            output = layer.forward(inputs, training=training)
            dinputs = layer.backward(dvalues)
        for name, array in (("forward", output), ("backward", dinputs)):
            self.expect(xp.is_array(array), f"{name} returned {describe(array)}", f"an array of backend {xp.name!r}")
        results = {"output": xp.to_host(output), "dinputs": xp.to_host(dinputs)}
        return results | {f"d{name}": xp.to_host(p.grad) for name, p in layer.parameters.items()}

    def on_device(self, size: int | None = None) -> tuple[Any, Any]:
        """Inputs and dvalues on the device, or the first `size` rows of them: arrays of their own, on the CPU too."""
        return self.xp.asarray(self.inputs[:size].copy()), self.xp.asarray(self.dvalues[:size].copy())

    @cached_property
    def plain(self) -> dict[str, np.ndarray]:
        """The results for contiguous inputs."""
        return self.run(self.new(), *self.on_device())

    def reference(self, calls: int = 1) -> dict[str, np.ndarray]:
        """The results of the last of some calls of one layer, on the CPU in float64, without faster kernels."""
        layer = copy.deepcopy(self.reference_layer)
        arrays = layer.xp.asarray(self.inputs), layer.xp.asarray(self.dvalues)
        for _ in range(calls - 1):
            self.run(layer, *arrays)
        return self.run(layer, *arrays)

    @property
    def tolerance(self) -> float:
        """How long a layer's sums are is not known: at most all its inputs and parameters go into one element."""
        length = self.inputs.size + self.dvalues.size + sum(p.size for p in self.original.parameters.values())
        return tolerances.tolerance("output", self.xp.dtype, length)

    def expect(self, right: bool, found: str, expected: str) -> None:
        """Raise `CheckError` in the words of `found` and `expected` unless all is right."""
        if not right:
            raise CheckError(f"{self.layer!r} on {self.xp!r}: {found}, expected {expected}")

    def expect_close(self, found: dict[str, np.ndarray], expected: dict[str, np.ndarray], when: str) -> None:
        """Compare results, each relative to its largest element."""
        for name, wanted in expected.items():
            self.expect(
                found[name].shape == wanted.shape, f"{name} has shape {found[name].shape} {when}", f"{wanted.shape}"
            )
            difference = tolerances.difference(found[name], wanted)
            self.expect(
                difference <= self.tolerance,
                f"{name} {when} is {difference:.3g} of its largest element off",
                f"at most {self.tolerance:.3g}",
            )


# -- the checks ------------------------------------------------------------------------------------------------------------


def agrees_with_the_reference(trial: Trial) -> None:
    """Outputs and gradients are those of the CPU in float64, at a first call and at a second one of the same layer."""
    layer, arrays = trial.new(), trial.on_device()
    trial.expect_close(trial.run(layer, *arrays), trial.reference(), "compared with cpu float64")
    trial.expect_close(
        trial.run(layer, *arrays), trial.reference(calls=2), "compared with cpu float64 at a second call"
    )


def keeps_the_dtype(trial: Trial) -> None:
    """Everything is in the backend's dtype."""
    for name, result in trial.plain.items():
        trial.expect(result.dtype == trial.xp.dtype, f"{name} has dtype {result.dtype}", f"{trial.xp.dtype}")


def stores_what_it_returns(trial: Trial) -> None:
    """`inputs`, `output` and `dinputs` are there after the calls, and are the arrays that went in and came out."""
    layer, (inputs, dvalues) = trial.new(), trial.on_device()
    output = layer.forward(inputs, training=trial.training)
    trial.expect(layer.inputs is inputs, "forward does not store inputs", "layer.inputs to be its argument")
    trial.expect(layer.output is output, "forward does not store output", "layer.output to be what it returns")
    dinputs = layer.backward(dvalues)
    trial.expect(layer.dinputs is dinputs, "backward does not store dinputs", "layer.dinputs to be what it returns")
    trial.expect(dinputs.shape == inputs.shape, f"dinputs has shape {dinputs.shape}", f"{inputs.shape}, as inputs have")
    width = layer.n_outputs
    trial.expect(width in (None, output.shape[-1]), f"output has shape {output.shape}", f"n_outputs = {width} columns")


def leaves_its_arguments_alone(trial: Trial) -> None:
    """Neither inputs nor dvalues nor parameters are changed by forward and backward."""
    layer, arrays = trial.new(), trial.on_device()
    values = {name: trial.xp.to_host(p.value) for name, p in layer.parameters.items()}
    trial.run(layer, *arrays)
    after = [trial.xp.to_host(array) for array in arrays]
    trial.expect(np.array_equal(after[0], trial.inputs), "inputs were modified", "them to stay as they were")
    trial.expect(np.array_equal(after[1], trial.dvalues), "dvalues were modified", "them to stay as they were")
    for name, parameter in layer.parameters.items():
        same = np.array_equal(trial.xp.to_host(parameter.value), values[name])
        trial.expect(same, f"{name} were modified by forward or backward", "only an optimizer to do that")


def repeats_to_the_bit(trial: Trial) -> None:
    """The same numbers give the same bits."""
    again = trial.run(trial.new(), *trial.on_device())
    for name, result in trial.plain.items():
        trial.expect(np.array_equal(result, again[name]), f"{name} differs in a second run", "the same bits")


def takes_any_layout(trial: Trial) -> None:
    """Transposed, strided, and read-only arrays give what contiguous ones give."""
    layouts = zip(layouts_of(trial.xp, trial.inputs), layouts_of(trial.xp, trial.dvalues), strict=True)
    for (layout, inputs), (_, dvalues) in layouts:
        trial.expect_close(trial.run(trial.new(), inputs, dvalues), trial.plain, f"for {layout} inputs and dvalues")


def layouts_of(xp: Backend, host: np.ndarray) -> Iterator[tuple[str, Any]]:
    """A matrix on the device in unusual layouts, with what is unusual about each."""
    yield "transposed", xp.asarray(np.ascontiguousarray(host.T)).T
    wide = np.full((2 * host.shape[0], 3 * host.shape[1]), np.nan)
    wide[::2, 1::3] = host
    yield "strided", xp.asarray(wide)[::2, 1::3]
    yield "reversed", xp.asarray(np.ascontiguousarray(host[::-1, ::-1]))[::-1, ::-1]
    frozen = host.astype(xp.dtype)
    frozen.flags.writeable = False
    yield "read-only", xp.asarray(frozen)


def takes_any_batch_size(trial: Trial) -> None:
    """A layer that has seen n samples gives for 1, and then for n again, what a fresh one gives."""
    used = trial.new()
    for size in (None, 1, 2, None):
        arrays = trial.on_device(size)
        fresh = trial.run(trial.new(), *arrays, training=False)
        when = f"for a batch of {len(arrays[0])} after other sizes"
        trial.expect_close(trial.run(used, *arrays, training=False), fresh, when)


def copies_whole_and_apart(trial: Trial) -> None:
    """A deep copy in the middle goes on as the layer would, and does not touch the layer."""
    layer, (inputs, dvalues) = trial.new(), trial.on_device()
    output = layer.forward(inputs, training=trial.training)
    before = trial.xp.to_host(output)
    copied, expected = copy.deepcopy(layer), {"dinputs": trial.plain["dinputs"]}
    trial.expect_close({"dinputs": trial.xp.to_host(copied.backward(dvalues))}, expected, "of a copy")
    trial.run(copied, trial.xp.asarray(trial.draw(trial.inputs.shape)), dvalues)
    for parameter in copied.parameters.values():
        parameter.value.fill(7)
    same = np.array_equal(trial.xp.to_host(layer.output), before)
    trial.expect(same, "the output changed when a copy of the layer was used", "a deep copy to share nothing")
    again = {"dinputs": trial.xp.to_host(layer.backward(dvalues))}
    trial.expect_close(again, expected, "after a copy of the layer was used")


def parameters_round_trip(trial: Trial) -> None:
    """Parameters taken out to the host and loaded into another copy, which has been used, give the same results."""
    arrays, other = trial.on_device(), trial.new()
    for parameter in other.parameters.values():
        parameter.value.fill(0.5)
    trial.run(other, *arrays, training=False)
    if other.parameters:
        ParameterBuffer.of(other).load(ParameterBuffer.of(trial.new()).to_host())
    expected = trial.run(trial.new(), *arrays, training=False)
    trial.expect_close(trial.run(other, *arrays, training=False), expected, "after a round trip of the parameters")


def survives_a_file(trial: Trial) -> None:
    """A layer that was used, saved in a model and loaded again, goes on to the bit as it would have.

    A file holds the class's name, the arguments of its constructor, parameters, and the arrays that `state_names` names.
    """
    layer, arrays = trial.new(), trial.on_device()
    trial.run(layer, *arrays)
    try:
        loaded = _through_a_file(layer)
    except (ArgumentError, FileError) as error:
        raise CheckError(f"{trial.layer!r} on {trial.xp!r} cannot be saved and loaded: {error}") from error
    found = trial.run(loaded, *arrays)
    for name, expected in trial.run(layer, *arrays).items():
        same = np.array_equal(found[name], expected)
        trial.expect(same, f"{name} differs after saving and loading", "the same bits; see state_names in nn.Layer")


def _through_a_file(layer: Layer) -> Layer:
    """The layer of a model that was saved and loaded, with the user's own penalties and initializers."""
    parts = [layer, *(part for p in layer.parameters.values() for part in (p.initializer, p.regularizer) if part)]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "layer.safetensors")
        Model([layer]).save(path)
        custom = {type(part).__name__: type(part) for part in parts}
        return Model.load(path, backend=layer.xp, custom=custom).layers[0]


def may_be_replayed(trial: Trial) -> None:
    """A compiled step, recorded with some inputs, computes with others when it is replayed.

    A class that promises `only_ops` is held to it: the CPU replays its ops alone.
    """
    layer, (inputs, dvalues) = trial.new(), trial.on_device()
    first = trial.xp.asarray(trial.draw(trial.inputs.shape)), trial.xp.asarray(trial.draw(trial.dvalues.shape))
    fixed = first[0].copy(), first[1].copy()

    def once() -> None:
        layer.forward(fixed[0], training=trial.training)
        layer.backward(fixed[1])

    step = trial.xp.compiled_step(once, only_ops=promises_only_ops(layer))
    with trial.xp.quiet(), trial.xp.no_transfers():
        step()
        fixed[0][...], fixed[1][...] = inputs, dvalues
        step()
    found = {"output": trial.xp.to_host(layer.output), "dinputs": trial.xp.to_host(layer.dinputs)}
    found |= {f"d{name}": trial.xp.to_host(parameter.grad) for name, parameter in layer.parameters.items()}
    other = trial.new()
    trial.run(other, *first)
    trial.expect_close(found, trial.run(other, inputs, dvalues), "of a replayed step")


#: All checks by name, in the order in which they are made.
LAYER_CHECKS: dict[str, Callable[[Trial], None]] = {
    check.__name__: check
    for check in (
        agrees_with_the_reference,
        keeps_the_dtype,
        stores_what_it_returns,
        leaves_its_arguments_alone,
        repeats_to_the_bit,
        takes_any_layout,
        takes_any_batch_size,
        copies_whole_and_apart,
        parameters_round_trip,
        survives_a_file,
        may_be_replayed,
    )
}
