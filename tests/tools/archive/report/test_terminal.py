"""What people see at a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from kernel_harness.tools.archive.report import terminal
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.schema.measurement import TimeSource
from kernel_harness.tools.schema.search.made_by import MadeBy


@pytest.fixture
def printed():
    def render(renderable) -> str:
        console = Console(width=160, record=True, file=io.StringIO())
        console.print(renderable)
        return console.export_text()

    return render


@pytest.fixture
def pair(bench):
    root = bench.add(latency_us=10.0, technique=["plain"], source="def run(x, y):\n    a\n")
    child = bench.add(
        latency_us=8.0,
        parents=[root.candidate_id],
        technique=["split-k"],
        lesson="[bold]Two[/bold] waves.",
        source="def run(x, y):\n    b\n",
    )
    return root, child


def test_log_draws_the_tree_with_outcomes_and_techniques(archive, pair, printed):
    root, child = pair
    lines = printed(terminal.log(archive)).splitlines()
    assert lines[0].startswith(f"* {child.candidate_id} faster") and "[split-k]" in lines[0]
    assert root.candidate_id in lines[1]


def test_show_says_who_made_it(archive, bench, printed):
    said = MadeBy(client="codex", model="gpt-9", session="night", skills={"write-triton": "ab"})
    node = bench.add(made_by=said)
    text = printed(terminal.show(archive, node.candidate_id))
    assert "codex / gpt-9; session night; read write-triton" in text


def test_best_lists_the_least_latency_first(archive, pair, printed):
    text = printed(terminal.best(archive))
    root, child = pair
    assert text.index(child.candidate_id) < text.index(root.candidate_id)
    assert "H200" in text and "12" in text


def test_best_shows_sealed_before_claimed_and_each_reason_once(bench, archive, pair, printed):
    sealed = bench.add(latency_us=90.0, clock=TimeSource.SEALED)
    bench.add(latency_us=9.0, clock_reason="it waits on the host")
    bench.add(latency_us=9.5, clock_reason="it waits on the host")
    text = printed(terminal.best(archive))
    assert text.index(sealed.candidate_id) < text.index(pair[1].candidate_id)
    rows = {line.split("│")[3].strip(): line for line in text.splitlines() if line.count("│") > 8}
    assert " sealed " in rows[sealed.candidate_id] and " claimed " in rows[pair[1].candidate_id]
    assert text.count("it waits on the host") == 1


def test_show_says_that_a_latency_is_claimed_and_why(bench, archive, printed):
    node = bench.add(latency_us=8.0, clock_reason="it waits on the host")
    text = printed(terminal.show(archive, node.candidate_id))
    assert "12 us claimed: it waits on the host" in text
    assert "12 us claimed" in archive.log_graph()


def test_show_quotes_words_as_they_are_and_lists_workloads(archive, pair, printed):
    text = printed(terminal.show(archive, pair[1].candidate_id))
    assert "[bold]Two[/bold] waves." in text and "m=64" in text and "faster" in text


def test_show_says_why_a_candidate_failed(bench, archive, printed):
    failed = bench.add(status=Status.INCORRECT_NUMERICAL)
    text = printed(terminal.show(archive, failed.candidate_id))
    assert "expected 1.5, got 0.25" in text and "AssertionError: tail" in text


def test_a_long_failure_is_shown_whole_where_nothing_is_wrapped(bench, archive):
    failed = bench.add(status=Status.INCORRECT_NUMERICAL)
    console = Console(width=40, record=True, file=io.StringIO(), soft_wrap=True)
    console.print(terminal.show(archive, failed.candidate_id))
    shown = "".join(c for c in console.export_text() if c.isalnum())
    failure = archive.get(failed.candidate_id).evaluation.failure
    for words in (failure.message, failure.remedy):
        assert "".join(c for c in words if c.isalnum()) in shown


def test_diff_shows_the_change_under_both_outcomes(archive, pair, printed):
    text = printed(terminal.diff(archive, pair[0].candidate_id, pair[1].candidate_id))
    assert "-    a" in text and "+    b" in text and "10" in text
    same = printed(terminal.diff(archive, pair[0].candidate_id, pair[0].candidate_id))
    assert "the same" in same


def test_an_empty_archive_says_so(archive, printed):
    assert "Nothing" in printed(terminal.log(archive))
    assert "Nothing" in printed(terminal.best(archive))


def test_names_from_elsewhere_are_no_markup(bench, archive, printed):
    name = "NVIDIA [bold red]H200[/bold red] [/]"
    node = bench.add(gpu=name, name="[link=http://x]v1[/link] [/]", technique=["[/]"])
    for shown in (
        terminal.log(archive),
        terminal.best(archive),
        terminal.show(archive, node.candidate_id),
    ):
        assert "[/]" in printed(shown)
