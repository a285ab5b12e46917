"""Samples a device's clocks, power and throttling while it is timed, and notices others' work.

Clocks come from NVML; a throttle shorter than the interval between samples is missed. Work of
others on the device makes the judge's own matrix products slow, and on the processor makes the
judge's thread wait, which Linux counts.
"""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from ...schema.measurement import ClockSample
from ..processes.device import nvml_handle, open_nvml

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


PREHEAT_S = 0.2
STEADY_S = 0.04
STEADY_SHARE = 0.05
PRODUCTS = 20
SLOW = 1.5
"""Times the least that a batch of products took: more than a power cap does, less than sharing."""
WAIT_S = 2.0
"""For a device that others use to become quiet."""
WAITED_SHARE = 0.1
"""Of the time, that the judge's thread was ready to run and did not."""
SCHEDULED = Path("/proc/thread-self/schedstat")


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


class MachineLoad:
    """Notices work of others on the device and on the processor while calls are timed.

    Args:
        device: a GPU.
        least_s: of a batch of the judge's products so far, where any were made.
    """

    def __init__(self, device: torch.device, least_s: float | None = None) -> None:
        self._device, self.least_s = device, least_s
        self._matrix: torch.Tensor | None = None
        self._began, self._waited = time.monotonic(), waited_s()
        self._slowest = 0.0

    def preheat(self) -> None:
        """Multiplies matrices until batches take a steady time, and no more than on a quiet device.

        An idle GPU runs at a fifth of its clock rate. Work of others is waited for, not for long.
        """
        self._matrix = torch.randn(4096, 4096, device=self._device, dtype=torch.float16)
        ends = [time.monotonic()]
        while not self._ready(ends):
            self._products()
            ends.append(time.monotonic())
        self._note(ends)
        self._began, self._waited = time.monotonic(), waited_s()

    def look(self) -> None:
        """Makes a few products after the timing, where there were some before it."""
        if self._matrix is None:
            return
        ends = [time.monotonic()]
        for _ in range(3):
            self._products()
            ends.append(time.monotonic())
        self._note(ends)

    @property
    def disturbance(self) -> str:
        """What others did since `preheat`, in words; empty where nothing was noticed."""
        if self._matrix is None:
            return ""
        spent = time.monotonic() - self._began
        share = (waited_s() - self._waited) / spent if spent > 0 else 0.0
        return disturbance(self._slowest, self.least_s, share)

    def _ready(self, ends: list[float]) -> bool:
        spent = ends[-1] - ends[0]
        if spent < PREHEAT_S and not steady(ends):
            return False
        last = ends[-1] - ends[-2]
        return spent >= WAIT_S or self.least_s is None or last <= SLOW * self.least_s

    def _products(self) -> None:
        matrix = self._matrix
        assert matrix is not None
        for _ in range(PRODUCTS):
            torch.mm(matrix, matrix)
        torch.cuda.synchronize(self._device)

    def _note(self, ends: list[float]) -> None:
        """Keeps the least of these batches, and of the last three the shortest where it is slow."""
        times = [b - a for a, b in pairwise(ends)]
        least = min(times)
        self.least_s = least if self.least_s is None else min(least, self.least_s)
        self._slowest = max(self._slowest, min(times[-3:]))


def disturbance(batch_s: float, least_s: float | None, waited_share: float) -> str:
    """How others disturb the machine, in words; empty where they do not.

    Args:
        batch_s: of the judge's products lately.
        least_s: of such a batch at any time.
        waited_share: of the time, that the judge's thread was ready to run and did not.
    """
    found = []
    if least_s and batch_s > SLOW * least_s:
        found.append(
            f"the device is used by others: the judge's matrix products take "
            f"{batch_s / least_s:.1f} times as long as on a quiet one"
        )
    if waited_share > WAITED_SHARE:
        found.append(
            f"the processor is used by others: the judge waited for it {waited_share:.0%} of the "
            "time"
        )
    return "; ".join(found)


def waited_s() -> float:
    """How long this thread was ready to run and did not, so far; 0 where Linux does not count."""
    try:
        return int(SCHEDULED.read_text("ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def steady(ends: list[float]) -> bool:
    """Whether batches with these end times took a steady time lately."""
    lately = [b - a for a, b in pairwise(ends) if a >= ends[-1] - STEADY_S]
    if len(lately) < 3 or ends[-1] - ends[0] < STEADY_S:
        return False
    return max(lately) <= (1 + STEADY_SHARE) * min(lately)
