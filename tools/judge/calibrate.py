"""Measures a device's bandwidth, latencies and matrix rates, in under a minute.

    python -m kernel_harness.tools.judge.calibrate --out FILE [--device cuda:0]

Run once by the user. Calibrated floors are computed from its results, which are kept with the raw
samples. Kernel times are CUPTI's, through the torch profiler, with the L2 cache overwritten before
every sample. Matrices are random: on zeros a product draws less power and runs faster.

It runs no candidate and locks no clock, so results vary with clocks and temperature, which are in
the file. A result outside 70 to 98 % of the data sheet's rate is noted: the device, its entry in
the table or the measurement may be wrong.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch._C._autograd import DeviceType

from ..devices.hardware import Calibration, identify
from .processes.device import driver_version, memory_clock, nvml_handle, open_nvml

BUDGET_S = 55.0
SIZES = (1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20, 1 << 30)
"""Bytes of one array; the larger ones exceed every cache."""
GEMM_N = 8192
CHASE_BYTES = 512 << 20
CHASE_STEPS = 4096
QUEUE_CYCLES = 1_000_000
"""Length of the waiting kernel, about half a millisecond: longer than launching nine kernels."""
PLAUSIBLE = (0.70, 0.98)
_SOURCES = """
extern "C" __global__ void empty_kernel(int* out) {}

extern "C" __global__ void chase_kernel(const int* next, int* out, int steps) {
    int at = 0;
    for (int i = 0; i < steps; ++i) at = next[at];
    out[0] = at;
}
"""


@dataclass
class Findings:
    """The measurements so far."""

    samples: dict[str, list[float]] = field(default_factory=dict)
    bandwidth: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    flops: dict[str, dict[str, Any]] = field(default_factory=dict)
    rates: dict[str, dict[str, Any]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Stopwatch:
    """Times device work by CUPTI, each sample after overwriting the L2 cache."""

    def __init__(self, device: torch.device) -> None:
        properties = torch.cuda.get_device_properties(device)
        self.l2_bytes = int(getattr(properties, "L2_cache_size", 0)) or 64 << 20
        self._scratch = torch.empty(2 * self.l2_bytes, dtype=torch.uint8, device=device)

    def spans_us(
        self, act: Callable[[], Any], count: int = 10, *, sustained: bool = False
    ) -> list[float]:
        """First start to last end of the device activities of `act`, in microseconds.

        Args:
            sustained: back to back with a warm cache; else each sample has a cold cache and its
                launches are queued behind a spinning kernel, so that launch time is not measured.
        """
        for _ in range(3):
            act()
        torch.cuda.synchronize()
        activities = [torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profiler:
            for _ in range(count):
                self._separate(sustained=sustained)
                act()
            torch.cuda.synchronize()
        return [max(e for _, e in group) - min(s for s, _ in group) for group in _groups(profiler)]

    def _separate(self, *, sustained: bool) -> None:
        """Separates two samples by activities that `is_separator` recognises."""
        if sustained:
            self._scratch[:16].fill_(1)
        else:
            self._scratch.fill_(1)
            torch.cuda._sleep(QUEUE_CYCLES)


def _groups(profiler: Any) -> Iterator[list[tuple[float, float]]]:
    """Device activities between two separators, as (start, end) in microseconds."""
    rows = [
        (event.time_range.start, event.time_range.end, event.name)
        for event in profiler.events()
        if event.device_type == DeviceType.CUDA
    ]
    group: list[tuple[float, float]] = []
    for start, end, name in sorted(rows):
        if is_separator(name):
            if group:
                yield group
            group = []
        else:
            group.append((start, end))
    if group:
        yield group


def is_separator(name: str) -> bool:
    """Whether a device activity separates two samples."""
    return "FillFunctor" in name or "spin_kernel" in name or name.startswith("Memset")


# --- what is measured -------------------------------------------------------------------------


def measure_bandwidth(watch: Stopwatch, device: torch.device, found: Findings) -> None:
    """Copies and reads arrays of growing size; the best large copy gives the bandwidth."""
    for size in SIZES:
        for name, (moved, act) in _array_acts(size, device).items():
            spans = watch.spans_us(act)
            found.samples[f"{name}_{size}_us"] = spans
            middle = statistics.median(spans)
            row = {"bytes": float(size), "us": middle, "bytes_per_s": moved / middle * 1e6}
            found.bandwidth.setdefault(name, []).append(row)
    rows = found.bandwidth["copy"]
    best = max(rows, key=lambda row: row["bytes_per_s"] if row["bytes"] >= 64 << 20 else 0.0)
    found.rates["memory_bytes_per_s"] = _rate(
        best["bytes_per_s"], f"copy of {best['bytes'] / 2**20:.0f} MiB, bytes read and written"
    )


def _array_acts(
    size: int, device: torch.device
) -> dict[str, tuple[int, Callable[[], torch.Tensor]]]:
    """By name, the bytes that an act moves, and the act."""
    source = torch.randn(size // 4, device=device)
    target = torch.empty_like(source)
    total = torch.empty((), device=device)
    return {
        "copy": (2 * size, lambda: target.copy_(source)),
        "read": (size, lambda: torch.sum(source, dim=0, out=total)),
    }


def measure_launches(watch: Stopwatch, device: torch.device, found: Findings) -> None:
    """Times an empty kernel, and what each further dependent one adds."""
    empty = torch.cuda._compile_kernel(_SOURCES, "empty_kernel")
    out = torch.zeros(1, dtype=torch.int32, device=device)

    def launch(count: int) -> None:
        for _ in range(count):
            empty((1, 1, 1), (32, 1, 1), [out])

    chains = {count: watch.spans_us(lambda count=count: launch(count), 20) for count in (1, 2, 9)}
    for count, spans in chains.items():
        found.samples[f"empty_chain_{count}_us"] = spans
    one = statistics.median(chains[1])
    further = (statistics.median(chains[9]) - one) / 8
    found.rates["launch_us"] = _rate(one, "span of one empty kernel, cold cache")
    found.rates["dependent_kernel_us"] = _rate(further, "each further empty kernel of nine")


def measure_load_latency(watch: Stopwatch, device: torch.device, found: Findings) -> None:
    """Times a thread that follows a random cycle through memory (pointer chasing)."""
    chase = torch.cuda._compile_kernel(_SOURCES, "chase_kernel")
    elements = CHASE_BYTES // 4
    order = torch.randperm(elements, device=device, dtype=torch.int64)
    following = torch.empty(elements, dtype=torch.int32, device=device)
    following[order] = torch.roll(order, -1).to(torch.int32)
    out = torch.zeros(1, dtype=torch.int32, device=device)
    spans = watch.spans_us(lambda: chase((1, 1, 1), (1, 1, 1), [following, out, CHASE_STEPS]), 5)
    found.samples["chase_us"] = spans
    found.rates["memory_latency_us"] = _rate(
        statistics.median(spans) / CHASE_STEPS,
        f"{CHASE_STEPS} dependent loads over {CHASE_BYTES >> 20} MiB",
    )


def measure_products(watch: Stopwatch, device: torch.device, found: Findings) -> None:
    """Times products of random square matrices in each precision that the device has."""
    for precision, (size, act) in _products(device).items():
        try:
            spans = watch.spans_us(act, 10, sustained=True)
        except RuntimeError as error:
            found.skipped[precision] = " ".join(str(error).split())[:200]
            continue
        found.samples[f"gemm_{precision}_us"] = spans
        rate = 2.0 * size**3 / statistics.median(spans) * 1e6
        found.flops[precision] = _rate(rate, f"product of random {size} x {size} matrices")


def _products(device: torch.device) -> dict[str, tuple[int, Callable[[], Any]]]:
    size, half = GEMM_N, GEMM_N // 2
    left = torch.randn(size, size, device=device)
    right = torch.randn(size, size, device=device)
    wide, small = (left.bfloat16(), right.bfloat16()), (left[:half, :half], right[:half, :half])
    out = torch.empty(size, size, device=device, dtype=torch.bfloat16)
    products: dict[str, tuple[int, Callable[[], Any]]] = {
        "bf16": (size, lambda: torch.mm(*wide, out=out)),
        "fp32": (half, lambda: _product_of_floats(small, "ieee")),
        "tf32": (half, lambda: _product_of_floats(small, "tf32")),
    }
    if torch.cuda.get_device_capability(device) >= (8, 9):
        one = torch.ones((), device=device)
        narrow = left.to(torch.float8_e4m3fn), right.to(torch.float8_e4m3fn).t().contiguous().t()
        products["fp8"] = (
            size,
            lambda: torch._scaled_mm(  # pyright: ignore[reportPrivateImportUsage]
                *narrow, scale_a=one, scale_b=one, out_dtype=torch.bfloat16, use_fast_accum=True
            ),
        )
    return products


def _product_of_floats(pair: Sequence[torch.Tensor], precision: str) -> torch.Tensor:
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    return torch.mm(*pair)


def _rate(value: float, how: str) -> dict[str, Any]:
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    return {"value": value, "source": f"measured {day}: {how}; CUPTI median"}


# --- the file ---------------------------------------------------------------------------------


def calibrate(device: torch.device, budget_s: float = BUDGET_S) -> dict[str, Any]:
    """Measures what the budget allows, the most useful first.

    Args:
        device: a CUDA device.
        budget_s: seconds after which nothing further is begun; what is left out is named.

    Returns:
        The calibration with provenance, raw samples and clocks, as it is written to disk.
    """
    begin = time.monotonic()
    torch.manual_seed(1)
    found = Findings()
    before = clocks(device)
    watch = Stopwatch(device)
    with torch.no_grad():
        for measure in (
            measure_bandwidth,
            measure_launches,
            measure_products,
            measure_load_latency,
        ):
            name = measure.__name__.removeprefix("measure_")
            if time.monotonic() - begin > budget_s:
                found.skipped[name] = f"the budget of {budget_s:.0f} s was used up"
                continue
            try:
                measure(watch, device, found)
            except (RuntimeError, AttributeError) as error:
                found.skipped[name] = " ".join(str(error).split())[:200]
            torch.cuda.empty_cache()
    return document(found, device_facts(device), before, clocks(device), time.monotonic() - begin)


def document(
    found: Findings,
    facts: dict[str, Any],
    before: dict[str, Any],
    after: dict[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """The calibration file's content; `calibration` validates as `hardware.Calibration`."""
    calibration = Calibration.model_validate({**found.rates, "flops": found.flops})
    found.notes += plausibility(calibration, facts)
    return {
        "schema": 1,
        "device": facts,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "timer": "CUPTI, by torch.profiler",
        "seconds": round(seconds, 2),
        "versions": {"torch": torch.__version__, "cuda": torch.version.cuda},
        "clocks": {"before": before, "after": after},
        "calibration": calibration.model_dump(mode="json", exclude_none=True),
        "bandwidth": found.bandwidth,
        "samples": found.samples,
        "skipped": found.skipped,
        "notes": found.notes,
    }


def plausibility(calibration: Calibration, facts: dict[str, Any]) -> list[str]:
    """A note for each rate that is an implausible share of the data sheet's."""
    known = identify(facts["name"], facts["sm_count"], facts.get("memory_mhz"))
    if known is None:
        return [f"{facts['name']} with {facts['sm_count']} SMs is not in the table of devices."]
    pairs = {"memory": (calibration.memory_bytes_per_s, known.memory_bytes_per_s)}
    pairs |= {name: (calibration.flops.get(name), rate) for name, rate in known.flops.items()}
    notes = []
    for name, (measured, nominal) in pairs.items():
        if measured is None:
            continue
        share = measured.value / nominal.value
        if not PLAUSIBLE[0] <= share <= PLAUSIBLE[1]:
            notes.append(f"{name} reached {100 * share:.0f} % of the data sheet's rate.")
    return notes


def device_facts(device: torch.device) -> dict[str, Any]:
    """Facts that identify the device."""
    properties = torch.cuda.get_device_properties(device)
    facts: dict[str, Any] = {
        "name": properties.name,
        "sm_count": properties.multi_processor_count,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "memory_bytes": properties.total_memory,
        "l2_bytes": int(getattr(properties, "L2_cache_size", 0)) or None,
        "uuid": str(getattr(properties, "uuid", "")) or None,
    }
    known = {"memory_mhz": memory_clock(device), "driver": driver_version()}
    return facts | {name: value for name, value in known.items() if value is not None}


def clocks(device: torch.device) -> dict[str, Any]:
    """Clocks, power and temperature now, where NVML tells."""
    nvml = open_nvml()
    if nvml is None:
        return {}
    try:
        handle = nvml_handle(nvml, device)
        return {
            "sm_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "power_w": nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
            "temperature_c": nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
        }
    except nvml.NVMLError:
        return {}


def main(arguments: list[str]) -> int:
    """Calibrates and writes the file; 1 with a message when there is no CUDA device."""
    parser = argparse.ArgumentParser(prog="kernel_harness.tools.judge.calibrate")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--budget-s", type=float, default=BUDGET_S)
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        sys.stderr.write("There is no CUDA device to calibrate; floors stay at data-sheet rates.\n")
        return 1
    device = torch.device(options.device)
    torch.cuda.set_device(device)
    found = calibrate(device, options.budget_s)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    draft = options.out.with_suffix(".part")
    draft.write_text(json.dumps(found, indent=1), encoding="utf-8")
    draft.replace(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
