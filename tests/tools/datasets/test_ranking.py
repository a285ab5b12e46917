"""How solutions and authors rank by the traces of a dataset."""

from __future__ import annotations

import pytest

from kernel_harness.tools.datasets.ranking import Ranking, rank
from kernel_harness.tools.datasets.trace_set import read_trace_set
from kernel_harness.tools.errors import RequestError

from .folders import DatasetFolder


def ranked(folder: DatasetFolder, **options) -> Ranking:
    return rank(read_trace_set(folder.root), **options)


def scores(found: Ranking, definition: str) -> dict[str, float | None]:
    return {s.solution: s.score for s in found.solutions if s.definition == definition}


def test_a_score_is_the_mean_over_workloads_against_the_baselines_latency(contest) -> None:
    found = scores(ranked(contest), "double")
    assert found["quick"] == pytest.approx((1.0 / 0.5 + 2.0 / 0.5) / 2)
    assert found["narrow"] == pytest.approx((1.0 / 0.25 + 2.0 / 1.6) / 2)
    assert found["plain_double"] == 1.0
    assert list(found) == ["quick", "narrow", "plain_double"]


def test_a_solution_with_a_failed_trace_scores_nothing(contest) -> None:
    assert scores(ranked(contest), "triple") == {"plain_triple": 1.0, "wrong": 0.0}


def test_without_a_baseline_the_references_latency_counts(folder) -> None:
    folder.definition()
    folder.workloads(1, 8)
    folder.solution("quick")
    folder.traces("quick", {1: 0.5, 8: 2.0}, reference_ms=4.0)
    assert scores(ranked(folder), "double") == {"quick": pytest.approx((8 + 2) / 2)}


def test_two_baselines_are_none(contest) -> None:
    contest.solution("other", "baseline")
    contest.traces("other", {1: 0.1}, "baseline", reference_ms=4.0)
    assert scores(ranked(contest), "double")["quick"] == pytest.approx(8.0)


def test_what_was_never_timed_has_no_score_and_no_place_among_the_best(folder) -> None:
    folder.definition()
    folder.traces("broken", {1: "COMPILE_ERROR"})
    folder.traces("untimed", {1: 1.0})
    found = ranked(folder)
    assert scores(found, "double") == {"untimed": None, "broken": 0.0}
    assert [b.speedup for b in found.best] == [None]
    assert {a.author for a in found.authors} == {"unknown"}


def test_authors_rank_by_the_best_of_each_definition(contest) -> None:
    ann, bob, base = ranked(contest).authors
    assert (ann.author, ann.score, ann.wins, ann.definitions) == ("ann", 3.0, 1, 1)
    assert (base.author, base.score, base.wins) == ("baseline", 1.0, 0)
    assert bob.score == pytest.approx((2.625 + 0.0) / 2)
    assert (bob.passed, bob.failed, bob.success_rate) == (3, 1, 0.75)
    assert ann.faster_than(1.9) == 1.0
    assert ann.faster_than(2.0) == 0.5
    # Of bob's three workloads one is of a solution that fails elsewhere, and counts as slower.
    assert bob.faster_than(2.0) == pytest.approx(1 / 3)


def test_the_best_of_a_workload_is_the_fastest_pass(contest) -> None:
    best = {(b.definition, b.workload): b for b in ranked(contest).best}
    assert best["double", "w-1"].solution == "narrow"
    assert best["double", "w-8"].solution == "quick"
    assert best["triple", "w-1"].speedup == pytest.approx(40)


def test_larger_errors_than_are_asked_for_are_no_best(folder) -> None:
    folder.definition()
    folder.traces("close", {1: 2.0}, error=1e-4)
    folder.traces("coarse", {1: 1.0}, error=0.5)
    folder.traces("unmeasured", {1: 0.5}, error=float("nan"))
    chosen = ranked(folder, max_absolute_error=0.01).best
    assert [b.solution for b in chosen] == ["close"]
    assert [b.solution for b in ranked(folder).best] == ["unmeasured"]


def test_totals_count_every_trace(contest) -> None:
    found = ranked(contest).summary
    assert (found.definitions, found.workloads, found.solutions) == (2, 4, 5)
    assert (found.total, found.passed) == (11, 10)
    assert min(found.latencies_ms) == 0.1


def test_definitions_are_chosen_by_name(contest) -> None:
    found = ranked(contest, definitions=["triple"])
    assert {s.definition for s in found.solutions} == {"triple"}
    assert found.summary.total == 4
    with pytest.raises(RequestError, match="trple"):
        ranked(contest, definitions=["trple"])
