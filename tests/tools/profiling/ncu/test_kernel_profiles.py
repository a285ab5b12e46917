"""Raw counters become figures, whatever release named them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.profiling.diagnosis.kernel_profile import Rule
from kernel_harness.tools.profiling.ncu.counters import NAMES
from kernel_harness.tools.profiling.ncu.kernel_profiles import RawKernel, kernel_profiles
from tests.folding import for_each

ACTIVE = "avg.pct_of_peak_sustained_active"
STALL = "smsp__average_warps_issue_stalled_{}_per_issue_active.ratio"


def raw(name: str = "k", *, seconds: float = 1e-5, **figures: float) -> RawKernel:
    metrics = {"gpu__time_duration.sum": seconds}
    metrics |= {NAMES[figure][0]: value for figure, value in figures.items()}
    return RawKernel(name, metrics, grid=(4, 1, 1), block=(128, 1, 1))


def raw_of(metrics: dict[str, float]) -> RawKernel:
    return RawKernel("k", metrics)


def test_launches_of_one_name_are_summed_and_described_by_the_longest():
    launches = [raw("a", seconds=1e-6, dram=5), raw("a", seconds=3e-6, dram=50), raw("b")]
    b, a = kernel_profiles(launches)
    assert (b.name, a.name) == ("b", "a")
    assert a.launches == 2
    assert a.duration_us == pytest.approx(4.0)
    assert a.dram_percent == 50
    assert a.share == pytest.approx(4 / 14)


@for_each("figure", sorted(NAMES))
def test_every_figure_falls_back_to_the_next_name_it_is_known_by(figure):
    names = NAMES[figure]
    assert len(set(names)) == len(names)
    if figure == "dram":
        got = [kernel_profiles([raw_of({name: 42.0})])[0].dram_percent for name in names]
        assert got == [42.0] * len(names)


def test_dram_throughput_is_the_sum_of_reads_and_writes_where_only_those_exist():
    (got,) = kernel_profiles([raw(dram_read_percent=40, dram_write_percent=35)])
    assert got.dram_percent == 75


def test_the_limit_of_occupancy_is_the_resource_that_allows_fewest_blocks():
    limits = {
        "launch__occupancy_limit_registers": 2.0,
        "launch__occupancy_limit_shared_mem": 1.0,
        "launch__occupancy_limit_warps": 8.0,
        "launch__occupancy_limit_blocks": 32.0,
    }
    assert kernel_profiles([raw_of(limits)])[0].occupancy_limit == "shared_memory"


def test_bank_conflicts_by_address_are_preferred_to_the_hardwares_count():
    hardware = raw(bank_conflicts=500, bank_wavefronts=1000)
    both = raw(
        bank_conflicts=500,
        bank_wavefronts=1000,
        shared_wavefronts=1000,
        shared_wavefronts_ideal=1000,
    )
    assert kernel_profiles([both])[0].bank_conflict_percent == 0
    assert kernel_profiles([hardware])[0].bank_conflict_percent == 50


def test_stalls_are_ranked_with_their_share_of_all_warp_cycles():
    metrics = {STALL.format("long_scoreboard"): 6.0, STALL.format("wait"): 2.0}
    metrics |= {STALL.format("selected"): 1.0, STALL.format("barrier"): 1.0}
    stalls = kernel_profiles([raw_of(metrics)])[0].stalls
    assert [stall.reason for stall in stalls] == ["long_scoreboard", "wait", "barrier"]
    assert stalls[0].share == pytest.approx(0.6)


def test_sampled_stalls_take_over_where_no_average_was_collected():
    metrics = {
        "smsp__pcsamp_warps_issue_stalled_long_scoreboard": 30.0,
        "smsp__pcsamp_warps_issue_stalled_long_scoreboard_not_issued": 29.0,
        "smsp__pcsamp_warps_issue_stalled_selected": 10.0,
    }
    (stall,) = kernel_profiles([raw_of(metrics)])[0].stalls
    assert (stall.reason, stall.share) == ("long_scoreboard", 0.75)


def test_only_half_used_sectors_show_as_half_efficiency():
    assert kernel_profiles([raw(load_sector_bytes=16)])[0].sector_efficiency_percent == 50
    theoretical = raw(sectors=400, sectors_ideal=100)
    assert kernel_profiles([theoretical])[0].sector_efficiency_percent == 25


def test_idle_multiprocessors_show_as_a_share_of_the_duration():
    (got,) = kernel_profiles([raw(sm_active=30, sm_active_max=90, sm_elapsed=100)])
    assert got.sm_active_percent == 30
    assert got.sm_imbalance == 3


def test_the_tools_rules_are_ranked_by_their_own_estimate():
    rules = [
        Rule(name="A", message="first words"),
        Rule(name="B", message="second", speedup_percent=30.0, kind="global"),
    ]
    (got,) = kernel_profiles([RawKernel("k", {}, rules=rules)])
    assert [(rule.name, rule.speedup_percent) for rule in got.rules] == [("B", 30.0), ("A", None)]


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(sorted({n for names in NAMES.values() for n in names})),
            st.floats(allow_nan=False, allow_infinity=False, width=32),
            max_size=20,
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_set_of_counters_becomes_profiles_that_json_can_carry(launches):
    for got in kernel_profiles([raw_of(metrics) for metrics in launches]):
        text = got.model_dump_json()
        assert "NaN" not in text
        assert "Infinity" not in text


def test_a_share_counted_on_busy_multiprocessors_is_scaled_to_the_whole_kernel():
    metrics = {f"smsp__issue_active.{ACTIVE}": 80.0, "sm__cycles_active.avg": 5.0}
    (got,) = kernel_profiles([raw_of(metrics | {"sm__cycles_elapsed.avg": 100.0})])
    assert got.issue_percent == pytest.approx(4.0)
    few = {f"smsp__issue_active.{ACTIVE}": 80.0}
    few["device__attribute_multiprocessor_count"] = 132.0
    (got,) = kernel_profiles([RawKernel("k", few, grid=(33, 1, 1))])
    assert got.issue_percent == pytest.approx(20.0)
