"""Philox is the published one: its known answers, and an implementation written from the paper."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.judge.philox.blocks import (
    CACHED_BLOCKS,
    KEY_STEPS,
    MULTIPLIERS,
    blocks,
    words_by_part,
)

KEY = 0x1234_5678_9ABC_DEF0


def philox(counter: list[int], key: list[int]) -> list[int]:
    """One block, step by step as the paper has it."""
    for turn in range(10):
        if turn:
            key = [(word + step) % 2**32 for word, step in zip(key, KEY_STEPS, strict=True)]
        high0, low0 = divmod(MULTIPLIERS[0] * counter[0], 2**32)
        high1, low1 = divmod(MULTIPLIERS[1] * counter[2], 2**32)
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0]
    return counter


KNOWN_ANSWERS = {
    "00000000 00000000 00000000 00000000 00000000 00000000": "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff": "408f276d 41c83b0e a20bc7c6 6d5451fd",
    "243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0": "d16cfe09 94fdcceb 5001e420 24126ea1",
}
"""Four words of the counter and two of the key, to a block."""


@pytest.mark.parametrize("given_words", KNOWN_ANSWERS)
def test_the_known_answers_of_its_authors_are_given(given_words):
    words = [int(word, 16) for word in given_words.split()]
    answer = [int(word, 16) for word in KNOWN_ANSWERS[given_words].split()]
    assert philox(words[:4], words[4:]) == answer


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_a_block_is_that_of_the_paper_at_any_position(key, number, position):
    counter = [position % 2**32, position >> 32, number, 0]
    expected = philox(counter, [key % 2**32, key >> 32])
    assert blocks(key, number, np.array([position], np.uint64)).tolist() == [expected]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 4 * CACHED_BLOCKS, 4 * CACHED_BLOCKS + 5])
def test_parts_make_up_the_stream_whatever_is_asked_of_it(count):
    parts = list(words_by_part(KEY, 3, count))
    assert [begin for begin, _ in parts] == [4 * CACHED_BLOCKS * n for n in range(len(parts))]
    words = np.concatenate([np.empty(0, np.uint32), *(part for _, part in parts)])
    whole = blocks(KEY, 3, np.arange(CACHED_BLOCKS + 2, dtype=np.uint64)).reshape(-1)
    assert words.tolist() == whole[:count].tolist()


def test_no_block_occurs_twice_under_a_key():
    positions = np.arange(20_000, dtype=np.uint64)
    streams = [blocks(KEY, number, positions) for number in range(5)]
    seen = {block.tobytes() for stream in streams for block in stream}
    assert len(seen) == 100_000
