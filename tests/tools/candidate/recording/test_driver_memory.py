"""Memory that the driver placed gets addresses that a runner can have; pointers to it follow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.candidate.recording.driver_memory import (
    ALIGNMENT,
    DriverMemory,
    addresses_in,
    held_address,
    moved,
    placed,
)
from kernel_harness.tools.driver.graphs import CopyNode, KernelNode, MemsetNode, OtherNode
from kernel_harness.tools.driver.modules import LaunchShape
from kernel_harness.tools.messages.launch_plan import ARENA_BASE, RESERVATION_BASE

AT, INSIDE = 0x7F12_3456_7000, RESERVATION_BASE + 512
(PLACE,) = placed([DriverMemory(AT, 4096, b"\1" * 4096)])


def kernel(parameters: bytes, *layout: tuple[int, int]) -> KernelNode:
    return KernelNode(1, 9, "first", LaunchShape((1, 1, 1), (32, 1, 1)), parameters, layout)


def word(value: int, nbytes: int = 8) -> bytes:
    return value.to_bytes(nbytes, "little")


@given(st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(1, 8 << 20)), max_size=12))
def test_no_two_allocations_share_an_address_and_all_lie_before_the_arena(sizes):
    found = [
        DriverMemory(AT + (n << 32) + low, nbytes, None) for n, (low, nbytes) in enumerate(sizes)
    ]
    places = placed(found)
    assert {p.memory for p in places} == set(found)
    spans = sorted((p.address, p.address + p.memory.nbytes) for p in places)
    assert all(a % ALIGNMENT == 0 and RESERVATION_BASE <= a and b <= ARENA_BASE for a, b in spans)
    assert all(end <= begin for (_, end), (begin, _) in zip(spans, spans[1:], strict=False))


def test_memory_that_a_call_allocates_twice_is_one():
    (place,) = placed([DriverMemory(AT, 512, None), DriverMemory(AT + 256, 512, None)])
    assert (place.memory.address, place.memory.nbytes, place.memory.content) == (AT, 768, None)


def test_parameters_follow_and_numbers_beside_them_stay():
    """A structure's words, too; a number of four bytes is none, wherever it stands."""
    packed = word(AT + 64) + word(7, 4) + word(0x12345, 4) + word(INSIDE) + word(AT + 4096)
    node = moved(kernel(packed, (0, 8), (8, 4), (12, 4), (16, 16)), [PLACE])
    expected = word(PLACE.address + 64) + packed[8:]
    assert isinstance(node, KernelNode) and node.parameters == expected


def test_a_tensor_map_follows_by_its_first_word():
    packed = word(AT) + b"\5" * 120
    node = moved(kernel(packed, (0, 128)), [PLACE])
    assert isinstance(node, KernelNode) and node.parameters == word(PLACE.address) + b"\5" * 120


def test_copies_and_memsets_follow():
    assert moved(MemsetNode(AT + 8, 0, 4, 8, 1, 0), [PLACE]) == MemsetNode(
        PLACE.address + 8, 0, 4, 8, 1, 0
    )
    copy = CopyNode(AT, "host", 8, AT + 16, "device", 8, 8, 1, 1)
    assert moved(copy, [PLACE]) == CopyNode(AT, "host", 8, PLACE.address + 16, "device", 8, 8, 1, 1)
    assert moved(OtherNode(""), [PLACE]) == OtherNode("")


@pytest.mark.parametrize(
    ("node", "found"),
    [
        (kernel(word(AT) + word(5, 4), (0, 8), (8, 4)), [AT]),
        (MemsetNode(AT, 0, 4, 8, 1, 0), [AT]),
        (CopyNode(AT, "host", 8, INSIDE, "device", 8, 8, 1, 1), [INSIDE]),
        (OtherNode(""), []),
    ],
)
def test_what_may_be_an_address_is_found(node, found):
    assert addresses_in(node) == found


def test_an_address_in_memory_is_found_and_nothing_else_is_taken_for_one():
    assert held_address(word(3) + word(AT + 4095) + b"odd", [PLACE]) == AT + 4095
    assert held_address(word(AT + 4096) + word(AT - 1), [PLACE]) is None
    assert held_address(b"", [PLACE]) is None
