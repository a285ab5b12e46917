"""A latency is sealed when nothing speaks against it; otherwise the first thing is its reason."""

from dataclasses import replace

import pytest

from kernel_harness.tools.judge.replay.decision import ClaimReason, ReplayEvidence, decide
from kernel_harness.tools.judge.replay.witness import SecondLook, Witness
from kernel_harness.tools.schema.measurement import TimeSource

RIGHT = ReplayEvidence(
    outputs_checked=3,
    spans_ns=(10_000, 10_100, 9_900),
    events_ns=(12_000, 12_100, None),
    witness=Witness(mean_ns=11_000, error_ns=200, surplus_ns=1_500, calls=200),
)


def test_a_right_replay_is_sealed():
    assert decide(RIGHT).clock is TimeSource.SEALED


CHANGES = {
    ClaimReason.REPLAY_DIFFERS: {"outputs_checked": 2},
    ClaimReason.NO_RECORDS: {"spans_ns": (10_000, None, 10_000)},
    ClaimReason.CLOCKS_DISAGREE: {"events_ns": (12_000, 40_000, 12_000)},
    ClaimReason.BELOW_WITNESS: {
        "witness": Witness(mean_ns=20_000, error_ns=200, surplus_ns=1_500, calls=200)
    },
    ClaimReason.RUNNERS_DIFFER: {"runners_differ": "the yardstick takes longer in one"},
    ClaimReason.MEMORY_KEPT: {"memory_kept": "a kernel calls malloc"},
}


@pytest.mark.parametrize(("reason", "change"), CHANGES.items())
def test_each_fault_is_the_reason_of_a_claim(reason, change):
    decision = decide(replace(RIGHT, **change))
    assert (decision.clock, decision.reason) == (TimeSource.CLAIMED, reason)
    assert decision.words


def test_nothing_timed_seals_nothing():
    assert decide(ReplayEvidence()).reason is ClaimReason.NO_RECORDS


@pytest.mark.parametrize("span", [0, -5])
def test_a_span_without_length_is_no_record(span: int):
    found = decide(replace(RIGHT, spans_ns=(10_000, span, 10_000)))
    assert found.reason is ClaimReason.NO_RECORDS


LOW = Witness(mean_ns=9_000, error_ns=200, surplus_ns=1_500, calls=200)
HIGH = Witness(mean_ns=20_000, error_ns=200, surplus_ns=1_500, calls=200)


@pytest.mark.parametrize(
    ("again", "clock"),
    [
        (SecondLook(10_000, (10_000, 10_100), LOW), TimeSource.SEALED),
        (SecondLook(9_600, (10_000, 10_000), LOW), TimeSource.SEALED),
        (SecondLook(9_400, (10_000, 10_000), LOW), TimeSource.CLAIMED),
        (SecondLook(10_000, (10_000, 10_100), HIGH), TimeSource.CLAIMED),
        (SecondLook(10_000, (), LOW), TimeSource.CLAIMED),
    ],
)
def test_a_mean_below_the_bound_is_sealed_only_by_a_second_look_that_agrees(again, clock):
    assert decide(replace(RIGHT, witness=HIGH, again=again)).clock is clock


def test_a_span_longer_than_the_events_around_it_is_not_believed():
    found = decide(replace(RIGHT, spans_ns=(30_000, 10_000, 10_000)))
    assert found.reason is ClaimReason.CLOCKS_DISAGREE


def test_one_replay_in_twenty_that_was_interrupted_does_not_cost_the_seal():
    spans, events = (4_200,) * 40, (5_200,) * 40
    of_forty = replace(RIGHT, outputs_checked=40, spans_ns=spans, witness=None)
    for interrupted, clock in ((2, TimeSource.SEALED), (3, TimeSource.CLAIMED)):
        apart = (14_144,) * interrupted + events[interrupted:]
        assert decide(replace(of_forty, events_ns=apart)).clock is clock


def test_a_single_span_outside_its_events_is_never_taken_for_an_interruption():
    spans, events = (30_000,) + (4_200,) * 39, (5_200,) * 40
    many = replace(RIGHT, outputs_checked=40, spans_ns=spans, events_ns=events, witness=None)
    assert decide(many).reason is ClaimReason.CLOCKS_DISAGREE
