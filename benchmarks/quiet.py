"""Was the machine ours? A turn during which other programs computed is measured again, as long as patience lasts."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")


def busy_seconds() -> float | None:
    """Seconds for which cores were busy since the start of the machine, over all programs; None where it is not known."""
    try:
        user, nice, system, _idle, _wait, interrupts, soft, steal = map(
            int, _STAT.read_text().split("\n")[0].split()[1:9]
        )
    except (OSError, ValueError):
        return None
    return (user + nice + system + interrupts + soft + steal) / os.sysconf("SC_CLK_TCK")


class Watch:
    """How busy others were since it was made, in cores."""

    def __init__(self) -> None:
        self._began, self._busy = time.perf_counter(), busy_seconds()

    def others(self, own_seconds: float) -> float:
        """Cores that were busy on average, without `own_seconds` of work; 0 where it is not known."""
        now = busy_seconds()
        if now is None or self._busy is None:
            return 0.0
        return max(0.0, now - self._busy - own_seconds) / (time.perf_counter() - self._began)


def wait(patience: float, limit: float) -> None:
    """Return when others leave the machine alone for a moment, at the latest after so many seconds."""
    end = time.perf_counter() + patience
    while time.perf_counter() < end:
        watch = Watch()
        time.sleep(0.1)
        if watch.others(0.0) <= limit:
            return
