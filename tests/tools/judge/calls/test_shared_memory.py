"""Placement and guard bands of the shared memory."""

from __future__ import annotations

import math
import os
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_harness.tools.errors import InfrastructureError
from kernel_harness.tools.judge.calls.shared_memory import (
    ALIGNMENT,
    GUARD_BYTES,
    HostMemory,
    SharedArena,
    Slot,
    arena_bytes,
    footprint,
    place,
)


def slot(name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Slot:
    return Slot(name, shape, dtype, str(dtype).removeprefix("torch."))


SLOTS = (
    slot("in:x", 3, 5),
    slot("in:e", 0, 4),
    slot("out:y", 7, dtype=torch.bfloat16),
    slot("snap:y", 7, dtype=torch.bfloat16),
    slot("out:s"),
)


@pytest.fixture
def arena():
    memory = HostMemory(arena_bytes([footprint(SLOTS)]))
    held = SharedArena(memory, random.Random(1))
    yield held
    held.close()


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 5_000), min_size=1, max_size=9),
    spare=st.integers(0, 1 << 20),
    seed=st.integers(0, 2**32),
)
def test_placed_tensors_are_aligned_and_apart_by_their_guards(sizes, spare, seed):
    slots = [slot(f"in:{i}", size, dtype=torch.uint8) for i, size in enumerate(sizes)]
    capacity = footprint(slots) + spare
    offsets = place(slots, capacity, random.Random(seed))
    spans = sorted((offsets[s.name], offsets[s.name] + s.nbytes) for s in slots)
    assert all(start % ALIGNMENT == 0 for start, _ in spans)
    assert spans[0][0] >= GUARD_BYTES and spans[-1][1] + GUARD_BYTES <= capacity
    assert all(b[0] - a[1] >= 2 * GUARD_BYTES for a, b in zip(spans, spans[1:], strict=False))


def test_placement_differs_from_call_to_call(arena):
    places = {tuple(sorted(arena.layout(SLOTS).offsets.items())) for _ in range(8)}
    assert len(places) == 8


def test_what_does_not_fit_is_the_harness_fault():
    with pytest.raises(InfrastructureError):
        place(SLOTS, footprint(SLOTS) - ALIGNMENT, random.Random(1))


def test_painted_again_the_guards_of_outputs_hold_other_bytes_and_damage_is_gone(arena):
    layout = arena.layout(SLOTS)
    before = layout.guards()[0].clone()
    layout.bytes[layout.offsets["out:s"] + 4] ^= 0xFF
    assert [(d.slot, d.side) for d in layout.damaged()] == [("out:s", "after")]
    layout.paint()
    now, filled = layout.guards()
    assert torch.equal(now, filled) and not layout.damaged()
    assert not torch.equal(now, before)


def test_tensors_share_the_memory_and_keep_their_shape(arena):
    layout = arena.layout(SLOTS)
    layout.tensor("in:x").fill_(2.0)
    layout.tensor("out:s").fill_(3.0)
    assert layout.tensor("in:x").tolist() == [[2.0] * 5] * 3
    assert layout.tensor("out:s").shape == () and layout.tensor("in:e").shape == (0, 4)
    assert layout.ref("out:y").dtype == "bfloat16"
    assert layout.damaged() == []


@pytest.mark.parametrize("name", ["in:x", "in:e", "out:y", "out:s"])
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("distance", [1, 2, 100, GUARD_BYTES])
def test_one_changed_byte_near_a_tensor_is_found(arena, name, side, distance):
    layout = arena.layout(SLOTS)
    start = layout.offsets[name]
    end = start + next(s.nbytes for s in SLOTS if s.name == name)
    at = start - distance if side == "before" else end + distance - 1
    arena.memory.bytes[at] ^= 0x55
    (damage,) = layout.damaged()
    assert (damage.slot, damage.side) == (name, side)
    assert damage.nearest == damage.farthest == distance


def test_input_guards_read_as_nan_in_every_float_format(arena):
    layout = arena.layout(SLOTS)
    at = layout.offsets["in:x"]
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        before = arena.memory.bytes[at - 64 : at].view(dtype)
        assert bool(torch.isnan(before).all())


def test_output_guards_differ_from_call_to_call(arena):
    def guard():
        layout = arena.layout(SLOTS)
        at = layout.offsets["out:y"]
        return bytes(arena.memory.bytes[at - 64 : at].tolist())

    assert len({guard() for _ in range(4)}) == 4


def test_a_layout_can_be_laid_where_an_earlier_one_was(arena):
    first = arena.layout(SLOTS)
    again = arena.at(SLOTS, first.offsets)
    assert again.offsets == first.offsets and again.damaged() == []


def test_an_arena_is_large_enough_to_move_tensors_about():
    assert arena_bytes([10 << 20]) > 12 << 20
    assert arena_bytes([]) > 0 and math.isfinite(arena_bytes([0]))


def test_the_room_beside_a_large_call_is_bounded():
    # Ten processes of a trial have such an arena each.
    assert (1 << 30) + (60 << 20) < arena_bytes([1 << 30]) < (1 << 30) + (70 << 20)


def test_nobody_can_change_the_size_of_the_shared_memory(arena):
    for size in (0, arena.nbytes + 4096):
        with pytest.raises(PermissionError):
            os.ftruncate(arena.memory.fd, size)
