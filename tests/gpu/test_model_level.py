"""On a GPU calls are timed in their places without what the host needs for their clocks."""

from __future__ import annotations

import pytest
import torch

from kernel_harness.tools.model_level.delayed_device import DelayedDevice

pytestmark = pytest.mark.gpu


def test_a_held_device_has_no_waiting_for_the_host_in_its_times():
    x = torch.zeros(1 << 10, device="cuda")
    x.add_(1)  # the driver waits for the device when it loads a kernel
    torch.cuda.synchronize()
    device = DelayedDevice()
    device.look(0.01, waits=True)
    assert 0 < device.event_us < 10
    spans: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
    device.hold()
    for _ in range(100):
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begun.record()
        x.add_(1)
        ended.record()
        spans.append((begun, ended))
    torch.cuda.synchronize()
    each = sorted(begun.elapsed_time(ended) * 1e3 - device.event_us for begun, ended in spans)
    # A launch takes the host longer than this kernel the device; the fifteen milliseconds of
    # holding back are in none.
    assert 0 < each[50] < 6 and each[90] < 12
