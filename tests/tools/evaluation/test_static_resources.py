"""What compiling alone shows of a kernel."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_harness.tools.evaluation.static_resources import (
    classify_opcodes,
    explained_check,
    explained_kernel,
)
from kernel_harness.tools.messages.candidate import CompiledKernel
from kernel_harness.tools.schema.evaluation import StaticCheck, StaticKernel

GEMM = {"HGMMA.64x128x16.F32.BF16": 16, "UTMALDG.2D": 4, "SYNCS.ARRIVE": 9, "STG.E.128": 8}


def kernel(**changes) -> CompiledKernel:
    values = {
        "name": "k",
        "target": "sm_90",
        "registers": 128,
        "shared_bytes": 40_000,
        "threads": 256,
        "opcodes": {"LDG.E.128": 8, "FFMA": 200},
    }
    return CompiledKernel(**(values | changes))


def test_tensor_instructions_of_every_generation_count_as_tensor():
    opcodes = {"HMMA.16816.F32.BF16": 3, "HGMMA.64x8x16": 4, "UTCHMMA": 5, "IMMA.16832": 2}
    got = classify_opcodes(opcodes)
    assert got["tensor"] == 14
    assert (got["tensor_mma"], got["tensor_wgmma"], got["tensor_tcgen05"]) == (5, 4, 5)


def test_global_loads_are_told_apart_by_width():
    got = classify_opcodes({"LDG.E.128.CONSTANT": 4, "LDG.E": 2, "LDG.E.U8": 1, "STG.E.64": 3})
    assert got["load_global"] == 7
    assert (got["load_global_128"], got["load_global_32"], got["load_global_8"]) == (4, 2, 1)
    assert got["store_global_64"] == 3


def test_bulk_copies_local_traffic_and_async_copies_have_their_classes():
    got = classify_opcodes({"UTMALDG.2D": 1, "UBLKCP": 2, "LDL": 3, "STL.64": 4, "LDGSTS.E": 5})
    assert (got["bulk_copy"], got["local"], got["async_copy"]) == (3, 7, 5)


def test_copies_that_pass_registers_by_count_as_wide_loads():
    opcodes = {"LDGSTS.E.BYPASS.128": 27, "LDG.E.CONSTANT": 12, "FFMA": 3}
    assert classify_opcodes(opcodes)["async_copy_128"] == 27
    assert not any("narrower" in note for note in explained_kernel(kernel(opcodes=opcodes)).notes)
    few = {"UTMALDG.2D": 2, "LDG.E": 9}
    assert not any("narrower" in note for note in explained_kernel(kernel(opcodes=few)).notes)


def test_without_a_block_size_the_note_says_what_registers_and_shared_memory_allow():
    got = explained_kernel(kernel(threads=None, registers=128, shared_bytes=80_000))
    assert got.occupancy is None
    assert "registers allow 16 of 64 warps, static shared memory 2 blocks" in got.notes[0]
    alone = explained_kernel(kernel(threads=None, registers=40, shared_bytes=0))
    assert alone.notes[0].endswith("registers allow 48 of 64 warps.")


@settings(max_examples=30)
@given(st.dictionaries(st.text(max_size=20), st.integers(0, 10_000), max_size=20))
def test_every_instruction_is_counted_once_in_the_total(opcodes):
    assert classify_opcodes(opcodes).get("total", 0) == sum(opcodes.values())


def test_occupancy_and_its_limit_are_those_of_the_target():
    assert explained_kernel(kernel()).occupancy == 0.25
    assert explained_kernel(kernel()).occupancy_limit == "registers"
    assert explained_kernel(kernel(registers=32)).occupancy_limit == "shared_memory"


def test_a_block_that_cannot_fit_is_said_in_words():
    got = explained_kernel(kernel(shared_bytes=200_000, target="sm_80"))
    assert got.occupancy == 0
    assert "does not fit" in got.notes[0]


def test_spills_narrow_loads_and_missing_tensor_cores_are_noted():
    got = explained_kernel(kernel(spill_bytes=96, opcodes={"LDG.E": 8, "FFMA": 200, "STL": 4}))
    text = " ".join(got.notes)
    assert "96 bytes" in text
    assert "8 of 8 global loads" in text
    assert "No tensor-core instruction" in text


def test_old_tensor_instructions_are_noted_on_targets_that_have_better_ones():
    opcodes = {"HMMA.16816.F32": 8}
    assert "wgmma" in " ".join(explained_kernel(kernel(opcodes=opcodes)).notes)
    blackwell = explained_kernel(kernel(opcodes=opcodes, target="sm_100a"))
    assert "tcgen05" in " ".join(blackwell.notes)
    assert explained_kernel(kernel(opcodes=GEMM)).notes == []


def test_an_unknown_target_keeps_the_kernel_without_occupancy():
    got = explained_kernel(kernel(target="sm_999"))
    assert got.occupancy is None
    assert "not in the table" in got.notes[0]


def test_a_recorded_check_is_explained_once_and_only_once():
    recorded = StaticKernel(
        name="k", target="sm_90", registers=128, threads=256, instructions={"LDG.E.128": 3}
    )
    once = explained_check(StaticCheck(status="built", kernels=[recorded]))
    assert once is not None
    assert once.kernels[0].occupancy == 0.25
    assert once.kernels[0].instructions["load_global_128"] == 3
    assert explained_check(once) == once
    assert explained_check(None) is None
