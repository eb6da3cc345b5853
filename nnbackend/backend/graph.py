"""Steps as CUDA graphs: run once, captured once, and from then on launched as a whole."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..errors import BackendError, NNBackendError, first_line
from .dispatch import Tape

if TYPE_CHECKING:
    from .base import Backend


class CaptureStream:
    """The stream on which a backend's steps are run the first time and captured.

    It is a stream of its own, since the default stream cannot be captured, and it does not wait for the default stream
    nor the other way round, which a capture forbids. One thread uses it at a time: what another thread asked of it
    meanwhile would be captured as well.
    """

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._stream: Any = None
        self.lock = threading.RLock()

    @property
    def stream(self) -> Any:
        """The stream, made when first asked for, with its device current."""
        if self._stream is None:
            self._stream = self._cupy.cuda.Stream(non_blocking=True)
        return self._stream

    @contextlib.contextmanager
    def between(self) -> Iterator[None]:
        """A block on this stream that comes after all that was asked of the current stream, and before what will be."""
        around = self._cupy.cuda.get_current_stream()
        self.stream.wait_event(around.record())
        try:
            with self.stream:
                yield
        finally:
            around.wait_event(self.stream.record())

    def captured(self, step: Callable[[], None]) -> tuple[Any, Any]:
        """A step as a graph, and the memory pool of its temporary arrays. Nothing of it is executed.

        Raises what the step raises; the stream is usable afterwards.
        """
        pool = self._cupy.cuda.MemoryPool()
        with self.stream, self._cupy.cuda.using_allocator(pool.malloc):
            self.stream.begin_capture()
            try:
                step()
            except BaseException:
                with contextlib.suppress(Exception):  # the capture is broken: what matters is what broke it
                    self.stream.end_capture()
                raise
            return self.stream.end_capture(), pool


class CapturedStep:
    """A step that runs as it is at the first call, is captured at the second, and launched then and at every later one.

    The first call is a real step. It also makes what a capture cannot: buffers, compiled kernels, cuBLAS's handle and
    workspace. A graph is launched on the current stream, so it keeps its place among all that is asked of that stream.

    A graph holds addresses and no references. So this object holds what is at them: the arrays that the step's ops were
    given, and the pool that temporary arrays came from, which nobody else takes memory from.

    Called inside another step that is run the first time or captured, it becomes a part of that one.
    """

    def __init__(self, xp: Backend, capture: CaptureStream, step: Callable[[], None]) -> None:
        self._xp = xp
        self._capture = capture
        self._step = step
        self._ran = False
        self._held: tuple[Any, ...] = ()
        self.graph: Any = None

    def __call__(self) -> None:
        if self._xp.tape is not None:
            self._step()
            return
        with self._xp.device_scope:
            if self.graph is None and not self._ran:
                self._run()
                return
            if self.graph is None:
                self._make_graph()
            self.graph.launch()

    def _run(self) -> None:
        with self._capture.lock, self._capture.between(), self._noting():
            self._step()
        self._ran = True

    def _make_graph(self) -> None:
        try:
            with self._capture.lock, self._noting() as arrays:
                graph, pool = self._capture.captured(self._step)
        except NNBackendError:
            raise
        except Exception as error:
            raise BackendError(
                f"a step could not be captured as a CUDA graph ({type(error).__name__}: {first_line(error)}): compute "
                'without capture, with kernels="auto"'
            ) from error
        self._held, self.graph = (arrays, pool), graph

    @contextlib.contextmanager
    def _noting(self) -> Iterator[list[Any]]:
        """A block whose ops leave in the list what they are given; compiled steps inside it know of each other by it."""
        tape = self._xp.tape = _Arrays()
        try:
            yield tape.arrays
        finally:
            self._xp.tape = None


class _Arrays(Tape):
    """Notes what ops are given. Unlike a CPU's tape it takes ops without out=: their results come from the graph's pool."""

    def __init__(self) -> None:
        super().__init__()
        self.arrays: list[Any] = []

    def run(self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.arrays.append((args, kwargs))
        return function(*args, **kwargs)
