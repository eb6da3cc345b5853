"""A block with one GPU current."""

from __future__ import annotations

import threading
from typing import Any


class DeviceScope:
    """Makes a device current for a block. Unlike a CuPy `Device`, one object serves nested blocks."""

    def __init__(self, cupy: Any, device: int) -> None:
        self._cupy = cupy
        self._device = device
        self._thread = _PerThread()  # each thread has its own current device

    def __enter__(self) -> None:
        runtime = self._cupy.cuda.runtime
        previous = runtime.getDevice()
        runtime.setDevice(self._device)
        self._thread.previous.append(previous)

    def __exit__(self, *exception: object) -> None:
        self._cupy.cuda.runtime.setDevice(self._thread.previous.pop())


class _PerThread(threading.local):
    def __init__(self) -> None:
        self.previous: list[int] = []
