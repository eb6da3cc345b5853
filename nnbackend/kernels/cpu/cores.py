"""How many threads share a program: as many as this process has cores, unless somebody said otherwise."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from pathlib import Path

# What others set to say how many threads the libraries of a process may take, so that several processes share a machine.
LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

# Where Linux says to which control group a process belongs, and where each group says what share of the time it may have, of
# what: version 2 of control groups, then version 1.
_OWN_GROUPS = Path("/proc/self/cgroup")
_GROUPS = (
    (Path("/sys/fs/cgroup"), ("cpu.max",)),
    (Path("/sys/fs/cgroup/cpu"), ("cpu.cfs_quota_us", "cpu.cfs_period_us")),
)


@functools.cache
def thread_count() -> int:
    """NNBACKEND_THREADS; else the cores of this process, no more than other libraries may take threads."""
    if wanted := _number("NNBACKEND_THREADS"):
        return wanted
    return max(1, min([_cores(), *limits(), *_quotas()]))


def limits() -> list[int]:
    """What other libraries were told."""
    return [limit for limit in map(_number, LIMITS) if limit]


def _number(name: str) -> int:
    """The positive number in a variable, or 0."""
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else 0


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas() -> list[int]:
    """The cores that a container's share of the time is worth; a thread more would only use it up by waiting."""
    names = {""}
    with contextlib.suppress(OSError):
        for line in _OWN_GROUPS.read_text().splitlines():
            group = line.split(":", 2)[-1].strip("/")
            names |= {group, *(str(above) for above in Path(group).parents)}  # those above it have their say, too
    found = []
    for (root, files), name in itertools.product(_GROUPS, names):
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):  # no such file, or the word "max"
            quota, period = (int(word) for file in files for word in (root / name / file).read_text().split())
            if quota > 0:
                found.append(max(1, quota // period))
    return found
