"""Programs that threads share: whoever does what, in whatever order they come, the outcome is that of one thread."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnbackend as nn

pytest.importorskip("numba", reason="the CPU kernels need Numba: pip install '.[jit]'")

from nnbackend.kernels.cpu import cores, team, walk
from nnbackend.kernels.cpu.compile import Step
from nnbackend.kernels.cpu.moving import advance_loop, convert_loop
from nnbackend.kernels.cpu.program import Program, Section
from tests.teams import team_of

ONCE = np.arange(2)


def counting(stages: int, items: int, length: int = 1) -> tuple[Program, np.ndarray]:
    """A program whose items each add one to numbers of their own; and the numbers, a row for each stage."""
    counts = np.zeros((stages, items, length), np.int64)
    rows = [[[Section([Step(advance_loop, (1, numbers))], ONCE)] for numbers in row] for row in counts]
    return Program(rows), counts


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_every_item_is_done_once_a_run(threads):
    """With more threads than cores too: some are always late."""
    with team_of(threads):
        program, counts = counting(stages=7, items=5)
        for run in range(1, 2001):
            program()
            assert (counts == run).all()


def test_a_stage_begins_when_the_one_before_is_done():
    """Every item copies what another thread's item of the stage before has copied."""
    with team_of(4):
        stages, items = 20, 8
        numbers = np.zeros((stages + 1, items, 1), np.int64)
        program = Program(
            [
                [
                    [Section([Step(convert_loop, (numbers[stage, items - 1 - item], numbers[stage + 1, item]))], ONCE)]
                    for item in range(items)
                ]
                for stage in range(stages)
            ]
        )
        for run in range(500):
            numbers[0, :, 0] = np.arange(items) + run
            program()
            assert (numbers[-1] == numbers[0]).all()


def test_helpers_that_sleep_are_called_and_none_is_needed():
    with team_of(3):
        program, counts = counting(stages=3, items=4)
        for run in range(1, 21):
            program()
            assert (counts == run).all()
            time.sleep(0.003)  # long enough for all helpers to go to sleep
        current = team.team()
        assert all(current.words[asleep] for asleep in [helper._asleep for helper in current._helpers])


def test_threads_of_two_programs_at_the_same_time():
    """One of them has the team, the other is run alone."""
    with team_of(2):
        programs = [counting(stages=5, items=4, length=500) for _ in range(3)]

        def many_times(program: Program) -> None:
            for _ in range(300):
                program()

        runners = [threading.Thread(target=many_times, args=(program,)) for program, _ in programs]
        for runner in runners:
            runner.start()
        for runner in runners:
            runner.join()
        for _, counts in programs:
            assert (counts == 300).all()


def test_programs_may_go_while_helpers_are_awake():
    """What a helper still looks at is not freed: when a run returns, none looks at anything."""
    with team_of(4):
        for _ in range(300):
            program, counts = counting(stages=3, items=6)
            program()
            program()
            words = team.team().words
            looked_at = [words[walk.TEAM_HELPERS + walk.LINE * number + walk.HELPER_PROGRAM] for number in range(3)]
            assert program._shared is not None
            assert program._shared.address not in looked_at
            assert words[walk.TEAM_PROGRAM] == 0
            assert (counts == 2).all()
            del program


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers on this system")
def test_interrupts_lose_nothing(monkeypatch):
    """An exception at any place in between: later runs are shared, helpers are woken, a fork is not held up."""

    class StopHereError(Exception):
        pass

    def interrupt(*_: Any) -> None:
        raise StopHereError

    with team_of(3):
        program, counts = counting(stages=2, items=4, length=50)
        program()  # the team is there
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            for number in range(3000):
                with contextlib.suppress(StopHereError):
                    signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + number % 40))
                    for _ in range(1000):
                        program()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        monkeypatch.setattr(team, "STALL_SECONDS", 1e9)
        current = team.team()
        current._alone_until = 0.0
        assert (counts == counts[0, 0, 0]).all()
        assert current.words[walk.TEAM_LED] == walk.LED_BY_NOBODY
        assert current.run(program._shared)
        time.sleep(0.05)
        for helper in current._helpers:
            assert current.words[helper._asleep]
            helper.wake()
        deadline = time.monotonic() + 5
        while any(current.words[helper._asleep] for helper in current._helpers) and time.monotonic() < deadline:
            current.run(program._shared)
        assert time.monotonic() < deadline


def test_where_no_thread_can_be_started_the_caller_does_all(monkeypatch):
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with team_of(3):
        monkeypatch.setattr(threading.Thread, "start", refuse)
        program, counts = counting(stages=2, items=4)
        program()
        monkeypatch.undo()
        assert team.team().threads == 1
        program()
        assert (counts == 2).all()


def test_a_program_that_became_slower_for_good_is_shared_again():
    with team_of(2):
        program, _ = counting(stages=2, items=2)
        program()
        current = team.team()
        assert program._shared is not None
        seconds = 100 * program._shared.quickest + team.STALL_SECONDS
        for _ in range(200):
            current._alone_until = 0.0
            current._judge(program._shared, seconds)
        assert current._alone_until == 0.0


def test_no_helpers_on_a_busy_machine_for_a_while(monkeypatch):
    """A run that takes long has waited for a thread without a core, so the next ones are run alone."""
    with team_of(2):
        program, counts = counting(stages=2, items=2)
        program()
        current = team.team()
        lead = current._lead
        monkeypatch.setattr(current, "_lead", lambda *arguments: (time.sleep(0.01), lead(*arguments)))
        program()
        monkeypatch.setattr(current, "_lead", lambda *arguments: pytest.fail("run together"))
        program()
        assert (counts == 3).all()
        monkeypatch.setattr(current, "_lead", lead)
        time.sleep(team.ALONE_SECONDS)
        assert current.run(program._shared)


def test_time_alone_grows_while_the_machine_stays_busy():
    with team_of(2):
        program, _ = counting(stages=2, items=2)
        program()
        current = team.team()
        seen = []
        for _ in range(10):
            current._judge(program._shared, 1.0)
            seen.append(current._alone_seconds)
        assert seen[0] == team.ALONE_SECONDS
        assert seen[1] == 2 * team.ALONE_SECONDS
        assert seen[-1] == team.MOST_ALONE_SECONDS


def test_threads_that_help_are_as_many_as_parts_at_most():
    with team_of(100):
        assert team.team().threads == team.MOST_PARTS


@pytest.fixture
def asked_anew(monkeypatch):
    """How many threads, with no variable set and no share of the time."""
    for name in ("NNBACKEND_THREADS", *cores.LIMITS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cores, "_GROUPS", ())
    monkeypatch.setattr(cores, "_cores", lambda: 6)
    return cores.thread_count.__wrapped__


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, 6),
        ({"NNBACKEND_THREADS": "2"}, 2),
        ({"NNBACKEND_THREADS": "12", "OMP_NUM_THREADS": "1"}, 12),
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "4"}, 1),
        ({"OMP_NUM_THREADS": "64"}, 6),
        *(({"NNBACKEND_THREADS": odd}, 6) for odd in ("0", "-1", "two", "", "1.5", "²")),
        *(({"OMP_NUM_THREADS": odd}, 6) for odd in ("0", "4,2", "")),
    ],
)
def test_how_many_threads(asked_anew, monkeypatch, variables, wanted):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert asked_anew() == wanted


@pytest.mark.parametrize(
    ("contents", "wanted"),
    [
        (["max 100000"], 6),
        (["200000 100000"], 2),
        (["50000 100000"], 1),
        (["250000", "100000"], 2),
        (["-1", "100000"], 6),
        (["nonsense"], 6),
        (["100000 0"], 6),
    ],
)
def test_a_containers_share_of_the_time(asked_anew, monkeypatch, tmp_path, contents, wanted):
    for place in (tmp_path, tmp_path / "user.slice" / "a job"):  # a quota on a group, or on one above it
        place.mkdir(parents=True, exist_ok=True)
        names = [f"part{number}" for number in range(len(contents))]
        for name, text in zip(names, contents, strict=True):
            (place / name).write_text(f"{text}\n")
        own = tmp_path / "own"
        own.write_text("0::/user.slice/a job\n")
        monkeypatch.setattr(cores, "_OWN_GROUPS", own)
        monkeypatch.setattr(cores, "_GROUPS", ((tmp_path, names), (tmp_path / "missing", ["cpu.max"])))
        assert asked_anew() == wanted
        for name in names:
            (place / name).unlink()
    monkeypatch.setattr(cores, "_OWN_GROUPS", tmp_path / "missing")
    assert asked_anew() == 6


TRAIN = """
import nnbackend as nn
from nnbackend.kernels.cpu import link
link.PARALLEL_WORK = 1
X, y = nn.datasets.spiral(samples=100, classes=3, seed=0)
def losses():
    model = nn.Model([nn.Dense(2, 16), nn.ReLU(), nn.Dense(16, 3), nn.Softmax()],
                     loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.05), seed=0)
    return model.train(X, y, epochs=50, print_every=0)["loss"]
first = losses()
"""


def python(code: str) -> str:
    """What a fresh interpreter prints, which must end by itself and without a word."""
    result = subprocess.run(
        [sys.executable, "-c", TRAIN + code],
        cwd=Path(nn.__file__).parent.parent,
        env={**os.environ, "NNBACKEND_THREADS": "4"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.strip()


def test_the_process_ends_while_helpers_are_awake():
    for _ in range(3):
        assert python("print(len(first))") == "50"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_process_has_a_team_of_its_own():
    code = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")  # the parent has threads, that is the point
busy = threading.Thread(target=lambda: [losses() for _ in range(20)])
busy.start()
children = []
for _ in range(10):
    child = os.fork()
    if child == 0:
        os._exit(0 if list(losses()) == list(first) else 1)
    children.append(child)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
busy.join()
assert list(losses()) == list(first)
print("done")
"""
    assert python(code) == "done"


def test_words_begin_cache_lines():
    for count in (1, 2, 5):
        words = team.lines(count)
        assert len(words) == count * walk.LINE
        assert words.ctypes.data % (8 * walk.LINE) == 0
        assert not words.any()


def test_a_team_says_nothing_when_it_cannot_be_asked_to_stop_twice():
    with team_of(2):
        program, _ = counting(stages=2, items=2)
        program()
        team.team().stop()
        team.team().stop()
        program()  # runs: the thread that calls needs nobody


def test_programs_of_one_item_a_stage_are_not_shared() -> None:
    with team_of(2):
        program, counts = counting(stages=4, items=1)
        program()
        assert program._shared is None
        assert (counts == 1).all()


def test_two_models_trained_in_two_threads_learn_what_they_learn_alone(monkeypatch: Any) -> None:
    from nnbackend.kernels.cpu import link

    monkeypatch.setattr(link, "PARALLEL_WORK", 1)
    X, y = nn.datasets.spiral(samples=50, classes=3, seed=0)

    def losses(seed: int) -> list[float]:
        model = nn.Model(
            [nn.Dense(2, 32), nn.ReLU(), nn.Dense(32, 3), nn.Softmax()],
            loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.05), seed=seed,
        )  # fmt: skip
        return list(model.train(X, y, epochs=60, print_every=0)["loss"])

    with team_of(3):
        alone = [losses(seed) for seed in range(4)]
        beside: dict[int, list[float]] = {}
        runners = [threading.Thread(target=lambda seed=seed: beside.update({seed: losses(seed)})) for seed in range(4)]
        for runner in runners:
            runner.start()
        for runner in runners:
            runner.join()
    assert [beside[seed] for seed in range(4)] == alone


def test_there_is_one_team_however_many_ask_first():
    with team_of(2):
        found: list[team.Team] = []
        runners = [threading.Thread(target=lambda: found.append(team.team())) for _ in range(20)]
        for runner in runners:
            runner.start()
        for runner in runners:
            runner.join()
        assert len(set(map(id, found))) == 1
