"""The window each role gets."""

from __future__ import annotations

import pytest

from kernel_harness.tools.archive.search.role_context import ContextLimits, get_context
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
    return {ids[entry.candidate_id]: entry.relation for entry in context.entries}


def test_a_planner_sees_children_and_leaders_outside_the_subtree(shared_bench, family):
    context = get_context(shared_bench.archive, "plan", family["a"])
    assert relations(context, family) == {
        "a": "node",
        "root": "root",
        "a1": "child",
        "b1": "leader",
        "b": "leader",
    }


def test_a_writer_sees_children_of_siblings(shared_bench, family):
    context = get_context(shared_bench.archive, "code", family["a"])
    assert relations(context, family) == {
        "a": "node",
        "root": "root",
        "a1": "child",
        "b1": "sibling's child",
    }


def test_a_debugger_sees_siblings(shared_bench, family):
    context = get_context(shared_bench.archive, "debug", family["a"])
    assert relations(context, family) == {"a": "node", "root": "root", "b": "sibling"}


def test_entries_carry_diff_outcome_error_and_lesson(shared_bench, family):
    entries = {
        e.candidate_id: e for e in get_context(shared_bench.archive, "plan", family["a"]).entries
    }
    assert "Wider loads." in entries[family["a"]].lesson
    assert "+    y.copy_" in entries[family["a"]].diff
    assert "AssertionError: tail" in entries[family["a1"]].error
    assert entries[family["a1"]].outcome.startswith("failed")
    assert entries[family["root"]].diff == ""


def test_caps_hold_and_say_what_they_left_out(shared_bench, family):
    few = get_context(shared_bench.archive, "plan", family["a"], ContextLimits(nodes=2))
    assert len(few.entries) == 2 and few.omitted == 3
    tight = get_context(shared_bench.archive, "plan", family["a"], ContextLimits(tokens=120))
    assert tight.entries[0].relation == "node" and tight.omitted > 0


def test_an_unknown_role_is_refused(shared_bench, family):
    with pytest.raises(RequestError, match="plan"):
        get_context(shared_bench.archive, "planner", family["a"])
