"""A candidate in one line: what it ranks by and what became of it."""

from __future__ import annotations

import pytest

from kernel_harness.tools.archive.report.page_data import boards
from kernel_harness.tools.archive.report.terminal import log
from kernel_harness.tools.archive.store.commit.profiles import profile_bottlenecks
from kernel_harness.tools.archive.store.entry import (
    CandidateStatus,
    error_signature,
    gpu_name,
    noise_level,
    ranked_latency_us,
    regime_facts,
)
from kernel_harness.tools.archive.store.manifest import ref_part
from kernel_harness.tools.errors import ArchiveError
from kernel_harness.tools.schema.evaluation import Failure, Scope, Stage, Status
from kernel_harness.tools.schema.measurement import Totals


def test_a_record_of_some_workloads_only_has_no_rank(trial):
    _, full = trial(latency_us=10.0)
    assert ranked_latency_us(full, 2) == 15.0
    assert ranked_latency_us(full, 54) is None
    _, smoke = trial(scope="smoke")
    assert ranked_latency_us(smoke) is None
    left = full.totals.model_copy(update={"not_run": 1})
    assert ranked_latency_us(full.model_copy(update={"totals": left})) is None
    estimate = Totals(mean_latency_us=3.0, estimated_full_mean_us=9.0)
    assert ranked_latency_us(full.model_copy(update={"totals": estimate}), 54) == 9.0


def test_other_times_than_cold_spans_have_a_leaderboard_of_their_own(trial, bench):
    _, record = trial(latency_us=8.0)
    checks = {"objective": "sustained"}
    evidence = record.evidence.model_copy(update={"checks": checks})
    assert gpu_name(record) == "H200"
    assert gpu_name(record.model_copy(update={"evidence": evidence})) == "H200-by-sustained"
    parent = bench.add(latency_us=9.0, ratio=1.5)
    child = bench.add(latency_us=7.0, ratio=1.2, parents=[parent.candidate_id], evidence=evidence)
    node = bench.archive.node(child.candidate_id)
    assert parent.candidate_id not in node.decision, "a cold latency is no measure of it"
    found = boards(list(bench.archive.iter()), {})
    assert [(b.device, b.timed) for b in found] == [("H200", 1), ("H200-by-sustained", 1)]


def test_times_on_inputs_that_do_not_rank_are_told_and_rank_nowhere(trial, bench):
    _, record = trial(latency_us=8.0)
    evidence = record.evidence.model_copy(update={"checks": {"input_family": "even"}})
    first = bench.add(latency_us=9.0, ratio=1.5)
    other = bench.add(latency_us=7.0, ratio=1.2, parents=[first.candidate_id], evidence=evidence)
    node = bench.archive.node(other.candidate_id)
    assert (node.latency_us, node.speedup, node.regimes) == (None, None, ())
    assert node.outcome is CandidateStatus.UNCOMPARED
    assert node.outcome_words == "10.5 us claimed on inputs even, which do not rank"
    assert bench.archive.best(node.definition).candidate_id == first.candidate_id
    assert [b.timed for b in boards(list(bench.archive.iter()), {})] == [1]


def test_noise_is_that_of_the_latencys_decade(trial):
    _, record = trial()
    table = {"0": 0.012, "1": 0.005, "2": 0.001}
    evidence = record.evidence.model_copy(update={"noise_floor": table})
    known = record.model_copy(update={"evidence": evidence})
    assert noise_level(known, 3.0) == pytest.approx(0.036)
    assert noise_level(known, 30.0) == pytest.approx(0.015)
    assert noise_level(known, 500.0) == 0.01
    assert noise_level(record, 3.0) == pytest.approx(0.036), "that of a device never calibrated"


def outcome(bench, added):
    return bench.archive.node(added.candidate_id).outcome


def test_a_root_is_compared_with_its_baseline(bench):
    assert outcome(bench, bench.add(ratio=1.2)) is CandidateStatus.FASTER
    assert outcome(bench, bench.add(ratio=0.8)) is CandidateStatus.SLOWER
    assert outcome(bench, bench.add(ratio=1.001)) is CandidateStatus.EQUAL


def test_what_was_timed_alone_is_not_called_untimed(bench):
    """A search that compares with nothing has its fastest candidates there."""
    parent = bench.add(latency_us=None)
    alone = Totals(passed=2, mean_latency_us=4.5)
    child = bench.add(latency_us=3.0, totals=alone, parents=[parent.candidate_id])
    assert outcome(bench, child) is CandidateStatus.UNCOMPARED and child.latency_us == 4.5
    assert outcome(bench, parent) is CandidateStatus.UNTIMED


def test_a_child_is_compared_with_its_best_parent(bench):
    a, b = bench.add(latency_us=10.0, ratio=5.0), bench.add(latency_us=8.0, ratio=5.0)
    both = [a.candidate_id, b.candidate_id]
    child = bench.add(latency_us=9.0, ratio=5.0, parents=both)
    assert outcome(bench, child) is CandidateStatus.SLOWER and b.candidate_id in child.decision


def test_a_paired_comparison_with_the_parent_outranks_two_latencies(bench):
    parent = bench.add(latency_us=10.0)
    content = bench.archive.node(parent.candidate_id).content_hash
    child = bench.add(
        latency_us=10.5, ratio=1.05, baseline_hash=content, parents=[parent.candidate_id]
    )
    assert outcome(bench, child) is CandidateStatus.FASTER


def test_another_device_or_operator_is_no_comparison(bench):
    parent = bench.add(latency_us=1.0, gpu="NVIDIA B200")
    child = bench.add(latency_us=9.0, ratio=1.3, parents=[parent.candidate_id])
    assert outcome(bench, child) is CandidateStatus.FASTER
    other = bench.add(latency_us=1.0, definition="other")
    moved = bench.add(latency_us=9.0, ratio=1.3, parents=[other.candidate_id])
    assert outcome(bench, moved) is CandidateStatus.FASTER


def test_without_a_clock_a_pass_is_untimed(bench):
    assert outcome(bench, bench.add(gpu=None)) is CandidateStatus.UNTIMED


@pytest.mark.parametrize("status", [Status.COMPILED, Status.PASSED])
def test_what_was_only_compiled_is_neither_a_pass_nor_a_failure(bench, status):
    node = bench.add(scope=Scope.STATIC, status=status, latency_us=None)
    kept = bench.archive.node(node.candidate_id)
    assert (kept.outcome, kept.outcome_words) == (CandidateStatus.UNDECIDED, "compiled, never run")
    assert "compiled, never run" in log(bench.archive).plain
    assert "passed" not in log(bench.archive).plain


def test_what_ran_in_part_neither_ranks_nor_fails(bench):
    node = bench.add(status=Status.PARTIAL, latency_us=None, partial_reason="1 of 2 were not run")
    kept = bench.archive.node(node.candidate_id)
    assert kept.outcome is CandidateStatus.UNDECIDED and kept.latency_us is None
    assert "1 of 2 were not run" in kept.outcome_words


@pytest.mark.parametrize("status", [Status.NOT_JUDGED, Status.INVALID_REFERENCE])
def test_what_is_not_the_candidates_is_not_held_against_it(bench, status):
    assert outcome(bench, bench.add(status=status)) is CandidateStatus.UNDECIDED


def test_equal_causes_have_equal_signatures(trial):
    def signature(message: str) -> str:
        failure = Failure(stage=Stage.COMPILE, kind="error", message=message, remedy="")
        return error_signature(trial(status=Status.COMPILE_ERROR, failure=failure)[1])

    assert signature("needs 1,024 bytes of 'a' at 0xff") == signature("needs 7 bytes of 'b' at 0x1")
    assert signature("needs 7 bytes") != signature("needs 7 registers")


def test_regimes_keep_latency_ratio_and_decision(trial):
    small, large = regime_facts(trial(latency_us=4.0, ratio=1.2)[1])
    assert (small.name, small.latency_us, small.decision) == ("small", 4.0, "faster")
    assert large.latency_us == 8.0 and large.ratio == pytest.approx(1.2)
    failed, _ = regime_facts(trial(status=Status.TIMEOUT)[1])
    assert failed.decision == "failed" and failed.latency_us is None


def test_bottlenecks_are_found_at_any_depth():
    nested = b'{"kernels": [{"diagnosis": {"bottleneck": "serial_chain"}}, {"bottleneck": null}]}'
    assert profile_bottlenecks({"a.json": nested, "b.txt": nested}) == ("serial chain",)


@pytest.mark.parametrize(
    ("device", "name"),
    [("NVIDIA H200", "H200"), ("NVIDIA H100 80GB HBM3", "H100-80GB-HBM3"), (None, "cpu")],
)
def test_devices_are_named_for_refs(trial, device, name):
    assert gpu_name(trial(gpu=device)[1]) == name


def test_different_names_stay_different_refs():
    names = ["a", "a b", "a%20b", "a..b", ".a", "a.lock", "a.", "-a", "é"]
    parts = [ref_part(name) for name in names]
    assert len(set(parts)) == len(names) and all(part.isascii() for part in parts)


def test_a_record_without_a_time_is_refused(bench):
    with pytest.raises(ArchiveError, match="ISO 8601"):
        bench.add(at="yesterday")
