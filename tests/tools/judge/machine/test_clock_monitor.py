"""What NVML says, in words, and which samples it sets aside."""

from __future__ import annotations

import pytest

from kernel_harness.tools.judge.machine.clock_monitor import (
    INTERVAL_S,
    THROTTLES,
    reason_names,
    throttled_at,
)
from kernel_harness.tools.schema.measurement import ClockSample


def test_reasons_are_named_bit_by_bit():
    assert reason_names(0) == []
    assert reason_names(0x4 | 0x40) == ["power_cap", "thermal_hardware"]


@pytest.mark.parametrize("reason", sorted(THROTTLES))
def test_a_throttle_next_to_a_call_sets_it_aside_and_one_far_off_does_not(reason):
    samples = [ClockSample(at_s=5.0, throttle=[reason])]
    assert throttled_at(samples, 5.0 + INTERVAL_S)
    assert not throttled_at(samples, 5.0 + 10 * INTERVAL_S)


def test_a_power_cap_is_only_noted():
    assert not throttled_at([ClockSample(at_s=5.0, throttle=["power_cap", "idle"])], 5.0)
