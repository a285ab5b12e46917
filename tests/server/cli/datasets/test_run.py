"""The command run, as a person gives it; verdicts are written down beforehand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.server.cli import main as cli
from kernel_harness.tools.harness import Harness

from ....tools.datasets.devices import LATENCIES, ScriptedDevice
from ....tools.datasets.folders import DatasetFolder


@pytest.fixture
def devices(here: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, ScriptedDevice]:
    """Devices by name, as they are asked for."""
    made: dict[str, ScriptedDevice] = {}
    opened = Harness.open

    def open_scripted(*arguments: Any) -> Harness:
        harness = opened(*arguments)

        def on(device: str) -> ScriptedDevice:
            return made.setdefault(device, ScriptedDevice(LATENCIES))

        monkeypatch.setattr(harness, "evaluations_on", on)
        return harness

    monkeypatch.setattr(Harness, "open", open_scripted)
    return made


@pytest.fixture
def folder(here: Path) -> DatasetFolder:
    """A dataset of a baseline, a faster and a wrong solution."""
    found = DatasetFolder(Path("traces"))
    found.definition()
    found.workloads(1, 8)
    for number, name in enumerate(("plain", "quick", "wrong")):
        author = "baseline" if name == "plain" else "ann"
        source = f"def run(x, y):\n    y.copy_(x * 2)  # {number}\n"
        found.solution(name, author, source=source)
    return found


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert cli.run([*words]) == status
    printed = capsys.readouterr()
    return printed.out + printed.err


def test_every_solution_has_a_line_and_traces(devices, folder, capsys) -> None:
    printed = said(capsys, "run", "traces", status=cli.EXIT_FAILED)
    assert "PASSED  quick on double  5 us  8x the reference" in printed
    assert "INCORRECT_NUMERICAL  wrong on double" in printed
    assert "3 run: 1 INCORRECT_NUMERICAL, 2 PASSED." in printed
    assert "Traces added: 6." in printed
    assert "quick" in said(capsys, "report", "best", "traces")


def test_a_part_can_be_run_and_printed_as_json(devices, folder, capsys) -> None:
    words = ("run", "traces", "--solutions", "quick", "--no-save-results", "--json")
    (found,) = json.loads(said(capsys, *words))
    assert (found["solution"], found["status"], found["traces"]) == ("quick", "PASSED", 0)
    assert not Path("traces/traces").exists()
    swapped = ("run", "--json", "--no-save-results", "--solutions", "quick", "traces")
    (again,) = json.loads(said(capsys, *swapped))
    assert (again["solution"], again["status"]) == ("quick", "PASSED")
    upstream = (
        *("run", "--local", "traces", "--solutions", "quick", "--use-isolated-runner", "--resume"),
        *("--log-level", "INFO", "--timeout", "300", "--atol", "1", "--rtol", "0.3", "--json"),
        *("--required-matched-ratio", "0.9", "--no-save-results"),
    )
    (again,) = json.loads(said(capsys, *upstream))
    assert (again["solution"], again["status"]) == ("quick", "PASSED")


def test_several_folders_are_run_each_with_its_own_definitions(devices, folder, capsys) -> None:
    other = DatasetFolder(Path("other"))
    other.definition(description="Said otherwise.")
    other.workloads(1)
    other.solution("quick", "eve", source="def run(x, y):\n    y.copy_(x + x)\n")
    words = ("--local", "traces", "--local", "other", "--solutions", "quick")
    printed = said(capsys, "run", *words)
    assert "2 run: 2 PASSED." in printed and "Traces added: 3." in printed
    assert "1 PASSED" in said(capsys, "report", "summary", "other")
    found = json.loads(said(capsys, "run", "traces", "other", "--solutions", "quick", "--json"))
    assert [(r["author"], r["traces"]) for r in found] == [("ann", 0), ("eve", 0)]


def test_several_devices_are_named(devices, folder, capsys) -> None:
    said(capsys, "run", "traces", "--devices", "cuda:0", "1", status=cli.EXIT_FAILED)
    assert set(devices) == {"cuda:0", "cuda:1"}
    requests = [r for device in devices.values() for r in device.requests]
    assert len(requests) == 4


def test_choices_reach_the_judge_the_command_lines_over_the_files(devices, folder, capsys) -> None:
    Path("config.yaml").write_text("op_type_config: {scale: {atol: 1.0, rtol: 0.3}}\n")
    words = ("--config", "config.yaml", "--rtol", "0.2", "--num-trials", "4", "--timeout", "30")
    said(capsys, "run", "traces", *words, "--published-only", status=cli.EXIT_FAILED)
    request = devices["cpu"].requests[0]
    policy = request.operator.policy
    assert (policy.tolerance.atol, policy.tolerance.rtol) == (1.0, 0.2)
    assert policy.criterion == "published"
    assert request.checks is not None and request.checks.trials == 4
    assert request.budget_s == 30


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere",), "does not exist"),
        ((), "No folder is named"),
        (("--definitions", "double"), "No folder is named"),
        (("traces", "--definitions", "dubble"), "double"),
        (("traces", "--config", "none.yaml"), "none.yaml"),
        (("traces", "--required-matched-ratio", "2"), "required_matched_ratio"),
        (("traces", "--devices", "tpu:0"), "cuda:N"),
    ],
)
def test_what_cannot_be_run_is_an_error_with_words(devices, folder, capsys, words, told) -> None:
    assert told in said(capsys, "run", *words, status=cli.EXIT_ERROR)
