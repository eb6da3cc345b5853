"""The array-backend abstraction: everything that knows there is more than one array library."""

from ..kernels.override import Override
from .base import Backend
from .cupy_probe import Fault, installed_wheels
from .registry import (
    available_backends,
    choose_backend,
    get_backend,
    is_built_in,
    known_backends,
    parse_name,
    register_backend,
    use_backend,
)
from .transfers import Transfers

__all__ = [
    "Backend",
    "Fault",
    "Override",
    "Transfers",
    "available_backends",
    "choose_backend",
    "get_backend",
    "installed_wheels",
    "is_built_in",
    "known_backends",
    "parse_name",
    "register_backend",
    "use_backend",
]
