"""Models and what a file says of them, in both directions (book, chapter 21).

A model file holds the architecture, every number that training changes, and nothing that depends on the backend: arrays
are stored by parameter, so that one padded in float32 for a GPU is read in float64 for NumPy.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..backend import Backend
from ..errors import ArgumentError, DataError, FileError, did_you_mean, shown
from ..files import Path
from ..layers import Layer
from ..optimizers import Optimizer
from ..parameters import ParameterBuffer, collect, layer_names
from .container import Contents, read_contents, write_contents
from .parts import Classes, build_part, check_custom, describe_part, plain

if TYPE_CHECKING:
    from ..model import Model

AnyModel = TypeVar("AnyModel", bound="Model")
Arrays = dict[str, np.ndarray]


# -- whole models ----------------------------------------------------------------------------------------------------------


def save_model(model: Model, path: Path) -> None:
    """Write a model file: what `Model.save` does."""
    write_contents(path, model_contents(model))


def load_model(
    path: Path,
    kind: type[AnyModel],
    *,
    backend: Any = None,
    dtype: Any = None,
    custom: Mapping[str, type] | None = None,
) -> AnyModel:
    """Build the model of a file, as a `kind` (`Model` or a subclass): what `Model.load` does."""
    classes = check_custom(custom)
    contents = read_contents(path)
    with naming(path):
        if "model" not in contents.document:
            raise FileError("holds parameters alone: build the model, then use model.load_parameters(path)")
        if dtype is None:
            dtype = backend.dtype if isinstance(backend, Backend) else contents.document["dtype"]
        parts = build_parts(contents.document["model"], classes)
    model = kind(**parts, backend=backend, dtype=dtype)
    with naming(path):
        fill_new(model, contents)
    return model


def model_contents(model: Model) -> Contents:
    """What a file of this model holds. Equal models give equal contents."""
    network = model.built
    arrays = prefixed("parameters", network.parameters.to_host())
    for name, layer in zip(layer_names(model.layers), model.layers, strict=True):
        arrays |= prefixed(
            f"layers/{name}", {state: model.xp.to_host(getattr(layer, state)) for state in layer.state_names}
        )
    if model.optimizer is not None:
        for name, flat in model.optimizer.state.items():
            arrays |= prefixed(f"optimizer/{name}", network.parameters.split(flat))
    preprocessing, own_arrays = split_arrays(model.preprocessing, "preprocessing")
    arrays |= prefixed("preprocessing", own_arrays)
    document = {
        **settings(model),
        "seed": model.seed,
        "epoch": model.epoch,
        "training_record": plain(model.training_record, "training_record"),
        "class_names": plain(model.class_names, "class_names"),
        "preprocessing": preprocessing,
    }
    return Contents({"dtype": model.xp.dtype.name, "model": document}, arrays)


def settings(model: Model) -> dict[str, Any]:
    """The parts of a model with their arguments: what the user chose."""
    network = model.built  # which settles seeds, and the accuracy where none was given
    return {
        "layers": [
            {**describe_part(layer), "seed": int(layer.seed or 0), "stream": layer.stream} for layer in model.layers
        ],
        "loss": None if model.loss is None else describe_part(model.loss),
        "accuracy": None if network.accuracy is None else describe_part(network.accuracy),
        "optimizer": None if model.optimizer is None else _describe_optimizer(model.optimizer),
        "fused": model.fused,
    }


def _describe_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    return {
        **describe_part(optimizer),
        "iterations": optimizer.iterations,
        "current_learning_rate": optimizer.current_learning_rate,
    }


def build_parts(document: Mapping[str, Any], custom: Classes) -> dict[str, Any]:
    """The arguments of `Model` from its description, or `FileError`."""
    layers = []
    for entry in document["layers"]:
        layer: Layer = build_part(entry, "layer", custom)
        layer.seed = entry["seed"]
        layers.append(layer)
    parts = {place: build_part(document[place], place, custom) for place in ("loss", "accuracy", "optimizer")}
    return {"layers": layers, **parts, "seed": document["seed"], "fused": document["fused"]}


def fill_new(model: Model, contents: Contents) -> None:
    """Give a model that was just built everything its file holds. No parameter is drawn first."""
    document = contents.document["model"]
    arrays = section(contents.arrays, "parameters")
    expected = collect(model.layers)
    _check_shapes(arrays, {name: parameter.shape for name, parameter in expected.items()})
    if expected:
        ParameterBuffer(model.xp, expected)  # the shapes are those of the file, so it is not larger than the file
    restore(model, contents)
    model.training_record = document["training_record"]
    model.class_names = document["class_names"]
    model.preprocessing = {**document["preprocessing"], **section(contents.arrays, "preprocessing")}


def restore(model: Model, contents: Contents) -> None:
    """Bring every number that training changes into a model of the same architecture, in place."""
    document, arrays = contents.document["model"], contents.arrays
    if len(document["layers"]) != len(model.layers) or (document["optimizer"] is None) != (model.optimizer is None):
        raise FileError(
            "is damaged: it has other layers or another optimizer than the run that it is of; use a copy of it"
        )
    load_values(model, arrays)
    for name, layer, entry in zip(layer_names(model.layers), model.layers, document["layers"], strict=True):
        layer.seed, layer.stream = entry["seed"], entry["stream"]
        _restore_layer(model.xp, layer, section(arrays, f"layers/{name}"))
    if model.optimizer is not None:
        _restore_optimizer(model.xp, model.optimizer, document["optimizer"], arrays)
    model.seed, model.epoch = document["seed"], document["epoch"]


def load_values(model: Model, arrays: Arrays) -> None:
    """The parameters of a file into a model, or `FileError`."""
    buffer = model.built.parameters
    values = section(arrays, "parameters")
    _check_shapes(values, {name: parameter.shape for name, parameter in buffer.named.items()})
    buffer.load(_cast(values, model.xp.dtype))


def _restore_layer(xp: Backend, layer: Layer, arrays: Arrays) -> None:
    states = {name: getattr(layer, name) for name in layer.state_names}
    _check_shapes(arrays, {name: state.shape for name, state in states.items()})
    for name, state in states.items():
        state[...] = xp.asarray(_cast(arrays, state.dtype)[name], dtype=state.dtype)


def _restore_optimizer(xp: Backend, optimizer: Optimizer, entry: Mapping[str, Any], arrays: Arrays) -> None:
    buffer = optimizer.parameters
    assert buffer is not None
    shapes = {name: parameter.shape for name, parameter in buffer.named.items()}
    for name, flat in optimizer.state.items():
        values = section(arrays, f"optimizer/{name}")
        _check_shapes(values, shapes)
        flat[...] = buffer.join(_cast(values, xp.dtype))
    for name in ("learning_rate", "decay"):
        if name in entry["arguments"]:
            setattr(optimizer, name, entry["arguments"][name])
    optimizer.iterations = entry["iterations"]
    optimizer.current.fill(entry["current_learning_rate"])


# -- parameters alone --------------------------------------------------------------------------------------------------------


def save_parameters(model: Model, path: Path) -> None:
    """Write the parameters alone: what `Model.save_parameters` does."""
    values = prefixed("parameters", model.built.parameters.to_host())
    write_contents(path, Contents({"dtype": model.xp.dtype.name}, values))


def load_parameters(model: Model, path: Path) -> None:
    """Read parameters into a model, from a file of parameters or of a whole model: what `Model.load_parameters` does."""
    contents = read_contents(path)
    with naming(path):
        load_values(model, contents.arrays)


# -- small things ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """A block whose errors are those of this file: `FileError` that begins with its name."""
    try:
        yield
    except FileError as error:
        raise FileError(f"{os.fspath(path)} {error}") from error.__cause__
    except (ArgumentError, DataError) as error:
        raise FileError(f"{os.fspath(path)} does not fit: {error}") from error


def prefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """The arrays as a file names them: `prefix/name`."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def section(arrays: Arrays, prefix: str) -> Arrays:
    """A file's arrays of that prefix, without it: the inverse of `prefixed`."""
    return {name.removeprefix(f"{prefix}/"): a for name, a in arrays.items() if name.startswith(f"{prefix}/")}


def _check_shapes(arrays: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> None:
    if missing := shapes.keys() - arrays.keys():
        name = min(missing)
        raise FileError(f"has no array for {shown(name)}, which the model needs; {did_you_mean(name, arrays)}")
    if unknown := arrays.keys() - shapes.keys():
        name = min(unknown)
        raise FileError(f"holds an array {shown(name)}, which the model has no place for; {did_you_mean(name, shapes)}")
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise FileError(
                f"holds {shown(name)} in shape {shown(arrays[name].shape)}: the model expects {shown(shape)}"
            )


def _cast(arrays: Arrays, dtype: np.dtype) -> Arrays:
    """The arrays in another dtype, or `FileError` for a number that it cannot hold."""
    cast = {}
    for name, array in arrays.items():
        with np.errstate(over="ignore", invalid="ignore"):
            cast[name] = array.astype(dtype)
        if array.dtype.kind == "f" and (np.isfinite(array) & ~np.isfinite(cast[name])).any():
            raise FileError(f"holds numbers in {name!r} that are too large for {dtype}: load it with dtype='float64'")
    return cast


def split_arrays(values: Mapping[str, Any], where: str) -> tuple[dict[str, Any], Arrays]:
    """A dict's arrays of numbers apart from what JSON can hold."""
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    for name, array in arrays.items():
        if array.dtype.kind not in "iuf" or array.dtype.itemsize < 4:
            raise ArgumentError(f"{where} {name!r} is an array of {array.dtype}: expected float32, float64 or int64")
    return (
        {name: plain(value, f"{where}.{name}") for name, value in values.items() if name not in arrays},
        {name: a if a.dtype.name in ("float32", "float64") else a.astype(np.int64) for name, a in arrays.items()},
    )
