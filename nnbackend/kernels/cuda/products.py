"""Matrix products through cuBLAS, with a handle of our own.

CuPy refuses its own cuBLAS calls while a CUDA graph is captured, and takes one precision for the whole program. cuBLAS itself
can be captured: its calls only queue kernels, once the handle has been created and given its workspace.

cuBLAS sees matrices column by column. A matrix that lies in memory row by row is, read so, its own transpose; and since
(A · B)ᵀ = Bᵀ · Aᵀ, a product of such matrices is asked for with its operands swapped, and nothing is moved.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any, Protocol

from ...errors import BackendError, first_line

# cublasComputeType_t for each precision of products of float32 arrays. TF32 and bfloat16 round the factors, not the sums.
COMPUTE_TYPES = {"float32": 68, "tf32": 77, "bfloat16": 75}
COMPUTE_64F = 70
DATA_TYPES = {"float32": 0, "float64": 1}  # cudaDataType_t
SCALARS = {"float32": ctypes.c_float, "float64": ctypes.c_double}
DEFAULT_ALGORITHM = -1  # CUBLAS_GEMM_DEFAULT
PLAIN, TRANSPOSED = 0, 1  # cublasOperation_t
WORKSPACE = 32 * 2**20  # bytes that NVIDIA recommends on Hopper; older GPUs want less

_pointer, _integer, _long = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
# The functions of the library (CUDA 12 and 13) and their parameters; each returns a cublasStatus_t.
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "cublasCreate_v2": (ctypes.POINTER(_pointer),),
    "cublasSetStream_v2": (_pointer, _pointer),
    "cublasSetWorkspace_v2": (_pointer, _pointer, ctypes.c_size_t),
    "cublasGemmEx_64": (
        *(_pointer, _integer, _integer, _long, _long, _long, _pointer),  # handle, operations, m, n, k, alpha
        *(_pointer, _integer, _long, _pointer, _integer, _long),  # A and B with type and leading dimension
        *(_pointer, _pointer, _integer, _long, _integer, _integer),  # beta, C, how to compute
    ),
}


class Products(Protocol):
    """What multiplies matrices."""

    def multiply(
        self, left: Any, right: Any, *, out: Any, left_transposed: bool = False, right_transposed: bool = False
    ) -> Any:
        """out = left · right, each of them transposed first if so asked."""


class ArrayProducts:
    """The products of an array library."""

    def __init__(self, namespace: Any) -> None:
        self._namespace = namespace

    def multiply(
        self, left: Any, right: Any, *, out: Any, left_transposed: bool = False, right_transposed: bool = False
    ) -> Any:
        """out = left · right, each of them transposed first if so asked."""
        return self._namespace.matmul(
            left.T if left_transposed else left, right.T if right_transposed else right, out=out
        )


class CublasProducts:
    """The products of cuBLAS on CuPy's current device and stream, of C-contiguous matrices of one dtype.

    A handle for each device, one workspace for each stream that products were asked for on. Both stay: a captured graph
    has their addresses in it. A graph may be launched on any stream, but graphs captured on one stream not at the same
    time on two, since they share a workspace. `precision` ("float32", "tf32" or "bfloat16") is that of float32 arrays.
    """

    def __init__(
        self, cupy: Any, library: Callable[[], Any], precision: str, address: Callable[[Any], int] | None = None
    ) -> None:
        self._cupy = cupy
        self._load = library
        self._library: Any = None
        self._compute = {"float32": COMPUTE_TYPES[precision], "float64": COMPUTE_64F}
        self._address = address or (lambda array: array.data.ptr)
        self._lock = threading.Lock()  # a handle is for one thread at a time
        self._handles: dict[int, Any] = {}
        self._streams: dict[int, int] = {}  # which stream each device's handle is set to
        self._workspaces: dict[tuple[int, int], Any] = {}

    def multiply(
        self, left: Any, right: Any, *, out: Any, left_transposed: bool = False, right_transposed: bool = False
    ) -> Any:
        """out = left · right, each of them transposed first if so asked."""
        rows, columns = out.shape
        inner = left.shape[0 if left_transposed else 1]
        if not out.size:
            return out
        if not inner:
            out.fill(0)
            return out
        dtype = out.dtype.name
        one, zero = SCALARS[dtype](1), SCALARS[dtype](0)
        kind = DATA_TYPES[dtype]
        with self._lock:
            self._call(
                "cublasGemmEx_64",
                *(self._handle(), _operation(right_transposed), _operation(left_transposed), columns, rows, inner),
                ctypes.addressof(one),
                *(self._address(right), kind, right.shape[1], self._address(left), kind, left.shape[1]),
                ctypes.addressof(zero),
                *(self._address(out), kind, columns, self._compute[dtype], DEFAULT_ALGORITHM),
            )
        return out

    def _handle(self) -> Any:
        """This device's handle, set to the current stream."""
        device, stream = self._cupy.cuda.runtime.getDevice(), self._cupy.cuda.get_current_stream().ptr
        if device not in self._handles:
            handle = ctypes.c_void_p()
            self._call("cublasCreate_v2", ctypes.byref(handle))
            self._handles[device] = handle
        handle = self._handles[device]
        if self._streams.get(device) != stream:
            self._streams.pop(device, None)
            self._call("cublasSetStream_v2", handle, stream)  # takes the workspace away, so it comes first
            memory = self._workspace(device, stream)
            self._call("cublasSetWorkspace_v2", handle, self._address(memory), WORKSPACE)
            self._streams[device] = stream
        return handle

    def _workspace(self, device: int, stream: int) -> Any:
        if (device, stream) not in self._workspaces:
            self._workspaces[device, stream] = self._cupy.empty(WORKSPACE, dtype="uint8")
        return self._workspaces[device, stream]

    def _call(self, name: str, *args: Any) -> None:
        if self._library is None:
            self._library = self._load()
        if status := getattr(self._library, name)(*args):
            raise BackendError(
                f"cuBLAS refused {name.split('_')[0]} with status {status}: check the driver and the GPU's free memory "
                '(nvidia-smi), or use kernels="auto"'
            )


def _operation(transposed: bool) -> int:
    return TRANSPOSED if transposed else PLAIN


def typed(library: Any) -> Any:
    """A loaded library, with the types of the functions that are used here."""
    for name, parameters in FUNCTIONS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = parameters, ctypes.c_int
    return library


def load_cublas() -> Any:
    """The cuBLAS that CuPy uses, found where wheels, conda or the system keep it. Raises `BackendError`."""
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        return typed(ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path))
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise BackendError(
            f"cuBLAS 12 or newer cannot be loaded ({first_line(error)}): install it with: pip install 'nnbackend[cuda13]' or "
            "'nnbackend[cuda12]', or use kernels=\"auto\""
        ) from None
