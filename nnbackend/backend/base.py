"""`Backend`: the `xp` object, one array library behind one set of names."""

from __future__ import annotations

import contextlib
import functools
import math
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

import numpy as np

from .. import ops as reference_ops
from ..checks import seed as checked_seed
from ..errors import ArgumentError, DataError, NNBackendError, OutOfMemoryError, did_you_mean, first_line, shown
from ..kernels.override import Override
from ..rng import Random
from .blas import SMALL_PRODUCT, one_thread_a_product
from .dispatch import KERNEL_MODES, Ops, Tape
from .memory import check_memory, free_host_memory, in_words
from .transfers import Transfers
from .uploads import SharedUpload

DTYPES = ("float32", "float64")
PRECISIONS = ("float32", "tf32", "bfloat16")  # of the factors in matrix products of float32 arrays

# Creation functions that take the backend's dtype when none is given.
_CREATION = ("empty", "eye", "full", "identity", "linspace", "ones", "zeros")

# NumPy and CuPy functions that would let data in beside the door, or do not exist on a device.
_CLOSED = (
    "array",
    "asanyarray",
    "asnumpy",
    "copyto",
    "frombuffer",
    "fromiter",
    "from_dlpack",
    "load",
    "random",
    "save",
)


class Backend:
    """One array library, seen through the names that NumPy and CuPy share.

    `xp.matmul`, `xp.exp`, ... are the library's own functions; `xp.zeros` and its like default to `xp.dtype`.
    Data come in through `xp.asarray` and leave through `xp.to_host`, and by no other door; `xp.transfers` counts both.
    `xp.ops` holds the primitives, `xp.rng(seed)` random numbers that are the same on every backend.

    Get one from `get_backend`; do not build it yourself unless you are adding a backend (docs/add-a-backend.md).

    >>> import nnbackend as nn
    >>> xp = nn.get_backend("cpu", dtype="float64")
    >>> xp.to_host(xp.exp(xp.zeros(2)))
    array([1., 1.])
    """

    def __init__(
        self,
        name: str,
        namespace: Any,
        *,
        dtype: str = "float32",
        kernels: str = "auto",
        overrides: Mapping[str, Iterable[Override]] | None = None,
    ) -> None:
        self.name = name
        self.dtype = np.dtype(dtype)
        self.index_dtype = np.dtype("int64")
        self.kernels = kernels
        self.matmul_precision = "float32"
        self.uploads_overlap = True  # whether an upload may be refilled while the device computes
        self.steps_per_launch = 1  # how many training steps are worth one compiled step
        self.own_products: Any = None  # kernels that call a BLAS themselves (kernels/cpu/gemm.py), on the CPU
        self.transfers = Transfers()
        self.op_scope: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        self.device_scope: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        self._thread = _PerThread()
        self._namespace = namespace
        self.ops = Ops(self, reference_ops, overrides or {})

    # -- the library's functions ------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        """A function of the array library, remembered so that the next look-up is an ordinary attribute."""
        if name.startswith("_") or name in _CLOSED:
            raise AttributeError(
                f"xp.{name} is not offered: bring data in with xp.asarray, take it out with xp.to_host"
            )
        try:
            value = getattr(self._namespace, name)
        except AttributeError:
            raise AttributeError(
                f"backend {self.name!r} has no {name!r}: use a function that NumPy and CuPy share"
            ) from None
        if name in _CREATION:
            value = self._with_default_dtype(value)
        setattr(self, name, value)
        return value

    def _with_default_dtype(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def create(*args: Any, dtype: Any = None, **kwargs: Any) -> Any:
            return function(*args, dtype=self.dtype if dtype is None else dtype, **kwargs)

        create.__name__ = getattr(function, "__name__", "create")
        return create

    # -- the two doors ----------------------------------------------------------------------------------------------

    def asarray(self, data: Any, dtype: Any = None) -> Any:
        """Bring data onto the device.

        Floating-point data become `xp.dtype`, integers and booleans (labels) `xp.index_dtype`, unless `dtype` says
        otherwise. Takes lists, NumPy and CuPy arrays and whatever speaks DLPack. An array that is here already and has
        that dtype is returned as it is. Raises `DataError` for what is not numbers, or does not fit the dtype.

        >>> import nnbackend as nn
        >>> xp = nn.get_backend("cpu")
        >>> xp.asarray([[1.5, 2.0]]).dtype, xp.asarray([0, 1]).dtype
        (dtype('float32'), dtype('int64'))
        """
        if type(data) is np.ndarray and data.dtype is dtype and data.dtype.kind in "biuf":
            host = data  # nothing to look at or to convert: single rows to predict come this way, and are many
        else:
            wanted = None if dtype is None else checked_dtype(dtype)
            data = self.adopt(data)
            if self.is_array(data) and not isinstance(data, (np.ndarray, np.generic)):
                return self._convert(data, wanted or self._dtype_for(data.dtype))
            host = host_array(data)
            host = converted(host, wanted or self._dtype_for(host.dtype))
        self.transfers.count_in("xp.asarray", host.nbytes)  # on the CPU too, where this copies nothing
        return self._to_device(host)

    def to_host(self, array: Any) -> np.ndarray:
        """A NumPy copy of a device array, owned by the caller.

        >>> import nnbackend as nn
        >>> xp = nn.get_backend("cpu")
        >>> float(xp.to_host(xp.sum(xp.ones(3))))
        3.0
        """
        if not self.is_array(array):
            raise DataError(
                f"xp.to_host of backend {self.name!r} was given {describe(array)}: it takes arrays of this backend only"
            )
        self.transfers.count_out("xp.to_host", array.nbytes)
        return self._from_device(array)

    def all_finite(self, array: Any) -> bool:
        """Whether a device array holds neither NaN nor infinity; one number crosses, or two. To be called inside `quiet()`.

        A finite sum has finite parts, and costs no second array; it may overflow, so what is not finite is looked at closely.
        """
        total = array.sum()
        if isinstance(total, np.floating):  # NumPy's: a number already, at a third of the time
            self.transfers.count_out("xp.all_finite", total.nbytes)
            finite = math.isfinite(total)
        else:
            finite = bool(self.to_host(self.isfinite(total)))
        return finite or bool(self.to_host(self.isfinite(array).all()))

    def no_transfers(self) -> contextlib.AbstractContextManager[None]:
        """A block in which any crossing between host and device raises `TransferError`."""
        return self.transfers.forbidden()

    def _dtype_for(self, dtype: np.dtype) -> np.dtype:
        return self.index_dtype if dtype.kind in "iub" else self.dtype

    # -- what a library has to say for itself: overridden by the GPU and the pretend GPU ----------------------------

    def is_array(self, value: Any) -> bool:
        """Whether `value` is an array of numbers (or a reduction's scalar) of this backend."""
        return isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf"

    def adopt(self, data: Any) -> Any:
        """`data`, or an array of this backend made from another library's array where that lies on its device already."""
        return data

    def _convert(self, array: Any, dtype: np.dtype) -> Any:
        with self.quiet():
            return array if array.dtype == dtype else array.astype(dtype)

    def _to_device(self, host: np.ndarray) -> Any:
        return host

    def _from_device(self, array: Any) -> np.ndarray:
        return np.array(array)

    def aligned_zeros(self, size: int) -> Any:
        """A 1-D array of zeros that starts at a 256-byte boundary, as a GPU's own allocator gives."""
        raw = np.zeros(size * self.dtype.itemsize + 256, np.uint8)
        start = -raw.ctypes.data % 256
        return raw[start : start + size * self.dtype.itemsize].view(self.dtype)

    def free_memory(self) -> int | None:
        """Bytes that are free where arrays of this backend live; None where nobody knows."""
        return free_host_memory()

    @contextlib.contextmanager
    def taking(self, needed: int, what: str, advice: str) -> Iterator[None]:
        """A block that allocates so many bytes and does nothing else; raises `OutOfMemoryError` where they cannot be had.

        What is free is looked at before: a system that promises more than it has ends the process later.
        """
        check_memory(needed, self.free_memory, what=what, where=f"backend {self.name!r}", advice=advice)
        try:
            yield
        except Exception as error:
            too_large_to_count = isinstance(error, (ValueError, OverflowError)) and not isinstance(
                error, NNBackendError
            )
            if not too_large_to_count and not self.is_out_of_memory(error):
                raise
            raise OutOfMemoryError(
                f"{what}: {in_words(needed)} needed, more than backend {self.name!r} has; {advice}", needed=needed
            ) from None

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an error says that memory could not be had."""
        return isinstance(error, MemoryError)

    def upload(self, shape: tuple[int, ...], dtype: Any) -> SharedUpload:
        """An array of the device that the host fills again and again (see `nnbackend.backend.uploads`)."""
        return SharedUpload(self, shape, np.dtype(dtype))

    @contextlib.contextmanager
    def product_threads(self, samples: int, weights: int) -> Iterator[None]:
        """A block whose matrix products are of at most so many samples and weights: how many threads they take (`blas.py`)."""
        own = self.own_products
        shared = own is not None and own.shares(samples, weights)
        with (
            one_thread_a_product(samples * weights <= SMALL_PRODUCT or shared),
            contextlib.nullcontext() if own is None else own.calling(samples, weights),
        ):
            yield

    def synchronize(self) -> None:
        """Wait until the device has done everything asked of it."""

    def quiet(self) -> contextlib.AbstractContextManager[Any]:
        """A block without floating-point warnings: a device gives none, and a bad loss is reported by its step."""
        return np.errstate(all="ignore")

    def compiled_step(self, step: Callable[[], None], *, only_ops: bool = False) -> Callable[[], None]:
        """A callable that does what `step` does, on the same fixed buffers, as cheaply as this backend can.

        `only_ops` promises that all device work in `step` goes through `xp.ops`; then the CPU writes the ops down at
        the first call and replays them at the next, past all Python in between. So nothing that changes from
        step to step may live in a Python number: it would be replayed as it was. Without the promise the CPU calls `step`.
        """
        return RecordedStep(self, step) if only_ops else step

    # -- the rest ---------------------------------------------------------------------------------------------------

    @property
    def tape(self) -> Tape | None:
        """What this thread's step is being written down on, if it is: another thread may train another model."""
        return self._thread.tape

    @tape.setter
    def tape(self, tape: Tape | None) -> None:
        self._thread.tape = tape

    def rng(self, seed: int) -> Random:
        """Random numbers from a seed, the same on every backend (see `nnbackend.rng`)."""
        return Random(self, checked_seed(seed))

    @property
    def description(self) -> str:
        """What runs underneath, for people."""
        return f"NumPy {np.__version__}"

    def __repr__(self) -> str:
        others = "" if self.kernels == "auto" else f", kernels={self.kernels!r}"
        if self.matmul_precision != "float32":
            others += f", matmul_precision={self.matmul_precision!r}"
        return f"get_backend({self.name!r}, dtype={self.dtype.name!r}{others})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Backend:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        from .registry import get_backend

        return get_backend, (self.name, self.dtype.name, self.kernels, self.matmul_precision)


Method = TypeVar("Method", bound=Callable[..., Any])


def on_device(method: Method) -> Method:
    """A method of something that lives on a backend (`self.xp`), with that backend's device made current.

    Ops and `xp`'s own functions see to it themselves; where there are several GPUs, a method that works on arrays
    directly needs it.
    """

    @functools.wraps(method)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.xp.device_scope:
            return method(self, *args, **kwargs)

    return cast("Method", run)


class _PerThread(threading.local):
    tape: Tape | None = None


class RecordedStep:
    """A step that writes its ops down when it is first called, and then, as ever after, replays them.

    Called inside another step that is being written down, it becomes a part of that one.
    """

    def __init__(self, xp: Backend, step: Callable[[], None]) -> None:
        self._xp = xp
        self._step = step
        self.tape: Tape | None = None

    def __call__(self) -> None:
        if self._xp.tape is not None:
            self._step()
        elif self.tape is not None:
            self.tape.replay()
        else:
            self._first()

    def _first(self) -> None:
        tape = self._xp.tape = Tape(deferred=True)
        try:
            self._step()
        finally:
            self._xp.tape = None
        tape.replay()
        self.tape = tape


def check_settings(dtype: Any, kernels: Any) -> tuple[str, str]:
    """The dtype's and the kernel mode's canonical names, or `ArgumentError`."""
    name = checked_dtype(dtype).name
    if name not in DTYPES:
        raise ArgumentError(f"unknown dtype {name!r}: expected one of {', '.join(DTYPES)}")
    if not isinstance(kernels, str) or kernels not in KERNEL_MODES:
        raise ArgumentError(f"unknown kernel mode {shown(kernels)}: {did_you_mean(kernels, KERNEL_MODES)}")
    return name, kernels


def check_precision(precision: Any, family: str, kernels: str) -> str:
    """The precision of matrix products, or `ArgumentError` where it is unknown or the backend has no choice."""
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise ArgumentError(f"unknown matmul_precision {shown(precision)}: {did_you_mean(precision, PRECISIONS)}")
    if precision != "float32" and family != "gpu":
        raise ArgumentError(
            f"matmul_precision {precision!r} is for backend 'gpu', not for {family!r}: use 'float32' there"
        )
    if precision != "float32" and kernels != "all":
        raise ArgumentError(
            f"matmul_precision {precision!r} with kernels={kernels!r}: it is computed by products that no GPU has run yet "
            '(docs/gpu-status.md), so ask for kernels="all" as well'
        )
    return precision


def checked_dtype(dtype: Any) -> np.dtype:
    """A dtype of real numbers in the machine's byte order, or `ArgumentError`."""
    try:
        if isinstance(dtype, (str, type, np.dtype)) and (found := np.dtype(dtype)).kind in "biuf":
            return found.newbyteorder("=")
    except (TypeError, ValueError, SyntaxError):  # what NumPy makes of "a,b" and the like
        pass
    raise ArgumentError(f"unknown dtype {shown(dtype)}: expected one of {', '.join(DTYPES)}")


def host_array(data: Any) -> np.ndarray:
    """Whatever the user has, as a NumPy array of numbers on the host (not copied where that can be avoided)."""
    if isinstance(data, types.GeneratorType):
        data = list(data)
    try:
        host = _read(data)
    except MemoryError:
        raise
    except Exception as error:  # other libraries' arrays raise what they please
        raise DataError(f"{describe(data)} cannot be read as an array of numbers: {first_line(error)}") from None
    if not isinstance(host, np.ndarray) or host.dtype.kind not in "iubf":
        raise DataError(
            f"{describe(data)} holds {getattr(host, 'dtype', 'other')} values: expected an array of numbers"
        )
    if isinstance(data, np.ma.MaskedArray) and np.ma.is_masked(data):
        raise DataError(f"{describe(data)} has masked entries: fill or remove them, as with data.filled(0)")
    return host


def _read(data: Any) -> Any:
    kind = type(data)  # not the object: a data frame's columns are its attributes
    if hasattr(kind, "get") and hasattr(kind, "device") and not isinstance(data, np.ndarray):
        return data.get()  # CuPy, and the pretend GPU
    if hasattr(kind, "__dlpack__") and not hasattr(kind, "__array__"):
        return np.from_dlpack(data)
    return np.asarray(data)


def converted(host: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A host array in that dtype. Raises `DataError` for what an integer dtype cannot hold.

    What is too large for a floating-point dtype becomes infinity, which checks of data look for.
    """
    if host.dtype == dtype:
        return host
    if host.dtype == np.uint64 and dtype == np.int64 and host.size and host.max() > np.iinfo(dtype).max:
        raise DataError(f"{describe(host)} holds {host.max()}: expected integers of at most {np.iinfo(dtype).max}")
    try:
        with np.errstate(over="ignore", under="ignore", invalid="raise"):
            return host.astype(dtype)
    except FloatingPointError:
        raise DataError(
            f"{describe(host)} holds NaN, infinity or a number that {dtype} cannot hold: remove or repair it"
        ) from None


def describe(value: Any) -> str:
    """A few words on a value for an error message: what it is, and its shape."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    kind = type(value).__module__.split(".")[0] + "." + type(value).__name__
    kind = kind.removeprefix("builtins.")
    if not isinstance(shape, tuple) or dtype is None:
        return f"a {kind}"
    return f"a {kind} of shape {shape} and dtype {dtype}"
