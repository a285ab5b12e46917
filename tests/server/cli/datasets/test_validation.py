"""The command validate, as a person gives it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kernel_harness.server.cli import main as cli
from kernel_harness.tools.harness import Harness

from ....tools.datasets.devices import ScriptedDevice
from ....tools.datasets.folders import DatasetFolder


@pytest.fixture
def folder(here: Path) -> DatasetFolder:
    """A dataset whose baseline has no trace and whose solution is no Python."""
    found = DatasetFolder(Path("traces"))
    found.definition()
    found.workloads(1, 8)
    found.solution("plain", "baseline")
    found.solution("cut", "ann", source="def run(x, y)\n")
    return found


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int) -> str:
    assert cli.run(["validate", *words]) == status
    printed = capsys.readouterr()
    return printed.out + printed.err


def test_findings_are_text_and_the_status_says_whether_there_are_errors(folder, capsys) -> None:
    printed = said(capsys, "traces", status=1)
    assert "double: error" in printed
    assert "error  solution  solutions/ann/scale/double/cut.json: main.py is no Python" in printed
    assert "warning  baseline  definitions/scale/double.json" in printed
    assert "1 error and 1 warning in all" in printed
    assert "0 errors" in said(capsys, "traces", "--checks", "layout", "workload", status=0)
    assert "0 errors" in said(capsys, "--checks", "layout", "workload", "traces", status=0)


def test_a_report_in_json_can_be_read_as_text_later(folder, capsys) -> None:
    printed = said(capsys, "traces", "--json", status=1)
    assert {f["category"] for f in json.loads(printed)["findings"]} == {"solution", "baseline"}
    Path("report.json").write_text(printed)
    assert said(capsys, "report.json", status=1) == said(capsys, "traces", status=1)


def test_a_report_is_written_into_files_that_are_shown_again(folder, capsys) -> None:
    shown = said(capsys, "traces", status=1)
    printed = said(capsys, "--dataset", "traces", "--outputs", "json,text", status=1)
    written, text = sorted(Path("traces/reports").iterdir())
    assert printed.splitlines() == [f"Wrote {written}.", f"Wrote {text}."]
    assert (written.suffix, text.read_text()) == (".json", shown)
    assert cli.run(["validate-render", str(written)]) == 1
    assert capsys.readouterr().out == shown
    every = said(capsys, "--local", "traces", "--output-folder", "own", status=1)
    assert every.startswith(shown) and len([*Path("own").iterdir()]) == 2
    assert "stdout" in said(capsys, "traces", "--outputs", "stdut", status=cli.EXIT_ERROR)
    assert cli.run(["validate-render", "traces/reports"]) == cli.EXIT_ERROR


def test_the_words_of_flashinfer_bench_are_taken(folder, capsys) -> None:
    words = ("--checks", "layout,workload", "--op-types", "scale", "--disable-gpu")
    assert "0 errors" in said(capsys, "--dataset", "traces", *words, status=0)
    words = ("traces", "--checks", "benchmark", "--disable-gpu")
    assert "leaves none" in said(capsys, *words, status=cli.EXIT_ERROR)
    printed = said(capsys, "--local", "a", "--local", "b", status=cli.EXIT_ERROR)
    assert "Several folders are named" in printed


def test_a_category_that_is_none_is_refused(folder, capsys) -> None:
    assert "layout" in said(capsys, "traces", "--checks", "layuot", status=cli.EXIT_ERROR)


def test_benchmark_runs_references_and_baselines(folder, capsys, monkeypatch) -> None:
    folder.definition("broken")
    folder.workloads(1, definition="broken")
    folder.definition("empty")

    async def problems(self: Harness, definition: str, *_: object) -> list[str]:
        return ["its reference fails"] if definition == "broken" else []

    opened = Harness.open

    def open_scripted(*arguments: object) -> Harness:
        harness = opened(*arguments)  # pyright: ignore[reportArgumentType]
        harness.evaluations = ScriptedDevice({"plain": "RUNTIME_ERROR"})  # pyright: ignore[reportAttributeAccessIssue]
        return harness

    monkeypatch.setattr(Harness, "operator_problems", problems)
    monkeypatch.setattr(Harness, "open", open_scripted)
    printed = said(capsys, "traces", "--checks", "benchmark", status=1)
    assert "error  benchmark  definitions/scale/broken.json: its reference fails" in printed
    assert "the baseline 'plain' is RUNTIME_ERROR: It is wrong." in printed
    assert "empty has no usable workload" in printed
