"""Penalties on large parameters (book, chapter 14)."""

from __future__ import annotations

from typing import Any

from .backend import Backend
from .checks import not_negative


class Regularizer:
    """The base: a penalty that is added to the loss, and its gradient.

    `only_ops` in a class's own body promises that its methods do all device work through `xp.ops` (see
    `Backend.compiled_step`); a class that computes with `xp` directly leaves it out.
    """

    def penalty(self, xp: Backend, parameters: Any, *, state: Any) -> None:
        """Add the penalty on `parameters` to the device scalar `state`."""
        raise NotImplementedError(f"{type(self).__name__} needs a method penalty(xp, parameters, *, state)")

    def gradient(self, xp: Backend, parameters: Any, *, state: Any) -> None:
        """Add the penalty's gradient to `state`, an array like `parameters`."""
        raise NotImplementedError(f"{type(self).__name__} needs a method gradient(xp, parameters, *, state)")


class L1L2(Regularizer):
    """Penalty l1 · Σ|w| + l2 · Σw²; gradient l1 · (1 if w ≥ 0 else -1) + 2 · l2 · w.

    The gradient of |w| at exactly zero is +1, as the book chooses.

    >>> import nnbackend as nn
    >>> nn.Dense(2, 64, weight_regularizer=nn.L1L2(l1=1e-4, l2=5e-4)).weight_regularizer
    L1L2(l1=0.0001, l2=0.0005)
    """

    only_ops = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = not_negative("regularization strength l1", l1)
        self.l2 = not_negative("regularization strength l2", l2)

    def penalty(self, xp: Backend, parameters: Any, *, state: Any) -> None:
        """state += l1 · Σ|w| + l2 · Σw²"""
        xp.ops.penalty(parameters, l1=self.l1, l2=self.l2, state=state)

    def gradient(self, xp: Backend, parameters: Any, *, state: Any) -> None:
        """state += l1 · (1 if w ≥ 0 else -1) + 2 · l2 · w"""
        xp.ops.penalty_gradient(parameters, l1=self.l1, l2=self.l2, state=state)

    def __repr__(self) -> str:
        return f"L1L2(l1={self.l1}, l2={self.l2})"


class L1(L1L2):
    """Penalty strength · Σ|w|.

    >>> import nnbackend as nn
    >>> nn.L1(1e-4)
    L1(0.0001)
    """

    only_ops = True

    def __init__(self, strength: float) -> None:
        super().__init__(l1=strength)
        self.strength = self.l1

    def __repr__(self) -> str:
        return f"L1({self.l1})"


class L2(L1L2):
    """Penalty strength · Σw².

    >>> import nnbackend as nn
    >>> nn.L2(5e-4)
    L2(0.0005)
    """

    only_ops = True

    def __init__(self, strength: float) -> None:
        super().__init__(l2=strength)
        self.strength = self.l2

    def __repr__(self) -> str:
        return f"L2({self.l2})"
