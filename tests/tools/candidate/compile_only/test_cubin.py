"""What NVIDIA's tools print is read into figures."""

from __future__ import annotations

from kernel_harness.tools.candidate.compilation.toolchain import digest
from kernel_harness.tools.candidate.compile_only.cubin import (
    Resources,
    read_assembler_log,
    read_opcodes,
    read_resources,
    spilled_bytes,
)

USAGE = """
Resource usage:
 Common:
  GLOBAL:0
 Function _add:
  REG:14 STACK:0 SHARED:0 LOCAL:0 CONSTANT[0]:576 TEXTURE:0 SURFACE:0 SAMPLER:0
 Function _Z5twicePfi:
  REG:255 STACK:96 SHARED:2048 LOCAL:0 CONSTANT[0]:544 TEXTURE:0 SURFACE:0 SAMPLER:0
"""
SASS = """
\tcode for sm_90a
\t\tFunction : _add
\t.headerflags\t@"EF_CUDA_SM90"
        /*0000*/                   LDC R1, c[0x0][0x28] ;      /* 0x00000a00ff017b82 */
                                                               /* 0x000fe20000000800 */
        /*0010*/              @!P0 LDG.E.128 R8, [R2.64] ;     /* 0x0000000000087919 */
        /*0020*/             @UP1  LDG.E.128 R8, [R2.64] ;     /* 0x0000000000087919 */
        /*0030*/                   EXIT ;                      /* 0x000000000000794d */
\t\tFunction : other
        /*0000*/                   STL.64 [R1], R2 ;           /* 0x0 */
"""
ASSEMBLER = """
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z5twicePfi' for 'sm_90a'
ptxas info    : Function properties for _Z5twicePfi
    96 bytes stack frame, 40 bytes spill stores, 44 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 2048 bytes smem, 16 bytes cmem[0]
ptxas info    : Compiling entry function 'plain' for 'sm_90a'
ptxas info    : Function properties for plain
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 16 registers, used 0 barriers
"""


def test_resources_are_read_per_kernel():
    assert read_resources(USAGE) == {
        "_add": Resources(registers=14, stack_bytes=0, shared_bytes=0),
        "_Z5twicePfi": Resources(registers=255, stack_bytes=96, shared_bytes=2048),
    }


def test_opcodes_are_counted_per_kernel_whatever_guards_them():
    assert read_opcodes(SASS) == {
        "_add": {"LDG.E.128": 2, "LDC": 1, "EXIT": 1},
        "other": {"STL.64": 1},
    }


def test_the_assembler_s_report_gives_spills():
    found = read_assembler_log(ASSEMBLER)
    assert found["_Z5twicePfi", "sm_90a"] == Resources(255, 96, 2048, 84)
    assert found["plain", "sm_90a"] == Resources(16, 0, 0, 0)


def test_stack_counts_as_spilled_only_when_instructions_touch_it():
    frame = Resources(registers=32, stack_bytes=96)
    assert spilled_bytes(frame, {"LDG.E": 3}) == 0
    assert spilled_bytes(frame, {"STL.64": 1}) == 96
    assert spilled_bytes(Resources(spill_bytes=8), {}) == 8
    assert spilled_bytes(Resources(), {}) is None


def test_nothing_is_read_from_an_error_message():
    words = "cuobjdump fatal   : not a cubin"
    assert (read_resources(words), read_opcodes(words), read_assembler_log(words)) == ({}, {}, {})


def test_parts_of_a_key_cannot_run_into_each_other():
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("a", "") != digest("a")
