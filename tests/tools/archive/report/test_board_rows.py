"""Rows of a board: what others wrote stands among the candidates, and each is compared with it."""

from __future__ import annotations

import pytest

from kernel_harness.tools.archive.report.board_rows import (
    Origin,
    OtherTimes,
    Row,
    columns,
    known_programs,
    largest_error,
    mean_over_workloads,
    rows,
)
from kernel_harness.tools.archive.report.page_data import boards
from kernel_harness.tools.schema.evaluation import OutputError
from kernel_harness.tools.schema.flashinfer_trace import Definition
from kernel_harness.tools.schema.measurement import TimeSource
from kernel_harness.tools.workloads.operators import Operator

SEALED = {"clock": TimeSource.SEALED}


def ranked(bench, known=None, limit: int = 20) -> list[Row]:
    """The rows of the one board of an archive."""
    nodes = list(bench.archive.iter())
    others = OtherTimes(known or {})
    for node in nodes:
        evaluation = bench.archive.get(node.candidate_id).evaluation
        others.gather(node, evaluation, {n.content_hash for n in nodes})
    (board,) = boards(nodes, {})
    return rows(board, others, limit)


def names(found: list[Row]) -> list[str]:
    return [row.node.name if row.node else row.other.name if row.other else "" for row in found]


def test_a_baseline_stands_among_the_candidates_at_its_latency(bench) -> None:
    bench.add(latency_us=10.0, ratio=0.8, **SEALED)
    bench.add(latency_us=4.0, ratio=2.0, **SEALED)
    found = ranked(bench)
    assert names(found) == ["v2", "plain", "v1"]
    assert [row.place for row in found] == [1, None, 2]
    assert [row.latency_us for row in found] == pytest.approx([6.0, 12.0, 15.0])
    assert [row.over["plain"] for row in found] == pytest.approx([2.0, 1.0, 0.8])


def test_of_several_trials_of_a_baseline_the_median_counts(bench) -> None:
    for ratio in (1.0, 1.1, 5.0):
        bench.add(latency_us=10.0, ratio=ratio, **SEALED)
    (other,) = [row.other for row in ranked(bench) if row.other]
    assert other.latency_us == pytest.approx(16.5)
    assert other.trials == 3


def test_a_candidate_as_baseline_has_one_row(bench) -> None:
    """A child compared with its parent must not make the parent a program of others."""
    root = bench.add(latency_us=10.0, **SEALED)
    bench.add(latency_us=5.0, ratio=2.0, baseline_hash=root.content_hash, **SEALED)
    assert names(ranked(bench)).count("v1") == 1


def test_a_peer_that_was_archived_is_marked_and_compared_with(bench) -> None:
    peer = bench.add(latency_us=8.0, name="theirs", baseline_hash=None, **SEALED)
    bench.add(latency_us=4.0, baseline_hash=None, **SEALED)
    found = ranked(bench, {peer.content_hash: ("library", Origin.PEER)})
    assert names(found) == ["v2", "theirs"]
    marked = next(row for row in found if row.node and row.node.name == "theirs")
    assert marked.other and marked.other.origin is Origin.PEER
    assert found[0].over["library"] == pytest.approx(2.0)


def test_claimed_latencies_stay_below_sealed_ones_and_others(bench) -> None:
    bench.add(latency_us=1.0)
    bench.add(latency_us=10.0, ratio=2.0, **SEALED)
    assert names(ranked(bench)) == ["v2", "plain", "v1"]


def test_without_sealed_latencies_others_stand_among_claimed_ones(bench) -> None:
    bench.add(latency_us=1.0, ratio=5.0, baseline_hash="a")
    bench.add(latency_us=10.0, ratio=0.5, baseline_hash="a")
    assert names(ranked(bench)) == ["v1", "plain", "v2"]


def test_all_that_others_wrote_is_shown_whatever_the_limit(bench) -> None:
    for latency_us in (4.0, 5.0, 6.0):
        bench.add(latency_us=latency_us, ratio=9.0 / latency_us, **SEALED)
    assert names(ranked(bench, limit=1)) == ["v1", "plain"]


def test_an_operators_own_code_is_known_by_its_content(definition: Definition) -> None:
    operator = Operator(definition=definition, workloads=())
    known = known_programs(operator)
    assert known == {operator.reference().content_hash(): ("PyTorch reference", Origin.REFERENCE)}
    assert known_programs(None) == {}


def test_the_reference_is_the_first_column_and_shipped_programs_are_none() -> None:
    others = OtherTimes(
        {},
        {"a": [3.0], "b": [2.0], "c": [9.0], "d": [1.0]},
        {
            "a": ("fast", Origin.PEER),
            "b": ("base", Origin.BASELINE),
            "c": ("torch", Origin.REFERENCE),
            "d": ("ours", Origin.SHIPPED),
        },
    )
    assert [p.name for p in columns(others.programs())] == ["torch", "base", "fast"]


def test_claimed_times_of_a_baseline_count_only_where_none_is_sealed(bench) -> None:
    bench.add(latency_us=8.0, ratio=1.0, **SEALED)
    bench.add(latency_us=80.0, ratio=0.5)
    (other,) = [row.other for row in ranked(bench) if row.other]
    assert other.latency_us == pytest.approx(12.0) and other.trials == 1


def test_what_is_told_of_a_record_is_weighed_as_its_latency_and_the_largest_error(bench) -> None:
    errors = [OutputError(output="y", rms_relative=2e-3), OutputError(output="z")]
    node = bench.add(latency_us=10.0, errors=errors, **SEALED)
    record = bench.archive.get(node.candidate_id).evaluation
    first, second = record.workloads
    assert largest_error(record) == 2e-3
    assert mean_over_workloads(record, lambda w: w.latency_us) == pytest.approx(15.0)
    weighed = [w.model_copy(update={"weight": x}) for w, x in ((first, 0.9), (second, 0.1))]
    other = record.model_copy(update={"workloads": weighed})
    assert mean_over_workloads(other, lambda w: w.latency_us) == pytest.approx(11.0)
    lacking = [first, second.model_copy(update={"latency_us": None})]
    partial = record.model_copy(update={"workloads": lacking})
    assert mean_over_workloads(partial, lambda w: w.latency_us) is None
    bare = [w.model_copy(update={"errors": []}) for w in record.workloads]
    assert largest_error(record.model_copy(update={"workloads": bare})) is None


def test_times_on_inputs_that_do_not_rank_tell_nothing_of_others(bench) -> None:
    bench.add(latency_us=10.0, **SEALED)
    evidence = bench.archive.get(next(bench.archive.iter()).candidate_id).evaluation.evidence
    even = evidence.model_copy(update={"checks": {"input_family": "even"}})
    bench.add(latency_us=90.0, evidence=even, **SEALED)
    (other,) = [row.other for row in ranked(bench) if row.other]
    assert (other.latency_us, other.trials) == (15.0, 1)
