"""A cluster of Ray is reached over a safe way, and its devices get judges that are alike."""

from __future__ import annotations

import asyncio
import sys
import time
from importlib.metadata import version
from types import SimpleNamespace

import pytest

from kernel_harness.tools.cluster import connection
from kernel_harness.tools.cluster.connection import RayConnection, RayJudge, address_of
from kernel_harness.tools.cluster.remote import LostClusterError
from kernel_harness.tools.errors import InfrastructureError, RequestError

ERRORS = ("RayActorError", "NodeDiedError", "WorkerCrashedError", "RayTaskError")
ADDRESS = "ray://127.0.0.1:10001"


def at_once():
    """An answer at once."""


def taken():
    """An answer that is long in coming."""
    time.sleep(0.3)


def unborn():
    """An answer of an actor that never was."""
    said = "The actor died because of an error raised in its creation task, x\n  File y\n"
    raise LostError(f"{said}ModuleNotFoundError: No module named 'x'")


class LostError(Exception):
    """What Ray raises of an actor that is gone."""


def facts(**device):
    """What a judge with a device says."""
    versions = {"kernel-harness": version("kernel-harness")}
    said = {
        "device": {"name": "X", "executor": "cuda", **device},
        "versions": versions,
        "isolation": {"level": "no"},
        "host": "here",
        "clocks": {},
    }
    return lambda: said


class Ray:
    """A cluster whose actors answer as they are told to."""

    def __init__(self, said, here=at_once, gpus=1.0):
        self.answers, self.gpus, self.names = {"cancel": here, "facts": said}, gpus, ["first"]
        self.asked, self.placed, self.killed = [], [], []
        kinds = {name: type(name, (Exception,), {}) for name in ERRORS}
        self.exceptions = SimpleNamespace(**{**kinds, "RayActorError": LostError})

    def remote(self, kind):
        return self

    def options(self, **asked):
        methods = {
            name: SimpleNamespace(remote=lambda *_, answer=answer: answer)
            for name, answer in self.answers.items()
        }
        return SimpleNamespace(
            remote=lambda **_: self.placed.append(1) or SimpleNamespace(**methods)
        )

    def nodes(self):
        resources = {"Resources": {"GPU": self.gpus}}
        return [{"Alive": True, "NodeID": name, **resources} for name in self.names]

    def get(self, answer):
        return answer()

    def kill(self, actor):
        self.killed.append(actor)

    def init(self, address, **options):
        self.asked.append(address)

    def is_initialized(self):
        return True

    def shutdown(self):
        pass


@pytest.fixture
def with_ray(monkeypatch):
    """Makes a connection by a Ray that is scripted."""
    strategy = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda *given, **more: None)
    monkeypatch.setitem(sys.modules, "ray.util.scheduling_strategies", strategy)

    def made(ray):
        monkeypatch.setitem(sys.modules, "ray", ray)
        return RayConnection(ADDRESS, "auto")

    return made


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


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (ConnectionError("Client is shutting down."), "does not answer: Client is shutting down."),
        (RuntimeError("Traceback:\n  File x\nError: it is full\n"), "answer: Error: it is full"),
    ],
)
def test_what_ray_says_is_told_in_a_line(with_ray, raised, said):
    def fail():
        raise raised

    connected = with_ray(Ray(fail))
    actor = SimpleNamespace(facts=SimpleNamespace(remote=lambda: fail))
    with pytest.raises(InfrastructureError, match=said) as caught:
        asyncio.run(RayJudge(connected, "ray:a/0", actor).call("facts"))
    assert isinstance(caught.value, LostClusterError) is isinstance(raised, ConnectionError)


def test_a_head_that_refuses_its_first_client_is_asked_once_more(with_ray, monkeypatch):
    """A command right after `ray start` was told that the cluster cannot be reached."""
    ray = Ray(facts())

    def enter(address, **options):
        ray.asked.append(address)
        if len(ray.asked) == 1:
            raise ConnectionAbortedError("Initialization failure from server:\nRuntimeError: x")

    monkeypatch.setattr(ray, "init", enter)
    assert asyncio.run(with_ray(ray).connect()).judges and len(ray.asked) == 2


MISMATCH = """Version mismatch: The cluster was started with:
    Ray: 2.50.0
    Python: 3.11.7
This process on Ray Client was started with:
    Ray: 2.60.0
    Python: 3.11.7
"""


@pytest.mark.parametrize(
    ("act", "raised", "said"),
    [
        (
            "init",
            RuntimeError(MISMATCH),
            r"Ray: 2\.50\.0 Python.*one version of Ray there and here",
        ),
        ("options", ModuleNotFoundError("No module named 'x'"), "head lacks .*'x'.*on the head"),
        ("options", ConnectionError("Client is shutting down."), "cannot be reached: Client is"),
    ],
)
def test_a_cluster_that_is_of_no_use_is_told_why(with_ray, monkeypatch, act, raised, said):
    """Of two versions the last line was told, and a head without the harness was a traceback."""
    ray = Ray(facts())

    def fail(*given, **more):
        raise raised

    there = {"init": fail, "options": lambda **_: SimpleNamespace(remote=fail)}
    monkeypatch.setattr(ray, act, there[act])
    with pytest.raises(InfrastructureError, match=said):
        asyncio.run(with_ray(ray).connect())


@pytest.mark.parametrize(
    ("ray", "said"),
    [
        (Ray(facts(), taken), "no device within 0 s: another server"),
        (Ray(facts(), unborn), "did not start: ModuleNotFoundError: No module named 'x'"),
        (Ray(facts(executor="interpreter")), "here has a GPU, and torch there can use none"),
    ],
)
def test_a_device_that_cannot_be_used_is_told_why_and_given_back(with_ray, monkeypatch, ray, said):
    """The reason was empty after five minutes, and a processor judged in place of a GPU."""
    monkeypatch.setattr(connection, "PLACED_S", 0.1)
    with pytest.raises(InfrastructureError, match=said):
        asyncio.run(with_ray(ray).connect())
    assert len(ray.killed) == 1


def test_devices_without_a_judge_are_looked_at_again_and_those_unfit_are_not(with_ray, monkeypatch):
    monkeypatch.setattr(connection, "PLACED_S", 0.1)
    ray = Ray(facts())
    connected, refused = with_ray(ray), []

    async def story():
        members = await connected.connect()
        for node, answers in (
            ("unfit", {"facts": facts(executor="interpreter")}),
            ("taken", {"cancel": taken, "facts": facts()}),
            ("broken", {"cancel": unborn}),
            ("lost", {"cancel": at_once}),
        ):
            ray.names.append(node)
            ray.answers = ray.answers | answers
            del ray.placed[:]
            await connected.look_again(members)
            refused.append((sorted(members.refused), len(ray.placed)))
        return sorted(members.judges), sorted(members.facts)

    judges, known = asyncio.run(story())
    assert refused == [
        (["ray:unfit/0"], 1),
        (["ray:taken/0", "ray:unfit/0"], 1),
        (["ray:broken/0", "ray:taken/0", "ray:unfit/0"], 2),
        (["ray:unfit/0"], 3),
    ]
    assert judges == known == ["ray:broken/0", "ray:first/0", "ray:lost/0", "ray:taken/0"]


def test_a_judge_unlike_those_in_use_is_not_added_to_them(with_ray):
    ray = Ray(facts())
    connected = with_ray(ray)

    async def story():
        members = await connected.connect()
        ray.names += ["b", "c"]  # more than are in use
        ray.answers = ray.answers | {"facts": facts(name="Y")}
        await connected.look_again(members)
        return members

    members = asyncio.run(story())
    assert list(members.judges) == ["ray:first/0"]
    assert set(members.refused.values()) == {"the device is Y, not X"}


def test_a_cluster_without_a_gpu_says_so_and_how_to_do_without(with_ray):
    with pytest.raises(InfrastructureError, match=r"has a GPU: 1 node .*--device cpu"):
        asyncio.run(with_ray(Ray(facts(), gpus=0.0)).connect())
