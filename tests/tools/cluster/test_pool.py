"""Judges elsewhere judge as those here do; a lost one costs one more try, never the candidate."""

from __future__ import annotations

import asyncio
import contextlib
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from kernel_harness.tools.cluster import pool
from kernel_harness.tools.cluster.pool import ClusterPool, Members
from kernel_harness.tools.cluster.remote import LostClusterError, LostJudgeError
from kernel_harness.tools.errors import CapabilityError, InfrastructureError
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.progress import ignore_progress
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.settings import load_settings

from ...server.scripted import solution, write_dataset
from .judges import READY, LocalCluster, LocalJudge

ERRORS = ("RayActorError", "NodeDiedError", "WorkerCrashedError", "RayTaskError")


@pytest.fixture
def served(tmp_path):
    """Makes a harness over some judges and evaluates solutions with it."""
    kernels = write_dataset(tmp_path / "kernels")
    settings = {"data_dir": str(tmp_path), "kernels_dir": str(kernels), "device": "cpu"}

    def made(cluster, *names, limits_s=MappingProxyType({}), notes=None):
        harness = Harness.open(load_settings(settings | {"cluster": "auto"}, {}))
        vars(harness)["pool"] = ClusterPool(cluster)

        async def run():
            found = []
            for name in names:
                asked = solution(name, f"return x  # {name}")
                request = harness.lookup.evaluation_request(solution=asked)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(limits_s.get(name)):
                        found.append((await harness.evaluations.evaluate(request)).evaluation)
            state = harness.pool.queue_state(())
            if notes is not None:
                notes.extend(harness.check_environment().notes)
            await harness.aclose()
            for judge in cluster.judges.values():
                await judge.actor.close()
            return found, state

        return asyncio.run(run())

    return made


def test_a_verdict_of_a_node_is_a_record_here(served, tmp_path):
    cluster = LocalCluster({"ray:a/0": LocalJudge("ray:a/0", tmp_path)})
    (passed, faulted), state = served(cluster, "fine", "operator_faults")
    assert passed.status is Status.PASSED and passed.signature
    assert faulted.status is Status.INVALID_REFERENCE
    assert (state.devices, state.held, state.waiting) == (1, 0, 0)
    assert cluster.connected == 1 and cluster.left == 1


def test_nodes_have_no_signing_key_and_the_files_of_the_operator(served, tmp_path):
    judge = LocalJudge("ray:a/0", tmp_path)
    served(LocalCluster({"ray:a/0": judge}), "fine")
    node = tmp_path / "ray:a-0"
    assert not list(node.rglob("*key*"))
    assert [path.name for path in node.glob("operators/*/*/definition.json")]


def test_a_lost_judge_costs_one_more_try_elsewhere(served, tmp_path):
    lost = LocalJudge("ray:a/0", tmp_path, LostJudgeError("its node is gone"))
    other = LocalJudge("ray:b/0", tmp_path)
    cluster, notes = LocalCluster({"ray:a/0": lost, "ray:b/0": other}), []
    (first, second), _ = served(cluster, "fine", "fine2", notes=notes)
    assert "its node is gone" in notes
    assert first.status is second.status is Status.PASSED
    assert lost.methods.count("begin") == 1 and other.methods.count("begin") == 2


def test_two_lost_judges_are_an_infrastructure_fault_and_the_next_trial_looks_again(
    served, tmp_path
):
    judges = {f"ray:{n}/0": LocalJudge(f"ray:{n}/0", tmp_path) for n in "ab"}
    for judge in judges.values():
        judge.fails = LostJudgeError("its node is gone")
    cluster = LocalCluster(judges)
    (failed,), _ = served(cluster, "fine")
    assert failed.status is Status.INFRASTRUCTURE_ERROR
    assert failed.failure is not None and "its node is gone" in failed.failure.message
    again = {f"ray:{n}/0": LocalJudge(f"ray:{n}/0", tmp_path) for n in "c"}
    (passed,), _ = served(LocalCluster(again), "fine")
    assert passed.status is Status.PASSED


def test_a_cluster_that_is_gone_is_said_to_be_and_nothing_is_tried_again(served, tmp_path):
    judge = LocalJudge("ray:a/0", tmp_path, InfrastructureError("The cluster does not answer"))
    (failed,), _ = served(LocalCluster({"ray:a/0": judge}), "fine")
    assert failed.status is Status.INFRASTRUCTURE_ERROR
    assert judge.methods.count("begin") == 1


def test_a_cluster_that_is_there_again_is_reached_by_the_next_evaluation(served, tmp_path):
    """The server had to be started anew."""
    judge = LocalJudge("ray:a/0", tmp_path, LostClusterError("The cluster does not answer"))
    there_again = LocalJudge("ray:b/0", tmp_path)
    cluster = LocalCluster({"ray:a/0": judge})
    connect = cluster.connect

    async def connect_to_the_next():
        found = await connect()
        cluster.judges = {"ray:b/0": there_again}
        return found

    cluster.connect = connect_to_the_next
    (failed, passed), _ = served(cluster, "fine", "fine2")
    assert failed.status is Status.INFRASTRUCTURE_ERROR and passed.status is Status.PASSED
    assert cluster.connected == 2


def test_a_judge_that_was_lost_is_looked_for_and_used_again(served, tmp_path):
    """A cluster had one judge less for each that was lost, until none was left."""
    lost = LocalJudge("ray:a/0", tmp_path, LostJudgeError("its worker is gone"))
    other, again = LocalJudge("ray:b/0", tmp_path), LocalJudge("ray:a/0", tmp_path)
    cluster, notes = LocalCluster({"ray:a/0": lost, "ray:b/0": other}), []
    cluster.came = {"ray:a/0": again}
    found, state = served(cluster, "fine", "fine2", notes=notes)
    assert [one.status for one in found] == [Status.PASSED] * 2
    assert cluster.looked == 1 and state.devices == 2
    assert "its worker is gone" not in notes


def test_a_judge_that_does_not_start_takes_no_evaluation_from_those_that_judge(served, tmp_path):
    """It was free again at once each time, and each evaluation that it took failed."""
    broken = LocalJudge("ray:a/0", tmp_path, None, "--refuse-to-start")
    other = LocalJudge("ray:b/0", tmp_path)
    cluster, notes = LocalCluster({"ray:a/0": broken, "ray:b/0": other}), []
    found, _ = served(cluster, "fine", "fine2", notes=notes)
    assert [one.status for one in found] == [Status.PASSED] * 2
    assert broken.methods.count("begin") == 1
    assert any("did not start: no torch here" in note for note in notes)


def test_a_judge_that_comes_later_is_used(served, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "LOOK_S", 0.0)
    cluster = LocalCluster({"ray:a/0": LocalJudge("ray:a/0", tmp_path)})
    cluster.came = {"ray:b/0": LocalJudge("ray:b/0", tmp_path)}
    _, state = served(cluster, "fine", "fine2")
    assert state.devices == 2 and cluster.connected == 1


def test_who_stops_waiting_for_the_cluster_stops_nobody_else(tmp_path):
    """Another who waited began to reach it while a thread still did so for the first."""

    async def story():
        cluster, reached = LocalCluster({"ray:a/0": LocalJudge("ray:a/0", tmp_path)}), []
        connect = cluster.connect

        async def slowly():
            reached.append("begun")
            await asyncio.sleep(0.1)
            reached.append("ended")
            return await connect()

        cluster.connect = slowly
        made = ClusterPool(cluster)
        first, second = (asyncio.ensure_future(made.members()) for _ in range(2))
        await asyncio.sleep(0.02)
        first.cancel()
        return list((await second).judges), first.cancelled(), reached

    assert asyncio.run(story()) == (["ray:a/0"], True, ["begun", "ended"])


def test_who_stops_while_a_judge_is_asked_has_it_stopped(served, tmp_path):
    """The trial went on, on a judge that counted as free."""
    judge = LocalJudge("ray:a/0", tmp_path)
    call = judge.call

    async def slowly(method, *arguments):
        found = await call(method, *arguments)
        if method == "begin" and judge.methods.count("begin") == 1:
            await asyncio.sleep(5)
        return found

    judge.call = slowly
    found, _ = served(LocalCluster({"ray:a/0": judge}), "hangs", "fine", limits_s={"hangs": 1.0})
    assert [one.status for one in found] == [Status.PASSED]
    assert judge.methods[:3] == ["begin", "cancel", "begin"]


class HeldCluster:
    """One judge at each connection, whose first holds a use until its cluster is lost."""

    def __init__(self, lost):
        self.lost, self.connected, self.reached = lost, 0, asyncio.Event()

    async def connect(self):
        self.connected += 1
        judges: dict[str, Any] = {"ray:a/0": SimpleNamespace(number=self.connected)}
        return Members(judges, {}, READY)

    async def look_again(self, members):
        pass

    def disconnect(self):
        pass

    async def use(self, pool):
        async with pool._held((), "a use", ignore_progress) as (_, judge):
            if judge.number == 1:
                self.reached.set()
                await asyncio.sleep(0.05)
                raise self.lost
            return judge.number


@pytest.mark.parametrize("lost", [LostClusterError("gone"), LostJudgeError("gone")])
def test_who_waits_while_a_cluster_is_lost_has_a_judge_of_the_next_one(lost):
    """Each that had waited was given a judge of the cluster that was gone, and failed as well."""

    async def story():
        cluster = HeldCluster(lost)
        pool = ClusterPool(cluster)
        first = asyncio.ensure_future(cluster.use(pool))
        await cluster.reached.wait()
        others = [asyncio.ensure_future(cluster.use(pool)) for _ in range(2)]
        return await asyncio.gather(first, *others, return_exceptions=True), cluster.connected

    assert asyncio.run(story()) == ([lost, 2, 2], 2)


def test_a_judge_that_was_lost_takes_none_of_the_next_cluster_along():
    """One of the same name was taken off those of a cluster that had been reached since."""

    async def story():
        cluster = HeldCluster(LostJudgeError("gone"))
        pool = ClusterPool(cluster)
        first = asyncio.ensure_future(cluster.use(pool))
        await cluster.reached.wait()
        pool._members = None
        await pool.members()
        await asyncio.gather(first, return_exceptions=True)
        return list((await pool.members()).judges), cluster.connected, dict(pool.lost)

    assert asyncio.run(story()) == (["ray:a/0"], 2, {})


def test_a_pool_that_was_left_reaches_no_cluster_again():
    async def story():
        cluster = HeldCluster(LostClusterError("gone"))
        pool = ClusterPool(cluster)
        first = asyncio.ensure_future(cluster.use(pool))
        await cluster.reached.wait()
        other = asyncio.ensure_future(cluster.use(pool))
        await asyncio.sleep(0)
        pool.kill()
        found = await asyncio.gather(first, other, return_exceptions=True)
        return [type(one) for one in found], cluster.connected

    assert asyncio.run(story()) == ([LostClusterError] * 2, 1)


def test_cancelling_stops_the_trial_on_its_node(served, tmp_path):
    judge = LocalJudge("ray:a/0", tmp_path)
    found, state = served(
        LocalCluster({"ray:a/0": judge}), "hangs", "fine", limits_s={"hangs": 4.0}
    )
    assert [one.status for one in found] == [Status.PASSED] and state.held == 0
    assert judge.methods.count("cancel") == 2


def test_what_needs_a_device_of_this_machine_is_refused_in_words():
    async def refused():
        cluster = LocalCluster({})
        pool = ClusterPool(cluster)
        with pytest.raises(CapabilityError, match="without --cluster"):
            async with pool.reserved("cluster", ignore_progress):
                pass

    asyncio.run(refused())
