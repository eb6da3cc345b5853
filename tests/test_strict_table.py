"""What `strict` offers is what CuPy has: every line of its tables against the installed CuPy and NumPy."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import types
from typing import Any

import numpy as np
import pytest

from nnbackend.testing.strict import StrictArray, table


@pytest.fixture(scope="module")
def cupy() -> types.ModuleType:
    """CuPy, which imports without a GPU. Where tests are supposed to be complete, its absence is a failure."""
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CuPy must be installed where CI is set, GPU or not: {error}")
        pytest.skip(f"CuPy is not installed: {error}")


def parameters(function: Any) -> dict[str, Any] | None:
    try:
        return dict(inspect.signature(function).parameters)
    except ValueError:
        return None


@pytest.mark.parametrize("name", sorted(table.UFUNCS))
def test_an_elementwise_function_is_one_of_cupy(cupy: types.ModuleType, name: str) -> None:
    function = getattr(cupy, name)
    assert isinstance(getattr(np, name), np.ufunc)
    if name == "matmul":
        assert set(parameters(function) or ()) >= table.UFUNC_KEYWORDS
        return
    assert isinstance(function, cupy.ufunc)
    for keyword in table.UFUNC_KEYWORDS:  # refused for want of operands, not for the keyword
        with pytest.raises(TypeError, match="Wrong number of arguments"):
            function(**{keyword: "same_kind" if keyword == "casting" else None})
    with pytest.raises(TypeError, match="Wrong arguments"):
        function(where=None)


@pytest.mark.parametrize("name", sorted(table.SIGNATURES))
def test_a_function_has_cupys_parameters(cupy: types.ModuleType, name: str) -> None:
    signature = table.SIGNATURES[name]
    theirs = parameters(getattr(cupy, name))
    if theirs is None:
        assert isinstance(getattr(cupy, name), cupy.ufunc)
        return
    by_position = [
        key for key, value in theirs.items() if value.kind in (value.POSITIONAL_ONLY, value.POSITIONAL_OR_KEYWORD)
    ]
    assert tuple(by_position[: len(signature.positional)]) == signature.positional
    if not any(value.kind is value.VAR_KEYWORD for value in theirs.values()):
        assert signature.keywords <= set(theirs)


@pytest.mark.parametrize("name", sorted(table.SIGNATURES))
def test_a_function_means_the_same_to_numpy(name: str) -> None:
    signature, ours = table.SIGNATURES[name], parameters(getattr(np, name))
    if ours is None:
        pytest.skip(f"this NumPy does not tell the parameters of {name}")
    by_position = [
        key for key, value in ours.items() if value.kind in (value.POSITIONAL_ONLY, value.POSITIONAL_OR_KEYWORD)
    ]
    for position, parameter in enumerate(signature.positional):
        if parameter in signature.keywords:
            assert by_position[position] == parameter
    if not any(value.kind is value.VAR_KEYWORD for value in ours.values()):
        assert signature.keywords <= set(ours)


@pytest.mark.parametrize("name", sorted(table.FACTS | table.CONSTANTS))
def test_a_name_exists_in_cupy_and_numpy(cupy: types.ModuleType, name: str) -> None:
    assert hasattr(cupy, name)
    assert hasattr(np, name)
    if name in table.CONSTANTS:
        theirs, ours = getattr(cupy, name), getattr(np, name)
        assert theirs is ours or theirs == ours or theirs != theirs  # NaN


@pytest.mark.parametrize("name", sorted(table.METHODS))
def test_a_method_has_cupys_parameters(cupy: types.ModuleType, name: str) -> None:
    line = getattr(cupy.ndarray, name).__doc__.strip().split("\n")[0]  # Cython writes the signature there
    theirs = re.findall(r"(\*?\w+)(?:=[^,)]*)?[,)]", line[line.index("(") :])
    signature = table.METHOD_SIGNATURES[name]
    assert theirs[0] == "self"
    if signature.variadic:
        assert theirs[1] == f"*{signature.variadic}"
    assert tuple(theirs[1 : len(signature.positional) + 1]) == signature.positional
    assert signature.keywords <= set(theirs)


def test_an_array_offers_nothing_that_cupys_lacks(cupy: types.ModuleType) -> None:
    from_python = {"__module__", "__slots__", "__weakref__", "__firstlineno__", "__static_attributes__"}
    ours = {name for name in vars(StrictArray) if not name.startswith("_") or name.startswith("__")}
    assert ours - from_python <= set(dir(cupy.ndarray))
