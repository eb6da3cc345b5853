"""Counter-based random numbers, the same integers on every backend.

Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011) turns a 128-bit
counter and a 64-bit key into four 32-bit words, with integer arithmetic alone. Here the key is the seed and the counter
says what the numbers are for:

    counter = (block of four elements, stream, step mod 2^32, step div 2^32)

so any element of any draw can be computed by itself, in any order, on any device. Masks and shuffles are decided by
comparing integers and cannot differ by rounding. Normal numbers need `log` and `cos`, which do round differently from
one library to the next; they are drawn on the host, by NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10

# The stream of shuffled orders; the streams of layers are their positions in the model.
SHUFFLE_STREAM = _WORD


def philox4x32(xp: Any, counter: Sequence[Any], key: int) -> tuple[Any, Any, Any, Any]:
    """Four 32-bit words from each counter, held in uint64 arrays.

    `counter` is four uint64 arrays that broadcast together, each below 2^32; `key` a Python integer below 2^64. One
    round multiplies the first and third word by a constant into 64 bits and mixes the halves with the others:

        (c0, c1, c2, c3) -> (hi(M1 c2) ^ c1 ^ k0,  lo(M1 c2),  hi(M0 c0) ^ c3 ^ k1,  lo(M0 c0))
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key & _WORD, key >> 32
    for _ in range(ROUNDS):
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (product1 >> 32) ^ c1 ^ k0, product1 & _WORD, (product0 >> 32) ^ c3 ^ k1, product0 & _WORD
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    return c0, c1, c2, c3


def random_words(xp: Any, count: int, *, key: int, stream: int, step: Any) -> Any:
    """`count` words in a uint64 array, each below 2^32; element i is word i mod 4 of the counter's block i div 4.

    `step` is an int64 array of one element, so that it can change from one replay of a compiled step to the next.
    """
    blocks = xp.arange(-(-count // 4), dtype=xp.uint64)
    step = step.astype(xp.uint64)
    counter = (blocks, xp.full(1, stream, dtype=xp.uint64), step & _WORD, step >> 32)
    return xp.stack(xp.broadcast_arrays(*philox4x32(xp, counter, key)), axis=1).reshape(-1)[:count]


def host_generator(seed: int, *stream: int) -> np.random.Generator:
    """NumPy's generator for one purpose of a seed. It leaves NumPy's global random state alone."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, *stream))))


class Random:
    """The random numbers of one seed on one backend: `xp.rng(seed)`.

    Every method takes a `stream` (what the numbers are for) and a `step` (when), and gives the same integers on every
    backend; nothing is remembered between calls.

    >>> import nnbackend as nn
    >>> xp = nn.get_backend("cpu")
    >>> xp.rng(0).permutation(5).tolist() == xp.rng(0).permutation(5).tolist()
    True
    """

    def __init__(self, xp: Any, seed: int) -> None:
        self.xp = xp
        self.seed = seed

    def words(self, count: int, *, stream: int = 0, step: int = 0) -> Any:
        """`count` uniform 32-bit integers, as a uint32 array."""
        with self.xp.device_scope:
            return self._words(count, stream, step).astype(self.xp.uint32)

    def uniform(self, shape: Sequence[int], *, stream: int = 0, step: int = 0) -> Any:
        """Uniform numbers in [0, 1): multiples of 2^-24, exact in float32 and float64."""
        with self.xp.device_scope:
            words = self._words(math.prod(shape), stream, step)
            return ((words >> 8).astype(self.xp.dtype) * 2.0**-24).reshape(tuple(shape))

    def permutation(self, count: int, *, step: int = 0) -> Any:
        """The numbers 0 to count - 1 in random order, as an index array: they are sorted by 64-bit random keys.

        A key's last bits make way for its number, which sorting then brings along: quicker than to sort numbers by keys.
        """
        xp, bits = self.xp, max(1, (count - 1).bit_length())
        with xp.device_scope:
            words = self._words(2 * count, SHUFFLE_STREAM, step)
            keys = (words[0::2] << 32) | words[1::2]
            keys = ((keys >> bits) << bits) | xp.arange(count, dtype=xp.uint64)
            return (xp.sort(keys) & (2**bits - 1)).astype(xp.index_dtype)

    def normal(self, shape: Sequence[int], *, stream: int = 0) -> Any:
        """Standard normal numbers, drawn on the host in float64 and brought in: the same to the bit everywhere."""
        return self.xp.asarray(host_generator(self.seed, stream).standard_normal(tuple(shape)))

    def _words(self, count: int, stream: int, step: int) -> Any:
        step_array = self.xp.full(1, step, dtype=self.xp.index_dtype)
        return random_words(self.xp, count, key=self.seed, stream=stream, step=step_array)
