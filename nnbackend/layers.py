"""Layers: what the book builds in chapters 3, 9, 14 and 15.

A layer is its `forward` and its `backward`, and what it remembers between them. `forward(inputs)` keeps `inputs` and
`output`; `backward(dvalues)` takes the gradient of the loss with respect to `output` and keeps `dinputs`, and the
gradients of its parameters. Arrays live in buffers that are reused: what a call returns is valid until the next.
"""

from __future__ import annotations

from typing import Any

from .backend import Backend
from .backend.base import describe
from .checks import count, fraction
from .checks import seed as checked_seed
from .errors import ArgumentError, DataError, StateError, shown
from .initializers import Initializer, Normal, Zeros
from .parameters import Parameter, ParameterBuffer
from .regularizers import Regularizer
from .workspace import OnBackend

# What a layer keeps from a call, and which call that is.
_KEPT = {"inputs": "forward", "output": "forward", "dinputs": "backward", "mask": "forward"}


class Layer(OnBackend):
    """The base of all layers and activations. docs/add-a-layer.md builds one from it.

    A subclass defines `forward` and `backward`, and in its constructor declares its parameters, if any, in
    `self.parameters`. `only_ops = True` in the class's own body promises that `forward` and `backward` do all device
    work through `xp.ops`; a class that computes with `xp` directly leaves it out and is run call by call.
    """

    n_inputs: int | None = None
    n_outputs: int | None = None

    #: Attributes, arrays of the device, that change while training beside the parameters: files hold them too.
    state_names: tuple[str, ...] = ()
    inputs: Any
    output: Any
    dinputs: Any

    def __init__(self, *, backend: str | Backend | None = None, seed: int | None = None) -> None:
        super().__init__(backend)
        self.parameters: dict[str, Parameter] = {}
        self.seed = None if seed is None else checked_seed(seed)
        self.stream = 0  # which of a seed's random numbers are this layer's; its first model numbers it
        self.numbered = False
        self._left_out: dict[str, str] = {}

    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        """Compute and return `output` from `inputs`; both are kept."""
        raise NotImplementedError(f"{type(self).__name__} needs a method forward(inputs, *, training=False)")

    def backward(self, dvalues: Any) -> Any:
        """Compute, keep and return `dinputs` from the gradient with respect to `output`."""
        raise NotImplementedError(f"{type(self).__name__} needs a method backward(dvalues)")

    # -- what subclasses use ----------------------------------------------------------------------------------------

    def check_inputs(self, inputs: Any) -> None:
        """Raise `DataError` unless `inputs` is a batch (samples, features) of this backend that fits this layer."""
        xp = self.xp
        if not xp.is_array(inputs):
            hint = "did you call xp.asarray on your data?"
            if inputs is None:
                hint = "end the forward of the layer before it with return self.output"
            raise DataError(
                f"{self!r}.forward: inputs is {describe(inputs)}, not an array of backend {xp.name!r}: {hint}"
            )
        if inputs.ndim != 2:
            raise DataError(
                f"{self!r}.forward: inputs has shape {inputs.shape}: expected two axes, (samples, features)"
            )
        if self.n_inputs is not None and inputs.shape[1] != self.n_inputs:
            raise DataError(f"{self!r}.forward: inputs has shape {inputs.shape}: expected (samples, {self.n_inputs})")
        if inputs.dtype != xp.dtype:
            raise DataError(
                f"{self!r}.forward: inputs has dtype {inputs.dtype}: expected {xp.dtype}, as from "
                "xp.asarray(inputs, dtype=xp.dtype)"
            )

    def check_dvalues(self, dvalues: Any) -> None:
        """Raise `DataError` unless `dvalues` is an array of this backend in the shape of `output`."""
        if not self.xp.is_array(dvalues):
            hint = ": end the backward of the layer behind it with return self.dinputs" if dvalues is None else ""
            raise DataError(
                f"{self!r}.backward: dvalues is {describe(dvalues)}, not an array of backend {self.xp.name!r}{hint}"
            )
        shape = (len(self.inputs), self.n_outputs) if self.n_outputs is not None else self.inputs.shape
        if dvalues.shape != shape:
            raise DataError(f"{self!r}.backward: dvalues has shape {dvalues.shape}: expected {shape}, as output has")
        if dvalues.dtype != self.xp.dtype:
            raise DataError(f"{self!r}.backward: dvalues has dtype {dvalues.dtype}: expected {self.xp.dtype}")

    def kept(self) -> dict[str, Any]:
        """What its last `forward` kept, by name: `inputs`, `output` and, of a dropout, `mask`."""
        return {name: vars(self)[name] for name, call in _KEPT.items() if call == "forward" and name in vars(self)}

    # -- parameters ---------------------------------------------------------------------------------------------------

    @property
    def has_values(self) -> bool:
        """Whether its parameters have been drawn or set."""
        return all(parameter.buffer is not None for parameter in self.parameters.values())

    def settle(self) -> None:
        """Make sure that its parameters have values: alone, it gets a buffer of its own."""
        if not self.has_values:
            ParameterBuffer.of(self)

    def place(self, xp: Backend) -> None:
        """Move to a backend; `Model` calls it. Buffers of another backend are let go."""
        if self._xp is not xp:
            super().place(xp)
            for name in _KEPT:
                vars(self).pop(name, None)

    def regularized(self) -> list[Parameter]:
        """Its parameters that carry a penalty."""
        return [parameter for parameter in self.parameters.values() if parameter.regularizer is not None]

    def add_penalty_gradients(self) -> None:
        """Add each penalty's gradient to its parameter's."""
        for parameter in self.regularized():
            parameter.regularizer.gradient(self.xp, parameter.value, state=parameter.grad)  # type: ignore[union-attr]

    # -- what a join leaves out ------------------------------------------------------------------------------------------

    def keep_all(self) -> None:
        """Leave nothing out: a model begins with that, since the layer may come from another one."""
        self._left_out.clear()

    def leave_out(self, reason: str, *names: str) -> None:
        """Note that these attributes are not computed, and why; asking for one then raises `StateError`."""
        for name in names:
            self._left_out[name] = reason
            vars(self).pop(name, None)

    def leaves_out(self, name: str) -> bool:
        """Whether a model does without this attribute of the layer."""
        return name in self._left_out

    def __getattr__(self, name: str) -> Any:
        """Reached only for what was never set: say which call sets it, or why it is left out."""
        if name in _KEPT:
            kind = type(self).__name__
            if reason := vars(self).get("_left_out", {}).get(name):
                raise StateError(f"{kind}.{name} is not kept: {reason}; build the model with Model(..., fused=False)")
            raise StateError(f"{kind}.{name} is not there yet: call {_KEPT[name]}() first")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Value:
    """A layer's attribute that is a parameter's values: reading gives the view, assigning copies into it."""

    def __init__(self, parameter: str) -> None:
        self.parameter = parameter

    def __get__(self, layer: Any, owner: type) -> Any:
        if layer is None:
            return self
        layer.settle()
        return layer.parameters[self.parameter].value

    def __set__(self, layer: Any, new: Any) -> None:
        view = self.__get__(layer, type(layer))
        if new is view:  # the end of `layer.weights -= step`, which has changed the view already
            return
        new = layer.xp.asarray(new, dtype=layer.xp.dtype)
        if new.shape != view.shape:
            raise DataError(f"{layer!r}.{self.parameter} was given shape {new.shape}: expected {view.shape}")
        with layer.xp.device_scope:
            view[...] = new


class Gradient(Value):
    """A layer's attribute that is a parameter's gradient."""

    def __get__(self, layer: Any, owner: type) -> Any:
        if layer is None:
            return self
        layer.settle()
        return layer.parameters[self.parameter].grad


class Dense(Layer):
    """A fully connected layer: output = inputs · weights + biases (book, chapters 3, 9 and 14).

    Shapes: inputs (n, n_inputs), weights (n_inputs, n_neurons), biases (1, n_neurons), output (n, n_neurons).
    Weights begin as 0.01 · N(0, 1) and biases as zero. Gradients:

        dweights = inputsᵀ · dvalues + penalty,  dbiases = Σ dvalues + penalty,  dinputs = dvalues · weightsᵀ

    Weights and biases may each have a `Regularizer`. Raises `ArgumentError` for sizes below 1 and `DataError` for
    inputs that do not fit.

    >>> import nnbackend as nn
    >>> dense = nn.Dense(2, 3, seed=0)
    >>> dense.forward(dense.xp.ones((5, 2))).shape
    (5, 3)
    """

    only_ops = True
    weights = Value("weights")
    biases = Value("biases")
    dweights = Gradient("weights")
    dbiases = Gradient("biases")

    def __init__(
        self,
        n_inputs: int,
        n_neurons: int,
        *,
        weight_regularizer: Regularizer | None = None,
        bias_regularizer: Regularizer | None = None,
        weight_initializer: Initializer | None = None,
        bias_initializer: Initializer | None = None,
        backend: str | Backend | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(backend=backend, seed=seed)
        self.n_inputs = count("Dense n_inputs", n_inputs)
        self.n_outputs = self.n_neurons = count("Dense n_neurons", n_neurons)
        for name, regularizer in (("weight", weight_regularizer), ("bias", bias_regularizer)):
            if regularizer is not None and not isinstance(regularizer, Regularizer):
                raise ArgumentError(
                    f"Dense {name}_regularizer {shown(regularizer)}: expected a Regularizer such as nn.L2(5e-4)"
                )
        for name, initializer in (("weight", weight_initializer), ("bias", bias_initializer)):
            if isinstance(initializer, type) or not (initializer is None or hasattr(initializer, "draw")):
                raise ArgumentError(
                    f"Dense {name}_initializer {shown(initializer)}: expected an object such as nn.Normal(0.1)"
                )
        self.wants_dinputs = True  # a model's first layer can do without
        self.parameters = {
            "weights": Parameter(
                (self.n_inputs, self.n_neurons), weight_initializer or Normal(0.01), weight_regularizer
            ),
            "biases": Parameter((1, self.n_neurons), bias_initializer or Zeros(), bias_regularizer),
        }

    @property
    def weight_regularizer(self) -> Regularizer | None:
        """The penalty on its weights."""
        return self.parameters["weights"].regularizer

    @property
    def bias_regularizer(self) -> Regularizer | None:
        """The penalty on its biases."""
        return self.parameters["biases"].regularizer

    @property
    def weight_initializer(self) -> Initializer:
        """How its weights begin."""
        return self.parameters["weights"].initializer

    @property
    def bias_initializer(self) -> Initializer:
        """How its biases begin."""
        return self.parameters["biases"].initializer

    def keep_all(self) -> None:
        """Leave nothing out, the gradient of its inputs neither."""
        super().keep_all()
        self.wants_dinputs = True

    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        """output = inputs · weights + biases"""
        self.check_inputs(inputs)
        self.inputs = inputs
        out = self.buffer("output", (len(inputs), self.n_neurons))
        self.output = self.xp.ops.dense(inputs, self.weights, self.biases, out=out)
        return self.output

    def backward(self, dvalues: Any) -> Any:
        """dweights, dbiases (both with penalties) and dinputs"""
        self.check_dvalues(dvalues)
        self.xp.ops.biases_gradient(dvalues, out=self.dbiases)
        return self.backward_after_biases(dvalues)

    def backward_after_biases(self, dvalues: Any) -> Any:
        """The rest of `backward` once `dbiases` is there, which the join with ReLU computes on its way."""
        ops = self.xp.ops
        ops.weights_gradient(self.inputs, dvalues, out=self.dweights)
        self.add_penalty_gradients()
        if not self.wants_dinputs:
            return None
        self.dinputs = ops.inputs_gradient(dvalues, self.weights, out=self.buffer("dinputs", self.inputs.shape))
        return self.dinputs

    def __repr__(self) -> str:
        return f"Dense({self.n_inputs}, {self.n_neurons})"


class Dropout(Layer):
    """Drops each input with probability `rate` while training, and scales the rest by 1 / (1 - rate) (book, chapter 15).

        output = inputs · mask,  dinputs = dvalues · mask,  mask = 0 or 1 / (1 - rate)

    Outside training it passes inputs on unchanged (and then `backward` passes gradients on unchanged). The mask comes
    from a counter-based generator: the same seed gives the same masks on every backend. Raises `ArgumentError` for a rate
    outside [0, 1).

    >>> import nnbackend as nn
    >>> dropout = nn.Dropout(0.5, seed=0)
    >>> dropout.forward(dropout.xp.ones((1, 4)), training=True).tolist()
    [[0.0, 2.0, 2.0, 2.0]]
    """

    only_ops = True
    state_names = ("step",)

    def __init__(self, rate: float, *, backend: str | Backend | None = None, seed: int | None = None) -> None:
        super().__init__(backend=backend, seed=seed)
        self.rate = fraction("Dropout rate", rate)
        self._step: Any = None

    @property
    def keep_rate(self) -> float:
        """1 - rate: the probability that an input is kept."""
        return 1 - self.rate

    @property
    def step(self) -> Any:
        """How many masks have been drawn, an index array of shape (1,) on the device: part of a checkpoint."""
        if self._step is None:
            self._step = self.xp.zeros(1, dtype=self.xp.index_dtype)
        return self._step

    def place(self, xp: Backend) -> None:
        """Move to a backend, with the count of masks drawn."""
        if self._step is not None and self._xp is not xp:
            self._step = xp.asarray(self.xp.to_host(self._step))
        super().place(xp)
        _ = self.step  # made now: a recorded step that made it would begin at zero in every replay

    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        """output = inputs · mask while training, else inputs"""
        self.check_inputs(inputs)
        self.inputs = inputs
        self.mask = None
        self.output = inputs
        if training and self.rate:
            self.seed = checked_seed(self.seed)
            ops, shape = self.xp.ops, inputs.shape
            out = self.buffer("output", shape), self.buffer("mask", shape)
            self.output, self.mask = ops.dropout(
                inputs, self.step, rate=self.rate, key=self.seed, stream=self.stream, out=out
            )
            ops.advance(1, state=self.step)
        return self.output

    def backward(self, dvalues: Any) -> Any:
        """dinputs = dvalues · mask"""
        self.check_dvalues(dvalues)
        if self.mask is None:
            self.dinputs = dvalues
        else:
            self.dinputs = self.xp.ops.multiply(dvalues, self.mask, out=self.buffer("dinputs", dvalues.shape))
        return self.dinputs

    def __repr__(self) -> str:
        return f"Dropout({self.rate})"
