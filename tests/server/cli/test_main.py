"""The command line: every command does what it says, and says what went wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.server.cli import main as cli
from kernel_harness.tools.evaluation.records.record_store import RecordStore
from kernel_harness.tools.evaluation.service import Evaluated, EvaluationService
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import (
    Evaluation,
    Status,
)
from kernel_harness.tools.settings import Settings
from tests.records import make_record

from ..scripted import DEFINITION, passed, solution


def test_a_tools_command_prints_its_summary(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list"]) == 0
    assert DEFINITION in capsys.readouterr().out


@pytest.mark.parametrize("command", [["list"], ["log"], ["serve"]])
def test_what_a_start_refuses_is_told_in_words(
    here: Path, capfd: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert cli.run([*command, "--dataset", str(here / "nowhere")]) == 2
    said = capfd.readouterr().err
    assert said.startswith("The dataset folder does not exist") and len(said.splitlines()) == 1


@pytest.mark.parametrize(("problems", "status"), [([], 0), (["inputs.py: no such thing"], 1)])
def test_an_operator_that_is_checked_and_unfit_is_told_by_the_exit_status(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    problems: list[str],
    status: int,
) -> None:
    async def found(*_: Any) -> list[str]:
        return problems

    monkeypatch.setattr(Harness, "operator_problems", found)
    assert cli.run(["check", DEFINITION]) == status
    assert ("Dataset: inputs.py: no such thing" in capsys.readouterr().out) is bool(problems)


def test_json_is_the_whole_result(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list", "rmsnorm", "--limit", "2", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["workloads"]) == 2


def test_reading_a_report_prints_the_text(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uri = f"kernel-harness://definition/{DEFINITION}"
    assert cli.run(["read", uri, "--section", "reference"]) == 0
    printed = capsys.readouterr().out
    assert "def run(" in printed and "Characters 0 to" in printed


def test_a_refusal_goes_to_stderr_with_its_remedy(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["sample", "rmsnrom"]) == 2
    printed = capsys.readouterr()
    assert not printed.out and DEFINITION in printed.err


def test_a_workspace_is_opened_where_the_settings_say(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["open", "rmsnorm", "--name", "w1"]) == 0
    assert (here / "data" / "workspaces" / "w1" / "candidate.toml").is_file()
    assert cli.run(["open", "rmsnorm", "--name", "w1"]) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_command_starts_no_judge_that_it_does_not_need(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Harness] = []

    async def warm(self: Harness) -> None:
        started.append(self)

    monkeypatch.setattr(Harness, "warm", warm)
    assert cli.run(["open", "rmsnorm", "--name", "first"]) == 0
    assert started == []


def test_every_tool_has_a_command(here: Path) -> None:
    from kernel_harness.server.mcp_tools.registry import tool_schemas

    called = [tool for tool, _ in cli.TOOL_COMMANDS.values()]
    assert sorted([*called, *cli.OWN_COMMANDS.values()]) == sorted(tool_schemas())
    assert not set(cli.OWN_COMMANDS) & set(cli.TOOL_COMMANDS)


@pytest.mark.parametrize("command", [["log"], ["best"], ["log", "rmsnorm"]])
def test_an_empty_archive_is_shown_as_empty(
    here: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert cli.run(command) == 0
    assert "yet" in capsys.readouterr().out


def test_a_report_is_written_where_asked_else_into_the_data_folder(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["report", "--out", "pages"]) == 0
    assert (here / "project" / "pages" / "index.html").is_file()
    assert cli.run(["report"]) == 0
    assert (here / "data" / "report" / "index.html").is_file()


def test_an_unknown_candidate_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["show", "4f2a9c01d3be"]) == 2
    assert "4f2a9c01d3be" in capsys.readouterr().err


def test_summaries_are_recomputed_from_the_samples(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(data_dir=here / "data")
    record = make_record(**{"definition": DEFINITION, **passed({})})
    RecordStore(settings.evaluations_dir).write(record)
    assert cli.run(["recompute", record.evaluation_id]) == 0
    assert "follows from the raw samples" in capsys.readouterr().out


def test_http_off_loopback_without_a_token_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["serve", "--http", "0.0.0.0:8791"]) == 2
    assert "--token-file" in capsys.readouterr().err
    assert cli.run(["serve", "--http", "nonsense"]) == 2


@pytest.mark.parametrize(
    ("status", "exit_status"),
    [("PASSED", 0), ("INCORRECT_NUMERICAL", 1), ("PARTIAL", 3), ("NOT_JUDGED", 3)],
)
def test_only_a_pass_is_success_and_no_verdict_is_no_failure(
    here: Path, monkeypatch: pytest.MonkeyPatch, status: str, exit_status: int
) -> None:
    async def evaluate(self: Any, request: Any, *_: Any) -> Evaluated:
        return Evaluated(record_of(request, Status(status)))

    monkeypatch.setattr(EvaluationService, "evaluate", evaluate)
    assert cli.run(["evaluate", "--solution", json.dumps(solution())]) == exit_status


@pytest.mark.parametrize(
    "words",
    [
        ["--targets", "H200", "--targets", "B200"],
        ["--targets", "['H200', 'B200']"],
        ["--targets", '["H200", "B200"]'],
    ],
)
def test_a_list_is_given_whole_or_by_repeating_its_option(
    here: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    asked: list[Any] = []

    async def evaluate(self: Any, request: Any, *_: Any) -> Evaluated:
        asked.append(request.targets)
        return Evaluated(record_of(request, Status.PASSED))

    monkeypatch.setattr(EvaluationService, "evaluate", evaluate)
    assert cli.run(["evaluate", "--solution", json.dumps(solution()), *words]) == 0
    assert [list(targets) for targets in asked] == [["H200", "B200"]]


def record_of(request: Any, status: Status) -> Evaluation:
    return make_record(
        status,
        definition=request.operator.name,
        solution_name=request.solution.name,
        scope=request.scope,
    )


def test_a_command_takes_the_model_as_its_setting_and_the_floors_of_a_device_as_before(
    tmp_path, capsys
) -> None:
    given = ["--data-dir", str(tmp_path), "--device", "B200"]
    for command in ("evaluate", "tune", "profile", "timeline"):
        assert cli.run([command, "x", *given]) == 2
        assert "Setting 'device': 'b200' is no GPU that can be used" in capsys.readouterr().err
    assert cli.run(["floors", "ev-20260101-000000-00000000", *given]) == 2
    assert "Unknown evaluation" in capsys.readouterr().err
