"""The compiled code that runs a program: down a list of entry points, and through stages that several threads share.

Addresses are integers here. What lies at them is laid out below; `team.py` and `program.py` fill it in.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .atomics import add, give_way, load, pause, replace, store
from .compile import helper
from .entry import KernelType, for_c

LINE = 8  # words in a cache line: what two threads write to lies in two of them

# A team: how many programs were run, which now (0: none), who runs it (LED_BY_...), the system's function for giving way, whether
# to stop, how many threads there are. Then a line for each helper: the program it looks at, whether it sleeps, and how many
# programs it has seen run.
TEAM_CALLS, TEAM_PROGRAM, TEAM_LED = 0, LINE, 2 * LINE
TEAM_YIELD, TEAM_STOP, TEAM_THREADS = 3 * LINE, 3 * LINE + 1, 3 * LINE + 2
TEAM_HELPERS = 4 * LINE
HELPER_PROGRAM, HELPER_ASLEEP, HELPER_SEEN = 0, 1, 2
LED_BY_NOBODY, LED_BY_A_RUN, LED_BY_A_FORK = 0, 1, 2

# A program: the number of its run under way, and how many stages follow. A stage: how many items it has, where their code is
# (for each the length and the address of a list of entry points and blocks), where the line of the first item is that says in
# which run it was taken last, and where the word is that counts how many were ever done.
PROGRAM_RUN, PROGRAM_STAGES, PROGRAM_FIRST = 0, LINE, 2 * LINE
STAGE_ITEMS, STAGE_CODE, STAGE_TAKEN, STAGE_DONE, STAGE_WORDS = 0, 1, 2, 3, 4

# A waiting thread pauses so many times, some ten microseconds, and then gives way to others whenever it looks. A helper
# that has looked so often for the next program in vain goes to sleep, after a tenth of a millisecond or two.
PAUSES = 300
LOOKS = 600


@intrinsic
def _call(typing_context, entry, block):  # type: ignore[no-untyped-def]
    """Call the entry point at an address."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        pointer = context.get_value_type(types.voidptr)
        function = ir.FunctionType(ir.VoidType(), [pointer, ir.IntType(64)]).as_pointer()
        builder.call(builder.inttoptr(values[0], function), [ir.Constant(pointer, None), values[1]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@helper()
def _word(address: int, number: int) -> int:
    """A word behind an address."""
    return load(address + 8 * number)


@helper()
def _run(length: int, code: int) -> None:
    """Call so many entry points, one after the other."""
    for position in range(length):
        _call(_word(code, 2 * position), _word(code, 2 * position + 1))


@helper()
def _wait(looked: int, yielding: int) -> int:
    """Between two looks at a word."""
    if looked < PAUSES:
        pause()
    else:
        give_way(yielding)
    return looked + 1


@helper()
def _walk(team: int, program: int, run: int, member: int) -> None:
    """Take part in a run of a program. Member 0 is who called, and does what has only one item."""
    threads, yielding = _word(team, TEAM_THREADS), _word(team, TEAM_YIELD)
    for number in range(_word(program, PROGRAM_STAGES)):
        stage = program + 8 * (PROGRAM_FIRST + STAGE_WORDS * number)
        items, code = _word(stage, STAGE_ITEMS), _word(stage, STAGE_CODE)
        taken, done = _word(stage, STAGE_TAKEN), _word(stage, STAGE_DONE)
        if items == 1:
            if member == 0:
                _run(_word(code, 0), _word(code, 1))
                store(done, run)
        else:
            # At first every thread takes each so-manieth item: the largest come first, so that is fair, and mostly the same
            # items go to the same thread, whose cache has their arrays. Then it takes what others have not got round to.
            for turn in range(threads):
                for item in range((member + turn) % threads, items, threads):
                    mark = taken + 8 * LINE * item
                    # whoever puts this run's number in the place of the last one's has taken the item
                    if load(mark) == run - 1 and replace(mark, run - 1, run):
                        _run(_word(code, 2 * item), _word(code, 2 * item + 1))
                        add(done, 1)
        looked = 0
        while load(done) < run * items:
            looked = _wait(looked, yielding)


def _run_alone(kernel, length, code):  # type: ignore[no-untyped-def]
    _run(length, code)
    return 0


def _lead(kernel, team, program):  # type: ignore[no-untyped-def]
    """Run a program with whoever joins in; 0 where somebody else is running one.

    All of it is in here, where no signal of Python's can come in between. When it returns, no helper looks at the program, all
    its items are done, and all marks bear this run's number: a helper that is late can take nothing.
    """
    if not replace(team + 8 * TEAM_LED, LED_BY_NOBODY, LED_BY_A_RUN):
        return 0
    run = _word(program, PROGRAM_RUN) + 1
    store(program + 8 * PROGRAM_RUN, run)
    store(team + 8 * TEAM_PROGRAM, program)
    add(team + 8 * TEAM_CALLS, 1)
    _walk(team, program, run, 0)
    store(team + 8 * TEAM_PROGRAM, 0)
    for number in range(_word(team, TEAM_THREADS) - 1):
        own, looked = team + 8 * (TEAM_HELPERS + LINE * number), 0
        while _word(own, HELPER_PROGRAM) == program:
            looked = _wait(looked, _word(team, TEAM_YIELD))
    store(team + 8 * TEAM_LED, LED_BY_NOBODY)
    return 1


def _help(kernel, team, member):  # type: ignore[no-untyped-def]
    """Join in whatever program is run, until there is none for a while."""
    own = team + 8 * (TEAM_HELPERS + LINE * (member - 1))
    store(own + 8 * HELPER_ASLEEP, 0)
    seen, looked = _word(own, HELPER_SEEN), 0
    while looked < LOOKS and _word(team, TEAM_STOP) == 0:
        calls = _word(team, TEAM_CALLS)
        if calls == seen:
            looked = _wait(looked, _word(team, TEAM_YIELD))
            continue
        seen, looked = calls, 0
        # Say at which program it looks, and see whether it is still the one; `_lead` does the same two things in the other
        # order before it returns, so what is read here is never freed.
        program = _word(team, TEAM_PROGRAM)
        store(own + 8 * HELPER_PROGRAM, program)
        if program != 0 and _word(team, TEAM_PROGRAM) == program:
            _walk(team, program, _word(program, PROGRAM_RUN), member)
        store(own + 8 * HELPER_PROGRAM, 0)
    store(own + 8 * HELPER_SEEN, seen)
    store(own + 8 * HELPER_ASLEEP, 1)
    return 0


def _pass_on(kernel, team, words):  # type: ignore[no-untyped-def]
    """Who leads: from whom, in the upper half of `words`, to whom, in the lower; 0 where it was not the one."""
    return 1 if replace(team + 8 * TEAM_LED, words >> 32, words & 0xFFFFFFFF) else 0


@functools.cache
def _for_python(function: Callable[..., Any]) -> Callable[[None, int, int], int]:
    """The function for Python to call; it lets go of the interpreter's lock meanwhile."""
    compiled = for_c(function, types.int64(KernelType("", ()), types.int64, types.int64))
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(compiled.address)
    call.compiled = compiled  # type: ignore[attr-defined]  # keeps the code
    return call


def run_alone() -> Callable[[None, int, int], int]:
    """(length, address of a list of entry points and blocks): call them one after the other."""
    return _for_python(_run_alone)


def lead() -> Callable[[None, int, int], int]:
    """(team, program): run the program; 0 where the team is running another."""
    return _for_python(_lead)


def join_in() -> Callable[[None, int, int], int]:
    """(team, number of the helper): help until nothing is run for a while."""
    return _for_python(_help)


def pass_on() -> Callable[[None, int, int], int]:
    """(team, from << 32 | to): make somebody else the leader; 0 where it was another than `from`."""
    return _for_python(_pass_on)
