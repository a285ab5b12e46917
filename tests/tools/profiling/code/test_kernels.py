"""A kernel's texts, the assembler's warnings, and the part of a text that is asked for."""

from __future__ import annotations

import pytest

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.messages.candidate import CompiledKernel
from kernel_harness.tools.messages.profiler import CompiledModule
from kernel_harness.tools.profiling.code.excerpts import excerpt
from kernel_harness.tools.profiling.code.kernels import KernelCode, chosen, kernels_of
from kernel_harness.tools.schema.evaluation import StaticKernel

from .samples import PTX, SASS

LOG = """\
ptxas info    : Used 40 registers
ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized
ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized
"""


def kernels() -> list[KernelCode]:
    compiled = [
        CompiledKernel(name="step", target="sm_90", registers=40, threads=128, opcodes={"LDG": 2}),
        CompiledKernel(name="other<3>", target="sm_90", binary="other x"),
        CompiledKernel(name="unknown", target="sm_90"),
    ]
    module = CompiledModule(
        target="sm_90",
        kernels={"step": "step", "other": "other x"},
        texts={"ptx": PTX, "sass": SASS, "ttir": "module {\n}"},
        log=LOG,
    )
    return kernels_of(compiled, [module])


def test_each_kernel_has_its_own_part_of_what_its_module_holds():
    step, other, unknown = kernels()
    assert step.lines("ptx")[0] == ".visible .entry step(" and ".loc" in "".join(step.lines("ptx"))
    assert other.lines("ptx")[0] == ".visible .entry other(" and len(other.lines("sass")) == 2
    assert step.lines("ttir") == ["module {", "}"]
    assert step.kernel.instructions["load_global"] == 2 and step.kernel.occupancy
    with pytest.raises(RequestError, match="has no ttgir.*ttir, ptx, sass"):
        step.lines("ttgir")
    with pytest.raises(RequestError, match="has no sass"):
        unknown.lines("sass")


def test_ptx_is_shown_without_the_tables_of_debuggers():
    """Half of the lines of a Triton kernel's were bytes of names."""
    text = (
        ".visible .entry step(\n{\n$L__tmp0:\n\t.loc 1 7 3 // k.py:7:3\n\tadd.s32 %r1, %r2, 1;\n"
        "\t.loc 1 7 3 // k.py:7:3\n$L__BB0_1:\n\tret;\n}\n"
        "\t.section\t.debug_str\n\t{\n.b8 95\n\t}\n"
    )
    lines = KernelCode(StaticKernel(name="step", target="sm_90"), "step", {"ptx": text}).lines(
        "ptx"
    )
    assert [line.strip() for line in lines] == [
        ".visible .entry step(",
        "{",
        ".loc 1 7 3 // k.py:7:3",
        "add.s32 %r1, %r2, 1;",
        "$L__BB0_1:",
        "ret;",
        "}",
    ]


def test_the_assemblers_warnings_are_told_once():
    (warning,) = kernels()[0].warnings
    assert "serialized" in warning and kernels()[2].warnings == []


def test_a_kernel_is_found_by_part_of_its_name():
    assert [one.kernel.name for one in chosen(kernels(), "OTHER")] == ["other<3>"]
    assert len(chosen(kernels(), None)) == 3
    with pytest.raises(RequestError, match="Nearest: step"):
        chosen(kernels(), "stop")


TEXT = [
    f"{n:05x}  {'LDG' if n % 5 == 0 else 'FADD'} R{n}   // kernel.py:{n // 10}" for n in range(60)
]


@pytest.mark.parametrize(
    ("around", "matches", "first"),
    [("ldg", 12, 0), ("kernel.py:3", 10, 28), ("3", 10, 28), ("0x14", 1, 18), ("R5[0-4] ", 5, 48)],
)
def test_lines_around_what_is_asked_for(around, matches, first):
    found = excerpt(TEXT, around, 0, 80)
    assert found.matches == matches and found.lines[0][0] == first


def test_a_page_says_where_the_next_begins():
    first = excerpt(TEXT, "", 0, 40)
    assert len(first.lines) == 40 and first.next_offset == 40
    last = excerpt(TEXT, "", 40, 40)
    assert len(last.lines) == 20 and last.next_offset is None


def test_matches_that_do_not_fit_come_with_the_next_offset():
    first = excerpt(TEXT, "LDG", 0, 10)
    assert first.next_offset == 2 and len(first.lines) <= 10
    assert excerpt(TEXT, "LDG", 2, 80).next_offset is None


def test_what_no_line_has_is_refused_and_a_broken_pattern_is_a_word():
    with pytest.raises(RequestError, match="No line of 60 has 'STG'"):
        excerpt(TEXT, "STG", 0, 80)
    assert excerpt(["a [b", "c"], "[b", 0, 80).matches == 1


def test_source_lines_are_found_in_every_form():
    assert excerpt(["  .loc\t1 12 0", " .loc 1 120 0"], "12", 0, 80).matches == 1
    assert excerpt(['loc("/a/kernel.py":12:4)', "x"], "kernel.py:12", 0, 80).matches == 1
