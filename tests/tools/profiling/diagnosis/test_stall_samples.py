"""Samples of launches are summed up by kernel, and the worst instructions are named."""

from __future__ import annotations

from kernel_harness.tools.profiling.diagnosis.stall_samples import (
    main_reason,
    merged,
    opcode_of,
    same_code,
    stall_spots,
)
from kernel_harness.tools.profiling.ncu.source_page import read_source_page

from ..source_pages import source_page


def test_launches_of_one_kernel_are_summed_up_and_others_are_not():
    launches = read_source_page(source_page("step", "other", "step"))
    step, other = merged(launches)
    assert (step.name, step.launches, step.samples) == ("step", 2, 400)
    assert step.instructions[3].reasons == {"long_scoreboard": 300, "selected": 8, "wait": 12}
    assert (other.launches, other.samples) == (1, 200)


def test_one_name_with_two_programs_is_two_kernels():
    other = source_page("step", rows=[("EXIT", 7, 0, 0, 7)])
    found = merged([*read_source_page(source_page("step")), *read_source_page(other)])
    assert [kernel.samples for kernel in found] == [200, 7]


def test_spots_are_where_warps_waited_not_where_they_issued():
    (kernel,) = merged(read_source_page(source_page("step")))
    first, second = stall_spots([kernel], 2)
    assert (first.address, first.opcode, first.reason) == (0x30, "MUFU.EX2", "long_scoreboard")
    assert first.share == round(156 / 200, 4)
    assert (second.address, second.reason) == (0x40, "wait")
    assert stall_spots([], 2) == []


def test_the_main_reason_is_none_of_having_issued():
    assert main_reason([("selected", 9), ("wait", 2), ("membar", 0)]) == "wait"
    assert main_reason([("selected", 9)]) == ""


def test_code_is_the_same_but_for_modifiers_and_padding():
    assert same_code(["LDG.E", "EXIT", "NOP", "NOP"], ["LDG.E.CONSTANT", "EXIT"])
    assert not same_code(["LDG.E", "EXIT"], ["STG.E", "EXIT"])
    assert not same_code([], [])


def test_an_opcode_stands_behind_a_predicate():
    assert opcode_of("  @!UP0 LDG.E.128 R2, desc[UR4][R2.64]") == "LDG.E.128"
    assert opcode_of("// nothing") == ""
