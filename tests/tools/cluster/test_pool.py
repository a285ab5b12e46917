"""Judges elsewhere judge as those here do; a lost one costs one more try, never the candidate."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from kernel_harness.tools.cluster.connection import RayConnection, RayJudge, address_of
from kernel_harness.tools.cluster.pool import ClusterPool, LostClusterError, LostJudgeError, Members
from kernel_harness.tools.errors import CapabilityError, InfrastructureError, RequestError
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
        vars(harness)["pool"] = ClusterPool(cluster.connect, cluster.disconnect)

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


class HeldCluster:
    """One judge at each connection, whose first holds a use until its cluster is lost."""

    def __init__(self, lost):
        self.lost, self.connected, self.reached = lost, 0, asyncio.Event()

    async def connect(self):
        self.connected += 1
        judges: dict[str, Any] = {"ray:a/0": SimpleNamespace(number=self.connected)}
        return Members(judges, {}, READY)

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
        pool = ClusterPool(cluster.connect, cluster.disconnect)
        first = asyncio.ensure_future(cluster.use(pool))
        await cluster.reached.wait()
        others = [asyncio.ensure_future(cluster.use(pool)) for _ in range(2)]
        return await asyncio.gather(first, *others, return_exceptions=True), cluster.connected

    assert asyncio.run(story()) == ([lost, 2, 2], 2)


def test_a_judge_that_was_lost_takes_none_of_the_next_cluster_along():
    """One of the same name was taken off those of a cluster that had been reached since."""

    async def story():
        cluster = HeldCluster(LostJudgeError("gone"))
        pool = ClusterPool(cluster.connect, cluster.disconnect)
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
        pool = ClusterPool(cluster.connect, cluster.disconnect)
        first = asyncio.ensure_future(cluster.use(pool))
        await cluster.reached.wait()
        other = asyncio.ensure_future(cluster.use(pool))
        await asyncio.sleep(0)
        pool.kill()
        found = await asyncio.gather(first, other, return_exceptions=True)
        return [type(one) for one in found], cluster.connected

    assert asyncio.run(story()) == ([LostClusterError] * 2, 1)


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (ConnectionError("Client is shutting down."), "does not answer: Client is shutting down."),
        (RuntimeError("Traceback:\n  File x\nError: it is full\n"), "answer: Error: it is full"),
    ],
)
def test_what_ray_says_is_told_in_a_line(monkeypatch, raised, said):
    def fail(reference):
        raise raised

    kinds = {name: type(name, (Exception,), {}) for name in ERRORS}
    ray = SimpleNamespace(get=fail, exceptions=SimpleNamespace(**kinds), is_initialized=lambda: 1)
    monkeypatch.setitem(sys.modules, "ray", ray)
    actor = SimpleNamespace(facts=SimpleNamespace(remote=lambda: None))
    judge = RayJudge(RayConnection("ray://127.0.0.1:10001", "auto"), "ray:a/0", actor)
    with pytest.raises(InfrastructureError, match=said) as caught:
        asyncio.run(judge.call("facts"))
    assert isinstance(caught.value, LostClusterError) is isinstance(raised, ConnectionError)


def test_a_head_that_refuses_its_first_client_is_asked_once_more(monkeypatch):
    """A command right after `ray start` was told that the cluster cannot be reached."""
    asked = []

    def enter(address, **options):
        asked.append(address)
        if len(asked) == 1:
            raise ConnectionAbortedError("Initialization failure from server:\nRuntimeError: x")

    node = {"Alive": True, "NodeID": "0123456789", "Resources": {}}
    names = {"is_initialized": lambda: False, "init": enter, "nodes": lambda: [node]}
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(**names))
    strategy = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda *given, **more: None)
    monkeypatch.setitem(sys.modules, "ray.util.scheduling_strategies", strategy)
    with pytest.raises(InfrastructureError, match="has a GPU"):
        asyncio.run(RayConnection("ray://127.0.0.1:10001", "auto").connect())
    assert len(asked) == 2


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
        pool = ClusterPool(cluster.connect, cluster.disconnect)
        with pytest.raises(CapabilityError, match="without --cluster"):
            async with pool.reserved("cluster", ignore_progress):
                pass

    asyncio.run(refused())


@pytest.mark.parametrize("cluster", ["ray://10.0.0.7:10001", "ray://head.example:10001"])
def test_off_this_machine_a_token_and_tls_are_asked_for(cluster):
    with pytest.raises(RequestError, match=r"runs whatever it is sent.*RAY_AUTH_MODE=token"):
        address_of(cluster, secured=False)
    assert address_of(cluster, secured=True) == cluster


@pytest.mark.parametrize("cluster", ["auto", "ray://localhost:7", "ray://[::1]:7"])
def test_a_cluster_on_this_machine_is_used_as_it_is(cluster):
    assert address_of(cluster, secured=False).startswith("ray://")


@pytest.mark.parametrize("cluster", ["head:10001", "http://x:1", "ray://", "ray://:1"])
def test_what_is_no_address_is_refused(cluster):
    with pytest.raises(RequestError, match="is no cluster"):
        address_of(cluster, secured=True)


def test_a_cluster_without_a_gpu_says_so_and_how_to_do_without(monkeypatch):
    nodes = [{"Alive": True, "NodeID": "0123456789", "Resources": {"CPU": 2.0}}]
    names = {"is_initialized": lambda: False, "init": lambda *given, **more: None}
    ray = SimpleNamespace(**names, nodes=lambda: nodes, shutdown=lambda: None)
    strategy = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda *given, **more: None)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.util.scheduling_strategies", strategy)
    connection = RayConnection("ray://127.0.0.1:10001", "auto")
    with pytest.raises(InfrastructureError, match=r"has a GPU: 1 node .*--device cpu"):
        asyncio.run(connection.connect())
