"""Which workloads are looked into, on whose inputs, and what is kept of it."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.evaluation.record_store import LastLatencies
from kernel_harness.tools.inspection import HEAVIEST, Inspection
from kernel_harness.tools.messages.judge import MaterialiseInputs, Ready
from kernel_harness.tools.profiling.runs.profiles import NCU, UNAVAILABLE, Profile, WorkloadProfile
from kernel_harness.tools.profiling.sanitizer.findings import SanitizerReport
from kernel_harness.tools.schema.flashinfer_trace import Definition, Solution, Workload
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.workloads.operators import Operator

SIZES = (1, 8, 64, 512)


@pytest.fixture
def operator():
    tensor = {"shape": ["m"], "dtype": "float32"}
    definition = {
        "name": "double", "op_type": "test", "axes": {"m": {"type": "var"}},
        "inputs": {"x": tensor}, "outputs": {"y": tensor},
        "reference": "def run(x):\n    return x * 2\n",
    }  # fmt: skip
    workloads = tuple(
        Workload.model_validate(
            {"uuid": f"w{m}", "axes": {"m": m}, "inputs": {"x": {"type": "random"}}}
        )
        for m in SIZES
    )
    return Operator(definition=Definition.model_validate(definition), workloads=workloads)


def solution(name: str = "one") -> Solution:
    spec = {"language": "python", "target_hardware": ["cuda"], "entry_point": "main.py::run"}
    sources = [{"path": "main.py", "content": f"def run(x, y):\n    '''{name}'''\n"}]
    return Solution.model_validate(
        {"name": name, "definition": "double", "author": "t", "spec": spec, "sources": sources}
    )


@dataclass
class Pool:
    """A judge that writes inputs, and a device that is held while it is looked at."""

    asked: list[MaterialiseInputs] = field(default_factory=list)
    held: bool = False

    def ready(self, device: str) -> Ready | None:
        facts = {"name": "NVIDIA H200", "executor": "cuda", "sm_count": 132}
        return Ready(device=facts, versions={}, isolation={"level": "strong"}, seconds=0.0)

    async def materialise(self, device: str, request: MaterialiseInputs) -> None:
        assert not self.held, "the judge needs the device to make inputs"
        self.asked.append(request)
        await anyio.Path(request.path).write_bytes(b"inputs")

    @contextlib.asynccontextmanager
    async def reserved(self, device, progress):
        self.held = True
        yield
        self.held = False


@dataclass
class Tools:
    """A profiler that finds what it is told to find."""

    pool: Pool
    tool: str = NCU
    seen: list[tuple[str, list[str]]] = field(default_factory=list)

    async def profile_ncu(self, subject, inputs, *, profile_set, progress) -> Profile:
        self._look(subject, inputs)
        workloads = [WorkloadProfile(uuid=i.uuid, axes=i.axes) for i in inputs]
        return Profile(
            solution_name=subject.solution.name,
            content_hash=subject.solution.content_hash(),
            definition="double",
            tool=self.tool,
            workloads=workloads,
        )

    async def sanitize(self, subject, inputs, *, progress) -> SanitizerReport:
        self._look(subject, inputs)
        return SanitizerReport(
            solution_name="one", content_hash="c", definition="double", tool=self.tool
        )

    def _look(self, subject, inputs) -> None:
        assert self.pool.held, "nothing is measured while others may use the device"
        assert all(i.inputs_file.read_bytes() == b"inputs" for i in inputs)
        self.seen.append((subject.solution.name, [i.uuid for i in inputs]))


@pytest.fixture
def made(tmp_path):
    def inspection(device: str = "cuda:0", tool: str = NCU) -> tuple[Inspection, Pool, Tools]:
        settings, pool = Settings(data_dir=tmp_path), Pool()
        tools = Tools(pool, tool)
        latencies = LastLatencies(tmp_path / "latencies")
        return Inspection(settings, device, pool, latencies, tools), pool, tools  # pyright: ignore[reportArgumentType]

    return inspection


def test_the_workloads_with_most_of_the_time_are_profiled_and_the_profile_is_kept(made, operator):
    room, pool, tools = made()
    found = asyncio.run(room.profile_ncu(operator, solution()))
    ((name, uuids),) = tools.seen
    assert name == "one" and len(uuids) <= HEAVIEST and "w512" in uuids
    assert [request.workload["uuid"] for request in pool.asked] == uuids
    assert len({request.seed for request in pool.asked}) == len(uuids)
    assert not any(Path(request.path).exists() for request in pool.asked)
    kept = room.settings.profiles_dir / solution().content_hash()[:64] / "ncu-detailed.json"
    assert json.loads(kept.read_text())["solution_name"] == found.solution_name == "one"


def test_named_workloads_are_profiled_by_a_beginning_of_their_id(made, operator):
    room, _, tools = made()
    asyncio.run(room.profile_ncu(operator, solution(), workloads=["w64", "w1"]))
    assert tools.seen == [("one", ["w64", "w1"])]
    with pytest.raises(RequestError, match="w9"):
        asyncio.run(room.profile_ncu(operator, solution(), workloads=["w9"]))


def test_two_candidates_are_compared_on_the_same_inputs(made, operator):
    room, pool, tools = made()
    found = asyncio.run(room.profile_ncu(operator, solution(), compare_to=solution("two")))
    assert found.compared_to == "two"
    (first, inputs), (second, others) = tools.seen
    assert (first, second) == ("one", "two") and inputs == others
    assert len(pool.asked) == len(inputs)


def test_an_unknown_set_is_answered_with_those_there_are(made, operator):
    room, _, tools = made()
    with pytest.raises(RequestError, match="detailed"):
        asyncio.run(room.profile_ncu(operator, solution(), profile_set="detail"))
    assert not tools.seen


def test_the_sanitizer_runs_on_the_smallest_workload(made, operator):
    room, _, tools = made(tool="compute-sanitizer")
    asyncio.run(room.sanitize(operator, solution()))
    assert tools.seen == [("one", ["w1"])]


def test_without_a_gpu_no_inputs_are_made_and_nothing_is_kept(made, operator):
    room, pool, tools = made("cpu", UNAVAILABLE)
    found = asyncio.run(room.profile_ncu(operator, solution()))
    assert found.tool == UNAVAILABLE and tools.seen == [("one", [])]
    assert not pool.asked and not room.settings.profiles_dir.exists()
