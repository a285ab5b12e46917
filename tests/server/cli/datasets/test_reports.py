"""The command report on FlashInfer-Trace folders, as a person gives it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kernel_harness.server.cli import main as cli

from ....tools.datasets.folders import DatasetFolder


@pytest.fixture
def folder(here: Path) -> DatasetFolder:
    """A dataset with a baseline and a faster solution."""
    found = DatasetFolder(Path("traces"))
    found.definition()
    found.workloads(1, 8)
    found.solution("plain", "baseline")
    found.traces("plain", {1: 1.0, 8: 2.0}, "baseline", reference_ms=4.0)
    found.solution("quick", "ann")
    found.traces("quick", {1: 0.5, 8: 0.5}, "ann", reference_ms=4.0)
    return found


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert cli.run(["report", *words]) == status
    printed = capsys.readouterr()
    return printed.out + printed.err


def test_summary_and_best_name_the_fastest(folder, capsys) -> None:
    assert "4 PASSED" in said(capsys, "summary", "traces")
    printed = said(capsys, "best", "traces", "--definitions", "double")
    assert printed.index("quick") < printed.index("plain")
    found = json.loads(said(capsys, "best", "traces", "--json"))
    assert [s["score"] for s in found["solutions"]] == [3.0, 1.0]


def test_a_folder_of_the_settings_is_taken_when_none_is_named(folder, capsys, monkeypatch) -> None:
    assert "No dataset is named" in said(capsys, "summary", status=cli.EXIT_ERROR)
    monkeypatch.setenv("KERNEL_HARNESS_DATASET", "traces")
    assert "4 PASSED" in said(capsys, "summary")


def test_a_folder_after_names_is_no_name(folder, capsys) -> None:
    assert said(capsys, "best", "--definitions", "double", "traces") == said(
        capsys, "best", "traces", "--definitions", "double"
    )
    printed = said(capsys, "best", "--definitions", "traces", status=cli.EXIT_ERROR)
    assert "No dataset is named" in printed


def test_every_trace_is_a_line_of_a_table(folder, capsys) -> None:
    folder.traces("quick", {1: "RUNTIME_ERROR"}, "bob")
    printed = said(capsys, "visualize", "--local", "traces")
    rows = [line.split() for line in printed.splitlines() if line.startswith("double")]
    assert len(rows) == 5
    assert rows[0] == ["double", rows[0][1], "quick", "PASSED", "8x", "500", "us", rows[0][-1]]
    assert rows[4][3:6] == ["RUNTIME_ERROR", "–", "–"]
    assert "  double: quick, 8x" in printed
    found = json.loads(said(capsys, "visualize", "traces", "--json"))["traces"]
    assert [row["latency_ms"] for row in found] == [0.5, 0.5, 1.0, 2.0, None]


def test_the_words_of_flashinfer_bench_are_taken(folder, capsys) -> None:
    twice = ("--local", "traces", "--local", "traces")
    assert "4 traces" in said(capsys, "merge", *twice, "--output", "all")
    assert said(capsys, "best", "--local", "all") == said(capsys, "best", "all")


def test_merge_and_html_write_what_they_say(folder, capsys) -> None:
    assert "1 definition" in said(capsys, "merge", "traces", "traces", "--out", "all")
    assert "quick" in said(capsys, "summary", "all") + said(capsys, "best", "all")
    assert said(capsys, "html", "all", "--out", "page").startswith("Open page/index.html")
    assert "quick" in Path("page/index.html").read_text("utf-8")
    assert "--out" in said(capsys, "merge", "traces", status=cli.EXIT_ERROR)


def test_what_cannot_be_read_is_told_beside_the_report(folder, capsys) -> None:
    folder.file("solutions/ann/cut.json", "{")
    assert "traces/solutions/ann/cut.json" in said(capsys, "best", "traces")


def test_without_an_action_the_archive_is_written_as_before(here, capsys) -> None:
    assert said(capsys, "--out", "pages").startswith("Open pages/index.html")
