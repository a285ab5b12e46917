"""A kernel of known character gets the bottleneck a person would name, with its figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.profiling.diagnosis.bottleneck import (
    Bottleneck,
    WorkFloors,
    diagnose_call,
    diagnose_kernel,
    tail_loss,
)

from ..profiles import profile, stalled

COPY = profile(dram_percent=91, l2_percent=55, l1_percent=30, compute_percent=14, issue_percent=9)
GEMM = profile(
    tensor_percent=82,
    compute_percent=83,
    l1_percent=45,
    dram_percent=20,
    issue_percent=35,
    occupancy_theoretical_percent=18.7,
    occupancy_limit="shared_memory",
)
CHASE = profile(
    compute_percent=2,
    dram_percent=6,
    l2_percent=5,
    l1_percent=4,
    issue_percent=1,
    stalls=stalled(long_scoreboard=0.93, wait=0.04),
    occupancy_theoretical_percent=50,
    occupancy_limit="blocks",
)
TINY = profile(
    grid=[8, 1, 1],
    waves=0.01,
    sm_active_percent=6,
    compute_percent=4,
    dram_percent=1,
    warps_active=2,
)
SPILLING = profile(
    registers=255, local_instructions=2.4e5, spill_requests=2.4e5, l1_percent=88, compute_percent=40
)
CONFLICTS = profile(bank_conflict_percent=96.9, l1_percent=93, compute_percent=95, dram_percent=3)
LOW_OCCUPANCY = profile(
    occupancy_theoretical_percent=12.5,
    occupancy_limit="shared_memory",
    shared_bytes=200_000,
    issue_percent=18,
    stalls=stalled(long_scoreboard=0.5),
)
SHORT = profile(duration_us=1.9, compute_percent=1, dram_percent=1)


@pytest.mark.parametrize(
    ("kernel", "bottleneck", "level"),
    [
        (COPY, Bottleneck.MEMORY_BANDWIDTH, "DRAM"),
        (GEMM, Bottleneck.COMPUTE, "SM"),
        (CHASE, Bottleneck.MEMORY_LATENCY, None),
        (TINY, Bottleneck.TAIL, None),
        (SPILLING, Bottleneck.SPILLS, None),
        (CONFLICTS, Bottleneck.MEMORY_BANDWIDTH, "shared memory"),
        (LOW_OCCUPANCY, Bottleneck.OCCUPANCY, None),
        (SHORT, Bottleneck.LAUNCH, None),
    ],
)
def test_a_kernel_of_known_character_is_named(kernel, bottleneck, level):
    got = diagnose_kernel(kernel)
    assert (got.bottleneck, got.level) == (bottleneck, level)
    assert got.evidence
    assert all(item.value is not None for item in got.evidence)


def test_the_evidence_of_a_copy_names_the_share_of_dram():
    figures = {item.metric: item.value for item in diagnose_kernel(COPY).evidence}
    assert figures["dram_percent"] == 91


def test_a_full_tensor_pipe_is_compute_though_its_operands_keep_shared_memory_busier():
    busy = GEMM.model_copy(update={"l1_percent": 91.0})
    assert diagnose_kernel(busy).bottleneck is Bottleneck.COMPUTE
    starved = busy.model_copy(update={"dram_percent": 85.0})
    assert diagnose_kernel(starved).bottleneck is Bottleneck.MEMORY_BANDWIDTH


def test_one_warp_a_scheduler_that_chases_pointers_is_latency_whatever_the_grid():
    lonely = CHASE.model_copy(
        update={"grid": [1, 1, 1], "sm_active_percent": 1.0, "warps_active": 1.0}
    )
    assert diagnose_kernel(lonely).bottleneck is Bottleneck.MEMORY_LATENCY


def test_work_with_dependent_steps_is_a_chain_when_no_unit_is_busy():
    scan = profile(compute_percent=8.5, memory_percent=24, occupancy_theoretical_percent=16)
    got = diagnose_kernel(scan, WorkFloors(serial_steps=64))
    assert got.bottleneck is Bottleneck.SERIAL_CHAIN
    assert {"serial_steps", "us_per_step"} <= {item.metric for item in got.evidence}


def test_a_few_short_steps_do_not_make_a_chain():
    got = diagnose_kernel(CHASE, WorkFloors(serial_steps=3, serial_us=2.0))
    assert got.bottleneck is Bottleneck.MEMORY_LATENCY
    long = diagnose_kernel(CHASE, WorkFloors(serial_steps=3, serial_us=30.0))
    assert long.bottleneck is Bottleneck.SERIAL_CHAIN


def test_a_busy_unit_outweighs_known_dependent_steps():
    assert diagnose_kernel(GEMM, WorkFloors(serial_steps=64)).bottleneck is Bottleneck.COMPUTE


def test_short_kernels_in_a_row_are_launch_bound_unless_all_of_them_are_needed():
    pair = [profile(duration_us=3.5), profile(duration_us=2.5)]
    got = diagnose_call(pair)
    assert got is not None
    assert got.bottleneck is Bottleneck.LAUNCH
    needed = diagnose_call(pair, WorkFloors(dependent_kernels=2))
    assert needed is not None
    assert needed.bottleneck is Bottleneck.SERIAL_CHAIN


def test_a_call_has_the_bottleneck_of_its_longest_kernel():
    got = diagnose_call([COPY, profile(duration_us=2.0)])
    assert got is not None
    assert got.bottleneck is Bottleneck.MEMORY_BANDWIDTH


def test_a_call_without_kernels_has_no_diagnosis():
    assert diagnose_call([]) is None


def test_a_half_empty_second_wave_is_a_tail_when_idle_cycles_were_not_counted():
    kernel = profile(grid=[1200, 1, 1], waves=1.14, sm_active_percent=None)
    assert tail_loss(kernel) == pytest.approx(0.43)
    assert diagnose_kernel(kernel).bottleneck is Bottleneck.TAIL


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.none() | st.floats(0, 100)
            for name in (
                "compute_percent",
                "memory_percent",
                "dram_percent",
                "l2_percent",
                "l1_percent",
                "tensor_percent",
                "issue_percent",
                "sm_active_percent",
                "occupancy_theoretical_percent",
                "bank_conflict_percent",
                "duration_us",
                "waves",
                "warps_active",
                "spill_requests",
                "instructions",
                "local_instructions",
            )
        },
    )
)
def test_any_profile_has_a_diagnosis_however_little_was_collected(changes):
    got = diagnose_kernel(profile(**changes))
    assert got.bottleneck in Bottleneck


def test_a_full_dram_decides_although_the_l2_before_it_is_busier():
    # As a copy of 268 MB was recorded on an H200.
    found = diagnose_kernel(
        profile(dram_percent=82, l2_percent=87, l1_percent=30, compute_percent=6)
    )
    assert found.bottleneck is Bottleneck.MEMORY_BANDWIDTH and found.level == "DRAM"
