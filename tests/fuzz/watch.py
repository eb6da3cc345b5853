"""One reading of one file under watch: what came out, how long it took, how much memory, and what it tried beside reading."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL

import nnbackend as nn

SECONDS = 5.0  # of this process; a reading of a small file takes milliseconds
WALL_SECONDS = 60.0  # where it waits for something instead
MEMORY = 2**30  # bytes over what the process had before
LONGEST_SENTENCE = 500

# What Python reports (PEP 578) that a file of numbers has no business with. `exec` is the running of code objects; `compile` is
# not among them, for NumPy reads the header of a .npy file with `ast.literal_eval`, which makes a tree and runs nothing.
FORBIDDEN = (
    "exec", "pickle.find_class", "os.exec", "os.fork", "os.posix_spawn", "os.remove", "os.rename", "os.spawn",
    "os.system", "shutil.rmtree", "socket.connect", "subprocess.Popen", "ctypes.dlopen",
)  # fmt: skip

# Modules that are loaded when they are first needed: Python's own, and Pillow's readers.
EXPECTED_MODULES = {*sys.stdlib_module_names, "PIL", "numpy"}
EXPECTED_FOLDERS = (os.path.dirname(os.__file__) + os.sep, os.path.dirname(PIL.__file__) + os.sep, "<frozen ")


_NUMBA_CACHE = os.path.join("numba", "core", "caching.py")


class TooSlow(BaseException):
    """The time is up. No reader catches it by accident."""


@dataclass(frozen=True)
class Outcome:
    """What became of a reading. `fault` is None where it was a success or a documented error in one line."""

    fault: str | None
    seconds: float
    sentence: str = ""


def watched(read: Callable[[Path], Any], path: Path) -> Outcome:
    """Read a file and judge what happens."""
    warm_peak = reset_peak()
    heard: list[str] = []
    sentence, fault, started = "", None, time.process_time()
    try:
        with _listening(path.parent, heard), _kept_words(heard), _timed():
            read(path)
    except nn.NNBackendError as error:
        sentence = str(error)
        fault = None if is_sentence(sentence) else f"not one line of text: {sentence[:200]!r}"
    except TooSlow:
        fault = "took too long"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        fault = f"{type(error).__name__} {error}"[:200] + f" {place(error)}"
    seconds, grown = time.process_time() - started, peak() - warm_peak
    if fault is None and heard:
        fault = heard[0]
    if fault is None and seconds > SECONDS:
        fault = f"took {seconds:.1f} s"
    if fault is None and grown > MEMORY + path.stat().st_size:
        fault = f"took {grown / 2**30:.1f} GiB of memory"
    return Outcome(fault, seconds, sentence)


def is_sentence(text: str) -> bool:
    """Whether it can stand in one line of a terminal, and does nothing to it."""
    return 0 < len(text) <= LONGEST_SENTENCE and text.isprintable()


def place(error: BaseException) -> str:
    """The last lines of the library that an error came through: what two findings have in common."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f"{os.sep}nnbackend{os.sep}" in f.filename]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-2:]))


# -- time ------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _timed() -> Iterator[None]:
    """A block that raises `TooSlow`: by the time of this process, since others share the machine, and by the wall clock."""

    def ring(number: int, frame: object) -> None:
        raise TooSlow

    clocks = {signal.SIGPROF: (signal.ITIMER_PROF, SECONDS), signal.SIGALRM: (signal.ITIMER_REAL, WALL_SECONDS)}
    before = {number: signal.signal(number, ring) for number in clocks}
    for clock, seconds in clocks.values():
        signal.setitimer(clock, seconds)
    try:
        yield
    finally:
        for number, (clock, _) in clocks.items():
            signal.setitimer(clock, 0)
            signal.signal(number, before[number])


# -- memory ----------------------------------------------------------------------------------------------------------------


def reset_peak() -> int:
    """Forget the most memory that was ever used, and return what is used now. Linux only; elsewhere there is no limit."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return peak()
    return peak()


def peak() -> int:
    """The most memory that this process had at once since `reset_peak`, in bytes; 0 where nobody says."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@contextlib.contextmanager
def address_space(extra: int) -> Iterator[None]:
    """A block in which the process gets no more than `extra` bytes of addresses: a net below the limit that is measured."""
    if not sys.platform.startswith("linux"):
        yield
        return
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + extra, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


# -- what is done beside reading ---------------------------------------------------------------------------------------------

_ears: list[tuple[str, list[str]]] = []  # (folder in which files may be written, what was heard), the innermost last
_hooked = False


class _Finder:
    """Hears of every module that is looked for, and finds none."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Asked by every kind of import."""
        if _ears and name.partition(".")[0] not in EXPECTED_MODULES:
            _ears[-1][1].append(f"it did import {name!r}")


@contextlib.contextmanager
def _listening(folder: Path, heard: list[str]) -> Iterator[None]:
    global _hooked
    if not _hooked:  # there is no way to take a hook away again
        sys.addaudithook(_hear)
        _hooked = True
    finder = _Finder()
    sys.meta_path.insert(0, finder)  # type: ignore[arg-type]
    _ears.append((os.path.realpath(folder), heard))
    try:
        yield
    finally:
        _ears.pop()
        sys.meta_path.remove(finder)  # type: ignore[arg-type]


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _ears:
        return
    folder, heard = _ears[-1]
    if event in FORBIDDEN and not _own_business(event, arguments, folder):
        heard.append(f"it did {event} {arguments!r}"[:200])
    elif event == "open" and isinstance(arguments[0], (str, bytes)) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        name = os.path.realpath(os.fsdecode(arguments[0]))
        if not name.startswith(folder + os.sep) and "__pycache__" not in name:  # where Numba keeps what it compiled
            heard.append(f"it opened {name} for writing")


def _own_business(event: str, arguments: tuple[Any, ...], folder: str) -> bool:
    """Checkpoints are renamed and removed in their folder, and the code of expected modules is run."""
    if event == "pickle.find_class":  # Numba's index of the kernels that it has compiled, which no input reaches
        return any(frame.f_code.co_filename.endswith(_NUMBA_CACHE) for frame, _ in traceback.walk_stack(None))
    if event == "exec":
        return getattr(arguments[0], "co_filename", "").startswith(EXPECTED_FOLDERS)
    return event in ("os.remove", "os.rename") and os.path.realpath(arguments[0]).startswith(folder + os.sep)


@contextlib.contextmanager
def _kept_words(heard: list[str]) -> Iterator[None]:
    """A block whose output is heard, and its warnings unless they are ours: those are sentences for the user."""
    said = io.StringIO()
    with (
        warnings.catch_warnings(record=True) as caught,
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(said),
    ):
        warnings.simplefilter("always")
        yield
    if said.getvalue():
        heard.append(f"it printed {said.getvalue()[:150]!r}")
    for warning in caught:
        if warning.category is not UserWarning or not is_sentence(str(warning.message)):
            heard.append(f"warning {warning.category.__name__}: {warning.message}"[:200])
