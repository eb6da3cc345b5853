"""Words of memory that several threads read and write, for use inside compiled code; an address is an integer.

Every access is sequentially consistent: all threads see all of them in one order.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_WORD = ir.IntType(64)
_ORDER = "seq_cst"


@intrinsic
def load(typing_context, address):  # type: ignore[no-untyped-def]
    """The word at an address."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return builder.load_atomic(builder.inttoptr(values[0], _WORD.as_pointer()), _ORDER, 8)

    return types.int64(types.int64), generate


@intrinsic
def store(typing_context, address, word):  # type: ignore[no-untyped-def]
    """Write the word at an address."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        builder.store_atomic(values[1], builder.inttoptr(values[0], _WORD.as_pointer()), _ORDER, 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def add(typing_context, address, amount):  # type: ignore[no-untyped-def]
    """Add to the word at an address; the word before."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return builder.atomic_rmw("add", builder.inttoptr(values[0], _WORD.as_pointer()), values[1], _ORDER)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def replace(typing_context, address, expected, word):  # type: ignore[no-untyped-def]
    """Write the word at an address if it is what is expected; whether it was."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        pointer = builder.inttoptr(values[0], _WORD.as_pointer())
        result = builder.cmpxchg(pointer, values[1], values[2], _ORDER, _ORDER)
        return builder.extract_value(result, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


# The compiler's name for what tells a core that it runs a waiting loop, so that it saves power and sees the change sooner; and
# the number it takes.
_X86, _ARM = ("llvm.x86.sse2.pause", ()), ("llvm.aarch64.hint", (1,))
_HINTS: dict[str, tuple[str, tuple[int, ...]]] = {"x86_64": _X86, "amd64": _X86, "aarch64": _ARM, "arm64": _ARM}


@intrinsic
def pause(typing_context):  # type: ignore[no-untyped-def]
    """A short moment, some ten nanoseconds."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        if hint := _HINTS.get(platform.machine().lower()):
            name, numbers = hint
            kind = ir.FunctionType(ir.VoidType(), [ir.IntType(32)] * len(numbers))
            function = cgutils.get_or_insert_function(builder.module, kind, name)
            builder.call(function, [ir.Constant(ir.IntType(32), number) for number in numbers])
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def give_way(typing_context, function):  # type: ignore[no-untyped-def]
    """Let another thread have the core, if one waits for it; `function` is `yielding()`, and nothing happens where that is 0."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        with builder.if_then(builder.icmp_signed("!=", values[0], ir.Constant(_WORD, 0))):
            kind = ir.FunctionType(ir.IntType(32), []).as_pointer()
            builder.call(builder.inttoptr(values[0], kind), [])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@functools.cache
def yielding() -> int:
    """The address of the system's function for `give_way`."""
    try:
        function: Any = ctypes.CDLL(None).sched_yield if os.name == "posix" else _windows()
    except (AttributeError, OSError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _windows() -> Callable[..., Any]:
    return ctypes.WinDLL("kernel32").SwitchToThread  # type: ignore[attr-defined]
