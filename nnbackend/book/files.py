"""Model files of the book's chapters 20 and 21, without the book's pickle: nnbackend's own files.

A model of the book's names becomes one of the library's, which writes or reads the file, and back. So a file that a
script saved can be loaded with `nnbackend.Model.load` and the other way round, and a file can hold nothing but numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .. import activations, layers, losses, metrics, model, optimizers
from ..backend import get_backend
from ..errors import ArgumentError
from ..regularizers import L1L2
from . import accuracies, arrays
from . import activations as book_activations
from . import layers as book_layers
from . import losses as book_losses
from . import optimizers as book_optimizers

if TYPE_CHECKING:
    import os

    from .model import Model

ModelKind = TypeVar("ModelKind", bound="Model")

# The book's classes, and the library's that stand for them.
_ACTIVATIONS: dict[type, type[layers.Layer]] = {
    book_activations.Activation_ReLU: activations.ReLU,
    book_activations.Activation_Softmax: activations.Softmax,
    book_activations.Activation_Sigmoid: activations.Sigmoid,
    book_activations.Activation_Linear: activations.Linear,
}
_LOSSES: dict[type, type[losses.Loss]] = {
    book_losses.Loss_CategoricalCrossentropy: losses.CategoricalCrossentropy,
    book_losses.Loss_BinaryCrossentropy: losses.BinaryCrossentropy,
    book_losses.Loss_MeanSquaredError: losses.MeanSquaredError,
    book_losses.Loss_MeanAbsoluteError: losses.MeanAbsoluteError,
}

# The optimizers also with the names of their settings, which are the same in both.
_OPTIMIZERS: dict[type, tuple[type[optimizers.Optimizer], tuple[str, ...]]] = {
    book_optimizers.Optimizer_SGD: (optimizers.SGD, ("momentum",)),
    book_optimizers.Optimizer_Adagrad: (optimizers.Adagrad, ("epsilon",)),
    book_optimizers.Optimizer_RMSprop: (optimizers.RMSprop, ("epsilon", "rho")),
    book_optimizers.Optimizer_Adam: (optimizers.Adam, ("epsilon", "beta_1", "beta_2")),
}


# -- from the book's classes to the library's ------------------------------------------------------------------------------


def to_library(book: Model) -> model.Model:
    """The library's model of the same layers, parameters, settings and optimizer state, on the CPU.

    Raises `ArgumentError` for a class of the script's own, which a file cannot name.
    """
    dtype = book.trainable_layers[0].weights.dtype if book.trainable_layers else arrays.float_dtype()
    library = model.Model(
        [_layer(layer) for layer in book.layers],
        loss=None if book.loss is None else _entry(_LOSSES, book.loss)(),
        optimizer=None if book.optimizer is None else _optimizer(book.optimizer),
        accuracy=None if book.accuracy is None else _accuracy(book.accuracy),
        backend=get_backend("cpu", dtype=dtype, kernels="reference"),
        seed=0,
    )
    library.set_parameters(_by_name(library, [layer.get_parameters() for layer in book.trainable_layers], book))
    if library.optimizer is not None:
        _copy_state(book, library)
    return library


def _entry(table: dict[type, Any], part: Any) -> Any:
    if type(part) not in table:
        known = ", ".join(kind.__name__ for kind in table)
        raise ArgumentError(f"a {type(part).__name__} cannot be saved in a model file: expected one of {known}")
    return table[type(part)]


def _layer(layer: Any) -> layers.Layer:
    return _entry({**_LAYERS, **dict.fromkeys(_ACTIVATIONS, _activation)}, layer)(layer)


def _activation(layer: Any) -> layers.Layer:
    return _ACTIVATIONS[type(layer)]()


def _dense(layer: book_layers.Layer_Dense) -> layers.Layer:
    penalties = {part.gradient: L1L2(part.l1, part.l2) for part in book_layers.penalized(layer)}
    return layers.Dense(
        *layer.weights.shape,
        weight_regularizer=penalties.get("dweights"),
        bias_regularizer=penalties.get("dbiases"),
    )


def _dropout(layer: book_layers.Layer_Dropout) -> layers.Layer:
    return layers.Dropout(layer.drop_rate)


_LAYERS: dict[type, Callable[[Any], layers.Layer]] = {
    book_layers.Layer_Dense: _dense,
    book_layers.Layer_Dropout: _dropout,
}


def _optimizer(optimizer: Any) -> optimizers.Optimizer:
    kind, names = _entry(_OPTIMIZERS, optimizer)
    return kind(optimizer.learning_rate, decay=optimizer.decay, **{name: getattr(optimizer, name) for name in names})


def _accuracy(accuracy: Any) -> metrics.Accuracy:
    if type(accuracy) is accuracies.Accuracy_Regression:
        return metrics.RegressionAccuracy(accuracy.precision)
    _entry({accuracies.Accuracy_Categorical: None, accuracies.Accuracy_Regression: None}, accuracy)
    return metrics.BinaryAccuracy() if accuracy.binary else metrics.CategoricalAccuracy()


def _by_name(library: model.Model, pairs: list[tuple[Any, Any]], book: Model) -> dict[str, Any]:
    """Pairs for weights and biases, layer by layer, under the library's names, on the host."""
    flat = [_to_host(book, array) for pair in pairs for array in pair]
    return dict(zip(library.parameter_buffer.named, flat, strict=True))


def _to_host(book: Model, array: Any) -> Any:
    return book.place.backend(array.dtype).to_host(array)


def _copy_state(book: Model, library: model.Model) -> None:
    optimizer, buffer = library.optimizer, library.parameter_buffer
    assert optimizer is not None
    for name, flat in optimizer.state.items():
        pairs = [book.optimizer.state_of(layer, name) for layer in book.trainable_layers]
        flat[...] = buffer.join(_by_name(library, pairs, book))
    optimizer.iterations = book.optimizer.iterations
    optimizer.current.fill(book.optimizer.current_learning_rate)


# -- and back --------------------------------------------------------------------------------------------------------------


def from_library(library: model.Model, kind: type[ModelKind]) -> ModelKind:
    """The book's model of the library's. Raises `ArgumentError` for a class that the book does not have."""
    book = kind()
    for layer in library.layers:
        book.add(_book_layer(layer))
    if library.loss is not None:
        book.set(loss=_other_way(_LOSSES, library.loss)())
    if library.accuracy is not None:
        book.set(accuracy=_book_accuracy(library.accuracy))
    book.finalize()
    book.set_parameters(_pairs(library, library.parameters(), book))
    if library.optimizer is not None:
        book.set(optimizer=_book_optimizer(library.optimizer))
        for name, flat in library.optimizer.state.items():
            pairs = _pairs(library, library.parameter_buffer.split(flat), book)
            for layer, pair in zip(book.trainable_layers, pairs, strict=True):
                book.optimizer.set_state_of(layer, name, pair)
    return book


def _other_way(table: dict[type, Any], part: Any) -> Any:
    """The book's class for one of the library's."""
    found = {library: book for book, library in table.items()}
    if type(part) not in found:
        raise ArgumentError(f"the book has no class for {part!r}: load the file with nnbackend.Model.load")
    return found[type(part)]


def _book_layer(layer: layers.Layer) -> Any:
    if type(layer) is layers.Dropout:
        return book_layers.Layer_Dropout(layer.rate)
    if type(layer) is not layers.Dense:
        return _other_way(_ACTIVATIONS, layer)()
    strengths = {}
    for name, regularizer in (("weight", layer.weight_regularizer), ("bias", layer.bias_regularizer)):
        if regularizer is not None and not isinstance(regularizer, L1L2):
            raise ArgumentError(f"the book has no class for {regularizer!r}: load the file with nnbackend.Model.load")
        strengths[f"{name}_regularizer_l1"] = regularizer.l1 if regularizer else 0
        strengths[f"{name}_regularizer_l2"] = regularizer.l2 if regularizer else 0
    return book_layers.Layer_Dense.of_parameters(None, None, **strengths)


def _book_accuracy(accuracy: metrics.Accuracy) -> Any:
    if type(accuracy) is metrics.RegressionAccuracy:
        regression = accuracies.Accuracy_Regression()
        regression.precision = accuracy.precision
        return regression
    if type(accuracy) not in (metrics.CategoricalAccuracy, metrics.BinaryAccuracy):
        raise ArgumentError(f"the book has no class for {accuracy!r}: load the file with nnbackend.Model.load")
    return accuracies.Accuracy_Categorical(binary=type(accuracy) is metrics.BinaryAccuracy)


def _book_optimizer(optimizer: optimizers.Optimizer) -> Any:
    table = {book: library for book, (library, _) in _OPTIMIZERS.items()}
    kind = _other_way(table, optimizer)
    settings = {name: getattr(optimizer, name) for name in _OPTIMIZERS[kind][1]}
    book = kind(learning_rate=optimizer.learning_rate, decay=optimizer.decay, **settings)
    book.iterations = optimizer.iterations
    book.current_learning_rate = optimizer.current_learning_rate
    return book


def _pairs(library: model.Model, by_name: dict[str, Any], book: Model) -> list[tuple[Any, Any]]:
    """Arrays under the library's names as pairs for weights and biases, layer by layer, where the script computes."""
    flat = [book.place.bring(by_name[name], by_name[name].dtype) for name in library.parameter_buffer.named]
    return list(zip(flat[::2], flat[1::2], strict=True))


# -- files ---------------------------------------------------------------------------------------------------------------


def save(book: Model, path: str | os.PathLike[str]) -> None:
    """What `Model.save` does."""
    to_library(book).save(path)


def load(path: str | os.PathLike[str], kind: type[ModelKind]) -> ModelKind:
    """What `Model.load` does."""
    return from_library(model.Model.load(path, backend="cpu"), kind)


def save_parameters(book: Model, path: str | os.PathLike[str]) -> None:
    """What `Model.save_parameters` does."""
    to_library(book).save_parameters(path)


def load_parameters(book: Model, path: str | os.PathLike[str]) -> None:
    """What `Model.load_parameters` does."""
    library = to_library(book)
    library.load_parameters(path)
    book.set_parameters(_pairs(library, library.parameters(), book))
