"""A device is held back where steps wait for it, and what clocks around calls do is told of it."""

from __future__ import annotations

import pytest
import torch

from kernel_harness.tools.model_level import delayed_device
from kernel_harness.tools.model_level.delayed_device import ClockCost, clock_cost

from .simulated_gpu import SimulatedGPU


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


def test_what_clocks_do_is_told_of_calls_with_them_and_without(monkeypatch):
    """Two events without a kernel between them cost 2.6 us here, a pair around one reads 2.5."""
    SimulatedGPU(monkeypatch, delayed_device)
    found = clock_cost()
    in_a_row_us = 1.0 + 2.0
    clocked_us = 0.2 + 2.0 + 0.3
    assert found.reading_us == pytest.approx(clocked_us - in_a_row_us, abs=0.05)
    # The next kernel is behind an event, too, and the next pair's first one behind that.
    assert found.step_us == pytest.approx(2 * (clocked_us - in_a_row_us), abs=0.05)


def test_the_device_is_held_back_until_a_slow_host_has_launched_all(monkeypatch):
    """It was for two milliseconds: what a waiting device reads was taken for what events do."""
    device = SimulatedGPU(monkeypatch, delayed_device, record_us=100.0)
    clock_cost()
    assert device.longest_us > 2 * delayed_device.CALLS * 100.0
