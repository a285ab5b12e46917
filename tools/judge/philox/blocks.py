"""Philox4x32-10 in numpy: the definition that the device's kernels are held to.

A counter of 128 bits goes through ten rounds under a key of 64 bits and gives four words of 32
bits, a block. No state is carried along: any block can be computed by itself, in any order, on any
device. Under one key no two counters give the same block. (Salmon et al., Parallel random numbers:
as easy as 1, 2, 3; SC 2011.)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
WORDS = 4
"""Of a block."""
WORD = 0xFFFFFFFF
CACHED_BLOCKS = 1 << 13
"""Computed at once: what a core's cache holds."""


def round_keys(key: int) -> list[int]:
    """The two words of the key in each round, in turn."""
    words = (key & WORD, key >> 32 & WORD)
    return [(words[i] + number * KEY_STEPS[i]) & WORD for number in range(ROUNDS) for i in range(2)]


def blocks(key: int, number: int, positions: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Blocks by their positions in a stream, [n, 4].

    Args:
        key: 64 bits.
        number: of the stream under this key, 32 bits.
        positions: [n].
    """
    keys = np.array(round_keys(key), np.uint64)
    first, second = (np.uint64(multiplier) for multiplier in MULTIPLIERS)
    half, word = np.uint64(32), np.uint64(WORD)
    c0, c1 = positions & word, positions >> half
    c2, c3 = np.full_like(c0, number & WORD), np.zeros_like(c0)
    for k0, k1 in keys.reshape(ROUNDS, 2):
        p, q = c0 * first, c2 * second
        c0, c2 = q >> half, p >> half
        c0 ^= c1
        c0 ^= k0
        c2 ^= c3
        c2 ^= k1
        q &= word
        p &= word
        c1, c3 = q, p
    return np.stack((c0, c1, c2, c3), axis=1).astype(np.uint32)


def words_by_part(key: int, number: int, count: int) -> Iterator[tuple[int, NDArray[np.uint32]]]:
    """The first `count` words of a stream in parts: where each begins, and its words."""
    whole = -(-count // WORDS)
    for begin in range(0, whole, CACHED_BLOCKS):
        end = min(begin + CACHED_BLOCKS, whole)
        words = blocks(key, number, np.arange(begin, end, dtype=np.uint64)).reshape(-1)
        yield WORDS * begin, words[: count - WORDS * begin]
