"""The one place where errors become a sentence on stderr and an exit status."""

from __future__ import annotations

import _thread
import contextlib
import errno
import os
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from types import FrameType

from ..errors import FileError, NNBackendError, NonFiniteLossError, OutOfMemoryError, first_line, printable
from ..interrupts import end_at_once

FAILED = 1
USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count
NOBODY_READS = 141  # 128 + SIGPIPE
TERMINATED = 143  # 128 + SIGTERM

# Why the system writes no more, which is nobody's wrong wish: the disk, a quota or a file is full, or the disk fails.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

# Seconds in which further signals count as the first one: a terminal and a parent process may both send it.
REPEATS = 1.0

# What an error calls the argument that would help.
_BATCH_SIZE = re.compile(r"\bbatch_size=(\d+)")

# Seconds until a signal is looked at again that came while a module was being imported.
AGAIN = 0.02


class CommandLineError(Exception):
    """What is wrong with a command line or where it was written, in a sentence of ours."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or a request to end (SIGTERM, as of `docker stop`), with a sentence that says what was kept."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


def run_guarded(job: Callable[[], int]) -> int:
    """Run a command and return its exit status; whatever it raises becomes a sentence on stderr, never a traceback.

    With NNBACKEND_TRACEBACK=1 in the environment errors are raised as they are.
    """
    requests = _Requests()
    try:
        with requests.heard():
            return _explained(job, requests)
    except KeyboardInterrupt:  # while it was being said how the command ended
        if os.environ.get("NNBACKEND_TRACEBACK") == "1":
            raise
        return requests.status


def _explained(job: Callable[[], int], requests: _Requests) -> int:
    try:
        with _plain_warnings():
            if sys.stdout is None:
                raise CommandLineError(
                    "stdout is closed, so nobody would see the results: redirect it, as with > /dev/null"
                )
            _escape_what_cannot_be_shown()
            status = job()
            _flush(sys.stdout)
    except BaseException as error:
        if os.environ.get("NNBACKEND_TRACEBACK") == "1" or isinstance(error, SystemExit):
            raise
        status, sentence = explain(error, requests.status)
        with contextlib.suppress(OSError, ValueError):
            _flush(sys.stdout)
        if sentence and sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                print(f"nnbackend: {printable(sentence)}", file=sys.stderr, flush=True)
        _silence_unwritable_output()
    return status


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """A block in which a warning is a sentence on stderr, without the line of our source that it comes from."""

    def show(message: Warning | str, *where: object, **more: object) -> None:
        text = " ".join(str(message).split())
        if sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                print(f"nnbackend: warning: {printable(text)}", file=sys.stderr, flush=True)

    with warnings.catch_warnings():
        if not sys.warnoptions:  # who asked Python for something else gets that
            warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


class _Requests:
    """Ctrl-C and SIGTERM (as of `docker stop`) while a command runs: the first is raised, so that what is finished is kept.

    Those that follow within a second are the same one; a later one is raised again, and ends the keeping too. Where somebody
    else's code would make something else of the exception, or has swallowed it, it is raised a little later.
    """

    def __init__(self) -> None:
        self.status = 0
        self._when = -REPEATS
        self._waiting: threading.Timer | None = None
        self._hook = sys.unraisablehook

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.status and now - self._when < REPEATS:
            return
        if _must_wait(frame):
            self._raise_later(number)
            return
        self.status, self._when = 128 + number, now
        raise KeyboardInterrupt if number == signal.SIGINT else Interrupted("ended on request", TERMINATED)

    def _raise_later(self, number: int) -> None:
        self.forget()
        self._waiting = threading.Timer(AGAIN, _thread.interrupt_main, [number])
        self._waiting.start()

    def forget(self) -> None:
        """Let go of a signal that waits."""
        if self._waiting is not None:
            self._waiting.cancel()

    def _swallowed(self, lost: sys.UnraisableHookArgs) -> None:
        """Python's hook for what it cannot raise, such as an interrupt in a function that LLVM calls."""
        if isinstance(lost.exc_value, KeyboardInterrupt):
            number, self.status = self.status - 128, 0
            self._raise_later(number)
        elif not self.status:  # else it is what an interrupt left half made, as LLVM's objects, and nobody's fault
            self._hook(lost)

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """A block in which they are heard. Where the process is the command, they come too late after it, and do nothing."""
        if threading.current_thread() is not threading.main_thread():  # whoever runs us there has the signals
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        ending = before[signal.SIGINT] is end_at_once
        # Others stay: ignored, as Ctrl-C is in a shell's background job, or a handler of the program's own.
        mine = (signal.default_int_handler, end_at_once, signal.SIG_DFL)
        before = {number: handler for number, handler in before.items() if handler in mine}
        try:
            sys.unraisablehook = self._swallowed
            for number in before:
                signal.signal(number, self)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if ending else handler)
            if not (ending and self.status):  # as the process ends, more of what is half made is let go of
                sys.unraisablehook = self._hook
            self.forget()


def _must_wait(frame: FrameType | None) -> bool:
    """Whether a module is being imported (it may turn an interrupt into an `ImportError`) or Typer reads the command line."""
    while frame is not None and frame.f_code is not run_guarded.__code__:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        if str(frame.f_globals.get("__name__")).startswith("typer."):
            return True
        frame = frame.f_back
    return False


def explain(error: BaseException, interrupted: int = 0) -> tuple[int, str]:
    """The exit status and the sentence for an error; `interrupted` is the status of an interrupt before it, if there was one."""
    if isinstance(error, KeyboardInterrupt):
        return getattr(error, "status", INTERRUPTED), str(error) or "interrupted"
    if isinstance(error, BrokenPipeError):
        return NOBODY_READS, ""
    if isinstance(error, NonFiniteLossError):
        return FAILED, str(error)
    if isinstance(error, OutOfMemoryError):
        return USAGE, _BATCH_SIZE.sub(r"--batch-size \1", str(error))
    if isinstance(error, FileError) and getattr(error.__cause__, "errno", None) in NO_ROOM:
        return FAILED, str(error)
    if isinstance(error, (NNBackendError, CommandLineError)):
        return USAGE, str(error)
    if isinstance(error, MemoryError):
        return FAILED, f"not enough memory ({first_line(error)}): use fewer samples or neurons, or a --batch-size"
    if isinstance(error, OSError):
        return FAILED, _operating_system_sentence(error)
    if "OutOfMemory" in type(error).__name__:  # CuPy's, which is not imported here
        return FAILED, f"not enough GPU memory ({first_line(error)}): use fewer samples or neurons, or a --batch-size"
    if interrupted:  # modules make other errors of it while they are imported
        return interrupted, "interrupted"
    return FAILED, (
        f"a fault in nnbackend itself, {type(error).__name__}: {first_line(error)}; please report it, with what "
        "NNBACKEND_TRACEBACK=1 nnbackend ... prints"
    )


def _operating_system_sentence(error: OSError) -> str:
    name = error.filename if error.filename is not None else "the output"
    if error.errno == errno.ENOSPC:
        return f"{name} could not be written: the disk is full"
    return f"{name} could not be read or written: {error.strerror or first_line(error)}"


def _flush(stream: object) -> None:
    if stream is not None:
        stream.flush()  # type: ignore[attr-defined]


def _escape_what_cannot_be_shown() -> None:
    """Let letters that the terminal's encoding lacks, as in LC_ALL=C, be written as escapes instead of being an error."""
    with contextlib.suppress(AttributeError):  # stdout may be something else
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _silence_unwritable_output() -> None:
    """Point stdout nowhere if it cannot be written: Python would complain about it once more when it ends."""
    try:
        _flush(sys.stdout)
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
