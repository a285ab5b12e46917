"""Nsight Compute's command and its reports.

The CSV texts are synthetic: built here from the documented form of the raw and details pages, so
that locales, prefixes and gaps can be varied. Recorded output of real kernels is under
tests/fixtures/ncu and read in test_recorded_profiles.py.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.profiling.ncu.command import (
    ProfileSet,
    import_command,
    ncu_command,
    read_module_json,
    read_raw_csv,
    read_rules_csv,
    refusal_of,
    rules_command,
    with_rules,
)
from kernel_harness.tools.profiling.ncu.kernel_profiles import kernel_profiles

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


def test_only_the_candidates_range_is_profiled_and_no_clock_is_touched():
    command = ncu_command("ncu", ProfileSet.DETAILED, Path("r.ncu-rep"), ["python", "-m", "x"])
    joined = " ".join(command)
    assert "--clock-control none" in joined
    assert "--profile-from-start off" in joined
    assert "--set detailed" in joined
    assert joined.endswith("--export r.ncu-rep python -m x")


@pytest.mark.parametrize("profile_set", list(ProfileSet))
def test_every_set_collects_why_warps_wait(profile_set):
    command = ncu_command("ncu", profile_set, Path("r"), ["t"])
    assert "WarpStateStats" in command or profile_set is ProfileSet.FULL


def test_reports_are_printed_in_base_units_for_machines_and_as_text_for_people():
    raw = import_command("ncu", Path("r"), "raw")
    assert raw[-3:] == ["--csv", "--print-units", "base"]
    assert "--csv" not in import_command("ncu", Path("r"), "details")
    assert rules_command("ncu", Path("r"))[-1] == "--csv"


def test_a_raw_page_becomes_launches_in_base_units():
    text = raw_page(
        [
            {"Kernel": "void copy<float, 4>(float*, int)", DURATION: "36,512", "dram": "1,048.5"},
            {"Kernel": "tail", DURATION: "2,048", "dram": "n/a"},
        ],
        {DURATION: "nsecond", "dram": "Kbyte"},
    )
    first, second = read_raw_csv(text)
    assert first.name == "void copy<float, 4>(float*, int)"
    assert first.metrics[DURATION].value == pytest.approx(36.512e-6)
    assert first.metrics["dram"].value == pytest.approx(1_048_500)
    assert (first.grid, first.block) == ((1056, 2, 1), (256, 1, 1))
    assert "dram" not in second.metrics


@pytest.mark.parametrize(
    ("duration", "share"), [("36.512,25", "91,5"), ("36\u00a0512,25", "91,5"), ("36512,25", "91,5")]
)
def test_a_localised_page_reads_the_same(duration, share):
    name = "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed"
    text = raw_page([{DURATION: duration, name: share}], {DURATION: "ns", name: "%"})
    (got,) = kernel_profiles(read_raw_csv(text))
    assert got.duration_us == pytest.approx(36.51225)
    assert got.dram_percent == pytest.approx(91.5)


@given(st.floats(min_value=1.0, max_value=1e9), st.sampled_from(["ns", "us", "ms", "second"]))
def test_a_duration_is_the_same_in_whatever_unit_it_is_printed(nanoseconds, unit):
    factor = {"ns": 1.0, "us": 1e3, "ms": 1e6, "second": 1e9}[unit]
    printed = f"{nanoseconds / factor:,.12f}"
    (got,) = kernel_profiles(read_raw_csv(raw_page([{DURATION: printed}], {DURATION: unit})))
    assert got.duration_us == pytest.approx(nanoseconds / 1e3, rel=1e-6, abs=2e-6)


@given(st.text(max_size=200))
def test_any_text_reads_as_launches_or_none(text):
    assert isinstance(read_raw_csv(text), list)
    assert isinstance(read_raw_csv('"ID","Kernel Name"\n' + text), list)
    assert isinstance(read_rules_csv('"ID","Rule Name"\n' + text), dict)


def test_text_without_a_header_has_no_launches():
    assert read_raw_csv("==ERROR== nothing here\n") == []


def test_rules_are_joined_to_their_launch():
    header = "ID,Kernel Name,Rule Name,Rule Type,Rule Description,Estimated Speedup Type"
    rules = ",".join(f'"{name}"' for name in [*header.split(","), "Estimated Speedup"]) + "\n"
    rules += '"1","k","TheoreticalOccupancy","OPT","Limited, by registers.","local","37.5"\n'
    rules += '"1","k","","","","",""\n'
    page = raw_page([{DURATION: "1"}, {DURATION: "2", "Kernel": "j"}], {DURATION: "ns"})
    first, second = with_rules(read_raw_csv(page), read_rules_csv(rules))
    assert list(first.rules) == []
    assert second.rules[0]["speedup_percent"] == 37.5
    assert second.rules[0]["kind"] == "local"


def test_the_modules_lines_read_as_the_csv_does():
    launch = {
        "name": "k",
        "metrics": {DURATION: [2048, "nsecond"], "launch__grid_dim_x": [4, ""], "word": ["x", ""]},
        "rules": [{"name": "R", "message": "m", "speedup_percent": 5.0, "kind": "global"}],
    }
    launch["metrics"] |= {"launch__grid_dim_y": [2, ""], "launch__grid_dim_z": [1, ""]}
    (got,) = read_module_json("noise\n" + json.dumps(launch) + "\n")
    assert got.metrics[DURATION].value == pytest.approx(2.048e-6)
    assert got.grid == (4, 2, 1)
    assert "word" not in got.metrics
    assert got.rules[0]["name"] == "R"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("==ERROR== ERR_NVGPUCTRPERM - The user does not have permission", "permission"),
        ("==ERROR== Profiling failed because a driver resource was unavailable.", "resource"),
        ("==WARNING== No kernels were profiled.", "nothing"),
        ("==ERROR== LibraryNotLoaded", "injection"),
        ("==ERROR== InterprocessLockFailed", "lock"),
    ],
)
def test_a_refusal_is_typed_and_has_a_remedy(words, kind):
    got = refusal_of(words)
    assert got is not None
    assert got.kind == kind
    assert got.remedy


def test_an_ordinary_run_is_no_refusal():
    assert refusal_of("==PROF== Connected to process 1\n==PROF== Report: r.ncu-rep\n") is None
