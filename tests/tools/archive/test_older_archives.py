"""An archive of a version that sealed no time stays as it is, and outranks nothing sealed.

`claimed.bundle` was written by that version: a root (15 us), a promoted child (12 us), a faster
one (7.5 us) that is not promoted, a wrong one, and one that was judged without a GPU.
"""

from pathlib import Path

import pytest

from kernel_harness.tools.archive.promotion.events import (
    best_is_claimed,
    current_best,
    events,
    promote,
    rollback,
)
from kernel_harness.tools.archive.promotion.rules import decide, early_refusal
from kernel_harness.tools.archive.report.page_data import (
    boards,
    claimed_promotions,
    current_promotions,
)
from kernel_harness.tools.archive.search.parent_selection import choose, read_tree
from kernel_harness.tools.archive.search.policies import POLICIES
from kernel_harness.tools.archive.search.role_context import get_context
from kernel_harness.tools.schema.measurement import UNSEALABLE, TimeSource

BUNDLE = Path(__file__).parents[2] / "fixtures" / "archive" / "claimed.bundle"
ROOT, PROMOTED, FASTEST = "4b13d7b46626", "18094d9afbb2", "90181a5993be"
OPERATOR, GPU = "scale_n64", "H200"
LATER = "2026-02-01T00:00:00+00:00"


@pytest.fixture
def old(opened_old):
    return opened_old(BUNDLE)


def verification(trial, node, baseline_hash="ba5e", clock=TimeSource.SEALED):
    """Two records that fulfil every rule but, perhaps, that on the clock."""
    found = []
    for number in (1, 2):
        _, record = trial(
            f"again{number}", ratio=1.2, at=LATER, clock=clock, baseline_hash=baseline_hash
        )
        evidence = record.evidence.model_copy(update={"seeds": {"w-1": [number]}})
        checks = record.integrity.model_copy(update={"checks": ["held_out", "determinism"]})
        changes = {"content_hash": node.content_hash, "evidence": evidence, "integrity": checks}
        found.append(record.model_copy(update=changes))
    return found


def test_its_latencies_are_claimed_with_the_reason(old):
    nodes = {node.candidate_id: node for node in old.iter()}
    assert len(nodes) == 5
    for identity in (ROOT, PROMOTED, FASTEST):
        assert (nodes[identity].clock, nodes[identity].clock_reason) == ("claimed", UNSEALABLE)
        assert nodes[identity].outcome_words.endswith(", claimed")
    assert nodes[FASTEST].latency_words == "7.5 us claimed"
    assert {node.clock for node in nodes.values() if node.latency_us is None} == {""}


def test_none_of_them_outranks_a_sealed_candidate_however_slow(old, bench):
    sealed = bench.add(latency_us=900.0, clock=TimeSource.SEALED, at=LATER).candidate_id
    (board,) = boards(list(old.iter()), {})
    assert [node.candidate_id for node in board.rows] == [sealed, FASTEST, PROMOTED, ROOT]
    assert board.best == sealed
    tree = read_tree(old, OPERATOR)
    assert choose(tree, "best_first", 1).candidate_id == sealed
    leaders = [e for e in get_context(old, "plan", ROOT).entries if e.relation == "leader"]
    assert [entry.candidate_id for entry in leaders] == [sealed]


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_prefers_a_sealed_leaf_to_a_claimed_one(old, bench, policy):
    sealed = bench.add(
        latency_us=900.0, clock=TimeSource.SEALED, at=LATER, technique=["sealed"]
    ).candidate_id
    leaves = [n for n in read_tree(old, OPERATOR) if n.candidate_id in (sealed, FASTEST)]
    chosen = [choose(leaves, policy, seed).candidate_id for seed in range(40)]
    if policy in ("epsilon_greedy", "search_only", "tournament"):  # draw whom they compare
        assert chosen.count(sealed) > 2 * chosen.count(FASTEST)
    elif policy in ("ucb", "mcts"):  # tried as often, the claimed one counted no faster
        assert sealed in chosen
    elif policy == "best_of_k":  # compares none
        assert set(chosen) == {"reference"}
    else:
        assert set(chosen) == {sealed}


def test_its_best_stays_and_is_marked_until_it_is_verified_again(old, trial):
    node = current_best(old, OPERATOR, GPU)
    assert node is not None and node.candidate_id == PROMOTED
    assert old.best(OPERATOR, GPU).candidate_id == PROMOTED
    assert best_is_claimed(old, OPERATOR, GPU)
    assert claimed_promotions(events(old)) == {PROMOTED}
    assert early_refusal(node, node, (), best_claimed=True) is None

    expected = {"expected_workloads": ["w-1", "w-64"], "sanitizer": "clean", "best_claimed": True}
    told = verification(trial, node, clock=TimeSource.CLAIMED)
    refused = decide(node, told, node, **expected)
    assert [r.name for r in refused.rules if r.applied and not r.passed] == ["sealed_times"]
    assert best_is_claimed(old, OPERATOR, GPU)

    records = verification(trial, node)
    done = promote(old, decide(node, records, node, **expected), records)
    assert done.tag == "promoted/scale_n64/H200/2"
    assert not best_is_claimed(old, OPERATOR, GPU) and claimed_promotions(events(old)) == set()
    assert current_promotions(events(old)) == {(OPERATOR, GPU): PROMOTED}
    assert early_refusal(node, node, ()) is not None
    rollback(old, OPERATOR, GPU, "Wrong on long rows.")
    assert current_best(old, OPERATOR, GPU) is None


def test_a_sealed_verification_replaces_its_best(old, bench, trial):
    best = old.node(PROMOTED)
    node = bench.add(latency_us=11.0, clock=TimeSource.SEALED, at=LATER)
    records = verification(trial, node, baseline_hash=best.content_hash)
    decision = decide(
        node,
        records,
        best,
        best_claimed=True,
        expected_workloads=["w-1", "w-64"],
        sanitizer="clean",
    )
    assert decision.promoted
    promote(old, decision, records)
    assert not best_is_claimed(old, OPERATOR, GPU)
    rollback(old, OPERATOR, GPU, "Wrong on long rows.")
    assert best_is_claimed(old, OPERATOR, GPU)
