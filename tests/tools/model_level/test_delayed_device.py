"""A device is held back where steps wait for it, and what clocks around calls do is told of it."""

from __future__ import annotations

import pytest
import torch

from kernel_harness.tools.model_level import delayed_device
from kernel_harness.tools.model_level.delayed_device import ClockCost, clock_cost


def test_a_device_is_held_back_where_steps_wait_for_it_alone(monkeypatch):
    held: list[float] = []
    monkeypatch.setattr(delayed_device, "keep_busy", held.append)
    cost = ClockCost(-0.5, 2.0)
    monkeypatch.setattr(delayed_device, "clock_cost", lambda: cost)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    device = delayed_device.DelayedDevice()
    device.hold()
    assert not held and device.clock == delayed_device.NO_CLOCK
    device.look(0.010, waits=True)
    device.hold()
    assert held == [pytest.approx(0.015)] and device.clock == cost
    device.look(0.040, waits=False)
    device.hold()
    assert len(held) == 1 and device.clock == delayed_device.NO_CLOCK


class SlowEvents:
    """A device to which an event behind another is dearer than one behind a kernel."""

    KERNEL_US = {"kernel": 1.0, "event": 0.2}
    EVENT_US = {"kernel": 0.3, "event": 2.6}

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_us = 0.0
        self.host_s = 0.0
        self.longest_s = 0.0
        self.last = "event"
        monkeypatch.setattr(torch.cuda, "_sleep", self.sleep)
        monkeypatch.setattr(torch.cuda, "Event", self.event)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
        monkeypatch.setattr(delayed_device.time, "perf_counter", lambda: self.host_s)

    def sleep(self, cycles: int) -> None:
        self.longest_s = max(self.longest_s, cycles / delayed_device.CYCLES_PER_S)
        self.now_us += self.KERNEL_US[self.last] + cycles / delayed_device.CYCLES_PER_S * 1e6
        self.last = "kernel"

    def event(self, enable_timing: bool) -> SlowEvent:
        assert enable_timing
        return SlowEvent(self)


class SlowEvent:
    def __init__(self, device: SlowEvents) -> None:
        self._device = device
        self.at_us = 0.0

    def record(self) -> None:
        self._device.host_s += 1e-4
        self._device.now_us += self._device.EVENT_US[self._device.last]
        self._device.last, self.at_us = "event", self._device.now_us

    def elapsed_time(self, other: SlowEvent) -> float:
        return (other.at_us - self.at_us) / 1e3


def test_what_clocks_do_is_told_of_calls_with_them_and_without(monkeypatch):
    """Two events without a kernel between them cost 2.6 us here, a pair around one tells 2.5."""
    SlowEvents(monkeypatch)
    found = clock_cost()
    in_a_row_us = 1.0 + 2.0
    assert found.reading_us == pytest.approx(0.2 + 2.0 + 0.3 - in_a_row_us, abs=0.05)
    assert found.step_us == pytest.approx(2.6 + 0.2 + 2.0 + 0.3 - in_a_row_us, abs=0.05)


def test_the_device_is_held_back_until_a_slow_host_has_launched_all(monkeypatch):
    """It was for two milliseconds: what a waiting device reads was taken for what events do."""
    device = SlowEvents(monkeypatch)
    clock_cost()
    assert device.longest_s > 2 * delayed_device.CALLS * 1e-4
