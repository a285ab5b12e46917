"""Promotion is code: every rule, its number, and the refs it moves."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.archive.git.repository import RefUpdate
from kernel_harness.tools.archive.promotion.events import (
    current_best,
    events,
    past_failures,
    promote,
    rollback,
)
from kernel_harness.tools.archive.promotion.rule_outcome import Rules
from kernel_harness.tools.archive.promotion.rules import decide
from kernel_harness.tools.errors import ArchiveError, RequestError
from kernel_harness.tools.evaluation.records.record_store import RecordStore
from kernel_harness.tools.schema.evaluation import (
    Evaluation,
    Failure,
    Finding,
    Severity,
    Stage,
    Status,
)
from kernel_harness.tools.schema.measurement import TimeSource

LATER = "2026-02-01T00:00:00+00:00"


def git(archive: Any, *words: str) -> str:
    command = ["git", "--git-dir", str(archive.repository.path), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Verifier:
    """Makes an archived candidate and the records of its verification."""

    def __init__(self, bench: Any, trial: Any) -> None:
        self.bench, self.trial, self.count = bench, trial, 0

    def candidate(self, **record: Any) -> Any:
        added = self.bench.add(**record)
        return self.bench.archive.node(added.candidate_id)

    def records(self, node: Any, *, best: Any = None, repeats: int = 2, **record: Any):
        record.setdefault("ratio", 1.2)
        record.setdefault("latency_us", 8.0)
        record.setdefault("at", LATER)
        record.setdefault("clock", TimeSource.SEALED)
        if best is not None:
            record["baseline_hash"] = best.content_hash
        found = []
        for _ in range(repeats):
            self.count += 1
            _, evaluation = self.trial(f"verify{self.count}", **record)
            seeds = {"w-1": [10 * self.count], "w-64": [10 * self.count + 1]}
            evidence = evaluation.evidence.model_copy(update={"seeds": seeds})
            checks = ["held_out", "determinism", "launches_as_compiled"]
            found.append(
                evaluation.model_copy(
                    update={
                        "content_hash": node.content_hash,
                        "evidence": evidence,
                        "integrity": evaluation.integrity.model_copy(update={"checks": checks}),
                    }
                )
            )
        return found


@pytest.fixture
def verifier(bench, trial):
    return Verifier(bench, trial)


def failed(decision):
    return [rule.name for rule in decision.rules if rule.applied and not rule.passed]


def judge(node, records, best=None, **more):
    more.setdefault("sanitizer", "clean")
    return decide(node, records, best, expected_workloads=["w-1", "w-64"], **more)


def test_a_candidate_that_fulfils_every_rule_is_promoted(verifier):
    node = verifier.candidate()
    decision = judge(node, verifier.records(node))
    assert decision.promoted and not failed(decision) and decision.track == "timed"
    assert decision.gpu == "H200" and len(decision.evaluations) == 2


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"repeats": 1}, "repeats"),
    ({"ratio": 1.005}, "ratio_beyond_noise"),
    ({"ratio": 0.9}, "mean_latency"),
    ({"scope": "sample"}, "all_workloads_passed"),
    ({"at": "2025-01-01T00:00:00+00:00"}, "fresh"),
    ({"status": Status.INCORRECT_NUMERICAL}, "all_workloads_passed"),
]


@pytest.mark.parametrize(("change", "rule"), REFUSALS)
def test_each_rule_refuses_with_its_name_and_number(verifier, change, rule):
    node = verifier.candidate()
    decision = judge(node, verifier.records(node, **change))
    assert not decision.promoted and rule in failed(decision)
    named = next(r for r in decision.rules if r.name == rule)
    assert rule in decision.words and any(c.isdigit() for c in named.words)


def alter(evaluation: Evaluation, **workload: Any) -> Evaluation:
    first, *rest = evaluation.workloads
    return evaluation.model_copy(update={"workloads": [first.model_copy(update=workload), *rest]})


def test_a_regime_that_got_worse_refuses_though_the_mean_is_better(verifier):
    node = verifier.candidate()
    records = []
    for record in verifier.records(node, ratio=1.2):
        worse = record.workloads[0].comparison.model_copy(update={"ratio": 0.9})
        records.append(alter(record, comparison=worse))
    decision = judge(node, records)
    assert failed(decision) == ["regimes"] and "'small'" in decision.words


def test_a_gain_that_one_workload_made_is_no_gain(verifier):
    """As a decode kernel once promoted: 2.06 % with one outlier workload, 0.84 % without."""
    node = verifier.candidate()
    records = []
    for record in verifier.records(node, ratio=1.1):
        slow = record.workloads[1].comparison.model_copy(update={"ratio": 0.995})
        more = [
            record.workloads[1].model_copy(update={"uuid": f"x{i}", "comparison": slow})
            for i in range(3)
        ]
        records.append(record.model_copy(update={"workloads": [record.workloads[0], *more]}))
    decision = decide(node, records, sanitizer="clean")
    assert failed(decision) == ["outlier"]


def test_a_workload_that_was_not_run_is_not_a_pass(verifier):
    node = verifier.candidate()
    records = verifier.records(node)
    decision = decide(node, records, sanitizer="clean", expected_workloads=["w-1", "w-64", "w-128"])
    assert failed(decision) == ["all_workloads_passed"] and "2 of 3" in decision.words


def test_why_a_verification_did_not_end_is_said(verifier):
    node = verifier.candidate()
    failure = Failure(
        stage=Stage.TIMING, kind="harness", message="The disk is full. " * 40, remedy="Free some."
    )
    records = [
        r.model_copy(update={"status": Status.INFRASTRUCTURE_ERROR, "failure": failure})
        for r in verifier.records(node)
    ]
    decision = decide(node, records, sanitizer="clean", expected_workloads=["w-1", "w-64"])
    words = next(r.words for r in decision.rules if r.name == "all_workloads_passed")
    assert "is INFRASTRUCTURE_ERROR: The disk is full. The" in words and len(words) < 500


def test_nothing_of_nothing_is_not_all(verifier):
    node = verifier.candidate()
    records = [r.model_copy(update={"workloads": []}) for r in verifier.records(node)]
    decision = decide(node, records, sanitizer="clean")
    assert "all_workloads_passed" in failed(decision) and "0 of 0" in decision.words


def test_too_few_checked_calls_are_refused(verifier):
    node = verifier.candidate()
    assert Rules().calls == 199
    records = [
        r.model_copy(
            update={"workloads": [w.model_copy(update={"calls_checked": 3}) for w in r.workloads]}
        )
        for r in verifier.records(node)
    ]
    assert failed(judge(node, records)) == ["correctness_budget"]


def test_violations_flaky_outputs_and_missing_checks_are_refused(verifier):
    node = verifier.candidate()
    first, second = verifier.records(node)
    finding = Finding(claim="c", severity=Severity.VIOLATION, message="It cheats.")
    cheat = first.integrity.model_copy(update={"findings": [finding]})
    flaky = first.integrity.model_copy(update={"determinism": "flaky"})
    missing = {"checks": ["held_out"], "not_run": {"determinism": "no time"}}
    short = first.integrity.model_copy(update=missing)
    for integrity, rule in ((cheat, "integrity"), (flaky, "integrity"), (short, "checks_ran")):
        record = first.model_copy(update={"integrity": integrity})
        assert failed(judge(node, [record, second])) == [rule]
    assert failed(judge(node, [first, second], sanitizer=None)) == ["sanitizer"]
    assert failed(judge(node, [first, second], sanitizer="2 races")) == ["sanitizer"]


def test_the_same_seeds_twice_are_one_repeat(verifier):
    node = verifier.candidate()
    first, second = verifier.records(node)
    second = second.model_copy(update={"evidence": first.evidence})
    assert failed(judge(node, [first, second])) == ["repeats"]


def test_evidence_of_another_harness_or_of_other_sources_is_refused(verifier):
    node = verifier.candidate()
    first, second = verifier.records(node)
    versions = {"kernel-harness": "0.0.9"}
    old = first.model_copy(
        update={"evidence": first.evidence.model_copy(update={"versions": versions})}
    )
    assert failed(judge(node, [old, second], harness_version="0.1.0")) == ["fresh"]
    other = first.model_copy(update={"content_hash": "f" * 64})
    assert failed(judge(node, [other, second])) == ["same_sources"]


def test_a_wrong_answer_is_final_for_its_sources(verifier, archive):
    source = "def run(x, y):\n    y.copy_(x)\n"
    verifier.candidate(source=source, status=Status.INCORRECT_NUMERICAL)
    node = verifier.candidate(source=source)
    failures = past_failures(archive, RecordStore(Path("/nonexistent")), node, "H200")
    decision = judge(node, verifier.records(node), past_failures=failures)
    assert failed(decision) == ["never_wrong"]


def test_a_comparison_with_anything_but_the_current_best_is_refused(verifier):
    best, node = verifier.candidate(), verifier.candidate()
    assert failed(judge(node, verifier.records(node), best)) == ["compared_with_best"]
    assert judge(node, verifier.records(node, best=best), best).promoted


def test_a_promotion_is_a_tag_with_evidence_and_moves_the_branch(verifier, archive):
    node = verifier.candidate()
    records = verifier.records(node)
    done = promote(archive, judge(node, records), records)
    assert done.tag == "promoted/scale_n64/H200/1"
    assert git(archive, "rev-parse", "best/scale_n64/H200").strip() == node.commit
    shown = git(archive, "cat-file", "tag", done.tag)
    assert "ratio_beyond_noise" in shown and f"Candidate: {node.candidate_id}" in shown
    names = git(archive, "ls-tree", "-r", "--name-only", str(done.evidence)).split()
    assert names == [f"verification/{r.evaluation_id}.json" for r in records]
    assert archive.best("scale_n64", "H200").candidate_id == node.candidate_id
    assert current_best(archive, "scale_n64", "H200") == node
    assert failed(judge(node, verifier.records(node, best=node), node)) == ["is_new"]
    git(archive, "fsck", "--strict")


def test_a_refusal_cannot_be_promoted(verifier, archive):
    node = verifier.candidate()
    records = verifier.records(node, repeats=1)
    with pytest.raises(ArchiveError, match="repeats"):
        promote(archive, judge(node, records), records)
    assert events(archive) == []


def test_of_two_promotions_against_one_best_the_second_is_refused(verifier, archive):
    a, b = verifier.candidate(), verifier.candidate()
    records = {n.candidate_id: verifier.records(n) for n in (a, b)}
    decisions = [judge(n, records[n.candidate_id]) for n in (a, b)]
    promote(archive, decisions[0], records[a.candidate_id])
    with pytest.raises(ArchiveError, match="Another promotion came first"):
        promote(archive, decisions[1], records[b.candidate_id])
    assert git(archive, "rev-parse", "best/scale_n64/H200").strip() == a.commit
    assert len(events(archive)) == 1


def promoted_pair(verifier, archive):
    a, b = verifier.candidate(latency_us=10.0), verifier.candidate(latency_us=8.0)
    records = verifier.records(a)
    promote(archive, judge(a, records), records)
    records = verifier.records(b, best=a)
    promote(archive, judge(b, records, a), records)
    return a, b


def test_rollback_returns_to_the_previous_best_with_a_reason(verifier, archive):
    a, b = promoted_pair(verifier, archive)
    done = rollback(archive, "scale_n64", "H200", "Wrong on long rows.")
    assert done.tag == "rollback/scale_n64/H200/3"
    assert git(archive, "rev-parse", "best/scale_n64/H200").strip() == a.commit
    assert "Reason: Wrong on long rows." in git(archive, "cat-file", "tag", done.tag)
    assert [e.kind for e in events(archive)] == ["promoted", "promoted", "rollback"]
    rollback(archive, "scale_n64", "H200", "That one too.")
    assert git(archive, "branch", "--list").strip() == ""
    with pytest.raises(RequestError, match="Nothing is promoted"):
        rollback(archive, "scale_n64", "H200", "Again.")
    records = verifier.records(b)
    assert promote(archive, judge(b, records), records).number == 5
    git(archive, "fsck", "--strict")


@pytest.mark.parametrize(("theirs", "ours"), [(4, 5), (999_999_999, 1)])
def test_a_promotion_is_numbered_after_those_that_were_fetched(verifier, archive, theirs, ours):
    """Two archives' histories lie side by side: both began with 1, and one replaced the other."""
    node = verifier.candidate()
    name = f"promoted/scale_n64/H200/{theirs}"
    message = "Promote it\n\nDefinition: scale_n64\nGpu: H200\n"
    tag = archive.repository.write_tag(node.commit, name, message, 1)
    archive.repository.update_refs([RefUpdate(f"refs/quarantine/origin/tags/{name}", tag)])
    records = verifier.records(node)
    assert promote(archive, judge(node, records), records).number == ours


def test_numbers_that_others_pushed_lead_to_none_that_counts_nowhere(verifier, archive):
    node = verifier.candidate()
    message = "Promote it\n\nDefinition: scale_n64\nGpu: H200\n"
    for number in (1, 999_998, 999_999, 1_000_000, 999_999_999):
        name = f"promoted/scale_n64/H200/{number}"
        tag = archive.repository.write_tag(node.commit, name, message, 1)
        archive.repository.update_refs([RefUpdate(f"refs/tags/{name}", tag)])
    records = verifier.records(node)
    assert promote(archive, judge(node, records), records).number == 1_000_001
    assert current_best(archive, "scale_n64", "H200") == node
    assert rollback(archive, "scale_n64", "H200", "It was slow.").number == 1_000_002


def test_a_rollback_needs_a_reason(verifier, archive):
    promoted_pair(verifier, archive)
    with pytest.raises(RequestError, match="reason"):
        rollback(archive, "scale_n64", "H200", "  ")


def test_without_a_gpu_a_candidate_is_verified_not_timed(verifier, archive):
    node = verifier.candidate(gpu=None)
    records = verifier.records(node, gpu=None)
    decision = decide(node, records, expected_workloads=["w-1", "w-64"])
    assert decision.promoted and decision.track == "verified" and "not timed" in decision.words
    done = promote(archive, decision, records)
    assert done.tag == "verified/scale_n64/1" and done.branch is None
    assert git(archive, "branch", "--list").strip() == ""
    assert current_best(archive, "scale_n64", "cpu") == node
    wrong = verifier.records(node, gpu=None, status=Status.INCORRECT_NUMERICAL)
    assert not decide(node, wrong).promoted


def test_without_a_gpu_launches_must_have_been_compared_with_compiled_ones(verifier):
    node = verifier.candidate(gpu=None)
    first, second = verifier.records(node, gpu=None)
    whole = first.integrity
    unasked = whole.model_copy(update={"checks": ["held_out", "determinism"]})
    left = whole.model_copy(update={"not_run": {"launches_as_compiled": "no compiler"}})
    for integrity in (unasked, left):
        record = first.model_copy(update={"integrity": integrity})
        decision = decide(node, [record, second], expected_workloads=["w-1", "w-64"])
        assert failed(decision) == ["judged_as_compiled"]
    on_device = verifier.candidate()
    timed = [
        record.model_copy(update={"integrity": unasked}) for record in verifier.records(on_device)
    ]
    assert judge(on_device, timed).promoted


def test_no_records_promote_nothing(verifier):
    assert not judge(verifier.candidate(), []).promoted


@pytest.mark.parametrize("number", ["²", "x", "1/latest", "99999999999999999999"])
def test_a_tag_that_no_harness_wrote_ends_no_query(archive, bench, number):
    node = bench.add()
    name = f"promoted/scale_n64/H200/{number}"
    tag = archive.repository.write_tag(node.commit, name, "x\n", 1)
    archive.repository.update_refs([RefUpdate(f"refs/tags/{name}", tag)])
    assert all(event.definition == "" for event in events(archive))
