"""What people see at a terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console
from rich.text import Text

from kernel_harness.tools.archive.report import terminal
from kernel_harness.tools.archive.report.listing import Column, Listing
from kernel_harness.tools.archive.report.tree_graph import tree_lines
from kernel_harness.tools.archive.store.amendments import AmendmentWords
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
    rows = {line[:12]: line for line in text.splitlines()}
    assert " sealed " in rows[sealed.candidate_id] and " claimed " in rows[pair[1].candidate_id]
    assert text.count("it waits on the host") == 1


def test_best_has_rows_of_what_others_wrote_and_speedups_over_them(bench, archive, printed):
    bench.add(latency_us=10.0, ratio=3.0, clock=TimeSource.SEALED)
    fast = bench.add(latency_us=5.0, ratio=6.0, clock=TimeSource.SEALED)
    lines = printed(terminal.best(archive)).splitlines()
    assert "H200, speed-ups over plain" in lines[0]
    rows = {line.split()[0]: line.split() for line in lines[2:] if line.strip()}
    assert rows[fast.candidate_id][3] == "6x"
    assert rows["45"][1:] == ["1x", "baseline", "plain"]


def test_show_says_that_a_latency_is_claimed_and_why(bench, archive, printed):
    node = bench.add(latency_us=8.0, clock_reason="it waits on the host")
    text = printed(terminal.show(archive, node.candidate_id))
    assert "12 us claimed: it waits on the host" in text
    assert "12 us claimed" in terminal.log(archive).plain


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


@pytest.mark.parametrize("width", [40, 80, 200])
def test_diff_shows_the_whole_change_at_any_width(bench, archive, width):
    long = "x = " + " + ".join(str(n) for n in range(60))
    old = bench.add(source=f"def run(x, y):\n\tone\n    {long}\n")
    new = bench.add(source=f"def run(x, y):\n\ttwo\n    {long} + 60\n")
    shown = terminal.diff(archive, old.candidate_id, new.candidate_id)
    assert archive.diff(old.candidate_id, new.candidate_id).rstrip() in shown.plain
    assert old.candidate_id in shown.plain and new.candidate_id in shown.plain
    console = Console(width=width, record=True, file=io.StringIO(), soft_wrap=True)
    console.print(shown)
    assert f"-    {long}\n" in console.export_text()
    same = terminal.diff(archive, old.candidate_id, old.candidate_id)
    assert "the same" in same.plain


def test_log_draws_the_parents_that_hold_now(bench, archive):
    first, second = bench.add(), bench.add()
    child = bench.add(parents=[first.candidate_id])
    archive.amend(child.candidate_id, AmendmentWords(parents=[second.candidate_id]))
    lines = terminal.log(archive).plain.splitlines()
    assert [line.split()[1] for line in lines] == [
        child.candidate_id,
        second.candidate_id,
        first.candidate_id,
    ]
    archive.amend(
        child.candidate_id, AmendmentWords(parents=[second.candidate_id, first.candidate_id])
    )
    assert "|\\" in terminal.log(archive).plain


def test_log_says_what_it_leaves_out_and_draws_the_parents_of_what_it_shows(bench, archive):
    root = bench.add()
    hidden = [bench.add(parents=[root.candidate_id]) for _ in range(2)]
    last = bench.add(parents=[hidden[0].candidate_id])
    text = terminal.log(archive, limit=1).plain
    assert text.splitlines()[1] == f"* {hidden[0].candidate_id} older"
    assert last.candidate_id in text and hidden[1].candidate_id not in text
    assert text.endswith("… and 3 older; --limit shows more")


def test_a_circle_of_amended_parents_is_drawn_all_the_same(bench):
    first, second = bench.add(), bench.add()
    circle = [
        replace(first, parents=(second.candidate_id,)),
        replace(second, parents=(first.candidate_id,)),
    ]
    drawn = {line.candidate_id for line in tree_lines(circle)}
    assert drawn == {first.candidate_id, second.candidate_id}


@pytest.mark.parametrize("width", [50, 60, 80, 200])
def test_a_tree_in_a_terminal_is_wrapped_beside_its_rails(bench, archive, width):
    root = bench.add(technique=["a-technique-of-some-length", "another-one", "and-a-third-one"])
    for _ in range(3):
        bench.add(parents=[root.candidate_id], technique=["one-more-technique"] * 3)
    stream = io.StringIO()
    console = Console(width=width, file=stream, force_terminal=True, color_system=None)
    console.print(terminal.log(archive), soft_wrap=True)
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert all(line[0] in "*|" for line in lines)
    ids = {word for line in lines for word in line.split() if len(word) == 12}
    assert {node.candidate_id for node in archive.iter()} <= ids


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_figures_are_never_broken_and_words_go_below(width):
    listing = Listing(
        (Column("candidate"), Column("latency us", right=True), Column("technique", words=True)),
        [[Text("0123456789ab"), Text("12.25"), Text("split-k and much more, " * 3)]],
    )
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(listing)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    assert lines[1].split()[:2] == ["0123456789ab", "12.25"]
    assert ("technique" in lines[0]) == (width == 200)
    assert " ".join(" ".join(lines).split()).count("split-k and much more") == 3


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
