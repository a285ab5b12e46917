"""Only sealed times promote, whatever ratio they tell."""

import pytest

from kernel_harness.tools.archive.promotion.rule_outcome import Rules
from kernel_harness.tools.archive.promotion.time_rules import CLOCK_RULES, time_rules
from kernel_harness.tools.schema.measurement import TimeSource


def outcomes(*records, timed=True):
    return {r.name: r for r in time_rules(records, None, 0.01, Rules(), timed=timed)}


@pytest.fixture
def record(trial):
    def make(clock=TimeSource.SEALED, reason=None):
        return trial(ratio=2.0, clock=clock, clock_reason=reason)[1]

    return make


def test_sealed_times_fulfil_the_rule(record):
    assert outcomes(record(), record())["sealed_times"].passed


def test_one_claimed_repeat_is_refused_with_its_reason_and_what_to_do(record):
    claimed = record(TimeSource.CLAIMED, "the call waits for the device on the host")
    found = outcomes(record(), claimed)
    rule = found["sealed_times"]
    assert (rule.passed, rule.number, rule.limit) == (False, 1, 0)
    assert "is claimed: the call waits for the device on the host." in rule.words
    assert "Only sealed times promote" in rule.words and "rolled back" in rule.words
    assert [r.name for r in found.values() if r.applied and not r.passed] == ["sealed_times"]


def test_a_long_reason_leaves_room_for_what_to_do(record):
    rule = outcomes(record(TimeSource.CLAIMED, "x" * 2_000))["sealed_times"]
    assert len(rule.words) <= 500 and "rolled back" in rule.words


def test_a_claimed_workload_among_sealed_ones_is_refused(record):
    mixed = record()
    told = record(TimeSource.CLAIMED, "it uses textures").workloads[1]
    mixed = mixed.model_copy(update={"workloads": [mixed.workloads[0], told]})
    assert "it uses textures" in outcomes(mixed)["sealed_times"].words


def test_where_nothing_is_timed_no_rule_on_times_applies(record):
    found = outcomes(record(), timed=False)
    assert tuple(found) == CLOCK_RULES and not any(rule.applied for rule in found.values())


def test_each_repeat_must_lie_beyond_the_noise(trial):
    fast, level = trial(ratio=2.0)[1], trial(ratio=1.0)[1]
    assert outcomes(fast, fast)["ratio_beyond_noise"].passed
    for records in ((fast, level), (level, fast)):
        rule = outcomes(*records)["ratio_beyond_noise"]
        assert not rule.passed and rule.number is not None and rule.limit is not None
        assert rule.number < 1.01 <= rule.limit
