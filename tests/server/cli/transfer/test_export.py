"""Commands that take out or join what the archive knows, and what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kernel_harness.server.cli import main as cli
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.workspace import make_workspace

from ....tools.datasets.folders import DatasetFolder
from ...scripted import DEFINITION


def test_export_writes_a_dataset_that_can_be_named_as_one(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["export", DEFINITION, "--out", "dataset"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Wrote dataset: 1 definition, ")
    assert "README.md" in said
    assert cli.run(["list", DEFINITION, "--dataset", "dataset"]) == 0
    assert cli.run(["export", DEFINITION, "--out", "dataset"]) == cli.EXIT_ERROR
    assert "dataset is in use" in capsys.readouterr().err


def test_pack_takes_a_workspace(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    harness = Harness.open(load_settings())
    operator = harness.dataset.operator(DEFINITION)
    make_workspace(harness.settings.workspaces_dir, operator, "mine")
    harness.archive.close()
    assert cli.run(["pack", "mine", "--out", "submission", "--author", "team"]) == 0
    assert capsys.readouterr().out.startswith("Packed mine for ")
    packed = json.loads(Path("submission/solution.json").read_text("utf-8"))
    assert (packed["definition"], packed["author"]) == (DEFINITION, "team")


def test_pack_names_what_it_could_not_find(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["pack", "abcdef", "--out", "submission"]) == cli.EXIT_ERROR
    assert "'abcdef'" in capsys.readouterr().err
    assert not Path("submission").exists()


def test_trajectories_of_an_empty_archive_are_an_empty_file(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["trajectories", "--out", "steps.jsonl"]) == 0
    assert "0 steps" in capsys.readouterr().out
    assert Path("steps.jsonl").read_text() == ""


def test_dispatch_says_that_nothing_was_timed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["dispatch", DEFINITION]) == cli.EXIT_ERROR
    assert f"No candidate of {DEFINITION} was timed" in capsys.readouterr().err


def test_extract_and_pack_go_from_a_file_to_a_folder_and_back(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = DatasetFolder(Path("traces"))
    folder.definition()
    folder.workloads(1)
    given = folder.solution("mine", "ann")
    assert cli.run(["extract", f"traces/{given}", "--out", "mine"]) == 0
    assert "1 source of mine, main.py::run, for double" in capsys.readouterr().out
    assert cli.run(["pack", "mine", "--out", "mine.json", "--author", "ann"]) == 0
    assert capsys.readouterr().out.startswith("Packed mine for double into mine.json")
    packed = json.loads(Path("mine.json").read_text("utf-8"))
    assert packed["sources"] == json.loads(Path(f"traces/{given}").read_text())["sources"]
    assert cli.run(["extract", "mine", "--dataset", "traces", "--out", "again"]) == 0
    assert (Path("again") / "main.py").read_text() == (Path("mine") / "main.py").read_text()
    assert cli.run(["extract", "nothing", "--out", "other"]) == cli.EXIT_ERROR


def test_deploy_takes_nothing_that_was_not_promoted(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["deploy", DEFINITION, "--device", "H200", "--out", "kernels"]
    assert cli.run(asked) == cli.EXIT_ERROR
    assert f"Nothing of {DEFINITION} is promoted on H200" in capsys.readouterr().err
    assert not Path("kernels").exists()
