"""Data to train on."""

from .digits import digits
from .fashion import FASHION_LABELS, fashion_mnist
from .images import ImageSet, load_image
from .split import stratified_split
from .synthetic import sine, spiral, vertical
from .tables import Table, TargetScaling, apply_preprocessing, load_table

__all__ = [
    "FASHION_LABELS",
    "ImageSet",
    "Table",
    "TargetScaling",
    "apply_preprocessing",
    "digits",
    "fashion_mnist",
    "load_image",
    "load_table",
    "sine",
    "spiral",
    "stratified_split",
    "vertical",
]
