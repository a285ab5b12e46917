"""Copies lie apart, keep alignment, and together exceed the L2; their calls read nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.judge.replay.rotation import (
    ALIGNMENT,
    L2_TIMES,
    LEAST_COPIES,
    NotRotatedError,
    rotated_calls,
    rotation_of,
)
from kernel_harness.tools.judge.replay.session import CallTensor, stage
from kernel_harness.tools.messages.launch_plan import ARENA_BASE, COPIES_BASE, RESERVATION_BASE
from kernel_harness.tools.messages.runner import MOST_CALLS

L2 = 50 << 20
MEMORY = 16 << 30
tensors = st.lists(st.tuples(st.integers(1, 8 << 20), st.booleans()), min_size=1, max_size=6).map(
    lambda found: [
        CallTensor(f"t{n}", ARENA_BASE + (1 << 20) + n * ((8 << 20) + 512), nbytes, is_output)
        for n, (nbytes, is_output) in enumerate(found)
    ]
)


def rotation(found, **changes):
    return rotation_of(found, **({"nodes": 3, "l2_bytes": L2, "memory_bytes": MEMORY} | changes))


@given(tensors)
def test_copies_lie_apart_and_are_as_aligned_as_the_original(found):
    made = rotation(found)
    places = sorted(
        (t.address + offset, t.address + offset + t.nbytes)
        for t in found
        for offset in made.offsets
    )
    assert all(a[1] <= b[0] for a, b in zip(places, places[1:], strict=False))
    assert places[0][0] >= COPIES_BASE and places[-1][1] <= COPIES_BASE + made.nbytes
    assert all(offset % ALIGNMENT == 0 for offset in made.offsets)
    assert made.nbytes <= MEMORY


@given(tensors)
def test_together_they_exceed_the_l2_where_enough_of_them_fit(found):
    made = rotation(found)
    assert len(made.offsets) >= LEAST_COPIES
    if len(made.offsets) < min(MOST_CALLS, MEMORY * len(made.offsets) // made.nbytes):
        assert len(made.offsets) * sum(t.nbytes for t in found) >= L2_TIMES * L2


@pytest.mark.parametrize(
    ("address", "changes", "words"),
    [
        (RESERVATION_BASE, {}, "memory of its own"),
        (ARENA_BASE, {"memory_bytes": 1 << 20}, "too many"),
        (ARENA_BASE, {"nodes": 5_000}, "too many"),
    ],
)
def test_why_there_are_no_copies_is_said(address, changes, words):
    with pytest.raises(NotRotatedError, match=words):
        rotation([CallTensor("y", address, 1 << 20, True)], **changes)


@given(tensors, st.integers(1, 5), st.randoms(use_true_random=False))
def test_each_copy_gets_values_and_the_kept_ones_give_their_outputs(found, count, draw):
    made, staging, base = rotation(found), stage(found), 0x7E00_0000_0000
    kept = draw.sample(range(len(made.offsets)), count)
    poison = [0xA0 + n for n in range(count)]
    calls = rotated_calls(found, staging, base, made, kept, poison)
    assert len(calls) == len(made.offsets)
    inputs = [t for t in found if not t.is_output]
    outputs = [t for t in found if t.is_output]
    for copy, (call, offset) in enumerate(zip(calls, made.offsets, strict=True)):
        place = kept.index(copy) if copy in kept else copy % count
        assert [(m.source, m.destination) for m in call.before] == [
            (base + staging.offset(place, t.name), t.address + offset) for t in inputs
        ]
        after = [
            (t.address + offset, base + staging.offset(place, t.name))
            for t in outputs
            if copy in kept
        ]
        assert [(m.source, m.destination) for m in call.after] == after
        assert [p.address for p in call.poison][-len(outputs) or len(call.poison) :] == [
            t.address + offset for t in outputs
        ]


@given(tensors)
def test_what_lies_at_the_recorded_addresses_passes_for_no_input(found):
    made = rotation(found)
    first, *_ = rotated_calls(found, stage(found), 0x7E00_0000_0000, made, [0], [1])
    filled = {(p.address, p.nbytes) for p in first.poison}
    assert filled >= {(t.address, t.nbytes) for t in found}
