"""The steps of a batch as commands."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.server.cli import main as cli
from kernel_harness.tools.batches import running


def test_a_job_that_is_not_there_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No step that wraps the settings could be called after commands took names of settings."""
    assert cli.run(["batch", "run", "job.tar", "--out", "results.tar"]) == cli.EXIT_ERROR
    assert "There is no such file" in capsys.readouterr().err


def test_results_are_given_a_place_before_anything_is_judged(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from kernel_harness.tools.batches.tar_file import write_tar

    job = b'{"job_id":"j","harness":"1","scope":"smoke","solutions":{},"entries":[]}'
    write_tar(Path("job.tar"), [("job.json", job)])
    assert cli.run(["batch", "run", "job.tar", "--out", str(here)]) == cli.EXIT_ERROR
    assert "it is a folder" in capsys.readouterr().err


def test_results_never_take_the_place_of_their_job(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from kernel_harness.tools.batches.tar_file import write_tar

    job = b'{"job_id":"j","harness":"1","scope":"smoke","solutions":{},"entries":[]}'
    write_tar(Path("job.tar"), [("job.json", job)])
    before = Path("job.tar").read_bytes()
    assert (
        cli.run(["batch", "run", "job.tar", "--out", str(Path.cwd() / "job.tar")]) == cli.EXIT_ERROR
    )
    assert "would take the job's place" in capsys.readouterr().err
    assert Path("job.tar").read_bytes() == before


def test_one_file_that_cannot_be_merged_keeps_no_other_out(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from kernel_harness.tools.batches.tar_file import write_tar

    job = b'{"job_id":"j","harness":"1","scope":"smoke","solutions":{},"entries":[]}'
    write_tar(Path("job.tar"), [("job.json", job)])
    assert cli.run(["batch", "run", "job.tar", "--out", "results.tar"]) == 0
    assert cli.run(["batch", "merge", "gone.tar", "results.tar"]) == 1
    said = capsys.readouterr().out
    assert "refused: There is no such file (gone.tar)" in said
    assert "results.tar: 0 new records" in said


def test_a_signal_while_results_are_written_leaves_them(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kernel_harness.tools.batches.tar_file import write_tar

    job = b'{"job_id":"j","harness":"1","scope":"smoke","solutions":{},"entries":[]}'
    write_tar(Path("job.tar"), [("job.json", job)])
    write_results = running.write_results

    def told(*asked: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return write_results(*asked)

    monkeypatch.setattr(running, "write_results", told)
    assert cli.run(["batch", "run", "job.tar", "--out", "results.tar"]) == 0
    assert Path("results.tar").is_file()
