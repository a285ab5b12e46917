"""Measures a device's bandwidth, latencies, barriers and matrix rates, in under a minute.

    python -m kernel_harness.tools.judge.calibrate --out FILE [--device cuda:0] [--what copy ...]

Calibrated floors are computed from its results, which are kept with the raw
samples. Kernel times are CUPTI's, through the torch profiler, with the L2 cache overwritten before
every sample. Matrices are random: on zeros a product draws less power and runs faster.

It runs no candidate and locks no clock, so results vary with clocks and temperature, which are in
the file. A result outside 70 to 98 % of the data sheet's rate is noted: the device, its entry in
the table or the measurement may be wrong.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import time
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from ..devices.hardware import Calibration, identify
from ..devices.measurements import MeasuredPart, Microbenchmark
from .machine.nvml import driver_version, memory_clock, nvml_handle, open_nvml
from .microbenchmarks.barriers import measure_barriers
from .microbenchmarks.findings import Findings
from .microbenchmarks.launches import measure_launches
from .microbenchmarks.memory import measure_copies, measure_load_latency
from .microbenchmarks.stopwatch import Stopwatch
from .microbenchmarks.tensor_cores import measure_instructions, measure_products

BUDGET_S = 55.0
MEASURES = (
    (Microbenchmark.COPY, measure_copies),
    (Microbenchmark.LAUNCH, measure_launches),
    (Microbenchmark.LATENCY, measure_load_latency),
    (Microbenchmark.BARRIER, measure_barriers),
    (Microbenchmark.TENSOR, measure_instructions),
    (Microbenchmark.TENSOR, measure_products),
)
"""In the order in which they are made: the most useful and the quickest first."""
PLAUSIBLE = (0.70, 0.98)


def calibrate(
    device: torch.device,
    budget_s: float = BUDGET_S,
    what: Collection[Microbenchmark] = tuple(Microbenchmark),
) -> dict[str, Any]:
    """Measures what the budget allows, the most useful first.

    Args:
        device: a CUDA device.
        what: the microbenchmarks to run.
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
        for name, measure in MEASURES:
            if name not in what:
                continue
            started = time.monotonic()
            if started - begin > budget_s:
                found.skip(name, name, f"the budget of {budget_s:.0f} s was used up")
                continue
            try:
                measure(watch, device, found)
            except (RuntimeError, AttributeError) as error:
                found.skip(name, measure.__name__.removeprefix("measure_"), error)
            torch.cuda.empty_cache()
            found.seconds[name] = found.seconds.get(name, 0.0) + time.monotonic() - started
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
    now = datetime.now(UTC).isoformat(timespec="seconds")
    parts = {
        name: MeasuredPart(
            measured_at=now,
            seconds=round(taken, 2),
            figures=found.figures.get(name, []),
            skipped=found.skipped.get(name, {}),
        )
        for name, taken in found.seconds.items()
    }
    return {
        "schema": 2,
        "device": facts,
        "harness": importlib.metadata.version("kernel-harness"),
        "measured_at": now,
        "timer": "CUPTI, by torch.profiler",
        "seconds": round(seconds, 2),
        "versions": {"torch": torch.__version__, "cuda": torch.version.cuda},
        "clocks": {"before": before, "after": after},
        "calibration": calibration.model_dump(mode="json", exclude_none=True),
        "measured": {name.value: part.model_dump(mode="json") for name, part in parts.items()},
        "samples": found.samples,
        "skipped": {why: words for part in found.skipped.values() for why, words in part.items()},
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
    names = [one.value for one in Microbenchmark]
    parser.add_argument("--what", nargs="+", choices=names, default=names)
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        sys.stderr.write("There is no CUDA device to calibrate; floors stay at data-sheet rates.\n")
        return 1
    device = torch.device(options.device)
    torch.cuda.set_device(device)
    found = calibrate(device, options.budget_s, [Microbenchmark(name) for name in options.what])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    draft = options.out.with_suffix(".part")
    draft.write_text(json.dumps(found, indent=1), encoding="utf-8")
    draft.replace(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
