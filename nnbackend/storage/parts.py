"""Layers, losses, optimizers and their like as JSON, and back: a class's name and its constructor's arguments.

The rule that makes it work: **every argument of a constructor is kept in an attribute of the same name**, as in
`self.rate = rate`. Then a class needs no more to be saved. A class that keeps an argument otherwise says its arguments
in a method:

    def config(self):
        return {"rate": 1 - self.keep}

A file can name the library's own classes, found in a table, and classes that the caller passes in
`custom={"MyLayer": MyLayer}`. No other name means anything, and nothing is imported.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from .. import activations, initializers, layers, losses, metrics, optimizers, regularizers
from ..backend.base import describe
from ..errors import ArgumentError, FileError, NNBackendError, did_you_mean, one_line, shown
from ..layers import Layer
from ..losses import Loss
from ..metrics import Accuracy
from ..optimizers import Optimizer
from ..regularizers import Regularizer

Classes = Mapping[str, type]

# What is not an argument in a file: where an object lives, and a layer's seed, which files hold for every layer.
_ELSEWHERE = ("backend", "seed")


def _classes(base: type, *modules: ModuleType) -> dict[str, type]:
    """The public classes of these modules that are a `base`, without it."""
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base) and value is not base and not name.startswith("_")
    }


# The table of what a file may name, by the place where it may stand.
KNOWN: dict[str, Classes] = {
    "layer": _classes(Layer, layers, activations),
    "loss": _classes(Loss, losses),
    "accuracy": _classes(Accuracy, metrics),
    "optimizer": _classes(Optimizer, optimizers),
    "argument": {
        **_classes(Regularizer, regularizers),
        "Zeros": initializers.Zeros,
        "Normal": initializers.Normal,
    },
}
ALL_KNOWN: dict[str, type] = {name: kind for classes in KNOWN.values() for name, kind in classes.items()}


# -- to JSON ---------------------------------------------------------------------------------------------------------------


def describe_part(part: Any) -> dict[str, Any]:
    """A part as {"class": name, "arguments": {...}}. Raises `ArgumentError` for what a file cannot hold."""
    kind = type(part)
    if ALL_KNOWN.get(kind.__name__, kind) is not kind:
        raise ArgumentError(
            f"{kind.__module__}.{kind.__qualname__} cannot be saved under its name, which is that of a class of nnbackend: "
            "rename it"
        )
    arguments = {name: _argument(value, f"{kind.__name__} {name}") for name, value in config_of(part).items()}
    return {"class": kind.__name__, "arguments": arguments}


def config_of(part: Any) -> dict[str, Any]:
    """The arguments that would build `part` again: what its `config()` says, else the attributes named like them.

    >>> import nnbackend as nn
    >>> config_of(nn.SGD(0.5, momentum=0.9))
    {'learning_rate': 0.5, 'decay': 0.0, 'momentum': 0.9, 'clip_norm': None}
    """
    if callable(getattr(part, "config", None)):
        arguments = dict(part.config())
    else:
        arguments = {name: _attribute(part, name) for name in _argument_names(type(part))}
    return {name: value for name, value in arguments.items() if name not in _ELSEWHERE}


def _argument_names(kind: type) -> list[str]:
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(kind).parameters.values()
    return [p.name for p in parameters if p.kind not in several and p.name not in _ELSEWHERE]


def _attribute(part: Any, name: str) -> Any:
    try:
        return getattr(part, name)
    except AttributeError:
        kind = type(part).__name__
        raise ArgumentError(
            f"{kind} cannot be saved: its argument {name!r} is in no attribute of that name; keep it, self.{name} = {name}, "
            "or give the class a method config() that returns its arguments as a dict"
        ) from None


def _argument(value: Any, where: str) -> Any:
    if isinstance(value, (list, tuple)):
        return [_argument(item, where) for item in value]
    if isinstance(value, Regularizer) or hasattr(value, "draw") or hasattr(value, "config"):
        return describe_part(value)
    if isinstance(value, dict):
        raise ArgumentError(f"{where} is a dict: a model file holds numbers, strings, lists and parts")
    return plain(value, where)


def plain(value: Any, where: str) -> Any:
    """A value as JSON has it: NumPy's numbers become Python's, tuples lists. Else `ArgumentError`."""
    if isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0:
        value = value.item()
    if isinstance(value, (list, tuple)):
        return [plain(item, where) for item in value]
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {plain(name, where): plain(item, f"{where}.{name}") for name, item in value.items()}
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and np.isfinite(value)):
        return value
    if isinstance(value, str) and _is_unicode(value):
        return value
    shown = repr(value) if isinstance(value, (float, str)) else describe(value)
    raise ArgumentError(
        f"{where} is {shown}, which a file cannot hold: expected finite numbers, strings, lists and dicts"
    )


def _is_unicode(text: str) -> bool:
    """Whether it has no half of a surrogate pair, as names of undecodable files do."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# -- from JSON -------------------------------------------------------------------------------------------------------------


def check_custom(custom: Mapping[str, type] | None) -> Classes:
    """The caller's own classes, or `ArgumentError`."""
    if custom is None:
        return {}
    if not isinstance(custom, Mapping):
        raise ArgumentError(f"custom {shown(custom)}: expected names and classes, such as {{'MyLayer': MyLayer}}")
    for name, kind in custom.items():
        if not isinstance(name, str) or not isinstance(kind, type):
            raise ArgumentError(
                f"custom {shown(name)}: {shown(kind)}: expected names and classes, such as {{'MyLayer': MyLayer}}"
            )
        if ALL_KNOWN.get(name, kind) is not kind:
            raise ArgumentError(f"custom {name!r}: that is the name of a class of nnbackend; rename yours")
    return custom


def build_part(entry: Mapping[str, Any] | None, place: str, custom: Classes) -> Any:
    """The object that `describe_part` described, or `FileError`. `place` says which classes may stand there."""
    if entry is None:
        return None
    name = entry["class"]
    kind = custom.get(name) or KNOWN[place].get(name)
    if kind is None:
        raise FileError(
            f"holds the {place} {shown(name)}, which is unknown here: pass your own class, custom={{{shown(name)}: "
            f"{one_line(name, 40)}}}, "
            f"or {did_you_mean(name, [*KNOWN[place], *custom])}"
        )
    arguments = {key: _build_argument(value, custom) for key, value in entry["arguments"].items()}
    if misplaced := arguments.keys() & {*_ELSEWHERE}:
        raise FileError(f"gives {name} an argument {min(misplaced)!r}, which files do not hold")
    try:
        return kind(**arguments)
    except (NNBackendError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FileError(f"describes a {name} that cannot be built: {one_line(str(error), 200)}") from error


def _build_argument(value: Any, custom: Classes) -> Any:
    if isinstance(value, list):
        return [_build_argument(item, custom) for item in value]
    return build_part(value, "argument", custom) if isinstance(value, dict) else value
