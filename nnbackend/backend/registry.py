"""Names to backends: `get_backend`, `use_backend`, `register_backend`, `available_backends`."""

from __future__ import annotations

import contextlib
import contextvars
import importlib
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import ArgumentError, BackendError, did_you_mean, shown
from .base import Backend, check_precision, check_settings, describe

# A factory takes the device number (None where the name has none), the dtype's name and the kernel mode; that of "gpu" also
# `matmul_precision`, where it is not float32.
Factory = Callable[..., Backend]

_factories: dict[str, Factory] = {}
_cache: dict[tuple[str, ...], Backend] = {}
_lock = threading.RLock()  # two threads that ask for one backend get one object
_said: set[str] = set()  # the reasons why "auto" took the CPU that were printed already
_innermost: contextvars.ContextVar[Backend | None] = contextvars.ContextVar("nnbackend_backend", default=None)

# Backends that register themselves when their module is imported, which happens when they are asked for.
_LAZY = {"strict": "nnbackend.testing.strict"}

# The modules that the built-in backends' factories are from: their names mean the same in every program.
_BUILT_IN = {"cpu": __name__, "gpu": __name__, **_LAZY}

_NAME = re.compile(r"([A-Za-z][\w-]*)(?::([0-9]{1,4}))?")


def register_backend(name: str, factory: Factory) -> None:
    """Make a backend known by a name of letters, digits, `-` and `_` that no built-in backend has.

    `factory(device, dtype, kernels)` returns a `Backend` or raises `BackendError` with the reason why it cannot;
    `device` is the number in `name:number`, or None. docs/add-a-backend.md shows one from beginning to end. A name
    registered before gets the new factory. Raises `ArgumentError` for another name, or what cannot be called.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][\w-]*", name) or name == "auto":
        raise ArgumentError(f"backend name {shown(name)}: expected letters, digits, '-' and '_', and not 'auto'")
    if not callable(factory):
        raise ArgumentError(
            f"the factory of backend {name!r} is {shown(factory)}: expected a function of (device, dtype, kernels)"
        )
    if name in _BUILT_IN and getattr(factory, "__module__", None) != _BUILT_IN[name]:
        raise ArgumentError(f"backend name {name!r} is that of a built-in backend: register yours by another name")
    _register(name, factory)


def _register(name: str, factory: Factory) -> None:
    """Let a name, which may be a built-in backend's, mean this factory; what the old one built is forgotten."""
    with _lock:
        _factories[name] = factory
        for key in [key for key in _cache if key[0].split(":")[0] in (name, "auto")]:
            del _cache[key]
        _said.clear()


def get_backend(
    name: str | Backend | None = None,
    dtype: Any = None,
    kernels: str | None = None,
    matmul_precision: str | None = None,
) -> Backend:
    """The backend of that name: "cpu", "gpu", "gpu:1", "auto", "strict", or a registered one.

    Without a name: that of the innermost `use_backend`, else of the environment variable NNBACKEND, else "cpu".
    `dtype` is "float32" (default) or "float64". `kernels` is "auto" (faster versions of ops where they are proved),
    "reference" (none) or "all" (GPU kernels that no GPU has run yet too). `matmul_precision` is how the GPU rounds the factors
    of float32 matrix products: "float32" (default, not at all), "tf32" or "bfloat16", faster; they need kernels="all".
    The same arguments give the same object.

    Asking for "gpu" where none works raises `BackendError`, in one sentence that says what to do. Only "auto" falls
    back to the CPU; it prints why, once, and stays with what it took.

    >>> import nnbackend as nn
    >>> nn.get_backend("cpu", dtype="float64")
    get_backend('cpu', dtype='float64')
    """
    if isinstance(name, Backend) or name is None:
        base = name if isinstance(name, Backend) else _innermost.get()
        if base is None:
            return _default(dtype, kernels, matmul_precision)
        if dtype is None and kernels is None and matmul_precision is None:
            return base
        settings = check_settings(base.dtype if dtype is None else dtype, base.kernels if kernels is None else kernels)
        return _build(base.name, *settings, base.matmul_precision if matmul_precision is None else matmul_precision)
    settings = check_settings("float32" if dtype is None else dtype, "auto" if kernels is None else kernels)
    precision = "float32" if matmul_precision is None else matmul_precision
    if isinstance(name, str) and name == "auto":
        check_precision(precision, "auto", settings[1])
        return _auto(*settings)
    return _build(name, *settings, precision)


def _default(dtype: Any, kernels: str | None, matmul_precision: str | None) -> Backend:
    """What is used where nobody said anything: the environment decides, else it is the CPU."""
    named = os.environ.get("NNBACKEND")
    try:
        return get_backend(named or "cpu", dtype, kernels, matmul_precision)
    except BackendError as error:
        raise BackendError(
            f"{error} (the name is that of the environment variable NNBACKEND)", fault=error.fault
        ) from None


def _auto(dtype: str, kernels: str) -> Backend:
    """The choice of `choose_backend`, made once, so that all layers of a program live on one backend."""
    with _lock:
        key = ("auto", dtype, kernels)
        if key not in _cache:
            _cache[key], reason = choose_backend(dtype, kernels)
            if _cache[key].name == "cpu" and reason not in _said:
                _said.add(reason)
                print(f"nnbackend: using the CPU: {reason}", file=sys.stderr)
        return _cache[key]


def choose_backend(dtype: Any = None, kernels: str | None = None) -> tuple[Backend, str]:
    """What "auto" means here: the first GPU if it works, else the CPU, and the reason in words."""
    settings = check_settings("float32" if dtype is None else dtype, "auto" if kernels is None else kernels)
    try:
        backend = _build("gpu", *settings)
    except BackendError as error:
        return _build("cpu", *settings), str(error)
    return backend, "a GPU works here"


def _build(name: Any, dtype: str, kernels: str, matmul_precision: str = "float32") -> Backend:
    family, device = parse_name(name)
    precision = check_precision(matmul_precision, family, kernels)
    more = {} if precision == "float32" else {"matmul_precision": precision}
    key = (family if device is None else f"{family}:{device}", dtype, kernels, *more.values())
    with _lock:
        if key not in _cache:
            backend = _factories[family](device, dtype, kernels, **more)
            if not isinstance(backend, Backend):
                raise BackendError(
                    f"the factory that was registered as {family!r} returned {describe(backend)}: expected a Backend"
                )
            _cache[key] = backend
        return _cache[key]


@contextlib.contextmanager
def use_backend(name: str | Backend | None, dtype: Any = None, kernels: str | None = None) -> Iterator[Backend]:
    """A block in which layers and models that are given no backend get this one.

    >>> import nnbackend as nn
    >>> with nn.use_backend("cpu", dtype="float64") as xp:
    ...     nn.Dense(2, 3, seed=0).xp is xp
    True
    """
    backend = get_backend(name, dtype, kernels)
    token = _innermost.set(backend)
    try:
        with backend.device_scope:
            yield backend
    finally:
        _innermost.reset(token)


def innermost_backend() -> Backend | None:
    """The backend of the innermost `use_backend`, or None outside of any."""
    return _innermost.get()


def known_backends() -> tuple[str, ...]:
    """The names of all backends, whether or not they work here: the CPU's first, then the built-in ones, then registered ones.

    >>> known_backends()[:3]
    ('cpu', 'gpu', 'strict')
    """
    return tuple(dict.fromkeys([*_BUILT_IN, *_factories]))


def is_built_in(name: str) -> bool:
    """Whether a name is that of a backend which nnbackend brings along.

    >>> is_built_in("strict"), is_built_in("mine")
    (True, False)
    """
    return name in _BUILT_IN


def parse_name(name: Any) -> tuple[str, int | None]:
    """The known name and the device number, or None, in a name such as "gpu:1". Raises `BackendError` for any other.

    >>> parse_name("gpu:1"), parse_name("cpu")
    (('gpu', 1), ('cpu', None))
    """
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    family, number = match.groups() if match else (None, None)
    if family in _LAZY and family not in _factories:
        importlib.import_module(_LAZY[family])
    if family not in _factories:
        raise BackendError(f"unknown backend {shown(name)}: {did_you_mean(name, {*known_backends(), 'auto', 'gpu:1'})}")
    return family, None if number is None else int(number)


def available_backends() -> dict[str, str]:
    """The backends that work on this machine, each with what runs underneath; a GPU counts when a kernel really ran.

    >>> import nnbackend as nn
    >>> "cpu" in nn.available_backends()
    True
    """
    working = {}
    for name in known_backends():
        with contextlib.suppress(BackendError):
            working[name] = _build(name, "float32", "auto").description
    return working


def _cpu(device: int | None, dtype: str, kernels: str) -> Backend:
    if device is not None:
        raise BackendError(f"backend 'cpu:{device}': the CPU has no device number, use 'cpu'")
    if kernels == "reference":
        return Backend("cpu", np, dtype=dtype, kernels=kernels)
    from ..kernels import cpu_overrides, cpu_own_products

    backend = Backend("cpu", np, dtype=dtype, kernels=kernels, overrides=cpu_overrides())
    backend.own_products = cpu_own_products()
    return backend


def _gpu(device: int | None, dtype: str, kernels: str, matmul_precision: str = "float32") -> Backend:
    from .gpu import GPUBackend

    return GPUBackend(device, dtype=dtype, kernels=kernels, matmul_precision=matmul_precision)


_register("cpu", _cpu)
_register("gpu", _gpu)
