"""Commands that take out or join what the archive knows, and what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kernel_harness.server.cli import main as cli
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.workspace import create

from ..scripted import DEFINITION


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
    create(harness.settings.workspaces_dir, operator, "mine", None, "template")
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
