"""Data to train on."""

from .digits import digits
from .fashion import FASHION_LABELS, fashion_mnist
from .images import ImageSet, load_image
from .split import stratified_split
from .synthetic import sine, spiral, vertical

__all__ = [
    "FASHION_LABELS",
    "ImageSet",
    "digits",
    "fashion_mnist",
    "load_image",
    "sine",
    "spiral",
    "stratified_split",
    "vertical",
]
