"""What the commands say: which backend they use and why, lines, a progress bar."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..backend import Backend, choose_backend, get_backend
from ..training import Callback, TrainingRun

if TYPE_CHECKING:
    from rich.progress import Progress

# A bar that is drawn more often than this only costs time.
REDRAWS_PER_SECOND = 10


def settle_backend(
    asked: str | None, dtype: str, kernels: str = "auto", matmul_precision: str = "float32"
) -> tuple[Backend, str]:
    """The backend for a command, and in words why it is this one."""
    name, reason = asked, "as --backend says"
    if asked is None:
        name = os.environ.get("NNBACKEND") or "cpu"
        reason = f"as NNBACKEND={name} says" if os.environ.get("NNBACKEND") else "the default; see --backend"
    if matmul_precision != "float32":
        kernels = "all" if kernels == "auto" else kernels  # these products are among those that no GPU has proved yet
        return get_backend(asked, dtype, kernels, matmul_precision), reason
    if name == "auto":
        xp, found = choose_backend(dtype, kernels)
        return xp, f"chosen by auto: {found}"
    return get_backend(asked, dtype, kernels), reason  # without a name it is the environment's, and an error says so


def backend_line(xp: Backend, reason: str, *, dtype: str | None = None) -> str:
    """The first line of a run."""
    return f"backend: {xp.name} ({xp.description}), {dtype or xp.dtype}, {reason}"


def on_terminal(stream: Any) -> bool:
    """Whether a stream is a terminal that somebody looks at."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def write_lines_at_once() -> None:
    """Let lines through to a pipe or a file when they are printed, not when a buffer is full."""
    with contextlib.suppress(AttributeError):  # stdout may be closed, or be something else
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


class Header(Callback):
    """Prints some lines when training begins: when all settings and data have been checked."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines

    def on_train_begin(self, run: TrainingRun) -> None:
        """Print them."""
        print(*self._lines, sep="\n")


class Clock(Callback):
    """Takes the time of the first epoch apart: kernels may be compiled in it."""

    first_epoch = 0.0

    def on_train_begin(self, run: TrainingRun) -> None:
        """Start."""
        self._started = time.perf_counter()

    def on_epoch(self, run: TrainingRun) -> None:
        """The first epoch is over."""
        if not self.first_epoch:
            self.first_epoch = time.perf_counter() - self._started


class Bar(Callback):
    """A progress bar for epochs. It knows numbers of the host only, so it costs no transfer."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: Any = None
        self._next_redraw = 0.0

    def on_train_begin(self, run: TrainingRun) -> None:
        """Add the bar."""
        self._task = self._progress.add_task("first step", total=run.epochs, rate="")
        self._progress.refresh()

    def on_epoch(self, run: TrainingRun) -> None:
        """Move it, if enough time has passed."""
        now, done = time.perf_counter(), run.epoch - run.first_epoch + 1
        if done == 1:
            self._started, self._steps_before = now, run.steps
        if now < self._next_redraw and run.epoch < run.last_epoch:
            return
        self._next_redraw = now + 1 / REDRAWS_PER_SECOND
        seconds = now - self._started
        rate = f"{(run.steps - self._steps_before) / seconds:,.0f} steps/s" if seconds else ""
        self._progress.update(self._task, description="training", completed=done, rate=rate, refresh=True)


@contextlib.contextmanager
def progress_bar(*, shown: bool, to_stderr: bool = False) -> Iterator[list[Callback]]:
    """A block with a progress bar for training; gives the callbacks that move it, none where it is not shown."""
    if not shown:
        yield []
        return
    with _progress("{task.fields[rate]}", to_stderr=to_stderr) as progress:
        yield [Bar(progress)]


@contextlib.contextmanager
def step_bar(total: int, *, shown: bool, to_stderr: bool = False) -> Iterator[Callable[[str], None]]:
    """A block with a progress bar; gives a function that moves it by one and takes what is being done."""
    if not shown:
        yield lambda doing: None
        return
    with _progress(to_stderr=to_stderr) as progress:
        task = progress.add_task("starting", total=total)
        next_redraw, done = 0.0, 0

        def step(doing: str) -> None:
            nonlocal next_redraw, done
            done, now = done + 1, time.perf_counter()
            if now >= next_redraw:
                next_redraw = now + 1 / REDRAWS_PER_SECOND
                progress.update(task, completed=done, description=doing, refresh=True)

        yield step


@contextlib.contextmanager
def reading_bar() -> Iterator[Callable[[int, int], None] | None]:
    """A block with a progress bar on stderr for reading images; gives what moves it, None where nobody looks at it."""
    if not on_terminal(sys.stderr):
        yield None
        return
    with _progress(to_stderr=True) as progress:
        task = progress.add_task("reading images", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total, refresh=True)


def _progress(*more: str, to_stderr: bool) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *map(TextColumn, more)]
    columns += [TimeRemainingColumn(), TextColumn("left")]
    console = Console(stderr=to_stderr)
    return Progress(*columns, console=console, auto_refresh=False, transient=True, redirect_stderr=False)
