"""Values of many calls are staged apart, copied in, and their outputs kept apart."""

from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.judge.replay.session import (
    CallTensor,
    alternating,
    replay_calls,
    stage,
)
from kernel_harness.tools.messages.launch_plan import ARENA_BASE

tensors = st.lists(st.tuples(st.integers(0, 1 << 20), st.booleans()), min_size=1, max_size=8).map(
    lambda found: [
        CallTensor(f"t{n}", ARENA_BASE + (n << 24), nbytes, is_output)
        for n, (nbytes, is_output) in enumerate(found)
    ]
)


@given(tensors, st.integers(1, 5))
def test_no_two_values_share_staging_memory(found, count):
    staging = stage(found)
    places = sorted(
        (staging.offset(call, t.name), staging.offset(call, t.name) + t.nbytes)
        for call in range(count)
        for t in found
    )
    assert all(a[1] <= b[0] for a, b in zip(places, places[1:], strict=False))
    assert places[-1][1] <= count * staging.call_bytes


@given(tensors, st.lists(st.integers(0, 255), min_size=1, max_size=5))
def test_inputs_go_in_outputs_are_poisoned_and_come_out(found, poison):
    staging, base = stage(found), 0x7E00_0000_0000
    calls = replay_calls(found, staging, base, poison)
    assert len(calls) == len(poison)
    inputs = [t for t in found if t.nbytes and not t.is_output]
    outputs = [t for t in found if t.nbytes and t.is_output]
    for number, call in enumerate(calls):
        assert [(m.destination, m.nbytes) for m in call.before] == [
            (t.address, t.nbytes) for t in inputs
        ]
        assert [m.source for m in call.after] == [t.address for t in outputs]
        assert [(p.address, p.byte) for p in call.poison] == [
            (t.address, poison[number]) for t in outputs
        ]
        assert [m.destination for m in call.after] == [
            base + staging.offset(number, t.name) for t in outputs
        ]


def test_batches_alternate_so_that_drift_falls_on_both_alike():
    order: list[bool] = []

    def wall(with_call: bool) -> int:
        order.append(with_call)
        return len(order)

    with_calls, flushes = alternating(wall, 4)
    assert len(with_calls) == len(flushes) == 4
    assert sum(with_calls) == sum(flushes)
