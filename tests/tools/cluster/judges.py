"""Judges' actors in this process, called as those on nodes are."""

from __future__ import annotations

from pathlib import Path

from kernel_harness.tools.cluster.judge_actor import JudgeActor
from kernel_harness.tools.cluster.nodes import NodeFacts
from kernel_harness.tools.cluster.pool import Members
from kernel_harness.tools.messages.judge import Ready
from tests.tools.evaluation.scripted_command import scripted_judge

READY = Ready(device={"name": "scripted"}, versions={}, isolation={"level": "strong"}, seconds=0.0)


class LocalJudge:
    """A judge's actor in this process, called as one on a node is."""

    def __init__(
        self, name: str, folder: Path, fails: Exception | None = None, *options: str
    ) -> None:
        command = (*scripted_judge(), *options)
        self.actor = JudgeActor(str(folder / name.replace("/", "-")), "cpu", command)
        self.fails, self.methods = fails, []

    async def call(self, method, *arguments):
        self.methods.append(method)
        if method == "messages" and self.fails:
            raise self.fails
        return await getattr(self.actor, method)(*arguments)


class LocalCluster:
    """Connects to judges of this process."""

    def __init__(self, judges):
        self.judges, self.connected, self.looked, self.left = judges, 0, 0, 0
        self.came = {}

    async def connect(self):
        self.connected += 1
        facts = {name: NodeFacts(name, "here", "scripted") for name in self.judges}
        return Members(dict(self.judges), facts, READY)

    async def look_again(self, members):
        self.looked += 1
        members.judges.update(self.came)
        members.facts.update({name: NodeFacts(name, "here", "scripted") for name in self.came})

    def disconnect(self):
        self.left += 1
