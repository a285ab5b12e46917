"""Hints name a change, the figure that asks for it, and the most it could gain."""

from __future__ import annotations

import pytest

from kernel_harness.tools.profiling.diagnosis.bottleneck import (
    Bottleneck,
    Diagnosis,
    WorkFloors,
    diagnose_call,
    diagnose_kernel,
)
from kernel_harness.tools.profiling.diagnosis.hints import MOST, hints_for
from kernel_harness.tools.profiling.diagnosis.kernel_profile import Rule

from ..profiles import profile, stalled
from .test_bottleneck import CHASE, CONFLICTS, COPY, GEMM, SPILLING, TINY


@pytest.mark.parametrize("bottleneck", list(Bottleneck))
def test_every_bottleneck_has_bounded_hints_with_reasons(bottleneck):
    kernel = profile(stalls=stalled(barrier=0.4, long_scoreboard=0.5), sector_efficiency_percent=30)
    hints = hints_for(kernel, Diagnosis(bottleneck=bottleneck, kernel="kernel"))
    assert 1 <= len(hints) <= MOST
    assert all(hint.change and hint.because for hint in hints)
    assert all(hint.gain_percent is None or 0 <= hint.gain_percent < 100 for hint in hints)


@pytest.mark.parametrize(
    ("kernel", "word"),
    [
        (CONFLICTS, "bank conflicts"),
        (TINY, "more blocks"),
        (CHASE, "loads earlier"),
        (SPILLING, "fewer values alive"),
        (COPY, "fewer bytes"),
        (GEMM, "operations"),
    ],
)
def test_the_first_hint_is_the_change_a_person_would_try(kernel, word):
    assert word in hints_for(kernel, diagnose_kernel(kernel))[0].change


def test_occupancy_hints_name_the_registers_and_bytes_for_one_more_block():
    limited = Diagnosis(bottleneck=Bottleneck.OCCUPANCY, kernel="kernel")
    kernel = profile(registers=128, occupancy_theoretical_percent=25.0)
    assert "(80 a thread make room for 3 blocks on an SM)" in hints_for(kernel, limited)[0].change
    shared = profile(shared_bytes=100_000, occupancy_limit="shared_memory")
    said = " ".join(hint.change for hint in hints_for(shared, limited))
    assert "(75 KiB a block make room for 3 on an SM)" in said
    unknown = profile(registers=None, block=[], occupancy_limit="registers")
    assert any("Use fewer registers:" in hint.change for hint in hints_for(unknown, limited))


def test_a_spill_at_the_limit_of_its_block_is_not_advised_to_lift_it():
    full = SPILLING.model_copy(update={"block": [1024, 1, 1], "registers": 64, "spill_percent": 99})
    said = " ".join(hint.change for hint in hints_for(full, diagnose_kernel(full)))
    assert "Lift the limit" not in said
    assert "Index arrays" not in said
    low = full.model_copy(update={"registers": 40, "spill_percent": 60})
    said = " ".join(hint.change for hint in hints_for(low, diagnose_kernel(low)))
    assert "Lift the limit" in said
    assert "Index arrays" in said


def test_what_the_allocator_decides_is_no_hint_and_a_long_finding_ends_at_a_word():
    rules = [
        Rule(name="MemoryL2Compression", message="Nothing.", speedup_percent=90, kind="global"),
        Rule(name="Other", message="word " * 100, speedup_percent=10, kind="global"),
    ]
    kernel = COPY.model_copy(update={"rules": rules})
    found = [h.change for h in hints_for(kernel, diagnose_kernel(kernel)) if "rule" in h.change]
    assert len(found) == 1
    assert found[0].endswith("word ….")


def test_bytes_moved_twice_are_named_with_both_figures():
    kernel = COPY.model_copy(update={"dram_bytes": 20e6})
    hint = hints_for(kernel, diagnose_kernel(kernel), WorkFloors(bytes_moved=10e6))[0]
    assert "each byte once" in hint.change
    assert "20.00 MB" in hint.because
    assert hint.gain_percent == 50


def test_kernels_that_need_not_be_apart_are_to_be_fused():
    kernels = [profile(duration_us=3.5), profile(duration_us=2.5)]
    diagnosis = diagnose_call(kernels)
    assert diagnosis is not None
    hints = hints_for(kernels[0], diagnosis)
    assert "Fuse" in hints[0].change
    assert hints[0].gain_percent == 50


def test_hints_of_the_bottleneck_come_before_other_faults_and_the_tools_own_rules():
    rule = Rule(
        name="TailEffect", message="Too few waves. More.", speedup_percent=80, kind="global"
    )
    kernel = COPY.model_copy(update={"sector_efficiency_percent": 25.0, "rules": [rule]})
    hints = hints_for(kernel, diagnose_kernel(kernel))
    assert "DRAM" in hints[0].because
    assert any("TailEffect" in hint.change for hint in hints[1:])
    assert any("Coalesce" in hint.change for hint in hints[1:])
