"""A record is held against its own samples."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_harness.tools.evaluation.comparison import summarised
from kernel_harness.tools.evaluation.rejudge import recompute
from kernel_harness.tools.schema.evaluation import (
    Evaluation,
    Evidence,
    Status,
    WorkloadResult,
)
from kernel_harness.tools.schema.measurement import Measurement
from tests.records import STARTED, make_record

FLOOR = {"0": 0.004, "1": 0.002}


def record(samples_ns: list[int], baseline_ns: list[int]) -> Evaluation:
    """A timed record whose summaries were derived from its samples."""
    result = WorkloadResult(
        uuid="3daa0974-0000-4000-8000-000000000000",
        axes={"rows": 4},
        status=Status.PASSED,
        weight=1.0,
        floors_us={"device": 1.0},
        measurement=Measurement(timer="cupti", cold_ns=samples_ns),
        baseline_measurement=Measurement(timer="cupti", cold_ns=baseline_ns),
    )
    bare = make_record(
        definition="rmsnorm",
        workloads=[result],
        evidence=Evidence(started_at=STARTED, noise_floor=FLOOR),
    )
    return summarised(bare, FLOOR)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1_000, 90_000), min_size=6, max_size=20))
def test_what_was_derived_from_the_samples_follows_from_them_after_a_round_trip(samples):
    kept = Evaluation.model_validate_json(record(samples, samples[::-1]).model_dump_json())
    found = recompute(kept)
    assert found.differences == () and found.samples == len(samples)


def test_a_latency_that_was_typed_in_is_found():
    honest = record([2_000] * 10, [3_000] * 10)
    flattered = honest.workloads[0].model_copy(update={"latency_us": 1.0})
    found = recompute(honest.model_copy(update={"workloads": [flattered]}))
    assert [d.where for d in found.differences] == ["workload 3daa0974.latency_us"]
    assert found.differences[0].recorded == 1.0
    assert found.differences[0].recomputed == pytest.approx(2.0)


def test_totals_that_do_not_follow_are_found():
    honest = record([2_000] * 10, [3_000] * 10)
    raised = honest.totals.model_copy(update={"wins": 5, "geometric_mean_ratio": 9.0})
    found = recompute(honest.model_copy(update={"totals": raised}))
    assert {d.where for d in found.differences} == {"totals.wins", "totals.geometric_mean_ratio"}


def test_a_verdict_under_another_noise_floor_is_found():
    honest = record([2_000] * 10, [2_050] * 10)
    noisier = honest.evidence.model_copy(update={"noise_floor": {"0": 0.2}})
    found = recompute(honest.model_copy(update={"evidence": noisier}))
    assert any(d.where.endswith("comparison.threshold") for d in found.differences)


def with_states(cold: float, warm: float, clean: float | None = None) -> Evaluation:
    """A record whose baseline takes so many times as long in each state of the L2."""
    plain = record([2_000] * 10, [int(2_000 * cold)] * 10)
    result = plain.workloads[0]
    ours, base = result.measurement, result.baseline_measurement
    assert ours is not None and base is not None
    own = {"warm_ns": [1_000] * 3, "clean_ns": [1_500] * 3 if clean else []}
    other = {
        "warm_ns": [int(1_000 * warm)] * 3,
        "clean_ns": [int(1_500 * clean)] * 3 if clean else [],
    }
    result = result.model_copy(
        update={
            "measurement": ours.model_copy(update=own),
            "baseline_measurement": base.model_copy(update=other),
        }
    )
    return summarised(plain.model_copy(update={"workloads": [result]}), FLOOR)


def test_a_gain_that_only_a_cold_cache_shows_is_a_finding_that_says_by_how_much():
    (finding,) = with_states(1.5, 0.9).integrity.findings
    assert finding.severity == "warning"
    assert "rows=4: 1.500x cold, 0.900x warm" in finding.message
    both = with_states(1.5, 1.0, clean=1.0).integrity.findings
    assert [f.evidence["state"] for f in both] == ["warm", "clean"]


@pytest.mark.parametrize(("cold", "warm"), [(1.5, 1.4), (0.9, 0.8), (1.0, 0.8)])
def test_a_gain_in_every_state_and_no_gain_at_all_are_no_finding(cold, warm):
    assert with_states(cold, warm, clean=warm).integrity.findings == []


def test_a_finding_is_not_repeated_when_the_summaries_are_made_again():
    once = with_states(1.5, 0.9)
    assert summarised(once, FLOOR).integrity == once.integrity
