"""What the book's losses and accuracies add up from batch to batch (chapter 19)."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from ..metrics import RunningMean
from .arrays import OnPlace


class Accumulated(OnPlace):
    """An object whose `calculate` adds each batch's values to a running mean, until `new_pass()` begins anew."""

    def new_pass(self) -> None:
        """Begin to accumulate anew."""
        self._running = RunningMean()

    @cached_property
    def _running(self) -> RunningMean:
        """Made when first asked for: a script's own subclass need not call a constructor."""
        return RunningMean()

    @property
    def accumulated_sum(self) -> Any:
        """The sum of the samples' losses, or of what was right, since `new_pass()`."""
        return self._running.total

    @property
    def accumulated_count(self) -> int:
        """How many there were."""
        return self._running.count
