"""Searches that are killed at any moment and go on: nothing lost, and the budget kept."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from kernel_harness.tools.agents.records.events import RoundEnd, SearchResumed
from kernel_harness.tools.agents.records.ledger import SearchLedger, searches
from kernel_harness.tools.agents.records.state import SearchState, state_of
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.workloads.dataset import Dataset
from tests.server.scripted import DEFINITION, ScriptedHarness
from tests.test_layout import ROOT
from tests.tools.agents.unattended import stub


def killed_until_done(
    data: Path, kernels: Path, agent: str, rounds: int, parallel: int, seed: int, kills: int
) -> None:
    """Runs the search, and kills its process at random; the last time it is left alone."""
    rng = random.Random(seed)
    command = [sys.executable, "-m", "tests.tools.agents.search_process", str(data), str(kernels)]
    for number in range(kills + 1):
        process = subprocess.Popen([*command, agent, str(rounds), str(parallel)], cwd=ROOT)
        if number == kills:
            assert process.wait() == 0
            return
        begun = steps(data, kernels)
        due = begun + rng.randint(1, 4 * parallel)
        while process.poll() is None and steps(data, kernels) < due:
            time.sleep(0.05)
        time.sleep(rng.random() * 0.3)  # in the midst of whatever follows
        process.kill()
        process.wait()


def steps(data: Path, kernels: Path) -> int:
    del kernels
    folder = data / "archive" / "repository.git"
    if not folder.is_dir():
        return 0
    listed = subprocess.run(
        ["git", "-C", str(folder), "rev-list", "--count", "--glob=refs/searches/*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return int(listed.stdout or 0)


def read(data: Path, kernels: Path) -> tuple[ScriptedHarness, SearchLedger, SearchState]:
    settings = Settings(data_dir=data, kernels_dir=kernels, device="cpu", warm_ahead=False)
    harness = ScriptedHarness(settings, Dataset.load(kernels, ()))
    (ledger,) = searches(harness.archive.repository)
    state = state_of(ledger.events())
    return harness, ledger, state


def held_to_what_was_promised(data: Path, kernels: Path, rounds: int) -> SearchState:
    harness, ledger, state = read(data, kernels)
    assert sorted(state.rounds) == list(range(1, rounds + 1)), "rounds are lost, or too many"
    assert not state.under_way and state.ended is not None
    assert state.ended.reason == f"the limit of {rounds} rounds is reached"
    identity = state.began.search_id
    listed = Counter(name for ended in state.finished for name in ended.candidates)
    ours = [n for n in harness.archive.iter(DEFINITION) if n.session.startswith(f"{identity}/")]
    assert {n.candidate_id for n in ours} == set(listed), "a candidate is in no round"
    trials = {
        record.candidate_id
        for row in harness.archive.trials.table.rows()
        if (record := harness.archive.trials.read_at(row.ref, row.oid))
        and record.candidate.made_by.session.startswith(f"{identity}/")
    }
    counted = Counter(name for ended in state.finished for name in ended.evaluations)
    assert trials == set(counted) and set(counted.values()) <= {1}
    resumed = [event for event in ledger.events() if isinstance(event, SearchResumed)]
    lost = Counter(number for event in resumed for number in event.lost)
    ended = {e.number for e in state.finished if e.end == RoundEnd.INTERRUPTED}
    assert ended == set(lost)
    folder = str(data / "searches")
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and lives_in(pid, folder)]
    return state


def lives_in(pid: str, folder: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/cwd").startswith(folder)
    except OSError:
        return False


def test_a_search_that_is_killed_goes_on(tmp_path: Path, kernels_dir: Path):
    killed_until_done(tmp_path, kernels_dir, stub("better"), 3, 2, seed=4, kills=1)
    state = held_to_what_was_promised(tmp_path, kernels_dir, 3)
    assert state.start is not None and state.start.candidate


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_night_of_kills_loses_nothing_and_keeps_to_the_round(tmp_path: Path, kernels_dir: Path):
    """Four at a time, agents of every kind, killed a dozen times."""
    killed_until_done(tmp_path, kernels_dir, stub("mixed"), 64, 4, seed=9, kills=12)
    state = held_to_what_was_promised(tmp_path, kernels_dir, 64)
    ends = Counter(ended.end for ended in state.finished)
    assert ends[RoundEnd.KEPT] and ends[RoundEnd.INTERRUPTED] and len(ends) > 2, ends
