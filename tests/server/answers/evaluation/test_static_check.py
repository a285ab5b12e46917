"""What compiling showed, as an agent reads it."""

from __future__ import annotations

from kernel_harness.server.answers.evaluation.static_check import (
    SUMMARY_ROWS,
    mix_words,
    static_note,
    static_parts,
    static_words,
)
from kernel_harness.tools.schema.evaluation import StaticCheck, StaticKernel

MIX = {
    "tensor": 8,
    "tensor_mma": 8,
    "load_global": 4,
    "load_global_128": 3,
    "async_copy": 6,
    "async_copy_128": 6,
    "local": 2,
    "total": 99,
}


def kernel(**changes) -> StaticKernel:
    values = {
        "name": "_add",
        "target": "sm_90",
        "config": {"BLOCK": 64, "num_warps": 4},
        "registers": 40,
        "shared_bytes": 1024,
        "spill_bytes": 0,
        "occupancy": 0.75,
        "occupancy_limit": "registers",
        "instructions": MIX,
    }
    return StaticKernel(**(values | changes))


def test_the_summary_tells_resources_tensor_cores_widths_and_local_memory():
    said = static_words(StaticCheck(status="built", kernels=[kernel()])) or ""
    assert said == (
        "_add sm_90: 40 registers, 1024 B shared, occupancy 75% (registers), 8 mma.sync, "
        "4 loads (3 of 16 B), 6 async copies (6 of 16 B), 2 local accesses, 99 in all"
    )


def test_the_summary_tells_for_which_workload_it_was_compiled():
    check, axes = StaticCheck(status="built", kernels=[kernel()]), {"w-1": {"batch_size": 64}}
    said = static_words(check, axes) or ""
    assert said.splitlines()[0] == "Compiled as called on batch_size=64; other shapes may differ."


def test_configurations_of_one_kernel_are_told_apart():
    two = [kernel(), kernel(config={"BLOCK": 128, "num_warps": 8}, spill_bytes=16)]
    rows = (static_words(StaticCheck(status="built", kernels=two)) or "").splitlines()
    assert "(BLOCK=64, num_warps=4)" in rows[0]
    assert "(BLOCK=128, num_warps=8)" in rows[1]
    assert "16 B spilled" in rows[1]
    assert [part.config for part in static_parts(StaticCheck(status="built", kernels=two))] == [
        "BLOCK=64, num_warps=4",
        "BLOCK=128, num_warps=8",
    ]


def test_later_configurations_name_what_is_unlike_the_first():
    first = {"GROUP": 2, "BLOCK": 64, "num_warps": 4}
    rows = [
        kernel(config=first),
        kernel(config={**first, "BLOCK": 32}),
        kernel(config={**first, "BLOCK": 32}, target="sm_100"),
        kernel(config=first),
        kernel(config={"BLOCK": 32}),
    ]
    check = StaticCheck(status="built", kernels=rows)
    whole = "GROUP=2, BLOCK=64, num_warps=4"
    assert [part.config for part in static_parts(check)] == [
        *(whole, "BLOCK=32", None, whole, "BLOCK=32"),
    ]
    assert {part.config for part in static_parts(check, whole=True)} == {
        whole,
        "GROUP=2, BLOCK=32, num_warps=4",
        "BLOCK=32",
    }


def test_many_configurations_take_a_few_lines():
    many = StaticCheck(status="built", kernels=[kernel(name=f"k{i}") for i in range(40)])
    rows = (static_words(many) or "").splitlines()
    assert len(rows) == SUMMARY_ROWS + 1
    assert "34 more" in rows[-1]


def test_a_check_that_compiled_nothing_says_why():
    check = StaticCheck(status="unavailable", reason="The call reached no Triton launch: NameError")
    assert static_words(check) == (
        "Compiling: unavailable. The call reached no Triton launch: NameError"
    )
    assert static_words(None) is None


def test_a_failed_target_is_noted_by_its_first_line():
    check = StaticCheck(status="failed", failures={"sm_100": "kernel.py:7: no\nmore\nlines"})
    assert (static_note(check) or "").splitlines()[
        -1
    ] == "Did not compile for sm_100: kernel.py:7: no"


def test_what_the_failure_says_of_a_target_is_not_told_again():
    check = StaticCheck(
        status="failed", failures={"sm_90": "kernel.py:7: no\nmore", "sm_100": "kernel.py:9: other"}
    )
    said = "It does not compile for sm_90: kernel.py:7: no."
    assert (static_note(check, said=said) or "").splitlines() == [
        "Compile-only check failed.",
        "Did not compile for sm_100: kernel.py:9: other",
    ]
    assert static_note(check, said=said + " For sm_100: kernel.py:9: other.") is None
    assert "does not build" in (static_words(check, rows_too=False) or "")
    assert static_words(check, rows_too=False, said=said) is None


def test_a_kernel_whose_instructions_were_not_read_has_no_mix():
    assert mix_words({}) == ""
    assert (
        static_parts(StaticCheck(status="built", kernels=[kernel(instructions={})]))[0].mix is None
    )


def test_each_kernel_says_on_which_grids_it_is_launched():
    launched = kernel(
        grids={"w-1": [[8, 4, 1]], "w-2": [[1, 1, 1], [16, 1, 2]], "w-3": [[2, 1, 1]]}
    )
    check = StaticCheck(status="built", kernels=[launched])
    axes = {"w-1": {"n": 64}, "w-2": {"n": 128}, "w-9": {"n": 1}}
    (part,) = static_parts(check, axes=axes)
    assert part.launched == "8x4 on n=64; 1 and 16x1x2 on n=128; 2 on w-3"
    assert "Compiled as called on n=64, n=128; other" in (static_words(check, axes) or "")


def test_rows_that_are_not_shown_are_read_page_by_page():
    many = StaticCheck(status="built", kernels=[kernel(name=f"k{i}") for i in range(40)])
    assert len(static_parts(many, 25)) == 25
    note = static_note(many, 25) or ""
    assert "Showing 25 of 40" in note
    assert "read_report(uri=evaluation_uri, section='static')" in note


def test_a_row_repeats_nothing_of_the_row_before_it_unless_all_is_asked_for():
    grids = {"w": [[8, 1, 1]]}
    check = StaticCheck(
        status="built",
        kernels=[kernel(grids=grids), kernel(target="sm_100", grids=grids, registers=48)],
    )
    first, second = static_parts(check)
    assert first.config == "BLOCK=64, num_warps=4" and first.launched == "8 on w"
    assert second.config is None and second.launched is None and second.registers == 48
    assert static_parts(check, whole=True)[1].config == first.config
