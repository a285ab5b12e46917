"""What the site's pages say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.archive.report.page_data import (
    boards,
    diff_lines,
    failures,
    tree_rows,
)
from kernel_harness.tools.archive.store.entry import CandidateStatus, Node

from ....made_nodes import made_node


def node(name: str, *parents: str, latency: float | None = None, at: int = 0) -> Node:
    return made_node(name, *parents, latency_us=latency, at=at)


def test_the_line_to_the_best_stays_straight():
    nodes = [
        node("r", latency=9, at=0),
        node("slow", "r", latency=8, at=1),
        node("good", "r", latency=7, at=2),
        node("best", "good", latency=1, at=3),
        node("side", "good", latency=5, at=4),
    ]
    rows = [(row.node.candidate_id, row.depth, row.parent) for row in tree_rows(nodes)]
    assert rows == [
        ("r", 0, None),
        ("slow", 1, None),
        ("good", 0, "r"),
        ("side", 1, None),
        ("best", 0, "good"),
    ]


def test_what_was_right_as_far_as_it_ran_is_no_failure():
    undecided, failed = CandidateStatus.UNDECIDED, CandidateStatus.FAILED
    nodes = [
        made_node("partial", outcome=undecided, failure=""),
        made_node("fault", outcome=undecided, failure="The disk is full", at=1),
        made_node("wrong", outcome=failed, failure="", at=2),
        made_node("fine", at=3),
    ]
    assert [n.candidate_id for n in failures(nodes)] == ["wrong", "fault"]


def test_a_crossover_names_its_other_parent():
    rows = tree_rows([node("a"), node("b", at=1), node("c", "a", "b", at=2)])
    assert next(r for r in rows if r.node.candidate_id == "c").others == ("b",)


def test_of_very_many_the_newest_are_shown():
    chain = [node("n0"), *(node(f"n{i}", f"n{i - 1}", at=i) for i in range(1, 50))]
    rows = tree_rows(chain, limit=10)
    assert [r.node.candidate_id for r in rows] == [f"n{i}" for i in range(40, 50)]


@given(st.lists(st.integers(0, 30), max_size=30), st.randoms())
def test_every_candidate_of_any_tree_has_one_line(choices, rng):
    nodes = []
    for i, choice in enumerate(choices):
        parents = (f"n{choice % i}",) if i and choice else ()
        nodes.append(node(f"n{i}", *parents, latency=rng.choice([None, 1.0 + i]), at=i))
    rows = tree_rows(nodes)
    assert sorted(r.node.candidate_id for r in rows) == sorted(n.candidate_id for n in nodes)


def test_a_board_names_the_promoted_candidate_before_the_fastest():
    nodes = [node("a", latency=2.0), node("b", latency=1.0), node("c")]
    (board,) = boards(nodes, {("d", "H200"): "a"})
    assert board.best == "a" and board.promoted and board.timed == 2
    assert boards(nodes, {})[0].best == "b"


def test_diff_lines_know_their_kind():
    diff = "diff --git a b\nindex 1..2\n--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n z\n"
    assert [kind for kind, _ in diff_lines(diff)] == ["file", "file", "hunk", "del", "add", ""]
