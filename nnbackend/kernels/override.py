"""A faster implementation of one op on one backend.

The class stands here, below `backend`, since kernels may not import from above (docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Override:
    """What `xp.ops` tries before the reference, where `accepts` says yes.

    `function` takes what the reference takes, without `xp`. `accepts(*args, **kwargs)` looks at dtypes and layouts
    only, never at values. `proved` is False for GPU code that no GPU has run yet: it stays off unless kernels="all".
    """

    function: Callable[..., Any]
    accepts: Callable[..., bool]
    proved: bool = True
