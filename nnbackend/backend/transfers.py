"""The counter at the two doors between host and device."""

from __future__ import annotations

import threading

from ..errors import TransferError


class Transfers:
    """Counts what passes between host and device, and can forbid it.

    Counted alike on every backend, the CPU's own included, so that a test on any machine can say "one transfer an epoch".
    Forbidden for one thread is not forbidden for others: a model may be used while another is trained.
    """

    def __init__(self) -> None:
        self.calls_in = self.bytes_in = self.calls_out = self.bytes_out = 0
        self._thread = _PerThread()

    @property
    def calls(self) -> int:
        """Crossings in both directions."""
        return self.calls_in + self.calls_out

    def count_in(self, what: str, nbytes: int) -> None:
        """Note `nbytes` on their way to the device."""
        self._refuse(what)
        self.calls_in += 1
        self.bytes_in += nbytes

    def count_out(self, what: str, nbytes: int) -> None:
        """Note `nbytes` on their way to the host."""
        self._refuse(what)
        self.calls_out += 1
        self.bytes_out += nbytes

    def _refuse(self, what: str) -> None:
        if self._thread.forbidden:
            raise TransferError(
                f"{what} moves data between host and device inside xp.no_transfers(): keep the value on the device, "
                "or move it before or after the step"
            )

    def forbidden(self) -> NoTransfers:
        """A block in which every crossing raises `TransferError`."""
        return NoTransfers(self)

    def __repr__(self) -> str:
        return (
            f"Transfers(in: {self.calls_in} calls, {self.bytes_in} bytes; "
            f"out: {self.calls_out} calls, {self.bytes_out} bytes)"
        )


class _PerThread(threading.local):
    forbidden = 0


class NoTransfers:
    """The block of `xp.no_transfers()`; blocks may be nested. A class, since it is entered around every epoch."""

    def __init__(self, transfers: Transfers) -> None:
        self._thread = transfers._thread

    def __enter__(self) -> None:
        self._thread.forbidden += 1

    def __exit__(self, *exception: object) -> None:
        self._thread.forbidden -= 1
