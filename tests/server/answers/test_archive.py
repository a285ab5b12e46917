"""Answers on the archive, made of records without a server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kernel_harness.server.answers.archive import (
    archived_answer,
    context_answer,
    selection_answer,
)
from kernel_harness.server.answers.retrieval.search import search_answer
from kernel_harness.server.answers.text import BUDGET_CHARACTERS
from kernel_harness.tools.archive.archiving import ArchivedCandidate
from kernel_harness.tools.archive.retrieval.directions import Direction
from kernel_harness.tools.archive.retrieval.query import SearchResult
from kernel_harness.tools.archive.search.advice import Advice, AdviceKind
from kernel_harness.tools.archive.search.parent_selection import Alternative, Selection
from kernel_harness.tools.archive.search.role_context import ContextEntry, Role, RoleContext
from kernel_harness.tools.archive.store.entry import CandidateStatus, Node

from ...made_nodes import made_node


def node(candidate_id: str = "4f2a9c01d3be", **changes: Any) -> Node:
    faster = {"outcome": CandidateStatus.FASTER, "outcome_words": "1.2x parent"}
    return made_node(candidate_id, **{**faster, "latency_us": 4.0, "speedup": 1.2, **changes})


def found(**changes: Any) -> SearchResult:
    return replace(SearchResult((), (), (), (), 0), **changes)


def test_a_failed_candidate_leads_to_debugging_and_a_fast_one_to_promotion():
    fast = archived_answer(ArchivedCandidate(node(), already=False, advice=(), anchors=None))
    assert "promote_candidate(candidate_id='4f2a9c01d3be')" in fast.summary
    failed = node(status="TIMEOUT", outcome=CandidateStatus.FAILED, outcome_words="TIMEOUT (hang)")
    slow = archived_answer(ArchivedCandidate(failed, already=True, advice=(), anchors=None))
    assert slow.already and "get_context(role='debug'" in slow.summary


def test_advice_replaces_the_usual_next_step():
    advice = Advice(AdviceKind.BUDGET, "20 of 20 candidates", "Stop and report.", ("c1",))
    answer = archived_answer(ArchivedCandidate(node(), False, (advice,), None))
    assert "Stop and report." in answer.summary and "select_parent" not in answer.summary
    assert [(a.kind, a.evidence) for a in answer.advice] == [(AdviceKind.BUDGET, ["c1"])]


def test_a_search_without_a_match_says_how_to_widen_it():
    answer = search_answer(found(), "gdn_decode", "concise")
    assert answer.total == 0 and "Nothing in the archive for gdn_decode" in answer.summary


def test_a_page_that_had_to_be_cut_gives_no_cursor_beyond_what_it_shows():
    many = tuple(node(candidate_id=f"{n:012x}", lesson="x" * 700) for n in range(100))
    whole = found(candidates=many, total=500, next_cursor="100")
    answer = search_answer(whole, None, "detailed")
    assert 0 < len(answer.candidates) < 100 and answer.next_cursor is None
    assert len(answer.model_dump_json().encode()) <= BUDGET_CHARACTERS
    assert "of 500" in answer.summary
    short = search_answer(found(candidates=many[:2], total=5, next_cursor="2"), None, "concise")
    assert short.next_cursor == "2"


def test_more_is_said_of_a_direction_when_details_are_asked_for():
    blocked = tuple(Direction(f"t{n}", "d", "w" * 600, ("c",) * 9, 3) for n in range(20))
    concise = search_answer(found(blocked=blocked, total=1), "d", "concise").blocked
    detailed = search_answer(found(blocked=blocked, total=1), "d", "detailed").blocked
    assert len(concise) < len(detailed) and len(concise[0].words) < len(detailed[0].words)
    assert concise[0].tried == 3 and len(concise[0].evidence) == 4


@pytest.mark.parametrize(("role", "tool"), [("plan", "open_workspace("), ("debug", "then fix")])
def test_the_chosen_parent_comes_with_the_reasons_against_others(role: str, tool: str):
    others = (Alternative("c2", "slower"),)
    answer = selection_answer(Selection("c1", "the best", others, "best_first", 7, role), "d1")
    assert "c1: the best." in answer.summary and "Not c2: slower" in answer.summary
    assert tool in answer.summary and answer.seed == 7
    assert ("search_archive(definition='d1', parent='c1')" in answer.summary) == (role == "plan")
    assert answer.candidate_uri.endswith("candidate/c1")


def test_a_search_that_begins_anew_opens_the_template():
    answer = selection_answer(Selection("reference", "anew", (), "best_of_k", 7, "single"), "d1")
    assert "open_workspace(definition='d1', start_from='template')" in answer.summary
    assert "get_context" not in answer.summary
    assert answer.candidate_uri.endswith("definition/d1")


def test_entries_that_a_context_had_to_leave_out_are_counted():
    entry = ContextEntry("c1", "parent", "failed", (), "", "", "", "+" * 4_000)
    context = RoleContext(Role.DEBUG, "c0", (entry,) * 12, omitted=1, tokens=9)
    answer = context_answer(context)
    assert 0 < len(answer.entries) < 12
    assert answer.omitted == 1 + 12 - len(answer.entries)
    assert "find the cause" in answer.summary
