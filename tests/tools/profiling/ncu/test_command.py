"""Nsight Compute's commands, and the words in which it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.tools.profiling.ncu.command import (
    ProfileSet,
    import_command,
    ncu_command,
    refusal_of,
    rules_command,
)
from kernel_harness.tools.profiling.ncu.counters import NAMES


def test_only_the_candidates_range_is_profiled_and_no_clock_is_touched():
    command = ncu_command("ncu", ProfileSet.DETAILED, Path("r.ncu-rep"), ["python", "-m", "x"])
    joined = " ".join(command)
    assert "--clock-control none" in joined
    assert "--profile-from-start off" in joined
    assert "--set detailed" in joined
    assert joined.endswith("--export r.ncu-rep python -m x")


def test_counters_beside_the_sections_are_those_that_a_figure_is_read_from():
    command = ncu_command("ncu", ProfileSet.DETAILED, Path("r"), ["t"])
    asked = command[command.index("--metrics") + 1].split(",")
    read = {name for names in NAMES.values() for name in names}
    assert asked and set(asked) <= read
    assert "--metrics" not in ncu_command("ncu", ProfileSet.FULL, Path("r"), ["t"])


@pytest.mark.parametrize("profile_set", list(ProfileSet))
def test_every_set_collects_why_warps_wait(profile_set):
    command = ncu_command("ncu", profile_set, Path("r"), ["t"])
    assert "WarpStateStats" in command or profile_set is ProfileSet.FULL


def test_reports_are_printed_in_base_units_for_machines_and_as_text_for_people():
    raw = import_command("ncu", Path("r"), "raw")
    assert raw[-3:] == ["--csv", "--print-units", "base"]
    assert "--csv" not in import_command("ncu", Path("r"), "details")
    assert rules_command("ncu", Path("r"))[-1] == "--csv"


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
