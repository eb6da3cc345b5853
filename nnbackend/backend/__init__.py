"""The array-backend abstraction: everything that knows there is more than one array library."""

from ..kernels.override import Override
from .base import Backend
from .registry import available_backends, choose_backend, get_backend, register_backend, use_backend
from .transfers import Transfers

__all__ = [
    "Backend",
    "Override",
    "Transfers",
    "available_backends",
    "choose_backend",
    "get_backend",
    "register_backend",
    "use_backend",
]
