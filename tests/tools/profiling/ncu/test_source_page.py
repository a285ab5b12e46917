"""Samples are read by instruction, whatever a release calls its columns."""

from __future__ import annotations

from pathlib import Path

from kernel_harness.tools.profiling.ncu.source_page import read_source_page

from ..source_pages import STEP, source_page

FIXTURES = Path(__file__).parents[3] / "fixtures/ncu"


def test_each_launch_has_its_instructions_with_samples_by_reason():
    found = read_source_page("==PROF== read\n" + source_page("step", "void add<4>(float *)"))
    assert [launch.name for launch in found] == ["step", "void add<4>(float *)"]
    step = found[0]
    assert [one.opcode for one in step.instructions][:4] == [
        "LDC",
        "LDG.E",
        "LDG.E.128",
        "MUFU.EX2",
    ]
    exponent = step.instructions[3]
    assert (exponent.address, exponent.samples) == (0x30, 160)
    assert exponent.reasons == {"long_scoreboard": 150, "selected": 4, "wait": 6}
    assert step.samples == 200 and len(step.instructions) == len(STEP)


def test_counts_of_thousands_are_read_whole():
    rows = [("LDC R1, c[0x0][0x28]", 12_345, 12_000, 300, 45)]
    (launch,) = read_source_page(source_page("step", rows=rows))
    assert launch.samples == 12_345


def test_columns_of_another_release_are_read():
    page = source_page("step").replace("(All Samples)", "(All Cycles)")
    assert read_source_page(page)[0].samples == 200
    without = source_page("step").replace("(All Samples)", "(Some)").replace("# Samples", "n")
    assert read_source_page(without)[0].samples == 200, "the sum of the reasons"
    numbered = "\n".join(
        line if line.startswith('"Kernel Name"') else f'"#",{line}'
        for line in source_page("step").splitlines()
    )
    assert read_source_page(numbered)[0].instructions[3].address == 0x30


def test_a_page_without_samples_or_addresses_has_no_instructions():
    assert read_source_page("") == []
    assert read_source_page('"Kernel Name","step"\n')[0].instructions == []
    cut = source_page("step").replace('"Address"', '"Place"')
    assert read_source_page(cut)[0].instructions == []
    page = source_page("step")
    (half,) = read_source_page(page[: len(page) // 2])
    assert 0 < len(half.instructions) < len(STEP)


def test_what_ncu_printed_of_a_copy_on_an_h200_is_read():
    (copy,) = read_source_page((FIXTURES / "copy.source.csv").read_text())
    assert copy.name == "copy_kernel" and len(copy.instructions) == 224
    most = max(copy.instructions, key=lambda one: one.samples)
    assert (most.address, most.opcode, most.samples) == (0x8A0, "STG.E.128", 3978)
    assert most.reasons == {"long_scoreboard": 3977, "selected": 1}, "it waits for the load"
    assert copy.samples == 15_680
