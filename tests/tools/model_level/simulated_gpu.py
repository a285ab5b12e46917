"""A GPU and its host that do what they are asked for in time of their own."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace

import pytest
import torch

from kernel_harness.tools.model_level.delayed_device import CYCLES_PER_S

KERNEL_GAP_US = {"kernel": 1.0, "event": 0.2}
"""Before a kernel, behind another or behind an event."""
EVENT_US = {"kernel": 0.3, "event": 2.6}
"""What an event takes. One behind another is dearer than one behind a kernel."""


class SimulatedGPU:
    """Stands for torch's, and for the clock of modules.

    Args:
        record_us: of the host, to record an event.

    Attributes:
        host_us: its time.
        device_us: when it has done all that was launched.
        longest_us: of all kernels.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *clocked: ModuleType, record_us: float = 10.0
    ) -> None:
        self.host_us = self.device_us = self.longest_us = 0.0
        self.last = "event"
        self._record_us = record_us
        cuda = {
            "_sleep": lambda cycles: self.launch(cycles / CYCLES_PER_S * 1e6),
            "Event": lambda enable_timing: SimulatedEvent(self),
            "synchronize": self.synchronize,
            "is_initialized": lambda: True,
            "is_current_stream_capturing": lambda: False,
        }
        for name, stand_in in cuda.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)
        clock = SimpleNamespace(
            perf_counter=lambda: self.host_us / 1e6,
            perf_counter_ns=lambda: round(self.host_us * 1e3),
        )
        for module in clocked:
            monkeypatch.setattr(module, "time", clock)

    def launch(self, kernel_us: float) -> None:
        """Launches a kernel."""
        self.host_us += 3.0
        self._do(KERNEL_GAP_US[self.last] + kernel_us, "kernel")
        self.longest_us = max(self.longest_us, kernel_us)

    def record(self) -> float:
        """Records an event; when the device comes to it."""
        self.host_us += self._record_us
        self._do(EVENT_US[self.last], "event")
        return self.device_us

    def synchronize(self) -> None:
        """Waits for the device."""
        self.host_us = max(self.host_us, self.device_us)

    def _do(self, us: float, what: str) -> None:
        self.device_us = max(self.device_us, self.host_us) + us
        self.last = what


class SimulatedEvent:
    """Knows when the device came to it."""

    def __init__(self, device: SimulatedGPU) -> None:
        self._device = device
        self._at_us = 0.0

    def record(self) -> None:
        self._at_us = self._device.record()

    def elapsed_time(self, other: SimulatedEvent) -> float:
        return (other._at_us - self._at_us) / 1e3
