"""Streams, memory pools and CUDA graphs for the stand-in for CuPy (fake_cupy.py).

What is asked of a stream while it is captured is not done, but written down, and a launch does it: on the memory it was
written down with. A graph holds no arrays, as the real one does not: a launch after an array died is an error, where the
real one reads whatever lies there now. What CuPy or CUDA refuses during a capture is refused.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

# Functions that CuPy computes by cuBLAS, and refuses while it captures; and those that wait for a value.
PRODUCTS = {"matmul", "dot", "vdot", "inner", "tensordot"}
WAITING = {"__float__", "__int__", "__bool__", "item", "tolist", "nonzero", "argwhere", "flatnonzero", "unique"}


class Reference:
    """Where an array lies, without keeping it alive."""

    def __init__(self, raw: np.ndarray) -> None:
        owner = root(raw)
        self._owner = weakref.ref(owner)
        self._offset = raw.ctypes.data - owner.ctypes.data
        self._layout = raw.dtype, raw.shape, raw.strides

    def array(self) -> np.ndarray:
        owner = self._owner()
        if owner is None:
            raise RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")
        dtype, shape, strides = self._layout
        flat = as_strided(owner.reshape(-1), (owner.nbytes // owner.itemsize,), (owner.itemsize,)).view(np.uint8)
        count = 0 if 0 in shape else dtype.itemsize + sum(s * (n - 1) for s, n in zip(strides, shape, strict=True))
        return as_strided(flat[self._offset : self._offset + count].view(dtype), shape, strides)


def root(raw: np.ndarray) -> np.ndarray:
    """The array that owns the memory of a view."""
    while isinstance(raw.base, np.ndarray):
        raw = raw.base
    return raw


class Graph:
    """What was captured."""

    def __init__(self, device: Cuda) -> None:
        self._device = device
        self.calls: list[tuple[Callable[..., Any], Any, list[Reference]]] = []
        self.launches: list[Any] = []  # the stream of each launch

    def launch(self, stream: Any = None) -> None:
        stream = stream or self._device.get_current_stream()
        self.launches.append(stream)
        for function, args, fresh in self.calls:
            again = function(args)
            parts = again if isinstance(again, (tuple, list)) else (again,)
            for reference, part in zip(fresh, parts, strict=fresh != []):
                reference.array()[...] = part


class Capture:
    """A capture under way."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._before: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._fresh: list[np.ndarray] = []

    def keep(self, raw: np.ndarray) -> None:
        """Remember what is in memory that a call may write to."""
        owner = root(raw)
        self._before.setdefault(id(owner), (owner, owner.copy()))

    def made(self, raw: np.ndarray) -> None:
        """Memory that exists since a call, and into which that call has written nothing yet."""
        self._fresh.append(raw)

    def end(self) -> Graph:
        """Nothing of what was captured has been done."""
        for owner, before in reversed(self._before.values()):  # of memory that was seen twice, the first copy counts
            owner[...] = before
        for raw in self._fresh:
            raw.fill(np.nan if raw.dtype.kind == "f" else 111)
        return self.graph


class Event(tuple[Any, int]):
    """A place in a stream's log. What comes before it is done already, so there is nothing to wait for."""

    def synchronize(self) -> None:
        if self[0].capture:
            raise RuntimeError(
                "cudaErrorCapturedEvent: operation not permitted on an event last recorded in a capturing stream"
            )


class Stream:
    """A stream: what is asked of it is done at once, unless it is captured."""

    count = 0

    def __init__(self, device: Cuda, *, non_blocking: bool = False) -> None:
        Stream.count += 1
        self.ptr = Stream.count
        self.non_blocking = non_blocking
        self.capture: Capture | None = None
        self.log: list[Any] = []
        self._device = device

    def __enter__(self) -> Stream:
        self._device.stack.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._device.stack.pop() is self

    def record(self) -> Event:
        self.log.append("record")
        return Event((self, len(self.log)))

    def wait_event(self, event: Any) -> None:
        self.log.append(("wait", event[0]))

    def synchronize(self) -> None:
        if self.capture:
            raise RuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing")
        self._device.synchronized.append(self._device.runtime.getDevice())

    def begin_capture(self) -> None:
        if not self.non_blocking or self.capture:
            raise RuntimeError("cudaErrorStreamCaptureUnsupported: this stream cannot be captured")
        self.capture = Capture(Graph(self._device))

    def end_capture(self) -> Graph:
        capture, self.capture = self.capture, None
        if capture is None:
            raise RuntimeError("cudaErrorIllegalState: the stream is not capturing")
        return capture.end()


class MemoryPool:
    """Holds on to all memory that was taken from it."""

    def __init__(self) -> None:
        self.memory: list[np.ndarray] = []

    def malloc(self, size: int) -> Any:
        raise AssertionError("the stand-in only looks at whose malloc it is")


class Cuda:
    """`cupy.cuda`."""

    def __init__(self, runtime: Any) -> None:
        self.runtime = runtime
        self.synchronized: list[int] = []
        self.streams: list[Stream] = []
        self.pools: list[Any] = []  # weakly
        self._thread = threading.local()
        self._default = Stream(self)
        self._default.ptr = 0

    @property
    def stack(self) -> list[Stream]:
        if not hasattr(self._thread, "stack"):
            self._thread.stack = [self._default]
        return self._thread.stack

    def get_current_stream(self) -> Stream:
        return self.stack[-1]

    def Stream(self, *, non_blocking: bool = False) -> Stream:
        self.streams.append(Stream(self, non_blocking=non_blocking))
        return self.streams[-1]

    def MemoryPool(self) -> MemoryPool:
        pool = MemoryPool()
        self.pools.append(weakref.ref(pool))
        return pool

    @contextlib.contextmanager
    def using_allocator(self, malloc: Any) -> Iterator[None]:
        before = getattr(self._thread, "pool", None)
        self._thread.pool = malloc.__self__
        try:
            yield
        finally:
            self._thread.pool = before

    @property
    def capture(self) -> Capture | None:
        return self.get_current_stream().capture

    def refuse(self, what: str) -> None:
        """What moves data or waits cannot be captured."""
        if self.capture:
            raise RuntimeError(f"cudaErrorStreamCaptureUnsupported: {what} while the stream is capturing")

    def enqueue(self, function: Callable[..., Any], args: Any, *, name: str = "", writes: Any = ()) -> Any:
        """Do `function(args)` now, and again at each launch, if this is captured. `args` hold NumPy arrays, however deep."""
        capture = self.capture
        if capture is None:
            return function(args)
        if name in PRODUCTS:
            raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
        if name in WAITING:
            self.refuse(name)
        given = list(arrays_in((args, writes)))
        for raw in given:
            capture.keep(raw)
        result = function(args)
        results = [part if isinstance(part, np.ndarray) else np.asarray(part) for part in _parts(result)]
        fresh = [] if any(np.may_share_memory(a, b) for a in results for b in given) else results
        for raw in fresh:
            capture.made(raw)
            if (pool := getattr(self._thread, "pool", None)) is not None:
                pool.memory.append(root(raw))
        capture.graph.calls.append((_resolving(function), referring(args), [Reference(raw) for raw in fresh]))
        return type(result)(results) if isinstance(result, (tuple, list)) else results[0] if results else None


def _parts(result: Any) -> Any:
    return result if isinstance(result, (tuple, list)) else () if result is None else (result,)


def _resolving(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda args: function(mapped(lambda r: r.array() if isinstance(r, Reference) else r, args))


def referring(args: Any) -> Any:
    """The same with a reference in place of every array."""
    return mapped(lambda value: Reference(value) if isinstance(value, np.ndarray) else value, args)


def mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """The function of everything in tuples, lists and dictionaries."""
    if isinstance(value, (tuple, list)):
        return type(value)(mapped(function, item) for item in value)
    if isinstance(value, dict):
        return {key: mapped(function, item) for key, item in value.items()}
    return function(value)


def arrays_in(value: Any) -> list[np.ndarray]:
    """All NumPy arrays in tuples, lists and dictionaries."""
    found: list[np.ndarray] = []
    mapped(lambda item: found.append(item) if isinstance(item, np.ndarray) else None, value)
    return found
