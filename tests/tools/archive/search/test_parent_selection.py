"""Which candidate is expanded next, and why."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.archive.search.parent_selection import (
    EPSILON,
    POLICIES,
    TreeNode,
    choose,
    grow,
    select_parent,
)
from kernel_harness.tools.archive.store.entry import CandidateStatus
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.evaluation import Status


def node(name: str, latency: float | None = None, parent: str = "", **more) -> TreeNode:
    outcome = more.pop("outcome", CandidateStatus.EQUAL if latency else CandidateStatus.FAILED)
    return TreeNode(name, outcome, latency, at=0, parents=(parent,) if parent else (), **more)


TREE = [
    node("root", 10.0),
    node("a", 8.0, "root"),
    node("b", 9.0, "root"),
    node("a1", 7.0, "a"),
    node("f", None, "a"),
]


def test_best_first_takes_the_least_latency():
    chosen = choose(TREE, "best_first", 1)
    assert chosen.candidate_id == "a1" and "7 us" in chosen.why
    assert [other.candidate_id for other in chosen.alternatives] == ["a", "b", "root"]


def test_epsilon_greedy_exploits_and_explores_in_its_proportion():
    chosen = [choose(TREE, "epsilon_greedy", seed) for seed in range(400)]
    explored = sum("explores" in c.why for c in chosen) / 400
    assert abs(explored - EPSILON) < 0.07
    picked = Counter(c.candidate_id for c in chosen if "explores" in c.why)
    assert picked["b"] > picked["root"]  # a leaf three times as likely as an inner node
    assert all(c.role == "debug" for c in chosen if c.candidate_id == "f")


def test_a_root_with_five_children_is_throttled():
    nodes = [node("root", 1.0), *(node(f"c{i}", 5.0 + i, "root") for i in range(5))]
    assert {choose(nodes, "best_first", 0).candidate_id} == {"c0"}
    assert choose(nodes[:-1], "best_first", 0).candidate_id == "root"


def test_a_branch_with_three_failing_children_is_dead():
    nodes = [node("root", 9.0), node("a", 1.0, "root")]
    nodes += [node(f"f{i}", None, "a") for i in range(3)]
    assert "a" not in {n.candidate_id for n in grow(nodes).open}
    nodes.append(node("ok", 2.0, "a"))
    assert "a" in {n.candidate_id for n in grow(nodes).open}


def test_infrastructure_faults_prune_nothing_and_are_never_chosen():
    nodes = [node("root", 9.0)]
    nodes += [node(f"u{i}", None, "root", outcome=CandidateStatus.UNDECIDED) for i in range(4)]
    assert [n.candidate_id for n in grow(nodes).open] == ["root"]


def test_the_tournament_draws_from_the_grid_of_techniques_and_regimes():
    nodes = [
        node("small", 10.0, technique=("split-k",), elite={"small": 1.0, "large": 20.0}),
        node("large", 11.0, technique=("tma",), elite={"small": 5.0, "large": 8.0}),
    ]
    won = {choose(nodes, "tournament", seed).candidate_id for seed in range(40)}
    assert won == {"small", "large"}
    assert "regime" in choose(nodes, "tournament", 3).why


def test_ucb_prefers_the_untried_among_equals():
    nodes = [node("r", 10.0), node("a", 5.0, "r"), node("b", 5.0, "r"), node("a1", 6.0, "a")]
    assert choose(nodes, "ucb", 0).candidate_id == "b"


def test_ucb_counts_a_claimed_latency_no_faster_than_the_slowest_sealed_one():
    nodes = [node("a", 5.0), node("b", 10.0), node("told", 1.0, claimed=True)]
    assert choose(nodes, "ucb", 0).candidate_id == "a"
    alone = [choose(nodes[1:], "ucb", seed).candidate_id for seed in range(20)]
    assert set(alone) == {"b", "told"}  # equals: either may be drawn


def test_unknown_policies_and_empty_trees_are_refused():
    with pytest.raises(RequestError, match="epsilon_greedy"):
        choose(TREE, "epsilon", 0)
    with pytest.raises(RequestError, match="no candidate"):
        choose([], "ucb", 0)


@st.composite
def trees(draw):
    count = draw(st.integers(1, 12))
    nodes = []
    for i in range(count):
        parent = f"n{draw(st.integers(0, i - 1))}" if i and draw(st.booleans()) else ""
        latency = draw(st.none() | st.floats(0.5, 1e5))
        elite = {"r": latency} if latency else {}
        outcome = (
            draw(st.sampled_from([*CandidateStatus])) if latency is None else CandidateStatus.EQUAL
        )
        nodes.append(node(f"n{i}", latency, parent, elite=elite, outcome=outcome))
    return nodes


@given(trees(), st.sampled_from(sorted(POLICIES)), st.integers(0, 2**31))
def test_the_same_tree_policy_and_seed_give_the_same_choice(nodes, policy, seed):
    chosen = choose(nodes, policy, seed)
    assert choose(list(nodes), policy, seed) == chosen
    assert chosen.candidate_id in {n.candidate_id for n in nodes}
    assert chosen.candidate_id not in {a.candidate_id for a in chosen.alternatives}


def test_the_archive_is_read_for_one_device(bench, archive):
    root = bench.add(latency_us=10.0, technique=["a"])
    quick = bench.add(latency_us=8.0, parents=[root.candidate_id])
    bench.add(latency_us=1.0, gpu="NVIDIA B200", parents=[root.candidate_id])
    bench.add(status=Status.TIMEOUT, parents=[root.candidate_id])
    bench.add(definition="other", latency_us=0.1)
    chosen = select_parent(archive, "scale_n64", "best_first", 7, hardware="H200")
    assert chosen.candidate_id == quick.candidate_id and chosen.seed == 7
    assert select_parent(archive, "scale_n64").policy == "epsilon_greedy"
