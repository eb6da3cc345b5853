"""A model's finalized form: what is worked out once, when the model is first used."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from .activations import Linear, ReLU
from .backend import Backend
from .backend.base import converted
from .batches import Batch, Data, check_inputs_shape, host_targets, prepare_inputs
from .errors import ArgumentError, StateError
from .fusion import Ending, join_ending, join_layers
from .layers import Dense, Dropout, Layer
from .losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Loss,
    SigmoidBinaryCrossentropy,
    SoftmaxCategoricalCrossentropy,
    target_dtype,
)
from .optimizers import Optimizer
from .parameters import Parameter, ParameterBuffer
from .streams import rows_to_stream, selected
from .weights import NO_WEIGHTS, Weights

if TYPE_CHECKING:
    from .model import Model

# How one writes a part that a model lacks, for error messages.
EXAMPLES = {
    "loss": "nn.CategoricalCrossentropy()",
    "optimizer": "nn.Adam(0.02)",
    "accuracy": "nn.CategoricalAccuracy()",
}


# What a last layer of these types gives is no probability. A layer of the user's own is trusted.
_NO_PROBABILITIES = (Dense, Dropout, Linear, ReLU)


def check_loss_suits(loss: Loss, last: Layer, n_outputs: int | None) -> None:
    """Raise `ArgumentError` where a loss would be nonsense on what the last layer gives."""
    kind = type(loss).__name__
    if isinstance(loss, (SoftmaxCategoricalCrossentropy, SigmoidBinaryCrossentropy)):
        raise ArgumentError(
            f"{kind} has its activation inside and is for loops by hand: end the model with the activation "
            "and give it the plain loss; a model joins them by itself"
        )
    needed = {CategoricalCrossentropy: "Softmax", BinaryCrossentropy: "Sigmoid"}.get(type(loss))
    if needed and isinstance(last, _NO_PROBABILITIES):
        raise ArgumentError(
            f"{kind} takes probabilities, but the last layer is {last!r}: end the model with nn.{needed}()"
        )
    if isinstance(loss, CategoricalCrossentropy) and n_outputs == 1:
        raise ArgumentError(
            f"{kind} on one output is always zero: use an output for each class, or nn.Sigmoid() with nn.BinaryCrossentropy()"
        )


def promises_only_ops(part: Any) -> bool:
    """Whether a part's class says in its own body that it works through `xp.ops`: a subclass may do otherwise."""
    return vars(type(part)).get("only_ops", False)


# Batches of up to so many numbers are predicted by a recorded pass, for the latest few shapes: there the calls from layer to
# layer cost more than the work. Larger ones are worth no copy.
REPLAYED = 2**16
REPLAYED_SHAPES = 8


class _Answer:
    """A forward pass that was recorded for one shape of inputs."""

    def __init__(self, network: Network, shape: tuple[int, ...]) -> None:
        xp = network.model.xp
        self.inputs, self.outputs = xp.empty(shape), None
        self._kept: list[tuple[dict[str, Any], dict[str, Any]]] = []

        def step() -> None:
            self.outputs = network.forward(self.inputs)
            self._kept = [(vars(layer), layer.kept()) for layer in network.model.layers]

        self._step = xp.compiled_step(step, only_ops=True)

    def __call__(self, inputs: Any) -> Any:
        self.inputs[...] = inputs
        self._step()
        for attributes, kept in self._kept:  # a replay passes the layers by, which shall show this pass all the same
            attributes.update(kept)
        return self.outputs


class Network:
    """A model's finalized form: parameters in one buffer, stages with neighbours joined, scalars on the device."""

    def __init__(self, model: Model) -> None:
        if not model.layers:
            raise StateError("the model has no layers: give it some, Model([nn.Dense(2, 64), ...]), or add(layer)")
        self.model, xp = model, model.xp
        layers = model.layers
        for layer in layers:
            layer.place(xp)
            layer.keep_all()
        self.n_outputs = model.n_outputs
        self.parameters = self._buffer(layers)
        self._own = self._parameters(layers)
        self._home = next((parameter.buffer for parameter in self._own), None)
        self.penalized = [parameter for layer in layers for parameter in layer.regularized()]
        self.stages = join_layers(layers[:-1], fused=model.fused)
        self.last = layers[-1]
        self._spare_first_dinputs(layers[0])
        self.loss, self.accuracy = model.loss, model.accuracy
        self.ending: Ending | None = None
        if model.loss is not None:
            check_loss_suits(model.loss, self.last, self.n_outputs)
            model.loss.place(xp)
            self.ending = join_ending(self.last, model.loss, fused=model.fused)
            self.accuracy = model.accuracy or model.accuracy_of(model.loss)
            self.accuracy.place(xp)
        if model.optimizer is not None:
            model.optimizer.bind(self.parameters)
        self._parts = [part for part in (*layers, self.loss, self.accuracy) if part is not None]
        self.measured = self._measured(xp)
        self._targets: Any = None
        self._may_replay = all(map(promises_only_ops, layers))
        self._answers: dict[tuple[int, ...], _Answer] = {}

    @staticmethod
    def _parameters(layers: Sequence[Layer]) -> list[Parameter]:
        return [parameter for layer in layers for parameter in layer.parameters.values()]

    def _buffer(self, layers: Sequence[Layer]) -> ParameterBuffer:
        """The layers' common buffer: the one they already share (a copied model), or a new one.

        Some layers of another model, looked at by a model that does not train them, stay in that model's buffer.
        """
        parameters = self._parameters(layers)
        buffers = {id(parameter.buffer): parameter.buffer for parameter in parameters}
        (buffer, *others) = buffers.values() if buffers else (None,)
        if buffer is not None and not others and buffer.xp is self.model.xp:
            if len(buffer.named) == len(parameters):
                return buffer
            if self.model.optimizer is None:
                return buffer.part(layers)
        return ParameterBuffer.of(*layers)

    def is_current(self) -> bool:
        """Whether its layers and their parameters are where they were: another model may have taken them."""
        for parameter in self._own:  # asked before every prediction: loops cost half of what any() does
            if parameter.buffer is not self._home:
                return False
        xp = self.model.xp
        for part in self._parts:  # noqa: SIM110
            if part.xp is not xp:
                return False
        return True

    def _spare_first_dinputs(self, first: Layer) -> None:
        if type(first) is Dense and self.model.optimizer is not None:
            first.wants_dinputs = not self.model.fused or len(self.model.layers) == 1
            if not first.wants_dinputs:
                first.leave_out("a model needs no gradient of its own inputs", "dinputs")

    def _measured(self, xp: Backend) -> tuple[Any, Any, Any, Any]:
        optimizer = self.model.optimizer
        rate = xp.zeros(1, dtype="float64") if optimizer is None else optimizer.current
        return xp.zeros(()), xp.zeros(()), xp.zeros(()), rate

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer, which `need` has made sure is there."""
        assert self.model.optimizer is not None
        return self.model.optimizer

    @property
    def only_ops(self) -> bool:
        """Whether all parts promise it."""
        model = self.model
        parts: list[Any] = [*model.layers, model.loss, self.accuracy, model.optimizer]
        parts += [parameter.regularizer for parameter in self.penalized]
        return all(promises_only_ops(part) for part in parts if part is not None)

    def let_go(self) -> None:
        """Free what its parts keep of the last batch; the next has buffers made anew."""
        joined = getattr(self.ending, "joined", None)
        for part in (*self._parts, *([joined] if joined is not None else [])):
            part.let_go()
        self._answers.clear()
        self._targets = None

    def need(self, *, loss: bool = False, optimizer: bool = False) -> None:
        """Raise `StateError` if a part is missing."""
        for name, needed in (("loss", loss), ("optimizer", optimizer)):
            if needed and getattr(self.model, name) is None:
                raise StateError(f"the model has no {name}: give it one, model.set({name}={EXAMPLES[name]})")

    def prepare(self, X: Any, y: Any, *, for_training: bool = False) -> tuple[Any, Any]:
        """Inputs and targets on the device, checked."""
        return self.data(X, y, for_training=for_training, stream=False)[:2]

    def data(
        self,
        X: Any,
        y: Any,
        weights: Weights = NO_WEIGHTS,
        *,
        for_training: bool = False,
        stream: bool | None = None,
    ) -> Data:
        """Data, checked: on the device, or where they are to be streamed (`rows_to_stream`), on the host."""
        assert self.loss is not None
        assert self.accuracy is not None
        xp, model = self.model.xp, self.model
        rows = rows_to_stream(xp, X, stream)
        if rows is not None:
            check_inputs_shape(rows.shape, model.n_inputs)
            inputs: Any = rows
        else:
            with xp.quiet():
                inputs = prepare_inputs(xp, X, model.n_inputs)
        n_outputs = self.n_outputs if self.n_outputs is not None else inputs.shape[1]
        host = host_targets(xp, y, len(inputs), n_outputs, self.loss)
        relative = None
        if weights.given:
            settled = weights.settle(xp, host, self.loss, n_outputs)
            if settled.kept is not None:
                inputs, host = selected(xp, inputs, settled.kept), host[settled.kept]
            relative = settled.relative
        if for_training:
            self.accuracy.init(host)
        bring = converted if rows is not None else xp.asarray
        targets = bring(host, dtype=target_dtype(xp, host))
        return Data(inputs, targets, None if relative is None else bring(relative, dtype=xp.dtype))

    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        """The predictions."""
        return self.last.forward(self._before_last(inputs, training), training=training)

    def _before_last(self, inputs: Any, training: bool) -> Any:
        for stage in self.stages:
            inputs = stage.forward(inputs, training=training)
        return inputs

    def answer(self, inputs: Any) -> Any:
        """The predictions, valid until the next call. A small batch is copied, and the pass for its shape replayed."""
        replayed = self._answers.get(inputs.shape)
        if replayed is not None:
            return replayed(inputs)
        # NumPy's products, also where a callback of training asks: a replay will be outside of any block.
        with self.model.xp.product_threads(len(inputs), sys.maxsize):
            if inputs.size > REPLAYED or not self._may_replay:
                return self.forward(inputs)
            if len(self._answers) == REPLAYED_SHAPES:
                self._answers.pop(next(iter(self._answers)))
            self._answers[inputs.shape] = replayed = _Answer(self, inputs.shape)
            return replayed(inputs)

    @contextlib.contextmanager
    def computing(self, samples: int) -> Iterator[None]:
        """A block of steps on batches of at most so many samples."""
        xp = self.model.xp
        with xp.quiet(), xp.op_scope, xp.product_threads(samples, self._most_weights()):
            yield

    def _most_weights(self) -> int:
        """The weights of the largest matrix product; nobody knows what parts of one's own multiply."""
        if not self.only_ops:
            return sys.maxsize
        return max((layer.weights.size for layer in self.model.layers if isinstance(layer, Dense)), default=0)

    # -- what a step consists of: training runs the parts on end, a profile times each, parity looks in between -------------

    def training_step(self, batch: Batch) -> dict[str, Callable[[], Any]]:
        """The parts of a training step on a batch, in their order; without an optimizer the last is missing."""
        parts: dict[str, Callable[[], Any]] = {
            "batch": batch.load,
            "forward": partial(self.measure, batch, training=True),
            "backward": partial(self.backward, batch.targets, batch.weights),
        }
        if self.model.optimizer is not None:
            parts["update"] = partial(self.optimizer.update, self.parameters)
        return parts

    def evaluation_step(self, batch: Batch) -> dict[str, Callable[[], Any]]:
        """The parts of a step that only measures, without dropout."""
        return {"batch": batch.load, "forward": partial(self.measure, batch, training=False)}

    def measure(self, batch: Batch, *, training: bool) -> None:
        """Forward, and losses and accuracy into `measured`."""
        assert self.ending is not None
        assert self.accuracy is not None
        xp, targets = self.model.xp, batch.targets
        self._targets = targets
        data_loss, regularization_loss, accuracy, _ = self.measured
        inputs = self._before_last(batch.inputs, training)
        predictions = self.ending.forward(inputs, targets, batch.weights, training=training, out=data_loss)
        if self.penalized:
            xp.ops.assign(0.0, out=regularization_loss)
        for parameter in self.penalized:
            parameter.regularizer.penalty(xp, parameter.value, state=regularization_loss)  # type: ignore[union-attr]
        self.accuracy.measure(predictions, targets, out=accuracy)

    def checked_targets(self, targets: Any) -> Any:
        """The targets of the batch that was measured last, as they are; others are looked at on the host first."""
        assert self.loss is not None
        return targets if targets is self._targets else self.loss._checked(self.last.output, targets)

    def backward(self, targets: Any, weights: Any = None) -> Any:
        """All gradients, from the end to the front."""
        assert self.ending is not None
        dvalues = self.ending.backward(targets, weights)
        for stage in reversed(self.stages):
            dvalues = stage.backward(dvalues)
        return dvalues
