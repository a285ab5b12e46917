"""Who holds the record at which size, and what a choice by size would gain."""

from __future__ import annotations

import pytest

from kernel_harness.tools.archive.search.record_holders import (
    CandidateTimes,
    VirtualBest,
    candidate_times,
    virtual_best,
)
from kernel_harness.tools.schema.evaluation import Scope, Status, WorkloadResult
from kernel_harness.tools.schema.measurement import TimeSource

SEALED = {"clock": TimeSource.SEALED}


def times(bench, *latencies: tuple[float, ...], **record) -> list[CandidateTimes]:
    """Candidates with these latencies at m = 1, 2, 4 and so on."""
    found = []
    for row in latencies:
        results = [
            WorkloadResult(
                uuid=f"w-{2**n}",
                axes={"m": 2**n},
                status=Status.PASSED,
                latency_us=us,
                weight=1 / len(row),
            )
            for n, us in enumerate(row)
        ]
        options = SEALED | record
        node = bench.add(latency_us=sum(row) / len(row) / 1.5, **options)
        evaluation = bench.archive.get(node.candidate_id).evaluation
        changed = evaluation.model_copy(update={"workloads": results})
        made = candidate_times(node, changed)
        assert made is not None
        found.append(made)
    return found


def bands(found: VirtualBest | None) -> list[tuple[str, str]]:
    assert found is not None
    return [(band.words, band.holder.name) for band in found.bands]


def test_each_size_has_its_holder_and_the_whole_is_their_mean(bench) -> None:
    found = virtual_best(times(bench, (1, 2, 9, 20), (4, 4, 8, 10)))
    assert found and bands(found) == [("1 to 2", "v1"), ("4 to 8", "v2")]
    assert found.best.name == "v2"
    assert found.best_us == pytest.approx(26 / 4)
    assert found.latency_us == pytest.approx((1 + 2 + 8 + 10) / 4)
    assert [node.name for node in found.holders] == ["v2", "v1"]


def test_a_lead_within_the_noise_is_no_record(bench) -> None:
    found = virtual_best(times(bench, (10, 10, 10), (9.85, 11, 11)))
    assert bands(found) == [("1 to 4", "v1")]


def test_the_least_gain_decides_how_many_share(bench) -> None:
    """Each of three is ahead at one size; the third gains less than a hundredth of the whole."""
    rows = ((1.0, 10, 100), (0.5, 10, 180), (9, 5, 190))
    assert bands(virtual_best(times(bench, *rows))) == [("1", "v1"), ("2", "v3"), ("4", "v1")]


def test_the_number_of_holders_can_be_limited(bench) -> None:
    rows = ((10, 10, 10), (2, 20, 20), (20, 4, 20))
    shared = virtual_best(times(bench, *rows))
    assert shared is not None and len(shared.holders) == 3
    assert bands(virtual_best(times(bench, *rows), most=2)) == [("1", "v5"), ("2 to 4", "v4")]
    assert bands(virtual_best(times(bench, *rows), most=1)) == [("1 to 4", "v7")]


def test_programs_are_compared_on_what_both_were_timed_on(bench) -> None:
    one, other = times(bench, (10, 10), (1, 30))
    lacking = CandidateTimes(other.node, {"w-2": 30.0}, other.weights, other.axes)
    assert bands(virtual_best([one, lacking])) == [("1 to 2", "v1")]


def test_claimed_times_hold_no_record_beside_sealed_ones(bench) -> None:
    sealed = times(bench, (10, 10))
    claimed = times(bench, (1, 19), clock=TimeSource.CLAIMED)
    assert bands(virtual_best([*sealed, *claimed])) == [("1 to 2", "v1")]


def test_a_candidate_that_ranks_nowhere_has_no_times(bench) -> None:
    node = bench.add(scope=Scope.SMOKE)
    assert candidate_times(node, bench.archive.get(node.candidate_id).evaluation) is None
    assert virtual_best([]) is None
