"""What layers, losses and accuracies share: a backend, and buffers that are made once and reused.

So nothing is allocated while training, and a step always works on the same arrays.
"""

from __future__ import annotations

import math
from typing import Any

from .backend import Backend, get_backend
from .backend.base import checked_dtype
from .backend.registry import innermost_backend


class Workspace:
    """Arrays by name, sized for the largest shape asked for so far.

    A smaller shape gets the front part of the same memory, so what a name held before is overwritten: it is valid until
    the next call with that name.
    """

    def __init__(self, xp: Backend) -> None:
        self.xp = xp
        self._memory: dict[str, Any] = {}
        self._views: dict[tuple[str, tuple[int, ...]], Any] = {}

    def get(self, name: str, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """The buffer of that name in that shape; its contents are whatever was there."""
        view = self._views.get((name, shape))
        if view is None or (dtype is not None and view.dtype != dtype):
            view = self._make(name, shape, dtype)
        return view

    def _make(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        size = math.prod(shape)
        wanted = self.xp.dtype if dtype is None else dtype
        memory = self._memory.get(name)
        if memory is None or memory.size < size or memory.dtype != wanted:
            needed = size * checked_dtype(wanted).itemsize
            with self.xp.taking(needed, f"{name} of shape {shape}", "use smaller batches or layers"):
                memory = self._memory[name] = self.xp.empty(size, dtype=wanted)
            self._views = {key: view for key, view in self._views.items() if key[0] != name}
        view = self._views[name, shape] = memory[:size].reshape(shape)
        return view

    def __getstate__(self) -> dict[str, Any]:
        """A copy of a layer gets fresh buffers: views would not stay views."""
        return {"xp": self.xp, "_memory": {}, "_views": {}}


class OnBackend:
    """Something that computes on a backend: it knows which one, and has buffers there.

    The backend is the one given, else that of the innermost `use_backend` around the constructor. Without either it is
    settled when it is first needed, or becomes the model's; a model moves what it is given in any case.
    """

    def __init__(self, backend: str | Backend | None = None) -> None:
        self._xp = innermost_backend() if backend is None else get_backend(backend)
        self._workspace: Workspace | None = None

    @property
    def xp(self) -> Backend:
        """The backend."""
        if self._xp is None:
            self._xp = get_backend()
        return self._xp

    def buffer(self, name: str, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """An array that is made once and reused; see `Workspace`."""
        if self._workspace is None:
            self._workspace = Workspace(self.xp)
        return self._workspace.get(name, shape, dtype)

    def let_go(self) -> None:
        """Free all buffers, and what the last calls kept in them."""
        self._workspace = None
        for name in ("inputs", "output", "dinputs", "mask"):
            vars(self).pop(name, None)

    def place(self, xp: Backend) -> None:
        """Move to a backend; `Model` calls it. Buffers of another backend are let go."""
        if self._xp is not xp:
            self._xp, self._workspace = xp, None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_workspace": None}
