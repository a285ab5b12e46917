"""On a GPU a step's time is told as the device's, and runs are forked after a program's imports."""

from __future__ import annotations

import pytest
import torch

from kernel_harness.tools.model_level.delayed_device import DelayedDevice

pytestmark = pytest.mark.gpu


def test_a_delayed_device_tells_its_own_time_however_long_the_host_takes():
    x = torch.zeros(1 << 10, device="cuda")
    device = DelayedDevice()
    device.look(0.01, waits=True)
    device.hold()
    for _ in range(100):
        x.add_(1)
    device.ended()
    torch.cuda.synchronize()
    found = device.step_us(0)
    # Neither the fifteen milliseconds of holding back nor the host's launches are in it.
    assert found is not None and 50 < found < 1_000
