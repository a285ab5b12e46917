"""Two nodes of Ray on one machine: judged on both, a node killed, the head killed."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_harness.tools.cluster import pool
from kernel_harness.tools.cluster.connection import RayConnection
from kernel_harness.tools.cluster.pool import ClusterPool
from kernel_harness.tools.confinement.process_tree import descendants
from kernel_harness.tools.errors import InfrastructureError
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Evaluation, Status
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.tuning.service import TuningRequest
from kernel_harness.tools.tuning.variants import Variant

from ...server.scripted import DEFINITION, solution, write_dataset

pytest.importorskip("ray", reason="the extra 'cluster' is not installed")
pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(900)]
JUDGE = (sys.executable, "-P", str(Path(__file__).parents[1] / "evaluation/scripted_judge.py"))
RAY = str(Path(sys.executable).with_name("ray"))


def free_ports(count: int) -> list[str]:
    """Ports below those that Ray gives to workers."""
    opened = [socket.socket() for _ in range(count)]
    for one in opened:
        one.bind(("127.0.0.1", 0))
    ports = [str(one.getsockname()[1]) for one in opened]
    for one in opened:
        one.close()
    return ports


class Nodes:
    """The nodes of a cluster on this machine, each a group of processes."""

    def __init__(self, folder: str) -> None:
        self.port, self.client, *self._agents = free_ports(6)
        self._folder = folder
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *options: str, head: bool = False) -> subprocess.Popen[bytes]:
        """Starts the head, or a node of it where there was one.

        Args:
            head: another head, in place of one that was killed.
        """
        where = ("--address", f"127.0.0.1:{self.port}")
        if head or not self._started:
            where = ("--head", "--port", self.port, "--ray-client-server-port", self.client)
            where += ("--include-dashboard", "false", "--temp-dir", self._folder)
        common = ("--block", "--num-cpus", "1", "--num-gpus", "0", "--disable-usage-stats")
        common += ("--dashboard-agent-listen-port", self._agents[len(self._started)])
        common += ("--min-worker-port", "11000", "--max-worker-port", "12000")
        log = Path(self._folder, f"node{len(self._started)}.log").open("wb")
        node = subprocess.Popen(
            [RAY, "start", *where, *common, *options],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._started.append(node)
        return node

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """Kills a node with all its processes."""
        if node.poll() is None:
            os.killpg(node.pid, signal.SIGKILL)
        node.wait()

    def workers(self) -> list[int]:
        """The processes in which Ray runs the judges' actors."""
        found = descendants(*(node.pid for node in self._started))
        said = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in found}
        return [pid for pid, words in said.items() if b"JudgeActor" in words]

    def end(self) -> None:
        """Kills all nodes."""
        for node in self._started:
            self.kill(node)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    monkeypatch.setenv("RAY_CLIENT_RECONNECT_GRACE_PERIOD", "2")
    monkeypatch.setattr(pool, "LOOK_S", 1.0)
    with Path("/tmp/khray.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # heads that start at a time take one another's ports
        folder = tempfile.mkdtemp(prefix="khray", dir="/tmp")  # a socket's path is short
        made = Nodes(folder)
        yield made
        made.end()
        shutil.rmtree(folder, ignore_errors=True)


class Server:
    """A harness on the cluster, whose judges are scripted."""

    def __init__(self, nodes: Nodes, folder: Path) -> None:
        address = f"ray://127.0.0.1:{nodes.client}"
        given = {
            "data_dir": str(folder / "home"),
            "kernels_dir": str(write_dataset(folder / "kernels")),
            "device": "cpu",
            "cluster": address,
        }
        self.harness = Harness.open(load_settings(given, {}))
        self.connection = RayConnection(address, "cpu", JUDGE)
        self.pool = ClusterPool(self.connection)
        vars(self.harness)["pool"] = self.pool
        self._said: list[str] = []
        self._news = asyncio.Event()

    async def reach(self, count: int) -> None:
        """Evaluates until that many judges are there, which are looked for meanwhile."""
        async with asyncio.timeout(120):
            for number in itertools.count():
                with contextlib.suppress(InfrastructureError):  # they are still coming up
                    if len((await self.pool.members()).judges) == count:
                        return
                    await self.evaluate("fine", f"meanwhile {number}")
                await asyncio.sleep(0.5)

    async def evaluate(self, name: str, mark: str = "") -> Evaluation:
        request = self.harness.lookup.evaluation_request(
            solution=solution(name, f"return x  # {name} {mark}")
        )
        return (await self.harness.evaluations.evaluate(request, 120, self._note)).evaluation

    async def heard(self, words: str, times: int) -> None:
        """Waits until evaluations have said something so many times."""
        async with asyncio.timeout(60):
            while sum(words in said for said in self._said) < times:
                self._news.clear()
                await self._news.wait()

    def forget(self) -> None:
        """Forgets what was said."""
        self._said.clear()

    async def _note(self, done: float, total: float, words: str) -> None:
        self._said.append(words)
        self._news.set()


def test_two_nodes_judge_and_one_that_is_killed_costs_one_try(nodes, tmp_path):
    nodes.start()

    async def story():
        server = Server(nodes, tmp_path)
        await server.reach(1)
        second = nodes.start()
        await server.reach(2)
        both = await asyncio.gather(server.evaluate("slow"), server.evaluate("fine"))
        server.forget()
        hanging = [asyncio.create_task(server.evaluate("deaf", mark)) for mark in "ab"]
        await server.heard("built", 2)  # so each node has one of them
        nodes.kill(second)
        await server.heard("was lost; judged again elsewhere", 1)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        rest = await server.evaluate("fine", "after")
        left, lost = len((await server.pool.members()).judges), len(server.pool.lost)
        await server.harness.aclose()
        return both, rest, left, lost

    both, rest, left, lost = asyncio.run(story())
    assert [one.status for one in both] == [Status.PASSED] * 2
    assert rest.status is Status.PASSED and (left, lost) == (1, 1)


def test_a_worker_of_rays_that_is_killed_costs_one_try_and_is_named(nodes, tmp_path):
    nodes.start()

    async def story():
        server = Server(nodes, tmp_path)
        await server.reach(1)
        nodes.start()
        await server.reach(2)
        hanging = [asyncio.create_task(server.evaluate("deaf", mark)) for mark in "ab"]
        await server.heard("built", 2)  # so each worker has one of them
        os.kill(nodes.workers()[0], signal.SIGKILL)
        await server.heard("was lost; judged again elsewhere", 1)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        rest = await server.evaluate("fine", "after")
        notes = server.harness.check_environment().notes
        await server.reach(2)  # another worker is in its place
        after = server.harness.check_environment().notes
        await server.harness.aclose()
        return rest, notes, after

    rest, notes, after = asyncio.run(story())
    assert rest.status is Status.PASSED
    assert any("was lost: The actor died" in note for note in notes), notes
    assert not any("was lost" in note for note in after), after


def test_a_head_that_is_killed_ends_no_server_loses_no_record_and_is_reached_again(nodes, tmp_path):
    head = nodes.start()

    async def story():
        server = Server(nodes, tmp_path)
        await server.reach(1)
        before = await server.evaluate("fine")
        nodes.kill(head)
        after = await server.evaluate("late")
        kept = server.harness.records.get(before.evaluation_id)
        nodes.start(head=True)
        tried = []
        async with asyncio.timeout(150):
            while not tried or tried[-1].status is not Status.PASSED:  # it is coming up
                tried.append(await server.evaluate("fine", "again"))
        await server.harness.aclose()
        return before, after, kept, tried[-1]

    before, after, kept, again = asyncio.run(story())
    assert before.status is Status.PASSED and kept == before
    assert after.status is Status.INFRASTRUCTURE_ERROR and after.failure is not None
    assert "cluster" in after.failure.message
    assert again.signature  # of a head that was started anew, without another server


def test_operators_are_checked_variants_compiled_and_profiles_made_on_a_node(nodes, tmp_path):
    nodes.start()

    async def story():
        server = Server(nodes, tmp_path)
        await server.reach(1)
        harness = server.harness
        problems = await harness.operator_problems(DEFINITION)
        base = harness.lookup.evaluation_request(solution=solution("fine"), scope="static")
        variants = [Variant(name, Solution.model_validate(solution(name)), {}) for name in "ab"]
        tuned = await harness.tuning.tune(TuningRequest(variants, base))
        profile = await harness.profiling.profile_ncu(base.operator, base.solution)
        after = await server.evaluate("fine", "after")
        await harness.aclose()
        return problems, tuned, profile, after

    problems, tuned, profile, after = asyncio.run(story())
    assert problems == [f"{DEFINITION} is scripted"]
    assert [len(result.evaluations) for result in tuned.results] == [1, 1]
    assert profile.tool == "unavailable" and "no GPU" in (profile.reason or "")
    assert after.status is Status.PASSED
