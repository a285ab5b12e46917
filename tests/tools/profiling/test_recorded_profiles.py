"""What Nsight Compute really said of our own kernels is read as what those kernels are.

The files are what tests/gpu/record_ncu_fixtures.py recorded on an H200 with Nsight Compute
2025.3.1; they hold only the metrics that are read. Traces and sanitizer output were not recorded:
tests/gpu runs those, and their readers are tested on synthetic texts that say so.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from kernel_harness.tools.profiling.diagnosis.bottleneck import diagnose_call
from kernel_harness.tools.profiling.diagnosis.hints import MOST, hints_for
from kernel_harness.tools.profiling.ncu.kernel_profiles import RawKernel, kernel_profiles
from kernel_harness.tools.profiling.ncu.report import read_report

RECORDED = Path(__file__).parents[2] / "fixtures" / "ncu"
CLASSES = {
    "copy": "memory_bandwidth",
    "gemm": "compute",
    "pointer_chase": "memory_latency",
    "tiny_grid": "tail",
    "spill": "spills",
    "bank_conflicts": "memory_bandwidth",
}


def recorded(name: str) -> list[RawKernel]:
    """One recorded call, its rules joined to it."""
    raw = (RECORDED / f"{name}.raw.csv").read_text(encoding="utf-8")
    rules = (RECORDED / f"{name}.rules.csv").read_text(encoding="utf-8")
    return read_report(raw, rules)


def test_every_recorded_kernel_is_read():
    assert {path.name.partition(".")[0] for path in RECORDED.glob("*.csv")} == set(CLASSES)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_recorded_kernel_is_named_right_from_its_csv(name):
    kernels = kernel_profiles(recorded(name))
    got = diagnose_call(kernels)
    assert got is not None
    assert got.bottleneck == CLASSES[name]
    assert got.evidence
    assert kernels[0].duration_us
    assert kernels[0].sm_count == 132
    assert kernels[0].stalls


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_recorded_kernel_has_a_few_hints_that_say_what_to_change_and_by_how_much(name):
    kernels = kernel_profiles(recorded(name))
    diagnosis = diagnose_call(kernels)
    assert diagnosis is not None
    found = hints_for(kernels[0], diagnosis)
    assert 1 <= len(found) <= MOST
    assert all(
        hint.change.endswith(".") and any(c.isdigit() for c in hint.because) for hint in found
    )
    assert not any("L2Compression" in hint.change for hint in found)


def test_hints_on_recorded_kernels_name_the_number_to_reach():
    def first(name: str) -> str:
        kernels = kernel_profiles(recorded(name))
        diagnosis = diagnose_call(kernels)
        assert diagnosis is not None
        hint = hints_for(kernels[0], diagnosis)[0]
        return f"{hint.change} {hint.because}"

    assert "17 times as many fill one wave" in first("tiny_grid")
    assert "Lift the limit on registers" in first("spill")
    assert "64 are possible in blocks of 1024 threads" in first("spill")
    assert "Remove the bank conflicts" in first("bank_conflicts")


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_any_column_of_a_recorded_page_may_be_missing(name):
    text = (RECORDED / f"{name}.raw.csv").read_text(encoding="utf-8")
    rows = list(csv.reader(io.StringIO(text)))
    for column in range(1, len(rows[0])):
        out = io.StringIO()
        csv.writer(out).writerows([row[:column] + row[column + 1 :] for row in rows])
        page = out.getvalue().replace("ID,", '"ID",', 1)
        kernels = kernel_profiles(read_report(page, ""))
        assert len(kernels) == 1
        diagnosis = diagnose_call(kernels)
        assert diagnosis is None or hints_for(kernels[0], diagnosis)


def test_a_page_that_ends_early_gives_no_half_read_figures():
    text = (RECORDED / "gemm.raw.csv").read_text(encoding="utf-8")
    names, units, _ = text.splitlines()
    assert read_report("", "") == []
    assert read_report(names, "") == []
    assert read_report(f"{names}\n{units}", "") == []
