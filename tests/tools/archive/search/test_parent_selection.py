"""Which candidate is expanded next, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.archive.search.parent_selection import (
    Selection,
    choose,
    read_tree,
    select_parent,
    with_open_idea,
)
from kernel_harness.tools.archive.search.policies import POLICIES
from kernel_harness.tools.archive.search.tree import ROOT, SearchRules, TreeNode, grow
from kernel_harness.tools.archive.store.entry import CandidateStatus
from kernel_harness.tools.archive.store.plans.commits import StoredPlan
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.schema.search.plan import SearchPlan

RULES = SearchRules()


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


def test_the_numbers_are_the_papers():
    assert RULES == SearchRules(epsilon=0.3, dead_children=3, leaders=2, window=5)


def test_epsilon_greedy_explores_in_its_proportion_and_otherwise_takes_the_best():
    chosen = [choose(TREE, "epsilon_greedy", seed) for seed in range(1_000)]
    explored = [c for c in chosen if "explores" in c.why]
    assert abs(len(explored) / 1_000 - 0.3) < 0.05
    assert {c.candidate_id for c in chosen if c not in explored} == {"a1"}
    assert all(c.role == "debug" for c in chosen if c.candidate_id == "f")


def test_exploration_is_uniform_over_open_leaves():
    """Failed ones as often as others, and none that has children."""
    rules = SearchRules(epsilon=1.0)
    picked = Counter(choose(TREE, "epsilon_greedy", s, rules).candidate_id for s in range(1_500))
    assert set(picked) == {"a1", "b", "f"}
    assert all(abs(count - 500) < 85 for count in picked.values())  # 4.6 standard deviations


def test_after_failed_first_attempts_the_root_is_offered_again():
    nodes = [node(f"f{i}", None) for i in range(3)]
    picked = Counter(choose(nodes, "epsilon_greedy", seed).candidate_id for seed in range(500))
    assert 300 < picked[ROOT] < 400  # what exploits; the failures are leaves to explore


def test_a_root_with_five_children_is_throttled():
    nodes = [node(f"f{i}", None) for i in range(5)]
    assert ROOT not in {n.candidate_id for n in grow(nodes).open}
    assert ROOT in {n.candidate_id for n in grow(nodes[:-1]).open}
    inner = [node("a", 1.0), *(node(f"c{i}", 5.0 + i, "a") for i in range(9))]
    assert choose(inner, "best_first", 0).candidate_id == "a"  # only the root is throttled


def test_an_empty_archive_offers_the_root():
    assert {choose([], policy, 0).candidate_id for policy in POLICIES} == {ROOT}


def test_a_branch_with_more_than_three_children_all_failing_is_dead():
    nodes = [node("root", 9.0), node("a", 1.0, "root")]
    nodes += [node(f"f{i}", None, "a") for i in range(3)]
    assert "a" in {n.candidate_id for n in grow(nodes).open}
    nodes.append(node("f3", None, "a"))
    assert "a" not in {n.candidate_id for n in grow(nodes).open}
    nodes.append(node("ok", 2.0, "a"))
    assert "a" in {n.candidate_id for n in grow(nodes).open}


def test_infrastructure_faults_prune_nothing_and_are_never_chosen():
    nodes = [node("root", 9.0)]
    nodes += [node(f"u{i}", None, "root", outcome=CandidateStatus.UNDECIDED) for i in range(6)]
    assert [n.candidate_id for n in grow(nodes).best(9)] == ["root", ROOT]


def test_the_tournament_draws_from_the_grid_of_techniques_and_regimes():
    nodes = [
        node("small", 10.0, technique=("split-k",), elite={"small": 1.0, "large": 20.0}),
        node("large", 11.0, technique=("tma",), elite={"small": 5.0, "large": 8.0}),
    ]
    won = {choose(nodes, "tournament", seed).candidate_id for seed in range(40)}
    assert won == {"small", "large"}
    assert "regime" in choose(nodes, "tournament", 3).why


def test_sampling_begins_anew_and_reflexion_goes_on_from_the_newest():
    timed = [n._replace(at=i) for i, n in enumerate(TREE)]
    assert choose(timed, "best_of_k", 0).candidate_id == ROOT
    for policy, role in (("reflexion", "single"), ("multi_agent_only", "debug")):
        chosen = choose(timed, policy, 0)
        assert (chosen.candidate_id, chosen.role) == ("f", role)
    undecided = [*timed, node("u", outcome=CandidateStatus.UNDECIDED)]
    assert choose(undecided, "reflexion", 0).candidate_id == "f"


def test_search_alone_searches_as_with_three_agents():
    for seed in range(50):
        found = [choose(TREE, p, seed) for p in ("search_only", "epsilon_greedy")]
        assert found[0].role == "single"
    alone = Counter(choose(TREE, "search_only", s).candidate_id for s in range(1_000))
    assert abs(alone["a1"] - 800) < 60  # 0.7, and a third of the 0.3 that explore


def test_mcts_goes_down_the_better_branch_and_widens_with_visits():
    nodes = [node("a", 10.0), node("b", 2.0), node("a1", 10.0, "a"), node("b1", 1.0, "b")]
    nodes += [node("c", 9.0), node("c1", None, "c")]
    picked = {choose(nodes, "mcts", seed).candidate_id for seed in range(20)}
    assert picked == {"b"}  # seven visits allow the root three children, two allow b two
    nodes += [node("b2", None, "b")]
    assert choose(nodes, "mcts", 0).candidate_id != "b"  # three visits allow two
    assert choose(nodes[:1], "mcts", 0).candidate_id == ROOT  # two visits allow two children


def test_ucb_prefers_the_untried_among_equals():
    nodes = [node("r", 10.0), node("a", 5.0, "r"), node("b", 5.0, "r"), node("a1", 6.0, "a")]
    assert choose(nodes, "ucb", 0).candidate_id == "b"


def test_ucb_counts_a_claimed_latency_no_faster_than_the_slowest_sealed_one():
    nodes = [node("a", 5.0), node("b", 10.0), node("told", 1.0, claimed=True)]
    assert choose(nodes, "ucb", 0).candidate_id == "a"
    alone = [choose(nodes[1:], "ucb", seed).candidate_id for seed in range(20)]
    assert set(alone) == {"b", "told"}  # equals: either may be drawn


def test_unknown_policies_are_refused():
    with pytest.raises(RequestError, match="epsilon_greedy"):
        choose(TREE, "epsilon", 0)


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
    assert chosen.candidate_id in {ROOT, *(n.candidate_id for n in nodes)}
    assert chosen.candidate_id not in {a.candidate_id for a in chosen.alternatives}


def model(nodes, rules):
    """Who may be expanded, in the paper's words: all but throttled roots and dead branches."""
    names = {n.candidate_id for n in nodes}
    allowed = set()
    for name in [ROOT, *names]:
        born = [n for n in nodes if name in n.parents or (name == ROOT and not n.parents)]
        born = [n for n in born if n.outcome is not CandidateStatus.UNDECIDED]
        failing = [n for n in born if n.outcome is CandidateStatus.FAILED]
        throttled = name == ROOT and len(born) >= rules.root_children
        dead = name != ROOT and len(born) > rules.dead_children and len(failing) == len(born)
        if not throttled and not dead:
            allowed.add(name)
    undecided = {n.candidate_id for n in nodes if n.outcome is CandidateStatus.UNDECIDED}
    leaves = {name for name in allowed - undecided if not any(name in n.parents for n in nodes)}
    if any(not n.parents for n in nodes):
        leaves.discard(ROOT)
    return allowed - undecided, leaves


@given(trees(), st.integers(1, 6), st.integers(0, 4), st.integers(0, 2**31))
def test_the_search_is_that_of_the_papers_text(nodes, root_children, dead_children, seed):
    rules = SearchRules(1.0, root_children, dead_children)
    allowed, leaves = model(nodes, rules)
    if not allowed:
        return
    assert {n.candidate_id for n in grow(nodes, rules).open} == allowed
    explored = choose(nodes, "epsilon_greedy", seed, rules).candidate_id
    assert explored in (leaves or allowed)
    best = choose(nodes, "epsilon_greedy", seed, replace(rules, epsilon=0.0)).candidate_id
    timed = [n.latency_us for n in nodes if n.candidate_id in allowed and n.latency_us]
    if timed:
        assert next(n for n in nodes if n.candidate_id == best).latency_us == min(timed)
    elif ROOT in allowed:  # nothing was timed: what has not failed, before what has
        assert best == ROOT or grow(nodes, rules).best(1)[0].outcome is not CandidateStatus.FAILED


def test_the_archive_is_read_for_one_device(bench, archive):
    root = bench.add(latency_us=10.0, technique=["a"])
    quick = bench.add(latency_us=8.0, parents=[root.candidate_id])
    bench.add(latency_us=1.0, gpu="NVIDIA B200", parents=[root.candidate_id])
    bench.add(status=Status.TIMEOUT, parents=[root.candidate_id])
    bench.add(definition="other", latency_us=0.1)
    chosen = select_parent(archive, "scale_n64", "best_first", 7, hardware="H200")
    assert chosen.candidate_id == quick.candidate_id and chosen.seed == 7
    assert select_parent(archive, "scale_n64").policy == "epsilon_greedy"


def test_the_tournament_is_of_candidates_that_rank(bench, archive, trial):
    """One that fails at one workload has latencies of the others, and wins nothing by them."""
    bench.add(latency_us=10.0, technique=["sound"])
    timed = trial(latency_us=1.0)[1].workloads
    bench.add(status=Status.INCORRECT_NUMERICAL, workloads=timed)
    nodes = read_tree(archive, "scale_n64")
    assert [sorted(n.elite) for n in nodes] == [["large", "small"], []]


def test_parents_keep_their_order(bench, archive):
    """A subtree's value goes to the first of them."""
    a, b = bench.add(latency_us=10.0), bench.add(latency_us=9.0)
    for parents in ([a, b], [b, a]):
        child = bench.add(parents=[parent.candidate_id for parent in parents])
        (node,) = [
            n for n in read_tree(archive, "scale_n64") if n.candidate_id == child.candidate_id
        ]
        assert node.parents == tuple(parent.candidate_id for parent in parents)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_circle_of_amended_parents_ends_no_policy(policy):
    """Two machines that amend at once can make one."""
    nodes = [node("a", 3.0, "b"), node("b", 2.0, "a"), node("c", 4.0)]
    assert choose(nodes, policy, 1).candidate_id in {ROOT, "a", "b", "c"}


def test_mcts_counts_a_long_line_in_no_time():
    nodes = [node(f"n{i}", 5.0, f"n{i - 1}" if i else "") for i in range(20_000)]
    assert choose(nodes, "mcts", 1).candidate_id == ROOT  # many visits, one child


def told(plan_id: str, gain: float, confidence: float, at: int = 0, parent: str = "") -> StoredPlan:
    record = SearchPlan(
        definition="scale_n64",
        parent=parent,
        hypothesis="An idea.",
        expected_gain=gain,
        confidence=confidence,
        spec={"language": "triton", "entry_point": "kernel.py::run", "target_hardware": ["cuda"]},
    )
    return StoredPlan(plan_id, plan_id, f"refs/plans/scale_n64/{plan_id}", at, record)


CHOSEN = Selection("0123456789ab", "the best", (), "best_first", 1)


def test_the_idea_that_gains_most_by_its_own_confidence_comes_with_the_node():
    plans = [told("a", 3.0, 0.1), told("b", 1.3, 0.9), told("c", 1.3, 0.8)]
    chosen = with_open_idea(CHOSEN, plans, 1e6, SearchRules())
    assert (chosen.plan, chosen.role, chosen.candidate_id) == ("b", "code", CHOSEN.candidate_id)
    assert "nobody tried" in chosen.why


def test_a_young_idea_is_left_to_whoever_told_it_and_none_is_offered_where_none_may_be():
    plans = [told("a", 2.0, 0.9, at=1_000), told("b", 1.1, 0.5, at=0)]
    rules = SearchRules(plan_rest_s=600)
    assert with_open_idea(CHOSEN, plans, 1_599, rules).plan == "b"
    assert with_open_idea(CHOSEN, plans, 1_600, rules).plan == "a"
    assert with_open_idea(CHOSEN, plans, 599, rules) == CHOSEN
    assert with_open_idea(CHOSEN, plans, 1e9, SearchRules(plan_rest_s=None)) == CHOSEN


def test_an_idea_is_offered_for_the_node_that_it_is_for_until_somebody_tries_it(bench, archive):
    at_once = SearchRules(plan_rest_s=0)
    node = bench.add(latency_us=10.0)

    def chosen() -> Selection:
        return select_parent(archive, "scale_n64", "best_first", 1, rules=at_once)

    elsewhere = told("x", 2.0, 0.9, parent="template").record
    archive.plans.write(elsewhere, {"kernel.py": ""})
    assert chosen().candidate_id == node.candidate_id and not chosen().plan
    single = select_parent(archive, "scale_n64", "best_of_k", 1, rules=at_once)
    assert single.candidate_id == "reference" and not single.plan and single.role == "single"
    for_it = told("x", 1.2, 0.5, parent=node.candidate_id).record
    plan = archive.plans.write(for_it, {"kernel.py": ""}, [node.commit])
    assert (chosen().plan, chosen().role) == (plan.plan_id, "code")
    assert not select_parent(archive, "scale_n64", "best_first", 1).plan  # it is a second old
    bench.add(plan=plan.plan_id, parents=[node.candidate_id], latency_us=20.0)
    assert not chosen().plan
