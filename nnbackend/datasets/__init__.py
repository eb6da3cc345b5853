"""Data to train on. What reads files is imported when it is first asked for: `import nnbackend` shall stay quick."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .digits import digits
from .split import stratified_split
from .synthetic import sine, spiral, vertical

if TYPE_CHECKING:
    from .fashion import FASHION_LABELS, fashion_mnist
    from .images import ImageSet, load_image
    from .tables import Table, TargetScaling, apply_preprocessing, load_table

_LATER = {
    **dict.fromkeys(("FASHION_LABELS", "fashion_mnist"), "fashion"),
    **dict.fromkeys(("ImageSet", "load_image"), "images"),
    **dict.fromkeys(("Table", "TargetScaling", "apply_preprocessing", "load_table"), "tables"),
}

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


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_LATER[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
