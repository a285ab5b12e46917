"""compute-sanitizer's findings, merged and mapped to the candidate's source lines.

The texts are synthetic, in the forms that releases print.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.profiling.sanitizer.findings import (
    ERROR_EXIT,
    SanitizerReport,
    SanitizerTool,
    ToolRun,
    read_findings,
    sanitizer_command,
    unread_words,
)

ROOT = Path("/private/src")
OUT_OF_BOUNDS = """\
some words of the program
========= COMPUTE-SANITIZER
========= Invalid __global__ write of size 4 bytes
=========     at scale(float *, int)+0x50 in /private/src/candidate_1a2b/kernel.cu:14
=========     by thread (31,0,0) in block (3,0,0)
=========     Access at 0x7f2a1c003c9c is out of bounds
=========     Saved host backtrace up to driver entry point at kernel launch time
=========         Host Frame: [0x2d4a4b]
=========
========= Invalid __global__ write of size 4 bytes
=========     at scale(float *, int)+0x50 in /private/src/candidate_1a2b/kernel.cu:14
=========     by thread (30,0,0) in block (3,0,0)
=========     Access at 0x7f2a1c003c98 is out of bounds
=========
========= ERROR SUMMARY: 2 errors
"""
RACE = """\
========= Error: Race reported between Write access at k(int *)+0x90 in /private/src/c/a/k.cu:13
=========     and Read access at k(int *)+0xa0 in /private/src/c/a/k.cu:15 [2048 hazards]
=========
========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)
"""


def test_equal_faults_at_one_line_are_one_finding_with_a_count():
    (got,) = read_findings(OUT_OF_BOUNDS, SanitizerTool.MEMCHECK, ROOT)
    assert (got.kind, got.count) == ("out_of_bounds", 2)
    assert (got.file, got.line, got.kernel) == ("kernel.cu", 14, "scale(float *, int)")
    assert got.thread == "thread (31,0,0) of block (3,0,0)"
    assert not any("Host Frame" in detail for detail in got.details)


def test_a_race_names_the_write_and_keeps_the_read():
    (got,) = read_findings(RACE, SanitizerTool.RACECHECK, ROOT)
    assert (got.kind, got.file, got.line) == ("race", "a/k.cu", 13)
    assert "k.cu:15" in got.details[0]
    assert got.count == 2048
    assert "/private/src" not in got.message + got.details[0]


def test_a_misaligned_access_is_not_called_out_of_bounds():
    text = OUT_OF_BOUNDS.replace("is out of bounds", "is misaligned")
    assert read_findings(text, SanitizerTool.MEMCHECK, ROOT)[0].kind == "misaligned"


def test_what_synccheck_and_initcheck_print_is_placed_in_the_source():
    text = """\
========= Barrier error detected. Divergent thread(s) in warp.
=========     at k(int *)+0x8f0 in /private/src/c/kernel.cu:61
=========     by thread (32,0,0) in block (0,0,0)
=========
========= Uninitialized __global__ memory read of size 4 bytes
=========     at _add+0x90 in /private/src/c/kernel.py:22
=========     by thread (17,0,0) in block (0,0,0)
=========
"""
    barrier, unwritten = read_findings(text, SanitizerTool.SYNCCHECK, ROOT)
    assert (barrier.kind, barrier.file, barrier.line) == ("barrier", "kernel.cu", 61)
    assert (unwritten.kind, unwritten.file, unwritten.line) == (
        "uninitialised_read",
        "kernel.py",
        22,
    )
    assert unwritten.kernel == "_add"


def test_a_fault_in_a_form_nobody_knows_is_reported_in_the_tools_own_words():
    text = "noise\n========= COMPUTE-SANITIZER\n========= Something new at 0x1\n"
    assert read_findings(text, SanitizerTool.MEMCHECK, ROOT) == []
    assert unread_words(text) == "Something new at 0x1"
    assert unread_words("noise") is None


@pytest.mark.parametrize(
    ("place", "file", "line", "kernel"),
    [
        ("at 0x160 in /private/src/c/k.cu:6:k(int*)", "k.cu", 6, "k(int*)"),
        ("at 0x160 in k(float *, int)", None, None, "k(float *, int)"),
        ("at k+0x70 in /private/src/c/k.py:41", "k.py", 41, "k"),
        ("at k(int *)+0x70", None, None, "k(int *)"),
        ("at k in /opt/cuda/include/sm_30.hpp:110", "sm_30.hpp", 110, "k"),
        ("by thread (0,0,0) in block (0,0,0)", None, None, None),
    ],
)
def test_places_are_read_in_every_form_that_releases_print(place, file, line, kernel):
    text = (
        f"========= Uninitialized __global__ memory read of size 4 bytes\n=========     {place}\n"
    )
    (got,) = read_findings(text, SanitizerTool.INITCHECK, ROOT)
    assert (got.file, got.line, got.kernel) == (file, line, kernel)


def test_the_candidates_own_line_is_preferred_to_a_headers():
    text = (
        "========= Barrier error detected. Invalid arguments.\n"
        "=========     at __syncwarp(unsigned int)+0xe0 in sm_30_intrinsics.hpp:110\n"
        "=========         Device Frame: broken(float *)+0xb0 in /private/src/c/kernel.cu:12\n"
    )
    (got,) = read_findings(text, SanitizerTool.SYNCCHECK, ROOT)
    assert (got.kind, got.file, got.line) == ("barrier", "kernel.cu", 12)


def test_faults_without_a_gap_between_them_are_two():
    text = (
        "========= Uninitialized __global__ memory read of size 4 bytes\n"
        "=========     at a+0x10 in k.cu:1\n"
        "========= Uninitialized __global__ memory read of size 4 bytes\n"
        "=========     at b+0x10 in k.cu:2\n"
        "========= ERROR SUMMARY: 2 errors\n"
    )
    got = read_findings(text, SanitizerTool.INITCHECK, ROOT)
    assert sorted(finding.line or 0 for finding in got) == [1, 2]


@pytest.mark.parametrize(
    "text",
    ["", "Invalid __global__ write of size 4", "========= ERROR SUMMARY: 0 errors\n"],
)
def test_a_clean_run_has_no_findings(text):
    assert read_findings(text, SanitizerTool.MEMCHECK, ROOT) == []


@given(st.text(max_size=400))
def test_any_text_of_a_candidate_reads_as_bounded_findings(text):
    marked = "\n".join(f"========= {line}" for line in text.splitlines())
    for said in (text, marked, f"========= Invalid __global__ read of size 4 bytes\n{marked}"):
        assert len(read_findings(said, SanitizerTool.MEMCHECK, ROOT)) <= 20


def test_the_command_tells_findings_from_the_programs_own_exit():
    command = sanitizer_command("cs", SanitizerTool.RACECHECK, ["python", "x"])
    assert command[command.index("--error-exitcode") + 1] == str(ERROR_EXIT)
    assert command[-2:] == ["python", "x"]


def test_a_report_is_clean_only_when_every_tool_ran_and_found_nothing():
    def report(*statuses: str) -> SanitizerReport:
        runs = [
            ToolRun(tool=SanitizerTool.MEMCHECK, workload_uuid="w", status=status)
            for status in statuses
        ]
        return SanitizerReport(
            solution_name="s",
            content_hash="h",
            definition="d",
            tool="compute-sanitizer",
            runs=runs,
        )

    assert report("clean", "clean").clean
    assert not report("clean", "timeout").clean
    assert not report().clean
