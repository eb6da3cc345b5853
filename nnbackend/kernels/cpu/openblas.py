"""NumPy's own OpenBLAS, found among the libraries that are loaded: its products, and how many threads they take."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

# How builds of OpenBLAS name their functions (before, behind): those in NumPy's wheels, with integers of 64 bits and of 32, and
# those of distributions. Other libraries (MKL, Accelerate) are left to NumPy: nobody has tried them here.
_NAMES = (("scipy_", "64_"), ("scipy_", ""), ("", "64_"), ("", ""))


class OpenBLAS(NamedTuple):
    """The library: its products by dtype, whether their integers have 64 bits, and how many threads a product takes."""

    products: dict[np.dtype, int]
    wide: bool
    get_threads: Callable[[], int]
    set_threads: Callable[[int], None]


@functools.cache
def openblas() -> OpenBLAS | None:
    """NumPy's OpenBLAS: the one in its wheel, else the only one that is loaded. (SciPy's wheel brings another.)

    One with threads of OpenMP is left alone: there each thread has a number of threads of its own.
    """
    from threadpoolctl import ThreadpoolController  # looks at all loaded libraries: a millisecond, once

    if "openblas" not in _numpys_blas():
        return None
    loaded = [each for each in ThreadpoolController().lib_controllers if each.internal_api == "openblas"]
    own = [each for each in loaded if "numpy" in Path(each.filepath).parent.name]
    if len(own or loaded) != 1 or (own or loaded)[0].threading_layer != "pthreads":
        return None
    library = ctypes.CDLL((own or loaded)[0].filepath)  # no second copy: the one that is loaded
    for before, behind in _NAMES:
        try:
            products = [getattr(library, f"{before}cblas_{kind}gemm{behind}") for kind in "sd"]
            get, set_, config = (
                getattr(library, f"{before}openblas_{name}{behind}")
                for name in ("get_num_threads", "set_num_threads", "get_config")
            )
        except AttributeError:
            continue
        get.argtypes, set_.argtypes, set_.restype, config.restype = [], [ctypes.c_int], None, ctypes.c_char_p
        single, double = (ctypes.cast(product, ctypes.c_void_p).value or 0 for product in products)
        by_dtype: dict[np.dtype, int] = {np.dtype("float32"): single, np.dtype("float64"): double}
        return OpenBLAS(by_dtype, b"USE64BITINT" in config(), get, set_)
    return None


def _numpys_blas() -> str:
    """The name of the BLAS that NumPy was built with."""
    try:
        return str(np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"])
    except (KeyError, TypeError):
        return ""
