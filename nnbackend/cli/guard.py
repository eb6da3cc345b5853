"""The one place where errors become a sentence on stderr and an exit status."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator

from ..errors import NNBackendError, NonFiniteLossError

FAILED = 1
USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count
NOBODY_READS = 141  # 128 + SIGPIPE
TERMINATED = 143  # 128 + SIGTERM


class CommandLineError(Exception):
    """What Typer found wrong with the command line, in a sentence of ours."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or a request to end (SIGTERM, as of `docker stop`), with a sentence that says what was kept."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


def run_guarded(job: Callable[[], int]) -> int:
    """Run a command and return its exit status; whatever it raises becomes a sentence on stderr, never a traceback.

    With NNBACKEND_TRACEBACK=1 in the environment errors are raised as they are.
    """
    try:
        with _ending_on_request(), _plain_warnings():
            status = job()
            _flush(sys.stdout)
    except BaseException as error:
        if os.environ.get("NNBACKEND_TRACEBACK") == "1" or isinstance(error, SystemExit):
            raise
        status, sentence = explain(error)
        with contextlib.suppress(OSError, ValueError):
            _flush(sys.stdout)
        if sentence and sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                print(f"nnbackend: {sentence}", file=sys.stderr, flush=True)
        _silence_unwritable_output()
    return status


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """A block in which a warning is a sentence on stderr, without the line of our source that it comes from."""

    def show(message: Warning | str, *where: object, **more: object) -> None:
        text = " ".join(str(message).split())
        if sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                print(f"nnbackend: warning: {text}", file=sys.stderr, flush=True)

    with warnings.catch_warnings():
        if not sys.warnoptions:  # who asked Python for something else gets that
            warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


@contextlib.contextmanager
def _ending_on_request() -> Iterator[None]:
    """A block in which SIGTERM does what Ctrl-C does, so that what is finished is kept."""

    def end(number: int, frame: object) -> None:
        raise Interrupted("ended on request", TERMINATED)

    try:
        before = signal.signal(signal.SIGTERM, end)
    except ValueError:  # not the main thread: whoever runs us there has the signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def explain(error: BaseException) -> tuple[int, str]:
    """The exit status and the sentence for an error."""
    if isinstance(error, KeyboardInterrupt):
        return getattr(error, "status", INTERRUPTED), str(error) or "interrupted"
    if isinstance(error, BrokenPipeError):
        return NOBODY_READS, ""
    if isinstance(error, NonFiniteLossError):
        return FAILED, str(error)
    if isinstance(error, (NNBackendError, CommandLineError)):
        return USAGE, str(error)
    if isinstance(error, MemoryError):
        return FAILED, f"not enough memory ({_first_line(error)}): use fewer samples or neurons, or a --batch-size"
    if isinstance(error, OSError):
        return FAILED, _operating_system_sentence(error)
    if "OutOfMemory" in type(error).__name__:  # CuPy's, which is not imported here
        return FAILED, f"not enough GPU memory ({_first_line(error)}): use fewer samples or neurons, or a --batch-size"
    return FAILED, (
        f"a fault in nnbackend itself, {type(error).__name__}: {_first_line(error)}; please report it, with what "
        "NNBACKEND_TRACEBACK=1 nnbackend ... prints"
    )


def _operating_system_sentence(error: OSError) -> str:
    name = error.filename if error.filename is not None else "the output"
    if error.errno == errno.ENOSPC:
        return f"{name} could not be written: the disk is full"
    return f"{name} could not be read or written: {error.strerror or _first_line(error)}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0]


def _flush(stream: object) -> None:
    if stream is not None:
        stream.flush()  # type: ignore[attr-defined]


def _silence_unwritable_output() -> None:
    """Point stdout nowhere if it cannot be written: Python would complain about it once more when it ends."""
    try:
        _flush(sys.stdout)
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
