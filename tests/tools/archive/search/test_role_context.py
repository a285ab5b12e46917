"""The window each role gets."""

from __future__ import annotations

from collections import Counter

import pytest

from kernel_harness.tools.archive.search.role_context import ContextLimits, Role, get_context
from kernel_harness.tools.archive.search.tree import SearchRules
from kernel_harness.tools.archive.store.amendments import AmendmentWords, write_amendment
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.evaluation import Status


@pytest.fixture(scope="module")
def family(shared_bench):
    root = shared_bench.add(latency_us=10.0, source="def run(x, y):\n    pass\n")
    a = shared_bench.add(latency_us=9.0, parents=[root.candidate_id], lesson="Wider loads.")
    b = shared_bench.add(latency_us=8.0, parents=[root.candidate_id])
    a1 = shared_bench.add(status=Status.INCORRECT_NUMERICAL, parents=[a.candidate_id])
    b1 = shared_bench.add(latency_us=7.0, parents=[b.candidate_id])
    found = {"root": root, "a": a, "b": b, "a1": a1, "b1": b1}
    return {name: added.candidate_id for name, added in found.items()}


def relations(context, family):
    ids = {value: key for key, value in family.items()}
    return {
        ids.get(entry.candidate_id, entry.candidate_id): entry.relation for entry in context.entries
    }


def test_a_planner_sees_children_and_leaders_outside_the_subtree(shared_bench, family):
    context = get_context(shared_bench.archive, "plan", family["a"])
    assert relations(context, family) == {
        "a": "node",
        "reference": "root",
        "a1": "child",
        "b1": "leader",
        "b": "leader",
    }


def test_leaders_are_distinct_programs(shared_bench, family):
    archive = shared_bench.archive
    one = get_context(archive, "plan", family["a"], rules=SearchRules(leaders=1))
    assert [e.relation for e in one.entries].count("leader") == 1
    all_of_them = get_context(archive, "plan", family["a"], rules=SearchRules(leaders=9))
    leaders = {e.candidate_id for e in all_of_them.entries if e.relation == "leader"}
    assert leaders == {family["b"], family["b1"], family["root"]}


@pytest.mark.long
def test_a_planners_window_is_drawn_where_more_belong_in_it(bench, archive):
    root = bench.add(latency_us=9.0)
    for i in range(8):
        bench.add(latency_us=8.0 - i / 10, parents=[root.candidate_id])
    bench.add(latency_us=1.0)
    bench.add("def run(x, y):\n    y.copy_(x + x)\n", latency_us=2.0)
    bench.add("def run(x, y):\n    # again\n    y.copy_(x + x)\n", latency_us=1.5)
    seen = Counter()
    for seed in range(60):
        entries = get_context(archive, "plan", root.candidate_id, seed=seed).entries
        assert [entry.relation for entry in entries[:2]] == ["node", "root"]
        assert len(entries) == 7
        if seed < 3:
            assert entries == get_context(archive, "plan", root.candidate_id, seed=seed).entries
        seen.update(entry.candidate_id for entry in entries[2:])
    assert len(seen) == 10 and min(seen.values()) > 10  # eight children, two leaders: 30 each


def test_every_window_has_the_source_of_the_reference(shared_bench, family):
    for role in Role:
        window = get_context(shared_bench.archive, role, family["a"], reference="def run(x): ...")
        (root,) = [entry for entry in window.entries if entry.relation == "root"]
        assert root.source == "def run(x): ..." and root.candidate_id == "reference"
    long = get_context(shared_bench.archive, "code", family["a"], reference="x = 1\n" * 300)
    assert long.entries[1].source.endswith("… 100 more lines")


def test_an_agent_that_does_all_alone_sees_the_node_and_the_root(shared_bench, family):
    context = get_context(shared_bench.archive, "single", family["a"])
    assert relations(context, family) == {"a": "node", "reference": "root"}


def test_a_writer_sees_children_of_siblings(shared_bench, family):
    context = get_context(shared_bench.archive, "code", family["a"])
    assert relations(context, family) == {
        "a": "node",
        "reference": "root",
        "a1": "child",
        "b1": "sibling's child",
    }


def test_a_debugger_sees_siblings(shared_bench, family):
    context = get_context(shared_bench.archive, "debug", family["a"])
    assert relations(context, family) == {"a": "node", "reference": "root", "b": "sibling"}


def test_entries_carry_diff_outcome_error_and_lesson(shared_bench, family):
    entries = {
        e.candidate_id: e for e in get_context(shared_bench.archive, "plan", family["a"]).entries
    }
    assert "Wider loads." in entries[family["a"]].lesson
    assert "+    y.copy_" in entries[family["a"]].diff
    assert "AssertionError: tail" in entries[family["a1"]].error
    assert entries[family["a1"]].outcome.startswith("failed")
    assert entries["reference"].diff == "" and entries["reference"].hypothesis == ""


def test_caps_hold_and_say_what_they_left_out(shared_bench, family):
    few = get_context(shared_bench.archive, "plan", family["a"], ContextLimits(nodes=2))
    assert len(few.entries) == 2 and few.omitted == 3
    tight = get_context(shared_bench.archive, "plan", family["a"], ContextLimits(tokens=120))
    assert tight.entries[0].relation == "node" and tight.omitted > 0


def test_an_unknown_role_is_refused(shared_bench, family):
    with pytest.raises(RequestError, match="plan"):
        get_context(shared_bench.archive, "planner", family["a"])


@pytest.mark.parametrize("role", list(Role))
def test_a_parent_that_is_not_here_hides_nothing_else(bench, archive, role):
    """Another machine may have amended a candidate by a parent that was never fetched."""
    here = bench.add(latency_us=9.0)
    node = bench.add(latency_us=8.0)
    parents = [here.candidate_id, "0123456789ab", "../../\x1b[2J"]
    write_amendment(archive.repository, archive.keys, node.commit, AmendmentWords(parents=parents))
    sibling = bench.add(latency_us=7.0, parents=[here.candidate_id])
    found = get_context(archive, role, node.candidate_id)
    ids = {entry.candidate_id for entry in found.entries}
    assert node.candidate_id in ids
    assert (sibling.candidate_id in ids) == (role in (Role.DEBUG, Role.PLAN))
    assert archive.node(node.candidate_id).parents == (here.candidate_id, "0123456789ab")
