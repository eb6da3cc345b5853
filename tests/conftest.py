"""On which backends the tests run, and how Hypothesis looks for examples.

A test that takes `xp` runs once on each backend: `cpu` (faster kernels where there are some), `cpu-reference` (none),
`strict` (the pretend GPU) and `gpu`. `xp` is float32, the library's default; `xp64` is float64, and `xp_any` is both in
turn. The GPU's tests skip with the reason why there is none.

    pytest                          all backends
    pytest --backends cpu,strict    these only
    pytest --require-gpu            a GPU that does not work is a failure, not a skip
"""

from __future__ import annotations

import functools
import os
import signal

import hypothesis
import pytest

import nnbackend as nn
from tests import helpers

# Name of a backend in the tests: the arguments of `get_backend`.
BACKENDS = {
    "cpu": {"name": "cpu"},
    "cpu-reference": {"name": "cpu", "kernels": "reference"},
    "strict": {"name": "strict"},
    "gpu": {"name": "gpu"},
}

# The fixture: its dtypes.
FIXTURES = {"xp": ("float32",), "xp64": ("float64",), "xp_any": ("float32", "float64")}

# One object serves all examples of a test, so a fixture that is made once for them is what we want. No database and no
# deadline: the same examples on every machine, however slow and busy it is.
_COMMON = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.function_scoped_fixture]}
hypothesis.settings.register_profile("ci", derandomize=True, database=None, max_examples=20, **_COMMON)
hypothesis.settings.register_profile("search", max_examples=1000, **_COMMON)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backends", default=",".join(BACKENDS), help=f"run on these backends only, of {','.join(BACKENDS)}"
    )
    parser.addoption("--require-gpu", action="store_true", help="fail, instead of skipping, where no GPU works")


def pytest_configure(config: pytest.Config) -> None:
    if unknown := set(selected(config)) - set(BACKENDS):
        raise pytest.UsageError(f"--backends: unknown backend {min(unknown)!r}, expected some of {', '.join(BACKENDS)}")
    if config.getoption("--require-gpu") and "gpu" not in selected(config):
        raise pytest.UsageError("--require-gpu: gpu is missing from --backends")
    # A shell's background job ignores Ctrl-C, and so would the commands that tests start there and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def selected(config: pytest.Config) -> list[str]:
    """The backends that were asked for, in the order of `BACKENDS`."""
    asked = config.getoption("--backends").split(",")
    return [*(name for name in BACKENDS if name in asked), *(name for name in asked if name not in BACKENDS)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, dtypes in FIXTURES.items():
        if fixture in metafunc.fixturenames:
            parameters = [
                pytest.param(
                    (name, dtype),
                    id=name if len(dtypes) == 1 else f"{name}-{dtype}",
                    marks=[pytest.mark.gpu] if name == "gpu" else [],
                )
                for name in selected(metafunc.config)
                for dtype in dtypes
            ]
            metafunc.parametrize(fixture, parameters, indirect=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `gpu` where no GPU works, or fail it where one is required."""
    if item.get_closest_marker("gpu") and (reason := why_no_gpu()):
        if item.config.getoption("--require-gpu"):
            pytest.fail(f"--require-gpu: {reason}", pytrace=False)
        pytest.skip(reason)


@functools.cache
def why_no_gpu() -> str:
    """Why no GPU works here, or nothing if one does. Asked once: the probe runs a kernel."""
    try:
        nn.get_backend("gpu")
    except nn.BackendError as error:
        return str(error)
    return ""


@pytest.fixture
def xp(request: pytest.FixtureRequest):
    """A backend in float32."""
    yield from _backend(request)


@pytest.fixture
def xp64(request: pytest.FixtureRequest):
    """A backend in float64."""
    yield from _backend(request)


@pytest.fixture
def xp_any(request: pytest.FixtureRequest):
    """A backend in float32, and again in float64."""
    yield from _backend(request)


def _backend(request: pytest.FixtureRequest):
    name, dtype = request.param
    backend = nn.get_backend(**BACKENDS[name], dtype=dtype)
    with helpers.expecting_arrays_of(backend):
        yield backend
