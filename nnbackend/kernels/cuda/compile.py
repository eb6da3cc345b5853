"""From CUDA C++ to kernels that can be launched: signatures, NVRTC's options, and CuPy's modules.

The parameter lists in the .cu files are the only place where argument types are written down. They are read from there, and
every launch converts its arguments by them, so that a call cannot disagree with its kernel.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

# One module, in this order; what is used stands above its use.
FILES = ("common.cu", "layers.cu", "losses.cu", "sums.cu", "updates.cu")
REALS = {"float32": "float", "float64": "double"}

# The types that parameters of kernels may have. None: whatever is pointed to, the kernel is told about it otherwise.
_NUMBERS = {"int64": "int64", "uint64": "uint64", "double": "float64"}
_POINTED_TO = {**_NUMBERS, "char": None}

Grid = tuple[int, ...]


class Module(Protocol):
    """What launches kernels: CuPy on a GPU, an emulator in the tests."""

    def launch(self, name: str, dtype: str | None, grid: Grid, block: Grid, *args: Any) -> None:
        """Run a kernel of that dtype's module (None: any, the kernel has no `real`) on the current stream."""


class CupyModule:
    """The kernels compiled by CuPy, for each dtype and device when first used. CuPy keeps the result on disk."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._modules: dict[str, Any] = {}
        self._kernels: dict[tuple[str, str], Any] = {}

    def launch(self, name: str, dtype: str | None, grid: Grid, block: Grid, *args: Any) -> None:
        """Queue a kernel on the current stream of the current device."""
        dtype = dtype or next(iter(self._modules), "float32")
        self._kernel(name, dtype)(grid, block, converted(name, dtype, args))

    def _kernel(self, name: str, dtype: str) -> Any:
        kernel = self._kernels.get((name, dtype))
        if kernel is None:
            if dtype not in self._modules:
                self._modules[dtype] = self._cupy.RawModule(code=source(), options=own_options(dtype))
            kernel = self._kernels[name, dtype] = self._modules[dtype].get_function(name)
        return kernel


@functools.cache
def source() -> str:
    """The text of the module: all files, each introduced by its name, so that errors point into it."""
    texts = ((name, Path(__file__).with_name(name).read_text(encoding="utf-8")) for name in FILES)
    return "\n".join(f'#line 1 "{name}"\n{text}' for name, text in texts)


# The parameters of a kernel, as (type, name) without `const`.
Signature = tuple[tuple[str, str], ...]


@functools.cache
def signatures() -> dict[str, Signature]:
    """All kernels and their parameters."""
    return read_signatures(source())


def read_signatures(text: str) -> dict[str, Signature]:
    """The kernels in a text that keeps to the rules of common.cu, and their parameters."""
    kernels = {}
    for name, parameters in re.findall(r"^KERNEL (\w+)\(([^)]*)\)", text, re.MULTILINE):
        split = [re.fullmatch(r"(?:const )?(.+?)(\*?) (\w+)", " ".join(p.split())) for p in parameters.split(",")]
        kernels[name] = tuple((match[1] + match[2], match[3]) for match in split if match)
    return kernels


def converted(name: str, dtype: str, args: Sequence[Any]) -> tuple[Any, ...]:
    """The arguments as the kernel's parameters want them: arrays checked, numbers as NumPy scalars of the right type."""
    converters = _converters(name, dtype)
    if len(args) != len(converters):
        raise TypeError(f"kernel {name} takes {len(converters)} arguments, not {len(args)}")
    return tuple(convert(value) for convert, value in zip(converters, args, strict=True))


@functools.cache
def _converters(name: str, dtype: str) -> tuple[Callable[[Any], Any], ...]:
    return tuple(_converter(name, kind, parameter, dtype) for kind, parameter in signatures()[name])


def _converter(kernel: str, kind: str, parameter: str, dtype: str) -> Callable[[Any], Any]:
    types = {"real": dtype, **(_POINTED_TO if kind.endswith("*") else _NUMBERS)}
    wanted = types[kind.removesuffix("*")]
    if not kind.endswith("*"):
        return np.dtype(wanted).type

    def checked(array: Any) -> Any:
        if array is not None and wanted is not None and array.dtype != wanted:
            raise TypeError(f"kernel {kernel}: {parameter} is an array of {array.dtype}, expected {wanted}")
        return array

    return checked


def own_options(dtype: str) -> tuple[str, ...]:
    """The compiler options that nnbackend adds to CuPy's (the rules in common.cu say why)."""
    return f"-DREAL={REALS[dtype]}", "-fmad=false"


def compile_options(dtype: str, architecture: str) -> tuple[str, ...]:
    """All options with which CuPy compiles the kernels on a GPU of that architecture ("sm_90")."""
    from cupy._core.core import assemble_cupy_compiler_options

    options = assemble_cupy_compiler_options(own_options(dtype))
    return (*options, "-ftz=true", f"-arch={architecture}", "--device-as-default-execution-space")


def compile_without_gpu(dtype: str, architecture: str, *, method: str = "cubin") -> bytes:
    """The kernels compiled for an architecture (method "cubin" or "ptx"): needs CuPy and NVRTC, but no GPU and no driver.

    Raises CuPy's `CompileException` with the compiler's words. CuPy has no public way to compile without a device, hence
    its private `_NVRTCProgram`, which is what `RawModule` uses too.
    """
    from cupy.cuda.compiler import _NVRTCProgram

    target = architecture if method == "cubin" else architecture.replace("sm_", "compute_")
    program = _NVRTCProgram(source(), "kernels.cu", method=method)
    compiled, _ = program.compile(compile_options(dtype, target))
    return compiled
