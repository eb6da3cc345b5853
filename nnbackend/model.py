"""`Model`: a chain of layers with a loss, an optimizer and an accuracy (book, chapters 18 to 22)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from .backend import Backend, get_backend
from .backend.base import on_device
from .batches import Batch, about_validation, check_batch_size, check_inputs_shape, prepare_inputs
from .checks import count, flag
from .checks import path as checked_path
from .checks import seed as checked_seed
from .errors import ArgumentError, DataError, shown
from .footprint import EVALUATING, PREDICTING, TRAINING, explains_memory
from .history import History
from .layers import Layer
from .losses import Loss
from .metrics import Accuracy
from .network import EXAMPLES, Network
from .optimizers import Optimizer
from .parameters import ParameterBuffer, layer_names
from .passes import Records, batches_of, measuring_size, pass_of
from .streams import HostRows, rows_to_stream
from .training import Callback, PrintLines, TrainingRun
from .weights import Weights


@dataclass(frozen=True)
class Evaluation:
    """What `Model.evaluate` measured. `loss` is the data loss plus the penalties; the book prints the data loss."""

    loss: float
    data_loss: float
    regularization_loss: float
    accuracy: float


class Model:
    """A chain of layers, trained and used as one (book, chapter 18).

    `backend` and `dtype` say where it lives (see `get_backend`); `seed` decides initial weights, shuffling and dropout
    (None: fresh entropy, recorded in `model.seed`). With `fused=False` neighbours are not joined, and every layer keeps
    every intermediate. Layers, loss, optimizer and accuracy can be given here, or later with `add` and `set`.

    Raises `ArgumentError` for parts that do not fit together, when the model is first used.

    >>> import nnbackend as nn
    >>> X, y = nn.datasets.spiral(samples=20, classes=3, seed=0)
    >>> model = nn.Model(
    ...     [nn.Dense(2, 16), nn.ReLU(), nn.Dense(16, 3), nn.Softmax()],
    ...     loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.05), seed=0)
    >>> history = model.train(X, y, epochs=50, print_every=0)
    >>> history["loss"][-1] < history["loss"][0]
    True
    >>> model.predict(X).shape
    (60, 3)
    """

    def __init__(
        self,
        layers: Iterable[Layer] = (),
        *,
        loss: Loss | None = None,
        optimizer: Optimizer | None = None,
        accuracy: Accuracy | None = None,
        backend: str | Backend | None = None,
        dtype: Any = None,
        seed: int | None = None,
        fused: bool = True,
    ) -> None:
        if isinstance(layers, Layer) or not isinstance(layers, Iterable) or getattr(layers, "shape", None) == ():
            raise ArgumentError(
                f"layers {shown(layers)}: expected a list of layers such as [nn.Dense(2, 64), nn.ReLU()]"
            )
        layers = list(layers)
        settled = next((layer._xp for layer in layers if isinstance(layer, Layer) and layer._xp is not None), None)
        self.xp = get_backend(settled if backend is None else backend, dtype)
        self.seed = checked_seed(seed)
        self.fused = flag("fused", fused)
        self.layers: list[Layer] = []
        self.epoch = 0  # how many epochs it has been trained for; part of a checkpoint
        self.loss: Loss | None = None
        self.optimizer: Optimizer | None = None
        self.accuracy: Accuracy | None = None
        self._own_accuracy: Accuracy | None = None
        self.history = History()
        #: How it was trained, which classes its outputs stand for, what is done to data first: for files, all optional.
        self.training_record: dict[str, Any] = {}
        self.class_names: list[str] | None = None
        self.preprocessing: dict[str, Any] = {}
        self._built: Network | None = None
        for layer in layers:
            self.add(layer)
        self.set(loss=loss, optimizer=optimizer, accuracy=accuracy)

    # -- putting it together ------------------------------------------------------------------------------------------

    def add(self, layer: Layer) -> None:
        """Append a layer, which moves to the model's backend. Raises `ArgumentError` if it does not fit the one before."""
        if not isinstance(layer, Layer):
            raise ArgumentError(
                f"{shown(layer)} is not a layer: expected an object such as nn.Dense(2, 64) or nn.ReLU()"
            )
        if any(layer is known for known in self.layers):
            raise ArgumentError(f"{layer!r} is in the model already: use a new layer")
        width = self.n_outputs
        if None not in (width, layer.n_inputs) and width != layer.n_inputs:
            raise ArgumentError(
                f"{shown(layer)} takes {shown(layer.n_inputs)} inputs, but the layers before it give {shown(width)}: "
                "make both equal"
            )
        layer.place(self.xp)
        position = len(self.layers)
        if not layer.numbered:  # a layer of another model may still be at work there
            layer.stream, layer.numbered = position, True
        if layer.seed is None:
            layer.seed = int(np.random.SeedSequence((self.seed, position)).generate_state(1, np.uint64)[0])
        self.layers.append(layer)
        self._built = None

    def set(
        self, *, loss: Loss | None = None, optimizer: Optimizer | None = None, accuracy: Accuracy | None = None
    ) -> None:
        """Give it a loss, an optimizer or an accuracy; what is None stays as it is."""
        for name, part, kind in (
            ("loss", loss, Loss),
            ("optimizer", optimizer, Optimizer),
            ("accuracy", accuracy, Accuracy),
        ):
            if part is not None:
                if not isinstance(part, kind):
                    raise ArgumentError(
                        f"{name} {shown(part)}: expected an object derived from nn.{kind.__name__}, such as {EXAMPLES[name]}"
                    )
                setattr(self, name, part)
                self._built = None

    def accuracy_of(self, loss: Loss) -> Accuracy:
        """The accuracy that a loss brings along, where none was given. It is kept, for it may have looked at the data."""
        if type(self._own_accuracy) is not loss.accuracy:
            self._own_accuracy = loss.accuracy(backend=self.xp)
        return self._own_accuracy

    @on_device
    def finalize(self) -> None:
        """Lay out parameters in one buffer and join neighbours. Called by itself when the model is used.

        It is done again where layers were added, parts exchanged, or layers taken into another model in between.
        """
        if self._built is None or not self._built.is_current():
            self._built = Network(self)

    @property
    def n_inputs(self) -> int | None:
        """How many features it takes, where a layer says so before one that changes their number."""
        for layer in self.layers:
            if layer.n_inputs is not None or layer.n_outputs is not None:
                return layer.n_inputs
        return None

    @property
    def n_outputs(self) -> int | None:
        """How many outputs it gives, where a layer says so."""
        return next((layer.n_outputs for layer in reversed(self.layers) if layer.n_outputs is not None), None)

    @property
    def built(self) -> Network:
        """The finalized form, which a step takes as it is."""
        if self._built is None:
            self.finalize()
        assert self._built is not None
        return self._built

    # -- using it --------------------------------------------------------------------------------------------------------

    @on_device
    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        """The predictions for a batch on the device, valid until the next call."""
        self.finalize()
        with self.xp.quiet():
            return self.built.forward(inputs, training=training)

    @on_device
    def backward(self, targets: Any) -> Any:
        """All gradients of the loss on the batch of the last `evaluation_step` or `training_step`, and its targets."""
        self.built.need(loss=True)
        with self.xp.quiet():
            return self.built.backward(self.built.checked_targets(targets))

    @explains_memory(TRAINING)
    @on_device
    def train(
        self,
        X: Any,
        y: Any,
        *,
        epochs: int = 1,
        batch_size: int | None = None,
        shuffle: bool = True,
        validation_data: tuple[Any, ...] | None = None,
        sample_weights: Any = None,
        class_weights: Mapping[int, float] | str | None = None,
        print_every: int | None = None,
        callbacks: Sequence[Callback] = (),
        stream: bool | None = None,
    ) -> History:
        """Train for `epochs` more epochs and return their history, which is kept in `model.history` as well.

        X has shape (samples, features); y holds a target for each sample, in the form the loss takes. Without
        `batch_size` a step uses all samples; else batches are drawn in an order shuffled anew for each epoch from the
        model's seed (`shuffle=False`: as they come), the last one short. `validation_data=(X, y)` is evaluated after
        every epoch. Lines are printed every `print_every` epochs (None: about ten in all; 0: none).

        `sample_weights` (samples,) says how much each sample counts: data_loss = Σ wᵢ · lossᵢ / Σ wᵢ, so that only ratios matter,
        and a sample of weight 0 is left out; `class_weights={0: 1.0, 1: 5.0}` does so for classes (others: 1), and "balanced"
        makes all classes count as much. Both given are multiplied; how batches share them is said in `nnbackend.weights`.
        Accuracies count each sample once. Validation data have weights if they bring some, (X, y, sample_weights).

        Data that do not fit on the device, and files mapped into memory (`numpy.load(file, mmap_mode="r")`) that would take
        more than half of what is free, stay where they are and come in batch by batch, the next while one is computed;
        `stream=True` or `False` decides it otherwise. The bits of the result are the same.

        Raises `DataError` for data that do not fit, `NonFiniteLossError` when the loss turns into NaN or infinity, and
        `OutOfMemoryError`, which says what would have been needed and a batch size that fits.
        """
        epochs = count("epochs", epochs)
        if print_every is not None:
            print_every = count("print_every", print_every, least=0)
        shuffle = flag("shuffle", shuffle)
        if not isinstance(callbacks, (list, tuple)):
            raise ArgumentError(f"callbacks {shown(callbacks)}: expected a list of objects derived from nn.Callback")
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise ArgumentError(
                    f"callback {shown(callback)}: expected an object of a class derived from nn.Callback"
                )
        self.finalize()
        built = self.built
        built.need(loss=True, optimizer=True)
        data = built.data(X, y, Weights(sample_weights, class_weights), for_training=True, stream=stream)
        validation = None
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
                raise DataError("validation_data: expected a pair (X, y), or (X, y, sample_weights)")
            X_validation, y_validation, *given = validation_data
            try:
                validation = built.data(X_validation, y_validation, Weights(*given))
            except DataError as error:
                raise about_validation(error) from None
        every = max(1, epochs // 10) if print_every is None else print_every
        printers = [PrintLines(every)] if every else []
        run = TrainingRun(
            self,
            data,
            epochs=epochs,
            batch_size=batch_size,
            shuffle=shuffle,
            validation=validation,
            report_every=every or epochs,
            callbacks=[*printers, *callbacks],
        )
        self.history = run.history
        return run.run()

    @explains_memory(EVALUATING)
    @on_device
    def evaluate(
        self,
        X: Any,
        y: Any,
        *,
        batch_size: int | None = None,
        sample_weights: Any = None,
        stream: bool | None = None,
    ) -> Evaluation:
        """Losses and accuracy on a data set, weighted by batch size; nothing is learned, nothing dropped.

        `sample_weights` and `stream` as in `train`.
        """
        self.finalize()
        built = self.built
        built.need(loss=True)
        data = built.data(X, y, Weights(sample_weights), stream=stream)
        batches = batches_of(self.xp, data, measuring_size(batch_size, data.inputs))
        records = Records(self.xp, len(batches.sizes))
        evaluation = pass_of(self, batches, records, built.evaluation_step)
        with built.computing(batches.sizes[0]):
            with self.xp.no_transfers():
                evaluation.run()
            columns = evaluation.summarize(records.fetch()[np.newaxis])
        return Evaluation(**{name: column[0] for name, column in columns.items() if name != "learning_rate"})

    @explains_memory(PREDICTING)
    @on_device
    def predict(self, X: Any, *, batch_size: int | None = None) -> np.ndarray:
        """The network's outputs for X, shape (samples, outputs), as a NumPy array of the caller's own."""
        self.finalize()
        with self.xp.quiet(), self.xp.op_scope:
            if (rows := rows_to_stream(self.xp, X, None)) is not None:
                return self._predict_rows(rows, batch_size)
            inputs = prepare_inputs(self.xp, X, self.n_inputs)
            size = check_batch_size(batch_size, len(inputs))
            parts = [
                self.xp.to_host(self.built.answer(inputs[start : start + size]))
                for start in range(0, len(inputs), size)
            ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _predict_rows(self, rows: HostRows, batch_size: int | None) -> np.ndarray:
        """The outputs for rows that stay on the host: a part is brought in at a time."""
        check_inputs_shape(rows.shape, self.n_inputs)
        size, parts = measuring_size(batch_size, rows), []
        for start in range(0, len(rows), size):
            part = np.empty((min(size, len(rows) - start), rows.shape[1]), self.xp.dtype)
            rows.read(slice(start, start + size), part)
            parts.append(self.xp.to_host(self.built.answer(prepare_inputs(self.xp, part, self.n_inputs, first=start))))
        return np.concatenate(parts)

    # -- steps: what training compiles -----------------------------------------------------------------------------------

    def training_step(self, inputs: Any, targets: Any) -> None:
        """Forward, loss, backward and update, on arrays of the device and checked targets."""
        for part in self.built.training_step(Batch(inputs, targets, len(inputs))).values():
            part()

    def evaluation_step(self, inputs: Any, targets: Any) -> None:
        """Forward and loss without dropout, on arrays of the device and checked targets."""
        for part in self.built.evaluation_step(Batch(inputs, targets, len(inputs))).values():
            part()

    @property
    def measured(self) -> tuple[Any, Any, Any, Any]:
        """What the last step measured, on the device: data loss, regularization loss, accuracy, learning rate."""
        return self.built.measured

    @property
    def only_ops(self) -> bool:
        """Whether every part promises to compute through `xp.ops` only, so that steps may be replayed op by op."""
        return self.built.only_ops

    # -- parameters ----------------------------------------------------------------------------------------------------------

    @property
    def parameter_buffer(self) -> ParameterBuffer:
        """The flat buffer of all parameters, on the device."""
        self.finalize()
        return self.built.parameters

    def parameters(self) -> dict[str, np.ndarray]:
        """Copies of all parameters by name, on the host.

        >>> import nnbackend as nn
        >>> {name: value.shape for name, value in nn.Model([nn.Dense(2, 3)]).parameters().items()}
        {'dense_1.weights': (2, 3), 'dense_1.biases': (1, 3)}
        """
        return self.parameter_buffer.to_host()

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Take parameters as `parameters()` gives them, from this or another backend."""
        self.parameter_buffer.load(values)

    # -- files: see nnbackend.storage --------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the whole model, optimizer state included, to a file (book, chapter 21).

        It holds the architecture, all parameters and what training needs to go on: train(10) equals train(5), save, load,
        train(5), to the bit. An old file is replaced whole or not at all; equal models give equal bytes. Your own layers are
        saved too, if every argument of their constructor is kept in an attribute of the same name. The dicts
        `model.training_record` and `model.preprocessing` (JSON values; the latter NumPy arrays as well) and the list
        `model.class_names` are saved with it. Raises `FileError` when the file cannot be written, and `ArgumentError`
        for a part that a file cannot hold.

        >>> import nnbackend as nn
        >>> model = nn.Model([nn.Dense(2, 3), nn.Softmax()], loss=nn.CategoricalCrossentropy(), seed=0)
        >>> model.save("model.safetensors")
        >>> nn.Model.load("model.safetensors")
        <Model Dense(2, 3) → Softmax() on get_backend('cpu', dtype='float32')>
        """
        from .storage import save_model

        save_model(self, checked_path("path", path))

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        backend: str | Backend | None = None,
        dtype: Any = None,
        custom: Mapping[str, type] | None = None,
    ) -> Self:
        """The model of a file, on this backend and in this dtype (None: the file's), whatever it was trained on.

        `custom={"MyLayer": MyLayer}` names your own classes. A file can do nothing but hold numbers: no class is imported
        that is not nnbackend's own or passed here, and nothing in it is run. Raises `FileError`, in one sentence, for a file
        that is missing, damaged, altered, foreign, or written by a newer nnbackend.
        """
        from .storage import load_model

        return load_model(checked_path("path", path), cls, backend=backend, dtype=dtype, custom=custom)

    def save_parameters(self, path: str | os.PathLike[str]) -> None:
        """Write the parameters alone (book, chapter 21). Raises `FileError`."""
        from .storage import save_parameters

        save_parameters(self, checked_path("path", path))

    def load_parameters(self, path: str | os.PathLike[str]) -> None:
        """Take the parameters of a file that `save_parameters` or `save` wrote; all else stays. Raises `FileError`.

        >>> import nnbackend as nn
        >>> model, other = nn.Model([nn.Dense(2, 3)], seed=0), nn.Model([nn.Dense(2, 3)], seed=1)
        >>> model.save_parameters("parameters.safetensors")
        >>> other.load_parameters("parameters.safetensors")
        >>> bool((other.parameters()["dense_1.weights"] == model.parameters()["dense_1.weights"]).all())
        True
        """
        from .storage import load_parameters

        load_parameters(self, checked_path("path", path))

    def summary(self) -> str:
        """The layers with their shapes and parameters, as text."""
        rows = [("layer", "type", "output", "parameters")]
        width: int | None = None
        for name, layer in zip(layer_names(self.layers), self.layers, strict=True):
            width = width if layer.n_outputs is None else layer.n_outputs
            size = sum(parameter.size for parameter in layer.parameters.values())
            rows.append((name, repr(layer), "(n, ?)" if width is None else f"(n, {width})", f"{size:,}"))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines.insert(1, "  ".join("-" * width for width in widths))
        total = sum(p.size for layer in self.layers for p in layer.parameters.values())
        lines.append(f"{total:,} parameters on {self.xp.name} ({self.xp.dtype})")
        lines += [f"{name}: {part!r}" for name in ("loss", "optimizer", "accuracy") if (part := getattr(self, name))]
        return "\n".join(lines)

    def __getstate__(self) -> dict[str, Any]:
        """A copy is whole, and is built anew around its own layers and parameters when it is used."""
        return {**vars(self), "_built": None}

    def __repr__(self) -> str:
        return f"<Model {' → '.join(repr(layer) for layer in self.layers)} on {self.xp!r}>"
