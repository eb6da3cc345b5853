"""Entry points: every loop as a C function of one and the same signature.

`entry(kernel, block)` reads the addresses, shapes and numbers of the loop's arguments from a block of 64-bit words. So a
list of (entry point, block) is a program, and one small compiled function can run down it (`walk.py`). Entry points are
compiled once for each kind of arguments, and cached between runs.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numba import cfunc, from_dtype, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model
from numba.np.arrayobj import populate_array

from .compile import FLAGS, Loop

LOOPS: dict[str, Loop] = {}  # by name: an entry point knows its loop by its type, which holds the name

_WORDS = types.CPointer(types.int64)


@functools.cache
def _stamp() -> str:
    """Changes with the source of any loop, so that the cache never serves an entry point to an older loop."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class KernelType(types.Type):  # type: ignore[misc]
    """The type of an entry point's first argument, which is no value but says which loop runs on what arguments."""

    def __init__(self, loop: str, arguments: tuple[Any, ...]) -> None:
        self.loop, self.arguments = loop, arguments
        super().__init__(name=f"kernel {loop}{arguments} {_stamp()}")


@register_model(KernelType)
class _KernelModel(models.OpaqueModel):  # type: ignore[misc]
    """Nothing but a null pointer at run time."""


@intrinsic
def _unpack(typing_context, kernel, block):  # type: ignore[no-untyped-def]
    """The loop's arguments, as a tuple, from the words of a block."""
    result = types.Tuple(kernel.arguments)

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        position = 0

        def word() -> Any:
            nonlocal position
            position += 1
            return builder.load(cgutils.gep_inbounds(builder, values[1], position - 1))

        def argument(kind: Any) -> Any:
            if isinstance(kind, types.Array):
                return _array(context, builder, kind, word(), [word() for _ in range(kind.ndim)])
            return builder.bitcast(word(), context.get_value_type(kind))

        return context.make_tuple(builder, result, [argument(kind) for kind in kernel.arguments])

    return result(kernel, block), generate


def _array(context: Any, builder: Any, kind: Any, address: Any, shape: list[Any]) -> Any:
    """A C-contiguous array over memory that someone else holds."""
    element = context.get_data_type(kind.dtype)
    itemsize = context.get_constant(types.intp, context.get_abi_sizeof(element))
    strides: list[Any] = []
    stride = itemsize
    for length in reversed(shape):
        strides.insert(0, stride)
        stride = builder.mul(stride, length)
    array = context.make_array(kind)(context, builder)
    data = builder.inttoptr(address, element.as_pointer())
    populate_array(array, data=data, shape=shape, strides=strides, itemsize=itemsize, meminfo=None)
    return array._getvalue()


def _run_loop(kernel, block):  # type: ignore[no-untyped-def]
    """Compiled for each `KernelType`: see below."""


@overload(_run_loop)
def _overload_run_loop(kernel, block):  # type: ignore[no-untyped-def]
    loop = LOOPS[kernel.loop].inner

    def run(kernel, block):  # type: ignore[no-untyped-def]
        loop(*_unpack(kernel, block))

    return run


def _entry(kernel, block):  # type: ignore[no-untyped-def]
    _run_loop(kernel, block)  # type: ignore[no-untyped-call]


def for_c(function: Callable[..., Any], signature: Any) -> Any:
    """A function that C can call, cached where a folder can be written.

    One of its arguments should be a `KernelType`: the cache looks at the function's own file only, the stamp at all of them.
    """
    try:
        return cfunc(signature, cache=True, **FLAGS)(function)
    except (RuntimeError, OSError):
        return cfunc(signature, **FLAGS)(function)


_entries: dict[tuple[str, tuple[Any, ...]], Any] = {}
_compiling = threading.Lock()


def entry_point(loop: Loop, arguments: Sequence[Any]) -> int:
    """The address of the loop's entry point for such arguments, compiled or fetched from the cache when first asked for."""
    key = loop.name, tuple([_kind(argument) for argument in arguments])
    if key not in _entries:
        kinds = tuple(_type(kind) for kind in key[1])
        with _compiling:
            LOOPS[loop.name] = loop
            _entries[key] = for_c(_entry, types.void(KernelType(loop.name, kinds), _WORDS))
    return _entries[key].address


def _kind(argument: Any) -> Any:
    """What of an argument an entry point depends on: cheap to find and to compare, since every linked step is asked."""
    if isinstance(argument, np.ndarray):
        return argument.dtype.char, argument.ndim
    return float if isinstance(argument, float) else int


def _type(kind: Any) -> Any:
    """Numba's type for it."""
    if isinstance(kind, tuple):
        char, dimensions = kind
        return types.Array(from_dtype(np.dtype(char)), dimensions, "C")
    return types.float64 if kind is float else types.int64
