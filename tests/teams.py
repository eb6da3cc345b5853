"""Programs run by a team of so many threads, whatever the machine has."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from nnbackend.kernels.cpu import cores, team


@contextlib.contextmanager
def team_of(threads: int) -> Iterator[None]:
    """A block in which programs that are made and run are shared by so many threads."""
    before = os.environ.get("NNBACKEND_THREADS")
    os.environ["NNBACKEND_THREADS"] = str(threads)
    _disband()
    try:
        yield
    finally:
        _disband()
        if before is None:
            del os.environ["NNBACKEND_THREADS"]
        else:
            os.environ["NNBACKEND_THREADS"] = before


def _disband() -> None:
    if team._team is not None:
        team._team.stop()
        team._team = None
    cores.thread_count.cache_clear()
