"""A few threads for large arrays.

Programs let go of the interpreter's lock, so ordinary threads can run them side by side. How the work is cut does not depend
on how many threads there are, and so neither do the results.
"""

from __future__ import annotations

import functools
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue

Calls = deque[Callable[[], None]]


@functools.cache
def thread_count() -> int:
    """How many threads work on large arrays: NNBACKEND_THREADS, else one for each core that this process may use."""
    wanted = os.environ.get("NNBACKEND_THREADS", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _helpers() -> SimpleQueue[tuple[Calls, threading.Semaphore]]:
    """The queue that the other threads wait at."""
    queue: SimpleQueue[tuple[Calls, threading.Semaphore]] = SimpleQueue()

    def serve() -> None:
        while True:
            _work(*queue.get())

    for number in range(thread_count() - 1):
        threading.Thread(target=serve, name=f"nnbackend-{number + 1}", daemon=True).start()
    return queue


if hasattr(os, "register_at_fork"):  # threads do not come along into a child process
    os.register_at_fork(after_in_child=_helpers.cache_clear)


def _work(calls: Calls, finished: threading.Semaphore) -> None:
    while calls:
        try:
            call = calls.popleft()
        except IndexError:  # another thread was quicker
            return
        call()
        finished.release()


def run_together(calls: Sequence[Callable[[], None]]) -> None:
    """Run calls that do not depend on each other, on all threads; this one works too, and returns when all are done."""
    if thread_count() == 1:
        for call in calls:
            call()
        return
    pending, finished = deque(calls), threading.Semaphore(0)
    for _ in range(thread_count() - 1):
        _helpers().put((pending, finished))
    _work(pending, finished)
    for _ in calls:
        finished.acquire()
