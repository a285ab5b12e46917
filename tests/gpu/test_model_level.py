"""On a GPU calls are timed in their places without what the host needs for their clocks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from kernel_harness.tools.model_level.delayed_device import DelayedDevice, timed_events

pytestmark = pytest.mark.gpu
CALLS = 100
HOST_S = 0.01
"""In which so many calls are launched and clocked: the device is held back for longer."""


@pytest.mark.parametrize("numel", [1 << 10, 1 << 22, 1 << 25], ids=["small", "middle", "large"])
def test_a_call_between_two_events_takes_what_it_takes_among_others_without(numel):
    x = torch.zeros(numel, device="cuda")
    in_a_row_us(lambda: x.add_(1))  # the driver waits for the device when it loads a kernel
    expected_us = in_a_row_us(lambda: x.add_(1))
    device = DelayedDevice()
    device.look(HOST_S, waits=True)
    spans: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
    torch.cuda.synchronize()
    device.hold()
    for _ in range(CALLS):
        begun, ended = timed_events()
        begun.record()
        x.add_(1)
        ended.record()
        x.add_(1)  # as a program has others between its calls
        spans.append((begun, ended))
    torch.cuda.synchronize()
    each = sorted(
        begun.elapsed_time(ended) * 1e3 - device.clock.reading_us for begun, ended in spans
    )
    # A launch takes the host longer than the small kernel the device; neither that nor the fifteen
    # milliseconds of holding back are in the times.
    assert each[CALLS // 2] == pytest.approx(expected_us, rel=0.05, abs=1.0)
    assert each[CALLS * 9 // 10] < 1.2 * expected_us + 3.0


def in_a_row_us(act: Callable[[], object]) -> float:
    """What the device needs for a call among others."""
    begun, ended = timed_events()
    torch.cuda.synchronize()
    torch.cuda._sleep(int(HOST_S * 2e9))
    begun.record()
    for _ in range(CALLS):
        act()
    ended.record()
    torch.cuda.synchronize()
    return begun.elapsed_time(ended) * 1e3 / CALLS
