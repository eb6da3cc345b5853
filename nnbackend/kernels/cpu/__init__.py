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


def own_products() -> Any:
    """What calls a BLAS from within programs (`gemm.py`), or None where all products are NumPy's."""
    if why_none() is not None:
        return None
    from . import gemm

    return gemm


def why_none() -> ImportError | None:
    """What Numba's import fails with, or None where it works."""
    try:
        import numba  # noqa: F401
    except ImportError as error:
        return error
    return None
