"""What the profilers really said of our own kernels is read as what those kernels are.

The files are recorded by tests/gpu/record_ncu_fixtures.py and hold only the metrics that are read.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.tools.profiling.diagnosis import diagnose_call
from kernel_harness.tools.profiling.metrics import kernel_profiles
from kernel_harness.tools.profiling.ncu import (
    read_module_json,
    read_raw_csv,
    read_rules_csv,
    with_rules,
)
from kernel_harness.tools.profiling.sanitizer import SanitizerTool, read_findings
from kernel_harness.tools.profiling.timeline import read_timeline

RECORDED = Path(__file__).parents[2] / "fixtures" / "ncu"
CLASSES = {
    "copy": "memory_bandwidth",
    "gemm": "compute",
    "pointer_chase": "memory_latency",
    "tiny_grid": "tail",
    "spill": "spills",
    "bank_conflicts": "memory_bandwidth",
    "chain_with_gap": "launch",
}


def recorded(name: str) -> str:
    path = RECORDED / name
    if not path.is_file():
        pytest.skip(f"{name} was not recorded")
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_recorded_kernel_is_named_right_from_its_csv(name):
    kernels = kernel_profiles(read_raw_csv(recorded(f"{name}.raw.csv")))
    got = diagnose_call(kernels)
    assert got is not None
    assert got.bottleneck == CLASSES[name]
    assert kernels[0].duration_us
    assert kernels[0].sm_count
    assert kernels[0].stalls


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_csv_and_module_agree_on_every_figure(name):
    by_csv = kernel_profiles(
        with_rules(
            read_raw_csv(recorded(f"{name}.raw.csv")),
            read_rules_csv(recorded(f"{name}.rules.csv")),
        )
    )
    by_module = kernel_profiles(read_module_json(recorded(f"{name}.module.jsonl")))
    assert len(by_csv) == len(by_module)
    for one, other in zip(by_csv, by_module, strict=True):
        assert one.launches == other.launches
        mine, theirs = one.model_dump(), other.model_dump()
        for figure, value in mine.items():
            if isinstance(value, float):
                assert theirs[figure] == pytest.approx(value, rel=0.02, abs=0.02), figure


def test_a_recorded_gap_on_the_host_is_launch_bound():
    got = read_timeline(recorded("chain_with_gap.trace.json"), uuid="w", axes={})
    assert (got.kernels, got.launch_bound) == (2, True)


def test_a_recorded_access_out_of_bounds_is_found_at_its_line():
    text = recorded("out_of_bounds.memcheck.txt")
    found = read_findings(text, SanitizerTool.MEMCHECK, Path("/private/src"))
    assert found[0].kind == "out_of_bounds"
    assert (found[0].file, found[0].line) == ("kernel.py", 9)
