"""Data to train on."""

from .synthetic import sine, spiral, vertical

__all__ = ["sine", "spiral", "vertical"]
