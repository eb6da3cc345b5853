"""CPU kernels: loops compiled by Numba, never needed for a right answer.

Each override is a plan (`plan.py`): which loops, on what arrays. Called by itself, an op runs its loops one after the
other; in a recorded step, all loops that follow each other become one program (`program.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def overrides() -> dict[str, Sequence[Any]]:
    """Overrides by the name of the op; none where Numba is not installed, or does not work with the installed NumPy.

    Numba is imported here and nowhere earlier. Nothing is compiled before it is called.
    """
    if why_none() is not None:
        return {}
    from . import activations, dropout, losses, moving, optimizers, products  # noqa: F401
    from .plan import OVERRIDES

    return dict(OVERRIDES)


def largest_shared_product() -> int:
    """Up to how many multiplications a product is shared out by a program (`gemm.py`); 0 where all products are NumPy's."""
    if why_none() is not None:
        return 0
    from .gemm import LARGEST, found

    return LARGEST if found() else 0


def why_none() -> ImportError | None:
    """What Numba's import fails with, or None where it works."""
    try:
        import numba  # noqa: F401
    except ImportError as error:
        return error
    return None
