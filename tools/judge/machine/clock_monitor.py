"""Samples a device's clocks, power and throttling through NVML while it is timed.

A throttle shorter than the interval between samples is missed.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import torch

from ...schema.measurement import ClockSample
from .nvml import nvml_handle, open_nvml

INTERVAL_S = 0.1
KEPT_SAMPLES = 3_000
REASONS = {
    0x1: "idle",
    0x2: "application_clocks",
    0x4: "power_cap",
    0x8: "hardware_slowdown",
    0x10: "sync_boost",
    0x20: "thermal_software",
    0x40: "thermal_hardware",
    0x80: "power_brake",
}
"""Bits of NVML's clocks-event reasons."""
THROTTLES = frozenset({"hardware_slowdown", "thermal_software", "thermal_hardware", "power_brake"})
"""Reasons to set a sample aside; a power cap is only noted: many boards run at theirs."""


def reason_names(bits: int) -> list[str]:
    """The names of the reasons in NVML's bit mask."""
    return [name for bit, name in REASONS.items() if bits & bit]


class ClockWatch:
    """Samples one device in a thread, as a context manager; without NVML there are no samples."""

    def __init__(self, device: torch.device) -> None:
        self.samples: list[ClockSample] = []
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._nvml: Any = open_nvml()
        self._handle = nvml_handle(self._nvml, device) if self._nvml else None
        self._thread = threading.Thread(target=self._watch, daemon=True, name="clocks")

    def __enter__(self) -> ClockWatch:
        if self._handle is not None:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        if self._handle is not None:
            self._thread.join()

    def now(self) -> float:
        """Seconds since the start, as in the samples."""
        return time.monotonic() - self._began

    def throttled(self, at_s: float) -> bool:
        """Whether a throttle was sampled near that time."""
        return throttled_at(self.samples, at_s)

    def _watch(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            if len(self.samples) < KEPT_SAMPLES:
                self.samples.append(self._sample())

    def _sample(self) -> ClockSample:
        nvml, handle = self._nvml, self._handle

        def ask(function: str, *arguments: Any) -> Any:
            try:
                return getattr(nvml, function)(handle, *arguments)
            except (nvml.NVMLError, AttributeError):
                return None

        power = ask("nvmlDeviceGetPowerUsage")
        bits = ask("nvmlDeviceGetCurrentClocksEventReasons")
        if bits is None:
            bits = ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        return ClockSample(
            at_s=round(self.now(), 3),
            sm_mhz=ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
            memory_mhz=ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM),
            power_w=power / 1000 if power is not None else None,
            temperature_c=ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
            throttle=reason_names(int(bits or 0)),
        )


def throttled_at(samples: list[ClockSample], at_s: float) -> bool:
    """Whether a sample within two intervals of that time shows a throttle."""
    return any(
        abs(sample.at_s - at_s) <= 2 * INTERVAL_S and THROTTLES & set(sample.throttle)
        for sample in samples
    )
