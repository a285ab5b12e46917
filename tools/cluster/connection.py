"""The cluster itself: its nodes, a judge's actor for each device, and the security of the way.

Reached by Ray's client, so that a head that dies ends no server. An open port of Ray runs whatever
it is sent: off this machine it is reached with a token and TLS only.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.metadata
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from ..devices.environment import install_command
from ..errors import CapabilityError, HarnessError, InfrastructureError, RequestError
from ..messages.judge import Ready
from ..schema.evaluation import Executor
from ..settings import Settings, ray_is_secured
from ..text import counted
from .judge_actor import JudgeActor
from .nodes import NodeFacts, chosen_nodes
from .pool import OF_RAY, ClusterPool, Members
from .remote import LostClusterError, LostJudgeError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

LOCAL = "ray://127.0.0.1:10001"
"""What 'auto' means: the client's port of a head on this machine."""
PLACED_S = 60.0
"""Longest that Ray may take to give an actor its device: one whose server has just died is held for
half a minute."""
START_S = 300.0
"""Longest that a node may take to start its judge."""
THREADS = 256
UNBORN = "error raised in its creation task"
"""In what Ray says of an actor that failed at its beginning, as where its node has no harness."""
UNLIKE = "Version mismatch"
"""Begins what Ray says where the cluster has another version of it or of Python."""
NAMESPACE = "kernel-harness"


def address_of(cluster: str, *, secured: bool) -> str:
    """The address of a cluster's client port, where the way there is secured or on this machine.

    Raises:
        RequestError: when it is no address, or leads off this machine unsecured.
    """
    address = LOCAL if cluster == "auto" else cluster
    host = address.removeprefix("ray://").rpartition(":")[0].strip("[]")
    if not address.startswith("ray://") or not host:
        raise RequestError(
            f"{cluster!r} is no cluster",
            remedy="Name the head's client port, as ray://HOST:10001, or 'auto' for one here.",
        )
    local = host == "localhost"
    with contextlib.suppress(ValueError):
        local = local or ip_address(host).is_loopback
    if not local and not secured:
        raise RequestError(
            "A cluster's port runs whatever it is sent: without a token and TLS it is not used",
            where=address,
            remedy="Set RAY_AUTH_MODE=token with RAY_AUTH_TOKEN_PATH, and RAY_USE_TLS=1 with its "
            "certificates, on every node and here; or use an SSH tunnel and ray://127.0.0.1:PORT.",
        )
    return address


def cluster_pool(settings: Settings, command: Sequence[str] | None = None) -> Any:
    """The pool of a cluster's judges; it is reached when the first is needed.

    Args:
        command: of each judge; its own if None.

    Raises:
        CapabilityError: when Ray is not installed.
        RequestError: when the address is none, or leads off this machine unsecured.
    """
    address = address_of(settings.cluster, secured=ray_is_secured())
    connection = RayConnection(address, settings.device, command)
    return ClusterPool(connection)


class UnfitError(InfrastructureError):
    """Raised when a judge that is up has not the device that it is to judge on."""


@dataclass(frozen=True)
class FoundJudge:
    """A judge of the cluster, with what it said of itself."""

    judge: RayJudge
    facts: NodeFacts
    ready: Ready


class RayConnection:
    """A connection to a cluster, and the actors that were placed over it."""

    def __init__(self, address: str, device: str, command: Sequence[str] | None = None) -> None:
        self._address, self._device, self._command = address, device, command
        try:
            self.ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise CapabilityError(
                "Ray is not installed", remedy=install_command("'ray[client]'")
            ) from error
        # What it says of a head that does not answer is told in an error of ours.
        warnings.filterwarnings("ignore", module=r"ray\.util\.client")
        self._placing = asyncio.Lock()
        self._unfit: set[str] = set()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="ray")

    async def connect(self) -> Members:
        """Reaches the cluster, starts a judge for each device, and chooses those that are alike.

        Raises:
            InfrastructureError: when it cannot be reached, or none can be used.
        """
        self._unfit.clear()
        async with self._placing:
            actors = await self.in_thread(self._entered_and_placed)
        found, refused = await self._asked(actors)
        if not found:
            words = "; ".join(f"{name}: {why}" for name, why in refused.items())
            raise InfrastructureError(
                f"No node of the cluster can be used: {words}",
                where=self._address,
                remedy="See to what is said of each, and try again.",
            )
        judges: dict[str, Any] = {name: one.judge for name, one in found.items()}
        facts = {name: one.facts for name, one in found.items()}
        return Members(judges, facts, next(iter(found.values())).ready, refused)

    async def look_again(self, members: Members) -> None:
        """Starts judges on devices that have none, and adds those that are like the ones in use.

        What was found unfit is not asked again before the cluster is reached anew.

        Raises:
            InfrastructureError: when the cluster does not answer.
        """
        async with self._placing:
            like = next(iter(members.facts.values()), None)
            if like is None:  # all were lost, and the cluster is reached anew
                return
            actors = await self.in_thread(self._placed, {*members.judges, *self._unfit})
        found, refused = await self._asked(actors, like)
        for name, one in found.items():
            members.judges[name], members.facts[name] = one.judge, one.facts
        for name in (*found, *actors):
            members.refused.pop(name, None)
        members.refused.update(refused)

    async def _asked(
        self, actors: Mapping[str, Any], like: NodeFacts | None = None
    ) -> tuple[dict[str, FoundJudge], dict[str, str]]:
        """The judges among these actors that can be used, and by name why not the others."""
        answers = await asyncio.gather(
            *(self._found(name, actor) for name, actor in actors.items()), return_exceptions=True
        )
        found: dict[str, FoundJudge] = {}
        refused: dict[str, str] = {}
        for name, answer in zip(actors, answers, strict=True):
            if isinstance(answer, FoundJudge):
                found[name] = answer
            elif isinstance(answer, BaseException):
                refused[name] = answer.what if isinstance(answer, HarnessError) else str(answer)
                if isinstance(answer, UnfitError):
                    self._unfit.add(name)
        model = "" if self._device in ("auto", "cpu") else self._device
        harness = importlib.metadata.version("kernel-harness")
        choice = chosen_nodes([one.facts for one in found.values()], harness, model, like)
        self._unfit.update(choice.refused)
        used = {one.judge: found[one.judge] for one in choice.used}
        await self.in_thread(self._end, [actors[name] for name in actors if name not in used])
        return used, refused | dict(choice.refused)

    def disconnect(self) -> None:
        """Leaves the cluster; its actors end with the connection."""
        with contextlib.suppress(Exception):  # it may be gone already
            self.ray.shutdown()
        with contextlib.suppress(Exception):  # a connection that broke counts as one until then
            importlib.import_module("ray.util.client").ray.disconnect()

    async def in_thread(self, work: Any, *arguments: Any) -> Any:
        """Runs a blocking call of Ray's client."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def _entered_and_placed(self) -> dict[str, Any]:
        """Reaches the cluster; an actor for each device of each node, by name."""
        self.disconnect()
        try:
            self._enter()
        except Exception as error:
            raise self._unreached(error) from error
        placed = self._placed()
        if not placed:
            raise InfrastructureError(
                f"No node of the cluster has a GPU: {counted(len(self._nodes()), 'node')}",
                where=self._address,
                remedy="Start nodes that have one; with --device cpu candidates run on the "
                "processors of nodes, and nothing is timed.",
            )
        return placed

    def _placed(self, known: Collection[str] = ()) -> dict[str, Any]:
        """An actor for each device of each node that lives, by name; none for those known."""
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        on_cpu = self._device == "cpu"
        kind = self.ray.remote(JudgeActor)
        placed = {}
        for node in self._nodes():
            gpus = 1 if on_cpu else int(node["Resources"].get("GPU", 0))
            there = strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            for name in (f"{OF_RAY}{node['NodeID'][:8]}/{number}" for number in range(gpus)):
                if name not in known:
                    asked = {"num_cpus": 0, "num_gpus": 0 if on_cpu else 1, "max_concurrency": 64}
                    actor = kind.options(**asked, scheduling_strategy=there)
                    placed[name] = self._begun(actor, "cpu" if on_cpu else "auto")
        return placed

    def _begun(self, actor: Any, device: str) -> Any:
        own = {"command": tuple(self._command)} if self._command else {}
        try:
            return actor.remote(device=device, **own)
        except ImportError as error:  # the head reads what it passes on
            raise InfrastructureError(
                f"The cluster's head lacks what judges need: {error}",
                where=self._address,
                remedy="Install the same version of the harness on the head as on the nodes.",
            ) from error
        except Exception as error:
            raise self._unreached(error) from error

    def _nodes(self) -> list[dict[str, Any]]:
        """The nodes that live."""
        try:
            return [node for node in self.ray.nodes() if node["Alive"]]
        except Exception as error:
            raise self._unreached(error) from error

    def _unreached(self, error: Exception) -> InfrastructureError:
        remedy = (
            "Start its head with `ray start --head`, whose client port is 10001; its token and "
            "certificates, if any, must be known here, too."
        )
        if str(error).startswith(UNLIKE):
            remedy = "Install one version of Ray there and here, with one of Python."
        return InfrastructureError(
            f"The cluster cannot be reached: {_said(error)}", where=self._address, remedy=remedy
        )

    def _end(self, actors: Sequence[Any]) -> None:
        """Ends actors, and gives their devices back."""
        for actor in actors:
            with contextlib.suppress(Exception):  # its node may be gone
                self.ray.kill(actor)

    def _enter(self) -> None:
        """Enters the cluster; a head that has just started refuses its first client at times."""
        options = {"namespace": NAMESPACE, "logging_level": "ERROR", "log_to_driver": False}
        try:
            self.ray.init(self._address, **options)
        except ConnectionAbortedError:
            self.ray.init(self._address, **options)

    async def _found(self, name: str, actor: Any) -> FoundJudge:
        """What a judge says of itself, once its actor has its device and it is up.

        Raises:
            UnfitError: when the judge has not the device that it is to have.
            InfrastructureError: when Ray gives the actor no device, or the judge does not start.
        """
        judge = RayJudge(self, name, actor)
        try:
            async with asyncio.timeout(PLACED_S):
                await judge.call("cancel", "")  # of nothing: it answers once it is there
        except TimeoutError as error:
            raise InfrastructureError(
                f"Ray gave it no device within {PLACED_S:.0f} s: another server of the harness or "
                "another program on the cluster has it"
            ) from error
        try:
            async with asyncio.timeout(START_S):
                said = await judge.call("facts")
        except TimeoutError as error:
            raise InfrastructureError(f"Its judge was not up within {START_S:.0f} s") from error
        device = said["device"]
        if self._device != "cpu" and device.get("executor", Executor.CUDA) != Executor.CUDA:
            raise UnfitError(
                f"Ray says that {said['host']} has a GPU, and torch there can use none"
            )
        ready = Ready(
            device=device, versions=said["versions"], isolation=said["isolation"], seconds=0.0
        )
        facts = NodeFacts(
            name,
            said["host"],
            str(device["name"]),
            said["versions"],
            said["clocks"],
            str(device.get("uuid") or ""),
        )
        return FoundJudge(judge, facts, ready)


class RayJudge:
    """A `JudgeActor` on a node, called over Ray's client."""

    def __init__(self, connection: RayConnection, name: str, actor: Any) -> None:
        self._connection, self._name, self._actor = connection, name, actor

    async def call(self, method: str, *arguments: Any) -> Any:
        """Calls a method of the actor.

        Raises:
            LostJudgeError: when its node or process is gone.
            LostClusterError: when the cluster is.
            InfrastructureError: when the judge failed.
        """
        return await self._connection.in_thread(self._call, method, arguments)

    def _call(self, method: str, arguments: tuple[Any, ...]) -> Any:
        ray = self._connection.ray
        errors = ray.exceptions
        try:
            return ray.get(getattr(self._actor, method).remote(*arguments))
        except (errors.RayActorError, errors.NodeDiedError, errors.WorkerCrashedError) as error:
            if UNBORN in str(error):
                raise InfrastructureError(f"Its actor did not start: {_said(error)}") from error
            raise LostJudgeError(
                f"The judge {self._name} was lost: {str(error).splitlines()[0][:200]}",
                remedy="Evaluate again; this was not the candidate's fault.",
            ) from error
        except errors.RayTaskError as error:
            cause = error.cause
            what = cause.what if isinstance(cause, HarnessError) else str(cause)[:300]
            raise InfrastructureError(f"The judge {self._name} failed: {what}") from error
        except Exception as error:  # the client's own, of many kinds, when the head is gone
            gone = isinstance(error, ConnectionError) or not ray.is_initialized()
            kind = LostClusterError if gone else InfrastructureError
            raise kind(
                f"The cluster does not answer: {_said(error)}",
                remedy="Start its head again; the next evaluation reaches it. What was judged is "
                "kept.",
            ) from error


def _said(error: Exception) -> str:
    """What an error of Ray's says, which may hold a whole traceback: its last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if str(error).startswith(UNLIKE):
        return " ".join(lines)[:300]
    return lines[-1][:300] if lines else type(error).__name__
