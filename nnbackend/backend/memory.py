"""How much memory the host has to spare."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# Where Linux says what a container may use and what it uses, for both versions of control groups.
_CONTAINER = (
    ("/sys/fs/cgroup", "memory.max", "memory.current"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)


def free_host_memory() -> int | None:
    """Bytes that can be used without swapping, in a container its share; None where the system does not say."""
    known = [size for size in (_machine(), *(_share(*files) for files in _CONTAINER)) if size is not None]
    return min(known) if known else None


def _machine() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):  # not Linux: what is unused, or all there is
        pages = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
        return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    return None


def _share(folder: str, limit: str, used: str) -> int | None:
    with contextlib.suppress(OSError, ValueError):  # no such file, or the word "max"
        size, taken = (int((Path(folder) / name).read_text()) for name in (limit, used))
        return max(0, size - taken + _given_back(Path(folder) / "memory.stat"))
    return None


def _given_back(statistics: Path) -> int:
    """What counts as used and is a copy of files that nobody misses."""
    with contextlib.suppress(OSError, ValueError):
        for line in statistics.read_text().splitlines():
            if line.startswith("inactive_file "):
                return int(line.split()[1])
    return 0
