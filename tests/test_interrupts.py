"""Ctrl-C at any moment of a command: status 130 and one line, never a traceback; and only in the command."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

import pytest

from nnbackend.cli import guard
from tests.test_cli import environment

TRAIN = ["-m", "nnbackend", "train", "spiral", "--epochs", "100000", "--quiet"]

# When to interrupt, and how often: as soon as this module has been imported, and so many seconds later. Moments in the log of
# imports are the same on a slow machine and on a fast one.
MOMENTS = [
    ("nnbackend.interrupts", 0.0, 1),
    ("numpy._core.multiarray", 0.0, 3),
    ("numpy", 0.0, 1),
    ("nnbackend.layers", 0.0, 3),
    ("typer.core", 0.0, 1),
    ("typer", 0.02, 3),
    ("nnbackend.cli.app", 0.0, 1),
    ("nnbackend.cli.app", 0.03, 3),
    ("nnfs", 0.02, 1),
    ("numba.core.types", 0.0, 3),
    ("nnbackend.kernels.cpu.link", 0.0, 1),
    ("nnbackend.kernels.cpu.link", 1.0, 3),
]


def start(*arguments: str) -> subprocess.Popen[str]:
    """A Python that hears Ctrl-C, which a shell's background job would not."""
    return subprocess.Popen(
        [sys.executable, *arguments], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def wait_for_import(process: subprocess.Popen[str], module: str) -> None:
    """Read the log of `-X importtime` until a module is in it."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("import time:") and line.rpartition("|")[2].strip() == module:
            return
    pytest.fail(f"{module} was never imported")


@pytest.mark.parametrize(("module", "seconds", "times"), MOMENTS)
def test_ctrl_c_at_any_moment_is_one_line(module: str, seconds: float, times: int) -> None:
    with start("-X", "importtime", *TRAIN) as process:
        wait_for_import(process, module)
        time.sleep(seconds)
        for _ in range(times):  # quickly, as from a terminal and a parent process at once
            process.send_signal(signal.SIGINT)
            time.sleep(0.002)
        out, err = process.communicate(timeout=60)
    said = [line for line in err.splitlines() if not line.startswith("import time:")]
    assert process.returncode == 130
    assert out == ""
    assert len(said) == 1, "\n".join(said)
    assert re.fullmatch(r"nnbackend: interrupted( after [\d,]+ of 100,000 epochs)?", said[0])


def test_a_program_that_imports_the_library_keeps_its_own_ctrl_c() -> None:
    program = "import signal, nnbackend; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    with start("-c", program) as process:
        assert process.communicate(timeout=60)[0] == "True\n"


def test_main_leaves_signals_as_they_were() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert guard.run_guarded(lambda: 0) == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_first_of_several_is_raised_and_a_late_one_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raised = []

    def job() -> int:
        for _ in range(3):
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raised.append(time.monotonic())
        monkeypatch.setattr(guard, "REPEATS", 0.0)
        signal.raise_signal(signal.SIGINT)
        return 0

    assert guard.run_guarded(job) == 130
    assert len(raised) == 1
    assert capsys.readouterr().err == "nnbackend: interrupted\n"


def test_an_interrupt_that_python_had_to_drop_is_raised_again(capsys: pytest.CaptureFixture[str]) -> None:
    class Dropping:
        def __del__(self) -> None:  # an exception here goes nowhere, as in a function that C code calls
            signal.raise_signal(signal.SIGINT)

    def job() -> int:
        thing = Dropping()
        del thing
        for _ in range(1000):
            time.sleep(0.01)
        return 0

    assert guard.run_guarded(job) == 130
    assert capsys.readouterr().err == "nnbackend: interrupted\n"


def test_what_an_interrupt_leaves_half_made_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    class HalfMade:
        def __init__(self) -> None:
            signal.raise_signal(signal.SIGINT)
            self.handle = 1

        def __del__(self) -> None:
            del self.handle

    def job() -> int:
        HalfMade()
        return 0

    assert guard.run_guarded(job) == 130
    assert capsys.readouterr().err == "nnbackend: interrupted\n"


def test_what_an_import_makes_of_an_interrupt_is_an_interrupt(capsys: pytest.CaptureFixture[str]) -> None:
    def job() -> int:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("numpy.core.multiarray failed to import") from None
        return 0

    assert guard.run_guarded(job) == 130
    assert capsys.readouterr().err == "nnbackend: interrupted\n"
