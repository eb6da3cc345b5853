"""Two backends side by side: the proof that they compute the same, which anyone can run (`nnbackend parity`).

`follow` compares step by step from common values and finds wrong operations; `free` lets both run and finds where chaos
takes over. Both take any model; `networks` holds those that the command compares on the spiral.
"""

from .follow import Comparison, Measurement, follow
from .free import Divergence, free
from .verdict import which_side

__all__ = ["Comparison", "Divergence", "Measurement", "follow", "free", "which_side"]
