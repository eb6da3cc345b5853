"""Recorded steps as programs: the order of what matters is kept, the bits are the same in every run, nothing is allocated; and
what happens without Numba, or without a folder for its cache."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnbackend as nn
from nnbackend.batches import Batches
from nnbackend.passes import Pass, Records

pytest.importorskip("numba", reason="the CPU kernels need Numba: pip install '.[jit]'")

from nnbackend.kernels.cpu import link, overrides
from nnbackend.kernels.cpu.compile import Loop, Step
from tests.teams import team_of

OVERRIDES = overrides()
ROWS, COLUMNS = 23, 3


def model(**settings: Any) -> nn.Model:
    """A network with everything that has a kernel of its own: narrow and other products, penalties, dropout."""
    return nn.Model(
        [
            nn.Dense(2, 40, weight_regularizer=nn.L1L2(1e-4, 5e-4), bias_regularizer=nn.L2(5e-4)),
            *(nn.ReLU(), nn.Dropout(0.1), nn.Dense(40, 20), nn.ReLU(), nn.Dense(20, 3), nn.Softmax()),
        ],
        loss=nn.CategoricalCrossentropy(),
        optimizer=nn.Adam(0.02, decay=5e-7),
        seed=3,
        **settings,
    )


DATA = nn.datasets.spiral(samples=100, classes=3, seed=0)


# -- order -------------------------------------------------------------------------------------------------------------

# Ops on arrays of one pool: which arrays they read and write is drawn.
POOL_OPS = st.one_of(
    st.tuples(st.just("relu"), st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.just("multiply"), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.just("softmax"), st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.just("biases_gradient"), st.integers(0, 3), st.integers(0, 1)),
    st.tuples(st.just("relu_biases_gradient"), *[st.integers(0, 3)] * 3, st.integers(0, 1)),
    st.tuples(st.just("dense"), st.integers(0, 3), st.integers(0, 1), st.integers(0, 1), st.integers(0, 3)),
    st.tuples(st.just("weights_gradient"), st.integers(0, 3), st.integers(0, 3), st.integers(0, 1)),
    st.tuples(st.just("penalty_gradient"), st.integers(0, 1), st.integers(0, 1)),
)


class Pool:
    """Matrices of samples, of weights and of biases that ops are applied to."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.samples = [rng.random((ROWS, COLUMNS)) for _ in range(4)]
        self.weights = [rng.random((COLUMNS, COLUMNS)) for _ in range(2)]
        self.biases = [rng.random((1, COLUMNS)) for _ in range(2)]

    def steps(self, name: str, *chosen: int) -> list[Step]:
        """The steps of an op on the arrays with these numbers."""
        samples, weights, biases = self.samples, self.weights, self.biases
        pools = {
            "relu": (samples, samples),
            "multiply": (samples, samples, samples),
            "softmax": (samples, samples),
            "biases_gradient": (samples, biases),
            "relu_biases_gradient": (samples, samples, samples, biases),
            "dense": (samples, weights, biases, samples),
            "weights_gradient": (samples, samples, weights),
            "penalty_gradient": (weights, weights),
        }[name]
        arrays = [pool[number] for pool, number in zip(pools, chosen, strict=True)]
        plan = OVERRIDES[name][0].function.plan
        if name == "penalty_gradient":
            return plan(arrays[0], l1=0.1, l2=0.2, state=arrays[1])
        if name == "relu_biases_gradient":
            return plan(*arrays[:2], out=tuple(arrays[2:]))
        return plan(*arrays[:-1], out=arrays[-1])

    @property
    def arrays(self) -> list[np.ndarray]:
        return [*self.samples, *self.weights, *self.biases]


def in_place(name: str, chosen: tuple[int, ...]) -> bool:
    """Whether an op would write into an array that it reads, which no op of a step does, apart from elementwise ones."""
    if name in ("relu", "multiply"):
        return False
    if name == "penalty_gradient":
        return chosen[0] == chosen[1]
    if name == "dense":
        return chosen[0] == chosen[3]
    return name in ("softmax", "relu_biases_gradient") and chosen[-1 if name == "softmax" else 2] in chosen[:2]


@pytest.mark.parametrize("parallel", [10**9, 1])
@given(ops=st.lists(POOL_OPS, min_size=1, max_size=12))
def test_a_program_does_what_its_steps_do_one_after_the_other(ops, parallel, monkeypatch):
    monkeypatch.setattr(link, "BLOCK_BYTES", 8 * 8 * COLUMNS)  # blocks of eight rows, and a short one
    monkeypatch.setattr(link, "PARALLEL_WORK", parallel)
    ops = [op for op in ops if not in_place(op[0], op[1:])]
    one_by_one, together = Pool(), Pool()
    for op in ops:
        for step in one_by_one.steps(*op):
            step.function(*step.arguments)
    for part in link.link_steps([step for op in ops for step in together.steps(*op)]):
        part()
    for found, wanted in zip(together.arrays, one_by_one.arrays, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, err_msg=f"{ops}")  # float64; sums are added up by blocks


def recorded(trained: nn.Model, batch_size: int | None = None) -> Pass:
    """Training that has been through its first epoch."""
    inputs, targets = trained.built.prepare(*DATA, for_training=True)
    batches = Batches(trained.xp, inputs, targets, batch_size or len(inputs))
    training = Pass(trained, batches, Records(trained.xp, 4000), trained.built.training_step)
    with trained.xp.quiet():
        training.run()
        training.run()
    return training


def program(trained: nn.Model) -> tuple[list[Any], list[Any]]:
    """What was recorded of a training step, and what is replayed."""
    (step,) = recorded(trained)._steps.values()
    return step.tape.calls, step.tape._program


def test_a_training_step_with_narrow_products_is_one_call():
    narrow = nn.Model(
        [nn.Dense(2, 64), nn.ReLU(), nn.Dropout(0.1), nn.Dense(64, 3), nn.Softmax()],
        loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(),
    )  # fmt: skip
    calls, replayed = program(narrow)
    steps = [step for call in calls for step in call.function.plan(*call.args, **call.kwargs)]
    assert all(isinstance(step.function, Loop) for step in steps)
    assert len(replayed) == 1


def test_rows_go_through_the_whole_step_in_blocks(monkeypatch):
    """From the first layer to its gradient in one section, which is cut into blocks."""
    monkeypatch.setattr(link, "BLOCK_BYTES", 64 * 64 * 4)
    monkeypatch.setattr(link, "PARALLEL_WORK", 10**9)
    narrow = nn.Model(
        [nn.Dense(2, 64), nn.ReLU(), nn.Dense(64, 3), nn.Softmax()],
        loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(),
    )  # fmt: skip
    _, (replayed,) = program(narrow)
    sections = [section for stage in replayed.stages for item in stage for section in item]
    (blocks,) = (section for section in sections if len(section.edges) > 2)
    names = [each.function.name.partition(".")[2] for each in blocks.steps]
    assert names[0] == "dense_narrow_inner"
    assert names[-1] == "weights_gradient_narrow_inner"
    assert blocks.edges.tolist() == [0, 60, 120, 180, 240, 300]


# -- the same bits -----------------------------------------------------------------------------------------------------


def trained_parameters(batch_size: int | None) -> np.ndarray:
    trained = model()
    history = trained.train(*DATA, epochs=20, batch_size=batch_size, print_every=0)
    return np.concatenate([trained.xp.to_host(trained.parameter_buffer.values), history["loss"]])


@pytest.mark.parametrize("batch_size", [None, 64])
def test_the_same_seed_gives_the_same_bits(batch_size):
    np.testing.assert_array_equal(trained_parameters(batch_size), trained_parameters(batch_size))


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    monkeypatch.setattr(link, "PARALLEL_WORK", 1000)
    results = []
    for count in (1, 2, 3, 8):
        with team_of(count):
            results.append(trained_parameters(None))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_kernels_learn_what_the_reference_learns():
    """In float64, where rounding has not grown much after ten steps from the same weights with the same masks."""
    models = [model(backend=nn.get_backend("cpu", "float64", kernels)) for kernels in ("auto", "reference")]
    fast, slow = (each.train(*DATA, epochs=10, print_every=0)["loss"] for each in models)
    np.testing.assert_allclose(fast, slow, rtol=1e-9)


@pytest.mark.parametrize("parallel", [10**9, 1])
def test_train_continues_as_if_it_had_not_been_interrupted(parallel, monkeypatch):
    """The first step after each start adds up in the same order as all others, in parts or not."""
    monkeypatch.setattr(link, "PARALLEL_WORK", parallel)
    whole, parts = model(), model()
    whole.train(*DATA, epochs=10, print_every=0)
    for _ in range(2):
        parts.train(*DATA, epochs=5, print_every=0)
    np.testing.assert_array_equal(whole.parameter_buffer.values, parts.parameter_buffer.values)


# -- memory ------------------------------------------------------------------------------------------------------------


def allocated(run: Callable[[], Any]) -> tuple[int, int]:
    """The bytes that fifty runs keep, and the most that they have on top at a time."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(50):
            run()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before, peak - before


@pytest.mark.parametrize("kernels", ["auto", "reference"])
@pytest.mark.parametrize("batch_size", [None, 100])
def test_training_keeps_no_memory_from_step_to_step(kernels, batch_size):
    """What a step allocates on top is given back: with kernels a few small objects of Python's, no array."""
    trained = model(backend=nn.get_backend("cpu", kernels=kernels))
    training = recorded(trained, batch_size)
    with trained.xp.quiet():
        kept, most = allocated(training.run)
    assert kept < 1024
    if kernels == "auto":
        assert most < 100 * 40 * 4 / 2  # half of the smallest hidden layer's output


def test_a_step_that_threads_share_allocates_no_array():
    trained = nn.Model(
        [nn.Dense(100, 128), nn.ReLU(), nn.Dense(128, 128), nn.ReLU(), nn.Dense(128, 10), nn.Softmax()],
        loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(), seed=0,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((600, 100)).astype(np.float32), rng.integers(0, 10, 600)
    with team_of(2), trained.built.computing(200):
        inputs, targets = trained.built.prepare(X, y, for_training=True)
        batches = Batches(trained.xp, inputs, targets, 200)
        training = Pass(trained, batches, Records(trained.xp, 4000), trained.built.training_step)
        training.run()
        training.run()
        kept, most = allocated(training.run)
    assert kept < 1024
    assert most < 200 * 128 * 4 / 4  # a quarter of a hidden layer's output; threads that wake take some kilobytes


# -- Numba absent, cache absent ----------------------------------------------------------------------------------------

TRAIN = """
import nnbackend as nn
X, y = nn.datasets.spiral(samples=20, classes=3, seed=0)
model = nn.Model([nn.Dense(2, 8), nn.ReLU(), nn.Dense(8, 3), nn.Softmax()],
                 loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.05), seed=0)
losses = model.train(X, y, epochs=30, print_every=0)["loss"]
model.forward(model.xp.asarray(X, dtype=model.xp.dtype))
assert losses[-1] < losses[0]
print(len(model.xp.ops.relu.overrides))
"""


def python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=Path(nn.__file__).parent.parent,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_without_numba_the_reference_runs():
    assert python(f"import sys; sys.modules['numba'] = None\n{TRAIN}") == "0"


def test_numba_is_imported_for_a_cpu_backend_with_kernels_and_not_before():
    code = (
        "import sys, nnbackend as nn; nn.get_backend('cpu', kernels='reference'); assert 'numba' not in sys.modules; "
    )
    assert python(code + "nn.get_backend('cpu'); print('numba' in sys.modules)") == "True"


def test_no_folder_for_a_cache_means_no_caching():
    code = "import numba.core.caching as caching; caching.CacheImpl._locator_classes = []\n"
    assert python(code + TRAIN) == "1"


def test_a_cache_that_cannot_be_written_means_no_caching(tmp_path):
    code = (
        "import numba.core.caching as caching\n"
        "def full(*arguments): raise OSError(28, 'No space left on device')\n"
        "caching.Cache.save_overload = full\n"
    )
    assert python(code + TRAIN, NUMBA_CACHE_DIR=str(tmp_path)) == "1"
    assert not list(tmp_path.rglob("*.nbc"))


def test_what_was_compiled_is_found_again(tmp_path):
    """A second process compiles nothing: its cache has all it needs."""
    python(TRAIN, NUMBA_CACHE_DIR=str(tmp_path))
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}
    assert len(files) > 10
    python(TRAIN, NUMBA_CACHE_DIR=str(tmp_path))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")} == files
