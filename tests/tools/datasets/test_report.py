"""A ranking as text, as JSON and as a page."""

from __future__ import annotations

import json
import re

from kernel_harness.tools.datasets.ranking import rank
from kernel_harness.tools.datasets.report_lines import as_json, best_lines, summary_lines
from kernel_harness.tools.datasets.report_page import write_page
from kernel_harness.tools.datasets.trace_set import read_trace_set


def test_a_summary_has_totals_and_authors_in_their_order(contest) -> None:
    lines = list(summary_lines(rank(read_trace_set(contest.root))))
    assert lines[0] == "2 definitions, 4 workloads, 5 solutions, 11 traces."
    assert lines[1] == "Traces: 1 INCORRECT_NUMERICAL, 10 PASSED."
    assert "100 us to 2 ms" in lines[2]
    rows = [line.split() for line in lines if re.match("ann|bob|baseline", line)]
    assert [row[0] for row in rows] == ["ann", "bob", "baseline"]
    assert "3x" in rows[0]


def test_the_best_are_told_by_definition_and_by_workload(contest) -> None:
    text = "\n".join(best_lines(rank(read_trace_set(contest.root))))
    assert text.index("double:") < text.index("quick") < text.index("triple:")
    assert re.search(r"w-1 +m=1 +narrow +250 us +16x", text)
    assert "wrong (fails elsewhere)" in text


def test_an_untouched_dataset_says_that_it_has_no_traces(folder) -> None:
    folder.definition()
    found = rank(read_trace_set(folder.root))
    assert list(best_lines(found)) == ["There are no traces of solutions."]
    assert list(summary_lines(found))[1] == "Traces: none."


def test_json_holds_only_numbers_that_json_has(contest) -> None:
    contest.traces("quick", {64: 0.1}, "ann", error=float("nan"))
    found = json.loads(json.dumps(as_json(rank(read_trace_set(contest.root))), allow_nan=False))
    assert found["summary"]["passed"] == 11
    assert found["authors"][0]["fast"]["2"] == 1 / 3
    assert [b["max_absolute_error"] for b in found["best"]].count(None) == 1


def test_a_page_opens_from_a_file_and_runs_nothing_of_its_authors(contest, tmp_path) -> None:
    contest.solution("evil", "<script>alert(1)</script>")
    contest.traces("evil", {1: 0.01}, "x", reference_ms=4.0)
    page = write_page(rank(read_trace_set(contest.root)), tmp_path / "page", "contest")
    text = page.read_text("utf-8")
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert text.count("<polyline") == 4
    assert "narrow" in text and "fails elsewhere" in text
