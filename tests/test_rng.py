"""Random numbers: the published words, the same on every backend, and random enough."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnbackend as nn
from nnbackend import rng
from tests import helpers

# Random123's kat_vectors, "philox4x32 10": the counter as (block, stream, step), the key, and the four words.
KNOWN_ANSWERS = [
    (0, 0, 0, 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (0xFFFFFFFF, 0xFFFFFFFF, 2**64 - 1, 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (  # the digits of pi
        0x243F6A88,
        0x85A308D3,
        0x0370734413198A2E,
        0x299F31D0A4093822,
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("block", "stream", "step", "key", "words"), KNOWN_ANSWERS)
def test_philox_gives_the_published_words(xp, block, stream, step, key, words):
    counter = [xp.full(1, part, dtype="uint64") for part in (block, stream, step & 0xFFFFFFFF, step >> 32)]
    found = rng.philox4x32(xp, counter, key)
    assert [int(helpers.host(word)[0]) for word in found] == list(words)


def test_an_element_is_a_word_of_its_block(xp):
    settings = {"key": 2**63 + 17, "stream": 5, "step": xp.full(1, 2**33 + 1, dtype="int64")}
    words = helpers.host(rng.random_words(xp, 11, **settings))
    for element in (0, 3, 4, 10):
        counter = [xp.full(1, part, dtype="uint64") for part in (element // 4, 5, 1, 2)]
        assert words[element] == helpers.host(rng.philox4x32(xp, counter, 2**63 + 17)[element % 4])[0]


@given(
    count=st.integers(0, 50),
    key=st.integers(0, 2**64 - 1),
    stream=st.integers(0, 2**32 - 1),
    step=st.integers(0, 2**62),
)
def test_every_backend_draws_the_same(xp, count, key, stream, step):
    """To the bit: words, uniform numbers, shuffled orders and normal numbers."""
    here, host = xp.rng(key), nn.get_backend("cpu", kernels="reference").rng(key)
    settings = {"stream": stream, "step": step}
    helpers.assert_same(here.words(count, **settings), host.words(count, **settings))
    helpers.assert_same(here.uniform((count, 2), **settings), host.uniform((count, 2), **settings))
    helpers.assert_same(here.permutation(count, step=step), host.permutation(count, step=step))
    helpers.assert_same(here.normal((count,), stream=stream), host.normal((count,), stream=stream))


@given(count=st.integers(0, 200), seed=st.integers(0, 2**64 - 1), step=st.integers(0, 100))
def test_a_permutation_holds_every_number_once(xp, count, seed, step):
    order = xp.rng(seed).permutation(count, step=step)
    assert order.dtype == xp.index_dtype
    helpers.assert_same(xp.sort(order), np.arange(count))


def test_permutations_differ_by_step_and_seed(xp):
    orders = [xp.rng(seed).permutation(100, step=step) for seed in (0, 1) for step in (0, 1, 2)]
    assert len({tuple(helpers.host(order).tolist()) for order in orders}) == 6


def test_every_place_of_a_permutation_is_equally_likely():
    """The number that comes first, in 4,000 shuffles of 5: 800 each, with a standard deviation of 25."""
    draw = nn.get_backend("cpu").rng(0).permutation
    first = [int(draw(5, step=step)[0]) for step in range(4000)]
    assert np.abs(np.bincount(first, minlength=5) - 800).max() < 5 * 25


def test_uniform_numbers_are_uniform(xp):
    """100,000 numbers: means, variances and correlations within five standard deviations."""
    count = 100_000
    numbers = helpers.host(xp.rng(1).uniform((count,))).astype(np.float64)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert abs(numbers.mean() - 1 / 2) < 5 * (1 / 12 / count) ** 0.5
    assert abs(numbers.var() - 1 / 12) < 5 * (1 / 180 / count) ** 0.5
    counts = np.bincount((numbers * 64).astype(int), minlength=64)
    chi_squared = ((counts - count / 64) ** 2 / (count / 64)).sum()
    assert abs(chi_squared - 63) < 5 * (2 * 63) ** 0.5
    for lag in (1, 2, 3, 4, 64):
        assert abs(np.corrcoef(numbers[:-lag], numbers[lag:])[0, 1]) < 5 / count**0.5


def test_every_bit_is_set_half_of_the_time(xp):
    words = helpers.host(xp.rng(2).words(40_000))
    bits = (words[:, None] >> np.arange(32, dtype=np.uint32)) & 1
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 5 * 0.5 / 40_000**0.5


def test_streams_steps_and_seeds_are_independent(xp):
    def numbers(seed: int, stream: int, step: int) -> np.ndarray:
        return helpers.host(xp.rng(seed).uniform((20_000,), stream=stream, step=step)).astype(np.float64)

    draws = [
        numbers(0, 0, 0),
        numbers(0, 0, 1),
        numbers(0, 0, 2**32),
        numbers(0, 1, 0),
        numbers(1, 0, 0),
        numbers(2**32, 0, 0),
    ]
    correlations = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlations).max() < 5 / 20_000**0.5


def test_normal_numbers_are_normal(xp):
    numbers = helpers.host(xp.rng(3).normal((100_000,))).astype(np.float64)
    assert abs(numbers.mean()) < 5 / 100_000**0.5
    assert abs(numbers.std() - 1) < 5 / 200_000**0.5
    assert abs((numbers**3).mean()) < 5 * (15 / 100_000) ** 0.5


def test_nothing_is_remembered_between_draws(xp):
    random = xp.rng(4)
    first = random.uniform((5,))
    random.permutation(10)
    helpers.assert_same(random.uniform((5,)), helpers.host(first))


def test_numpys_global_state_is_left_alone():
    before = np.random.get_state()[1].copy()
    random = nn.get_backend("cpu").rng(None)
    random.normal((3,))
    random.permutation(3)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "0", True, np.float64(1)])
def test_a_seed_that_is_none_is_refused(xp, seed):
    with pytest.raises(ValueError, match=r"expected an integer from 0 to 2\*\*64 - 1"):
        xp.rng(seed)


@pytest.mark.parametrize("seed", [0, 2**64 - 1, np.int64(3), np.uint64(2**64 - 1)])
def test_seeds_at_the_ends_are_taken(xp, seed):
    assert xp.rng(seed).seed == int(seed)
    assert type(xp.rng(seed).seed) is int
    xp.rng(seed).words(3)


def test_without_a_seed_entropy_is_fresh(xp):
    assert len({xp.rng(None).seed for _ in range(5)}) == 5
