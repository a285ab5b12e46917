"""Figures of microbenchmarks are kept by device, driver and version of the harness."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kernel_harness.tools.devices.hardware import shipped_hardware
from kernel_harness.tools.devices.measurements import (
    MeasuredPart,
    Microbenchmark,
    made_with,
    merged,
    parts_of,
    shipped_document,
    shipped_figures,
)

PART = {
    "measured_at": "2026-11-30T08:00:00+00:00",
    "seconds": 1.5,
    "figures": [{"name": "one empty kernel", "value": 1.2, "unit": "µs"}],
}


def document(what: str, driver: str = "580.1", **flops: float) -> dict[str, Any]:
    return {
        "device": {"name": "NVIDIA H200", "driver": driver},
        "harness": "0.1.0",
        "calibration": {what: {"value": 1.0}, "flops": {n: {"value": v} for n, v in flops.items()}},
        "measured": {what: PART},
        "samples": {what: [1.0]},
    }


def test_parts_are_read_by_what_they_measure_and_others_left_out():
    both = {"measured": {"launch": PART, "latency": {"seconds": 1}, "unheard": PART}}
    assert parts_of(both) == {Microbenchmark.LAUNCH: MeasuredPart.model_validate(PART)}
    assert parts_of({}) == {} and parts_of({"measured": 3}) == {}


def test_what_was_measured_before_stays_beside_what_is_new():
    got = merged(document("launch", bf16=1.0, fp8=2.0), document("copy", bf16=3.0))
    assert set(parts_of(got)) == {Microbenchmark.LAUNCH, Microbenchmark.COPY}
    assert set(got["calibration"]) == {"launch", "copy", "flops"}
    assert got["calibration"]["flops"] == {"bf16": {"value": 3.0}, "fp8": {"value": 2.0}}
    assert set(got["samples"]) == {"launch", "copy"}


@pytest.mark.parametrize("changed", ["driver", "harness", "nothing before"])
def test_nothing_is_taken_over_from_another_driver_or_harness(changed):
    now = document("copy")
    before = document("launch", "570.9" if changed == "driver" else "580.1")
    if changed == "harness":
        before["harness"] = "0.0.9"
    got = merged(None if changed == "nothing before" else before, now)
    assert got == now


def test_what_it_was_made_with_is_known_even_of_a_file_that_does_not_say():
    assert made_with(document("copy")) == ("NVIDIA H200", "580.1", "0.1.0")
    assert made_with({"device": {"name": "X"}}) == ("X", "unknown", "unknown")


def test_the_figures_that_are_shipped_are_of_devices_of_the_table_and_read():
    named = json.loads(shipped_figures().read_text())["devices"]
    assert named and set(named) <= set(shipped_hardware())
    for name in named:
        document = shipped_document(name)
        parts, entry = parts_of(document), shipped_hardware()[name]
        assert set(parts) == set(Microbenchmark) and "unknown" not in made_with(document)
        assert made_with(document)[0].removeprefix("NVIDIA ") in entry.identity.names
        copies = [f.value for f in parts[Microbenchmark.COPY].figures]
        assert max(copies) * 1e12 < entry.memory_bytes_per_s.value
    assert shipped_document("B200") == {}
