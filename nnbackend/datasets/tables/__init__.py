"""Tables of the user's own: read, made ready for a network, and new rows made ready in the same way."""

from .columns import listed
from .reading import ENDINGS, is_table
from .rows import apply_preprocessing, labelled_rows
from .stored import from_document, has_table
from .table import Table, load_table
from .target import TargetScaling

__all__ = [
    "ENDINGS",
    "Table",
    "TargetScaling",
    "apply_preprocessing",
    "from_document",
    "has_table",
    "is_table",
    "labelled_rows",
    "listed",
    "load_table",
]
