"""Addresses of a call's tensors are moved, and nothing else of a plan is."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.messages.launch_plan import (
    ARENA_BASE,
    COPIES_BASE,
    RESERVATION_BASE,
    ConstantCopy,
    DeviceCopy,
    Memset,
)
from kernel_harness.tools.runner.rotation import moved_node, moved_words

from ..messages.plans import kernel

BEGIN, END = ARENA_BASE, ARENA_BASE + (64 << 20)
OFFSET = COPIES_BASE - ARENA_BASE
inside = st.integers(BEGIN, END)
outside = st.integers(0, BEGIN - 1) | st.integers(END + 1, (1 << 64) - 1)


@given(st.lists(st.tuples(inside, st.just(OFFSET)) | st.tuples(outside, st.just(0)), max_size=8))
def test_words_with_a_value_among_the_tensors_are_moved_and_no_others(words):
    packed = struct.pack(f"<{len(words)}Q", *(value for value, _ in words))
    changed, count = moved_words(packed, BEGIN, END, OFFSET)
    assert struct.unpack(f"<{len(words)}Q", changed) == tuple(v + by for v, by in words)
    assert count == sum(by > 0 for _, by in words)


@given(st.binary(max_size=64))
def test_moving_there_and_back_changes_nothing(parameters):
    there, count = moved_words(parameters, BEGIN, END, OFFSET)
    back, again = moved_words(there, BEGIN + OFFSET, END + OFFSET, -OFFSET)
    assert len(there) == len(parameters)
    if count == again:
        assert back == parameters


@pytest.mark.parametrize(
    ("node", "fields"),
    [
        (Memset(address=BEGIN, value=0, element_bytes=1, width=4), {"address"}),
        (DeviceCopy(source=RESERVATION_BASE, destination=END, width_bytes=4), {"destination"}),
        (DeviceCopy(source=BEGIN, destination=BEGIN, width_bytes=4), {"source", "destination"}),
        (ConstantCopy(destination=BEGIN, content=0), {"destination"}),
        (Memset(address=RESERVATION_BASE, value=0, element_bytes=1, width=4), set()),
    ],
)
def test_copies_and_memsets_move_with_their_tensors(node, fields):
    moved, count = moved_node(node, BEGIN, END, OFFSET)
    before, after = node.model_dump(), moved.model_dump()
    assert {name for name in before if before[name] != after[name]} == fields
    assert all(after[name] == before[name] + OFFSET for name in fields)
    assert count == len(fields)


def test_a_launch_keeps_everything_but_its_parameters():
    node = kernel(parameters=struct.pack("<QIIQ", BEGIN + 64, 7, 8, 3).hex())
    moved, count = moved_node(node, BEGIN, END, OFFSET)
    assert count == 1
    assert moved == kernel(parameters=struct.pack("<QIIQ", BEGIN + OFFSET + 64, 7, 8, 3).hex())
