"""The CUDA kernels compiled by the system's C++ compiler and run on NumPy arrays (see cuda_emulator.h)."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from nnbackend.kernels.cuda.compile import REALS, converted, read_signatures

COMPILER = shutil.which("g++")
HEADER = Path(__file__).with_name("cuda_emulator.h")
ORDERS = {"forwards": 0, "backwards": 1, "shuffled": 2}
GUARD = 64  # elements before and behind every array, whose change is noticed

_C_TYPES = {"float32": ctypes.c_float, "float64": ctypes.c_double, "int64": ctypes.c_int64, "uint64": ctypes.c_uint64}

_ENTRY = """
extern "C" const char* emulate_{name}(const unsigned int* grid, const unsigned int* block, int order, void** args) {{
    return emulator::launch(grid, block, order, [=] {{ {name}({args}); }});
}}
"""


def host_source(kernels: str) -> str:
    """A C++ file with the kernels and, for each, an entry that takes its arguments as a launch on a GPU does."""
    entries = []
    for name, parameters in read_signatures(kernels).items():
        args = ", ".join(f"*({kind}*)args[{i}]" for i, (kind, _) in enumerate(parameters))
        entries.append(_ENTRY.format(name=name, args=args))
    return "\n".join([f'#include "{HEADER}"', kernels, *entries])


def build(folder: Path, kernels: str) -> dict[str, ctypes.CDLL]:
    """The library for each dtype."""
    (folder / "host.cpp").write_text(host_source(kernels), encoding="utf-8")
    flags = ["-std=c++17", "-O1", "-ffp-contract=off", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE", "-Wall", "-Werror"]
    flags += ["-shared", "-fPIC", "-Wl,-Bsymbolic"]  # other libraries have functions of the same names
    running = {}
    for dtype, c_name in REALS.items():
        command = [COMPILER, *flags, f"-DREAL={c_name}", "-o", f"{dtype}.so", "host.cpp"]
        running[dtype] = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    for process in running.values():
        _, words = process.communicate()
        assert process.returncode == 0, words
    return {dtype: ctypes.CDLL(str(folder / f"{dtype}.so")) for dtype in running}


class EmulatedModule:
    """Launches kernels on NumPy arrays. Every launch is run in each order of threads, which must agree to the bit."""

    def __init__(self, libraries: dict[str, ctypes.CDLL], orders: tuple[str, ...] = tuple(ORDERS)) -> None:
        self.libraries = libraries
        self.orders = orders
        self.launched: set[str] = set()

    def launch(self, name: str, dtype: str | None, grid: tuple[int, ...], block: tuple[int, ...], *args: Any) -> None:
        """Run a kernel to its end; raises `AssertionError` for what would be wrong or undefined on a GPU."""
        self.launched.add(name)
        values = converted(name, dtype or "float32", args)
        arrays = [value for value in values if isinstance(value, np.ndarray)]
        before = [array.copy() for array in arrays]
        results = []
        for order in self.orders:
            for array, content in zip(arrays, before, strict=True):
                array[...] = content
            self.run(name, dtype or "float32", grid, block, values, ORDERS[order])
            results.append([array.tobytes() for array in arrays])
        assert all(result == results[0] for result in results), f"{name} depends on the order in which threads run"

    def run(self, name: str, dtype: str, grid: Any, block: Any, values: Any, order: int) -> None:
        """One launch in one order, with arguments that are converted already."""
        entry = getattr(self.libraries[dtype], f"emulate_{name}")
        entry.restype = ctypes.c_char_p
        holders = [_holder(value) for value in values]
        pointers = (ctypes.c_void_p * len(holders))(*(ctypes.addressof(holder) for holder in holders))
        sizes = [(ctypes.c_uint * 2)(*(*size, 1)[:2]) for size in (grid, block)]
        problem = entry(*sizes, order, pointers)
        assert problem is None, f"{name}: {problem.decode()}"


def _holder(value: Any) -> Any:
    if value is None:
        return ctypes.c_void_p(None)
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.ctypes.data)
    return _C_TYPES[value.dtype.name](value.item())


class GuardedNumPy:
    """The part of NumPy that the launch code uses. Its arrays lie between guards, so that stray writes are noticed."""

    matmul = staticmethod(np.matmul)

    def __init__(self) -> None:
        self._guarded: list[tuple[np.ndarray, int]] = []

    def empty(self, shape: Any, dtype: Any) -> np.ndarray:
        """An array full of NaN (or, of integers, of a large number), to notice what was not written."""
        dtype = np.dtype(dtype)
        garbage = np.nan if dtype.kind == "f" else np.iinfo(dtype).max // 3
        size = int(np.prod(shape))
        whole = np.full(size + 2 * GUARD, garbage, dtype)
        self._guarded.append((whole, size))
        return whole[GUARD : GUARD + size].reshape(shape)

    def array(self, values: Any) -> np.ndarray:
        """A guarded copy."""
        values = np.asarray(values)
        copy = self.empty(values.shape, values.dtype)
        copy[...] = values
        return copy

    def check_guards(self) -> None:
        """Nothing was written outside of any array made here."""
        for whole, size in self._guarded:
            guards = np.concatenate([whole[:GUARD], whole[GUARD + size :]])
            expected = np.full_like(guards, np.nan if guards.dtype.kind == "f" else np.iinfo(guards.dtype).max // 3)
            assert guards.tobytes() == expected.tobytes(), "a kernel wrote outside of an array"
