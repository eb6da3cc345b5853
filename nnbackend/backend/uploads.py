"""The way of a batch that the host fills again and again into the same array of the device.

Each upload has a piece of host memory to be filled and the array that it goes to, and is used in turns: `refill` on a
thread of its own, `wait` by whoever computes with the array, and `used` once that work has been asked of the device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

# Fills a piece of host memory.
Fill = Callable[[np.ndarray], None]


class SharedUpload:
    """On the CPU the host's memory is the device's: nothing needs to be copied, but it is counted as everywhere."""

    def __init__(self, xp: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._xp = xp
        self.array: Any = xp.empty(shape, dtype=dtype)

    def refill(self, fill: Fill) -> None:
        """Put new values into the array."""
        self._xp.transfers.count_in("an upload", self.array.nbytes)
        fill(self.array)

    def wait(self) -> None:
        """Let what is asked of the device from now on see the new values."""

    def used(self) -> None:
        """Let the next refill come after what was asked of the device so far."""


class CopiedUpload(SharedUpload):
    """Through the door, for a backend that says no more than that it has one."""

    def __init__(self, xp: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
        super().__init__(xp, shape, dtype)
        self._host = np.empty(shape, dtype)

    def refill(self, fill: Fill) -> None:
        """Put new values into the array."""
        fill(self._host)
        with self._xp.op_scope:
            self.array[...] = self._xp.asarray(self._host, dtype=self._host.dtype)


class PinnedUpload(SharedUpload):
    """From page-locked memory on a stream of its own, while the GPU computes on another: only such memory is copied meanwhile.

    Three events keep the order: host memory is filled again when its last copy is over, the array is overwritten when the work
    with it is over, and work with it begins when the copy is over. The host waits for the first only, on its own thread.
    """

    def __init__(
        self, xp: Any, shape: tuple[int, ...], dtype: np.dtype, *, cupy: Any, stream: Any, pinned: Any
    ) -> None:
        super().__init__(xp, shape, dtype)
        self._cupy, self._stream = cupy, stream
        self._host: np.ndarray = pinned(shape, dtype)
        self._copied = self._done = None
        self.used()  # the memory may have been somebody else's, whose work with it is not over

    def refill(self, fill: Fill) -> None:
        """Put new values into the array."""
        with self._xp.device_scope:
            if self._copied is not None:
                self._copied.synchronize()
            fill(self._host)
            self._stream.wait_event(self._done)
            self._xp.transfers.count_in("an upload", self._host.nbytes)
            self.array.set(self._host, stream=self._stream)
            self._copied = self._stream.record()

    def wait(self) -> None:
        """Let what is asked of the current stream from now on see the new values."""
        self._cupy.cuda.get_current_stream().wait_event(self._copied)

    def used(self) -> None:
        """Let the next refill come after what was asked of the current stream so far."""
        self._done = self._cupy.cuda.get_current_stream().record()
