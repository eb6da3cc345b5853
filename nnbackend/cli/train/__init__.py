"""`nnbackend train`: the command, and its options in a file for each group of the help.

The options' files do without `from __future__ import annotations`: Typer reads the annotations of the class that inherits them,
which stands in another file and knows none of the names in them.
"""

from __future__ import annotations

from .command import Train

__all__ = ["Train"]
