"""Two agents work on one archive and are killed at random moments: nothing acknowledged is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.signing.keyring import Keyring

from .scripted import DEFINITION

ROOT = Path(__file__).parents[2]
MOST_S = 1.2
"""An agent is killed at latest so long after it was ready: a few rounds."""


class Agent:
    """A process that is killed again and again, and all that it acknowledged."""

    def __init__(self, name: str, data: Path, kernels: Path) -> None:
        self.name, self._data, self._kernels = name, data, kernels
        self.lives = 0
        self.said: list[dict[str, Any]] = []
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Starts the process anew."""
        self.lives += 1
        self._log = self._data.parent / f"{self.name}-{self.lives}.log"
        command = [sys.executable, "-m", "tests.server.agent_session"]
        command += [str(self._data), str(self._kernels)]
        with self._log.open("w") as complaints:
            self._process = subprocess.Popen(
                [*command, f"{self.name}{self.lives}"],
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                cwd=ROOT,
                start_new_session=True,
            )

    def ready(self) -> None:
        """Waits until its client is connected."""
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        assert "ready" in line, self._log.read_text()[-3_000:]

    def hear(self) -> None:
        """Waits until something was acknowledged."""
        assert self._process is not None and self._process.stdout is not None
        self.said.append(json.loads(self._process.stdout.readline()))

    def kill(self, whole: bool) -> None:
        """Kills it, with its git processes where `whole`, and keeps what it had acknowledged."""
        assert self._process is not None
        ended = self._process.poll()
        assert ended is None, f"{ended}: {self._log.read_text()[-3_000:]}"
        (os.killpg if whole else os.kill)(self._process.pid, signal.SIGKILL)
        assert self._process.stdout is not None
        said = self._process.stdout.read()
        self._process.wait()
        complete = said.rpartition("\n")[0]  # a line may be cut off
        self.said += [json.loads(line) for line in complete.splitlines()]


def rows(archive: Archive) -> tuple[list[Any], list[Any]]:
    """All that the index says, of candidates and trials."""
    nodes = sorted(archive.iter(), key=lambda node: node.candidate_id)
    return nodes, archive.trials.table.rows(tail="ORDER BY name")


@pytest.mark.process
@pytest.mark.parametrize(
    "kills", [1, pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(1_800)])]
)
def test_two_agents_killed_at_random_moments_lose_nothing(
    tmp_path: Path, kernels_dir: Path, kills: int
) -> None:
    rng = random.Random()  # no seed would repeat when a process is where
    data = tmp_path / "data"
    agents = [Agent(name, data, kernels_dir) for name in ("a", "b")]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.ready()
    victim = agents[0]
    for kill in range(kills):
        victim = rng.choice(agents)
        time.sleep(rng.uniform(0, MOST_S))
        victim.kill(whole=rng.random() < 0.5)
        if kill + 1 < kills:
            victim.start()
            victim.ready()
    for agent in agents:
        if agent is not victim:
            agent.hear()
            agent.kill(whole=True)
    assert sum(len(agent.said) for agent in agents) >= kills
    check(data, [said for agent in agents for said in agent.said])


def check(data: Path, said: list[dict[str, Any]]) -> None:
    """All that was acknowledged is there, its lineage whole, and git and the index agree."""
    settings = Settings(data_dir=data)
    archive = Archive(settings.archive_dir, Keyring(settings.signing_key, settings.archive_dir))
    archive.repository.run("fsck", "--strict", "--full", "--no-dangling")
    nodes = {node.candidate_id: node for node in archive.iter()}
    of_evaluation = {node.evaluation_id: node for node in nodes.values()}
    trials = {trial.name: trial for trial in archive.trials.table.rows()}
    for line in said:
        if "note" in line:
            assert any(line["note"] in note for note in nodes[line["candidate"]].notes), line
        elif "candidate" in line:
            node = nodes[line["candidate"]]
            assert node.evaluation_id == line["trial"], line
            assert list(node.parents) == line["parents"], line
            assert node.verified and archive.get(node.candidate_id).sources
        elif "trial" in line:
            assert line["trial"] in trials, line
            record = archive.trials.read(line["trial"])
            assert archive.trials.verify(record).counts
            assert (settings.evaluations_dir / f"{line['trial']}.json").is_file()
            start = () if line["start"] == "template" else (line["start"],)
            assert record.parents == start, line
    for node in nodes.values():
        assert node.evaluation_id in trials and set(node.parents) <= set(nodes)
        assert node.definition == DEFINITION
    for trial in trials.values():
        before = trial.started_from
        assert before in {"", *nodes, *trials, *of_evaluation}, trial
        assert trial.state == ("archived" if trial.name in of_evaluation else "open"), trial
    before_rebuild = rows(archive)
    archive.rebuild_index()
    assert rows(archive) == before_rebuild
    archive.close()
