"""Penalties (book, chapter 14): they are added to what is there."""

from __future__ import annotations

from typing import Any


def penalty(xp: Any, parameters: Any, *, l1: float, l2: float, state: Any) -> Any:
    """state += l1 · Σ|w| + l2 · Σw², shape ()"""
    if l1:
        state += l1 * xp.abs(parameters).sum()
    if l2:
        state += l2 * xp.vdot(parameters, parameters)
    return state


def penalty_gradient(xp: Any, parameters: Any, *, l1: float, l2: float, state: Any) -> Any:
    """state += l1 · (1 if w ≥ 0 else -1) + 2 · l2 · w: +l1 at exactly zero, as the book chooses"""
    if l1:
        strength = parameters.dtype.type(l1)
        state += xp.where(parameters >= 0, strength, -strength)
    if l2:
        state += (2 * l2) * parameters
    return state
