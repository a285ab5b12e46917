"""The command optimize: what it refuses, its dry run, a search of the real program, its page."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kernel_harness.server.cli import main as cli
from kernel_harness.server.cli.searching import optimize
from kernel_harness.tools.confinement import landlock
from tests.server.scripted import DEFINITION, write_dataset
from tests.tools.agents.unattended import START, ship_start, stub


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    kernels = write_dataset(tmp_path / "kernels")
    ship_start(kernels)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERNEL_HARNESS_KERNELS_DIR", str(kernels))
    monkeypatch.setenv("KERNEL_HARNESS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("KERNEL_HARNESS_DEVICE", "cpu")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rmsnorm"], "would never end"),
        (["rmsnorm", "--rounds", "1", "--policy", "luck"], "Unknown policy"),
        (["rmsnorm", "--rounds", "0"], "rounds cannot be 0"),
        (["rmsnorm", "--rounds", "1", "--stop-at", "fast"], "is no goal"),
        (["rmsnorm", "--rounds", "1", "--agent", "'"], "is no command line"),
        (["nothing_such", "--rounds", "1"], "nknown definition"),
        (["statsu"], "`kernel-harness optimize status` may be meant"),
        (["rmsnorm", "--rounds", "1", "--agent", "tunr"], "Nearest: tuner"),
        (["rmsnorm", "--start", "shippet", "--dry-run"], "Nearest: shipped"),
        (["status"], "There is no search yet"),
        (["stop", "s2026"], "Unknown search"),
        (["rmsnorm", "--resume"], "Unknown search"),
    ],
)
def test_what_cannot_be_is_refused_in_words(folders: Path, arguments, words, capsys):
    assert cli.run(["optimize", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_dry_run_shows_the_first_prompt_and_writes_nothing(folders: Path, capsys):
    agent = ["--agent", "claude -p", "--roles", "plan,code", "--start", START]
    assert cli.run(["optimize", "rmsnorm", *agent, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "claude -p --output-format json --mcp-config mcp.json" in said
    assert "You plan." in said and DEFINITION in said and "record_plan" in said
    assert "--- prompt, plan" in said and "--- prompt, code" in said and "You write." in said
    assert f"opened from {START}; it is judged and archived first" in said
    assert not (folders / "data" / "searches").exists()


def test_who_stopped_a_search_is_told_that_it_goes_on_as_it_is():
    for reason, words in (("", "--resume: what"), ("the limit of 1 round", "with a higher limit")):
        state = SimpleNamespace(reason_to_stop=lambda now, reason=reason: reason)
        said = optimize._how_to_go_on("rmsnorm", cast("Any", SimpleNamespace(state=state)))
        assert words in said


def test_a_signal_stops_a_search_and_does_not_cut_it_off(monkeypatch: pytest.MonkeyPatch):
    class Search:
        parts = SimpleNamespace(stop=None)

        async def run(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.wait_for(self.parts.stop.wait(), 60)

    async def aclose() -> None:
        ended.append("closed")

    ended: list[str] = []
    harness = SimpleNamespace(kill_children=lambda: None, aclose=aclose)
    search = Search()
    monkeypatch.setattr(optimize, "_search", lambda *given: search)
    found: Any = optimize._run(cast("Any", harness), argparse.Namespace(json=True))
    assert found is search and found.parts.stop.is_set() and ended == ["closed"]


@pytest.mark.long
@pytest.mark.skipif(landlock.abi() == 0, reason="this kernel has no Landlock")
def test_a_search_is_run_shown_and_gone_on_with(folders: Path, capsys):
    asked = ["optimize", "rmsnorm", "--agent", stub("liar"), "--start", START, "--scope", "smoke"]
    run = subprocess.run(
        [sys.executable, "-P", "-m", "kernel_harness.server", *asked, "--rounds", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "round 1: nothing" in run.stdout
    assert "Ended: the limit of 1 round is reached." in run.stdout
    assert "--resume with a higher limit (--rounds, --hours" in run.stdout
    assert cli.run(["optimize", "status"]) == 0
    said = capsys.readouterr().out
    assert "Rounds: 1 of 1" in said and "It runs now" not in said
    assert cli.run(["optimize", "status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["running"], told["best"], told["rounds"][0]["end"]) == (False, None, "nothing")
    assert cli.run(["optimize", "stop"]) == 0
    assert "does not run" in capsys.readouterr().out
    (draft,) = folders.glob("data/searches/*/lessons.md")
    assert "unattended searches: 1." in draft.read_text()
    (page,) = folders.glob("data/searches/*/index.html")
    text = page.read_text()
    assert "http-equiv" not in text and "round" in text and "<script" not in text
