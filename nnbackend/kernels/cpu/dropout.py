"""Dropout, which draws its own numbers: Philox4x32-10, word for word those of `rng.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .compile import Step, helper, loop
from .plan import fast, flat

# How many blocks of four words are drawn at a time: their 4 KiB stay in the nearest cache.
CHUNK = 256

# What is added to the two words of the key from round to round.
W0, W1 = 0x9E3779B9, 0xBB67AE85


@helper()
def _round(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """One round of Philox4x32 on 32-bit words."""
    half = np.uint64(32)
    product_0, product_1 = np.uint64(c0) * np.uint64(0xD2511F53), np.uint64(c2) * np.uint64(0xCD9E8D57)
    high_0, high_1 = np.uint32(product_0 >> half), np.uint32(product_1 >> half)
    return high_1 ^ c1 ^ np.uint32(k0), np.uint32(product_1), high_0 ^ c3 ^ np.uint32(k1), np.uint32(product_0)


@helper()
def _five_rounds(words: Any, count: Any, k0: Any, k1: Any) -> None:
    """Five rounds on the first `count` columns of words, written out: so the compiler vectorizes; ten are too many for it."""
    for i in range(count):
        c0, c1, c2, c3 = words[0, i], words[1, i], words[2, i], words[3, i]
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0 + W0, k1 + W1)
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0 + 2 * W0, k1 + 2 * W1)
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0 + 3 * W0, k1 + 3 * W1)
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0 + 4 * W0, k1 + 4 * W1)
        words[0, i], words[1, i], words[2, i], words[3, i] = c0, c1, c2, c3


@helper()
def _draw(words: Any, count: Any, block: Any, stream: Any, step: Any, key_0: Any, key_1: Any) -> None:
    """words = the random words of `count` blocks from number `block`"""
    low, high = np.uint32(step), np.uint32(step >> 32)
    for column in range(count):
        words[0, column] = np.uint32(block + column)
        words[1, column] = np.uint32(stream)
        words[2, column] = low
        words[3, column] = high
    _five_rounds(words, count, key_0, key_1)
    _five_rounds(words, count, key_0 + 5 * W0, key_1 + 5 * W1)


@loop(rows="inputs first output mask", writes="output mask")
def dropout_loop(
    inputs: Any,
    first: Any,
    columns: Any,
    step: Any,
    key_0: Any,
    key_1: Any,
    stream: Any,
    threshold: Any,
    kept: Any,
    output: Any,
    mask: Any,
) -> None:
    """mask = kept where the element's random word is at least `threshold`, else 0; output = inputs · mask

    `first` holds the numbers of the rows: an element is number row · columns + column, and its word number that mod 4
    of the block that div 4.
    """
    scale, zero = inputs.dtype.type(kept), inputs.dtype.type(0)
    least, size, begin = np.uint64(threshold), mask.size, first[0] * columns
    words = np.empty((4, CHUNK), np.uint32)
    place = 0
    while place < size:
        block, skipped, left = (begin + place) // 4, (begin + place) % 4, size - place
        whole = 0 if skipped else min(CHUNK, left // 4)
        _draw(words, max(1, whole), block, stream, step[0], key_0, key_1)
        part = mask[place : place + 4 * whole]
        for i in range(whole):
            part[4 * i] = scale if words[0, i] >= least else zero
            part[4 * i + 1] = scale if words[1, i] >= least else zero
            part[4 * i + 2] = scale if words[2, i] >= least else zero
            part[4 * i + 3] = scale if words[3, i] >= least else zero
        place += 4 * whole
        if not whole:  # a block that reaches over the begin or the end
            for word in range(skipped, min(4, skipped + left)):
                mask[place] = scale if words[word, 0] >= least else zero
                place += 1
    for i in range(size):
        output[i] = inputs[i] * mask[i]


@loop(rows="left right out", writes="out")
def multiply_loop(left: Any, right: Any, out: Any) -> None:
    """out = left · right"""
    for i in range(left.size):
        out[i] = left[i] * right[i]


@fast("*, 1:int -> *, *")
def dropout(inputs: Any, step: Any, *, rate: float, key: int, stream: int, out: Any) -> list[Step]:
    """output = inputs · mask, where mask is 1 / (1 - rate) with probability 1 - rate, else 0"""
    settings = key & 0xFFFFFFFF, key >> 32, stream, round(rate * 2**32), 1 / (1 - rate)
    rows = len(inputs)
    first = np.arange(rows)
    arguments = *flat(inputs), first, inputs.size // rows, step, *settings, *flat(*out)
    return [Step(dropout_loop, arguments, rows)]


@fast("*, * -> *")
def multiply(left: Any, right: Any, *, out: Any) -> list[Step]:
    """out = left · right"""
    return [Step(multiply_loop, flat(left, right, out), len(left))]
