"""How much memory the host has to spare, and the refusal of what cannot be had.

A system that promises more memory than it has lets NumPy allocate it, and ends the process when it is written to. So whoever is
about to take much asks first.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from ..errors import OutOfMemoryError

# Where Linux says what a container may use and what it uses, for both versions of control groups.
_CONTAINER = (
    ("/sys/fs/cgroup", "memory.max", "memory.current"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)


# Bytes: less is not worth asking the system for.
LITTLE = 2**26


def check_memory(needed: int, free_memory: Callable[[], int | None], *, what: str, where: str, advice: str) -> None:
    """Raise `OutOfMemoryError` where so many bytes are not free; what the system does not say is no reason."""
    if needed > LITTLE and (free := free_memory()) is not None and needed > free:
        sentence = f"{what}: {in_words(needed)} needed, and {where} has {in_words(free)} free; {advice}"
        raise OutOfMemoryError(sentence, needed=needed, free=free)


def in_words(size: int) -> str:
    """A number of bytes.

    >>> in_words(5 * 2**29), in_words(3 * 2**20), in_words(10**400)
    ('2.5 GiB', '3.0 MiB', 'over 1,125,899,906,842,624 GiB')
    """
    if size > 2**80:
        return f"over {2**50:,} GiB"
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.1f} MiB"


def free_host_memory() -> int | None:
    """Bytes that can be used without swapping, in a container its share; None where the system does not say."""
    sizes = _machine(), _process(), *(_share(*files) for files in _CONTAINER)
    known = [size for size in sizes if size is not None]
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


def _process() -> int | None:
    """What a limit of this process leaves it (`ulimit -v`, as clusters set it)."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has no such limit
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            return max(0, limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize())
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
