"""A report's pages become launches in base units, and a cell of another form is left out.

The texts are synthetic: built here from the documented form of the raw and details pages, so that
units and gaps can be varied. Recorded output of real kernels is under tests/fixtures/ncu and read
in test_recorded_profiles.py.
"""

from __future__ import annotations

import csv
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.profiling.ncu.kernel_profiles import kernel_profiles
from kernel_harness.tools.profiling.ncu.report import (
    launch_texts,
    read_number,
    read_report,
    unit_factor,
)
from tests.folding import for_each

LEAD = ["ID", "Process ID", "Process Name", "Host Name", "Kernel Name", "Context", "Stream"]
LEAD += ["Block Size", "Grid Size", "Device", "CC"]
DURATION = "gpu__time_duration.sum"


def raw_page(
    launches: list[dict[str, str]], units: dict[str, str], *, before: str = "==PROF== Connected\n"
) -> str:
    """A synthetic raw page: progress lines, names, units, launches."""
    names = list(dict.fromkeys(name for launch in launches for name in launch if name != "Kernel"))
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow([*LEAD, *names])
    writer.writerow([*[""] * len(LEAD), *[units.get(name, "") for name in names]])
    for index, launch in enumerate(launches):
        lead = [str(index), "77", "python", "host", launch.get("Kernel", "k"), "1", "7"]
        lead += ["(256, 1, 1)", "(1056, 2, 1)", "0", "9.0"]
        writer.writerow([*lead, *[launch.get(name, "n/a") for name in names]])
    return before + text.getvalue()


def test_a_raw_page_becomes_launches_in_base_units():
    text = raw_page(
        [
            {"Kernel": "void copy<float, 4>(float*, int)", DURATION: "36,512", "dram": "1,048.5"},
            {"Kernel": "tail", DURATION: "2,048", "dram": "n/a"},
        ],
        {DURATION: "nsecond", "dram": "Kbyte"},
    )
    first, second = read_report(text, "")
    assert first.name == "void copy<float, 4>(float*, int)"
    assert first.metrics[DURATION] == pytest.approx(36.512e-6)
    assert first.metrics["dram"] == pytest.approx(1_048_500)
    assert (first.grid, first.block) == ((1056, 2, 1), (256, 1, 1))
    assert "dram" not in second.metrics


@given(st.floats(min_value=1.0, max_value=1e9), st.sampled_from(["ns", "us", "ms", "second"]))
def test_a_duration_is_the_same_in_whatever_unit_it_is_printed(nanoseconds, unit):
    factor = {"ns": 1.0, "us": 1e3, "ms": 1e6, "second": 1e9}[unit]
    printed = f"{nanoseconds / factor:,.12f}"
    (got,) = kernel_profiles(read_report(raw_page([{DURATION: printed}], {DURATION: unit}), ""))
    assert got.duration_us == pytest.approx(nanoseconds / 1e3, rel=1e-6, abs=2e-6)


@given(st.text(max_size=200))
def test_any_text_reads_as_launches_or_none(text):
    assert isinstance(read_report(text, text), list)
    assert isinstance(read_report('"ID","Kernel Name"\n' + text, '"ID","Rule Name"\n' + text), list)


def test_text_without_a_header_has_no_launches():
    assert read_report("==ERROR== nothing here\n", "") == []


def test_rules_are_joined_to_their_launch():
    header = "ID,Kernel Name,Rule Name,Rule Type,Rule Description,Estimated Speedup Type"
    rules = ",".join(f'"{name}"' for name in [*header.split(","), "Estimated Speedup"]) + "\n"
    rules += '"1","k","TheoreticalOccupancy","OPT","Limited, by registers.","local","37.5"\n'
    rules += '"1","k","","","","",""\n'
    page = raw_page([{DURATION: "1"}, {DURATION: "2", "Kernel": "j"}], {DURATION: "ns"})
    first, second = read_report(page, rules)
    assert list(first.rules) == []
    (rule,) = second.rules
    assert (rule.speedup_percent, rule.kind) == (37.5, "local")


@given(
    st.floats(min_value=-1e15, max_value=1e15, allow_nan=False),
    st.integers(0, 6),
    st.booleans(),
)
def test_a_number_is_read_back_with_and_without_grouping(value, decimals, grouped):
    text = f"{value:{',' if grouped else ''}.{decimals}f}"
    assert read_number(text) == pytest.approx(round(value, decimals), rel=1e-12, abs=1e-9)


@given(st.text(max_size=30))
def test_any_cell_is_a_finite_number_or_nothing(text):
    value = read_number(text)
    assert value is None or math.isfinite(value)


@pytest.mark.parametrize(
    "text", ["", "n/a", "nan", "(!) nan", "inf", "12abc", "-", "1e999", "91,5", "36.512,25", "1,23"]
)
def test_a_cell_without_a_finite_english_number_is_nothing(text):
    assert read_number(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,048,576", 1048576),
        ("12.3 (4; 5; 6)", 12.3),
        ("1,234.5 {3}", 1234.5),
        ("2.5e-3", 0.0025),
        (" 7 ", 7),
    ],
)
def test_a_number_is_read_up_to_what_follows_it(text, expected):
    assert read_number(text) == pytest.approx(expected)


@for_each(
    "unit, factor",
    [
        ("ns", 1e-9),
        ("nsecond", 1e-9),
        ("us", 1e-6),
        ("usecond", 1e-6),
        ("msecond", 1e-3),
        ("s", 1.0),
        ("Kbyte", 1e3),
        ("Mbyte/block", 1e6),
        ("byte/block", 1.0),
        ("Gbyte/second", 1e9),
        ("Tbyte/s", 1e12),
        ("Ghz", 1e9),
        ("hz", 1.0),
        ("%", 1.0),
        ("SM", 1.0),
        ("sector", 1.0),
        ("register/thread", 1.0),
        ("", 1.0),
    ],
)
def test_times_and_sizes_are_brought_to_their_base(unit, factor):
    assert unit_factor(unit) == pytest.approx(factor)


DETAILS = """[42] python3@127.0.0.1
  copy_kernel(const float4 *, float4 *, int) (132, 1, 1)x(256, 1, 1), Context 1, Stream 13, CC 9.0
    Section: GPU Speed Of Light Throughput
    note (1, 1, 1)x(2, 1, 1)

  tiny (1, 1, 1)x(32, 1, 1), Context 1, Stream 13, Device 0, CC 9.0
    Section: Occupancy
"""


def test_the_text_of_a_report_is_cut_at_its_launches():
    first, second = launch_texts(DETAILS, 2) or []
    assert first.startswith("  copy_kernel(") and "Speed Of Light" in first and "note" in first
    assert second.startswith("  tiny ") and second.endswith("Occupancy\n")


def test_a_text_with_another_number_of_launches_is_not_cut():
    assert launch_texts(DETAILS, 3) is None
    assert launch_texts("", 1) is None
