"""Workloads are chosen, inputs written, the device held; fallbacks are said, results kept."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from kernel_harness.tools.devices.calibration import (
    calibration_file,
    calibration_folder,
    with_calibration,
)
from kernel_harness.tools.devices.environment import MachineTools, Tool
from kernel_harness.tools.devices.hardware import shipped_hardware
from kernel_harness.tools.devices.measurements import Microbenchmark, parts_of
from kernel_harness.tools.devices.roofline import Cost, Floors
from kernel_harness.tools.errors import CapabilityError, InfrastructureError, RequestError
from kernel_harness.tools.evaluation.records.last_latencies import LastLatencies
from kernel_harness.tools.messages.judge import (
    CallsRecorded,
    CallsTraced,
    Materialised,
    MaterialiseInputs,
    Ready,
    RecordCalls,
    RecordedFile,
    TraceCalls,
    TracedCall,
)
from kernel_harness.tools.profiling import calibration_run, service
from kernel_harness.tools.profiling.diagnosis.bottleneck import Bottleneck
from kernel_harness.tools.profiling.ncu.command import Refusal
from kernel_harness.tools.profiling.ncu.session import NcuSession, Replays
from kernel_harness.tools.profiling.runs.profile_store import ProfileStore, device_name
from kernel_harness.tools.profiling.runs.profiles import Profile, WorkloadProfile, compare_profiles
from kernel_harness.tools.profiling.runs.run_files import Subject, WorkloadInputs
from kernel_harness.tools.profiling.sanitizer.findings import SanitizerTool, ToolRun
from kernel_harness.tools.profiling.service import HEAVIEST, ProfilingService, work_floors
from kernel_harness.tools.profiling.timeline.chrome_trace import WorkloadTimeline
from kernel_harness.tools.profiling.timeline.session import RECORD, CallTrace, TimelineSession
from kernel_harness.tools.schema.flashinfer_trace import Definition, Solution, Workload
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.workloads.operators import Operator

from .profiles import profile, recorded_call

pytestmark = pytest.mark.anyio

SIZES = (1, 8, 64, 512)
MISSING = Tool(name="counters", found=False, reason="No permission.", remedy="Ask for it.")
FOUND = Tool(name="found", found=True, path="/bin/true", version="1")
SCRIPT = """
import json, sys
path = sys.argv[sys.argv.index("--out") + 1]
open(path, "w").write(json.dumps({document!r} | {{"arguments": sys.argv}}))
sys.exit({status})
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def machine(counters: Tool = FOUND, sanitizer: Tool = FOUND) -> MachineTools:
    return MachineTools(FOUND, FOUND, counters, sanitizer, FOUND, FOUND, FOUND)


@pytest.fixture
def operator() -> Operator:
    tensor = {"shape": ["m"], "dtype": "float32"}
    definition = {
        "name": "double",
        "op_type": "test",
        "axes": {"m": {"type": "var"}},
        "inputs": {"x": tensor},
        "outputs": {"y": tensor},
        "reference": "def run(x):\n    return x * 2\n",
    }
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
    """A judge that writes inputs, and a device that is held while it is used."""

    asked: list[MaterialiseInputs] = field(default_factory=list)
    recorded: list[RecordCalls] = field(default_factory=list)
    traced: list[list[str]] = field(default_factory=list)
    recordable: frozenset[str] = frozenset()
    held: bool = False

    def ready(self, device: str) -> Ready | None:
        facts = {"name": "NVIDIA H200", "executor": "cuda", "sm_count": 132}
        return Ready(device=facts, versions={}, isolation={"level": "strong"}, seconds=0.0)

    async def ask(self, device: str, request, kind, progress) -> Any:
        assert not self.held, "the judge needs the device itself"
        if isinstance(request, MaterialiseInputs):
            self.asked.append(request)
            await anyio.Path(request.path).write_bytes(b"inputs")
            return Materialised(request_id=request.request_id)
        if isinstance(request, TraceCalls):
            self.traced.append([one.workload["uuid"] for one in request.workloads])
            return CallsTraced(
                request_id=request.request_id,
                calls=[TracedCall(path="trace") for _ in request.workloads],
            )
        self.recorded.append(request)
        calls = []
        for number, one in enumerate(request.workloads):
            if one.workload["uuid"] in self.recordable:
                path = recorded_call(Path(request.folder), number)
                calls.append(RecordedFile(path=str(path)))
            else:
                calls.append(RecordedFile(reason="it waits for the device"))
        return CallsRecorded(request_id=request.request_id, calls=calls)

    @contextlib.asynccontextmanager
    async def reserved(self, device, progress):
        self.held = True
        yield
        self.held = False


@dataclass
class Bench:
    """A service whose tools are scripted, and what they were run on."""

    service: ProfilingService
    pool: Pool
    seen: list[tuple[str, str]] = field(default_factory=list)
    by_ncu: list[str] = field(default_factory=list)
    replayed: list[tuple[str, list[str]]] = field(default_factory=list)
    refusal: Refusal | None = None

    def look(self, subject: Subject, workload: WorkloadInputs) -> None:
        assert self.pool.held, "nothing is measured while others may use the device"
        assert workload.inputs_file.read_bytes() == b"inputs"
        self.seen.append((subject.solution.name, workload.uuid))

    def kept(self, name: str) -> dict:
        folder = self.service.settings.profiles_dir / solution().content_hash()[:64]
        return json.loads((folder / name).read_text())


@pytest.fixture
def bench(tmp_path, monkeypatch):
    def build(device: str = "cuda:7", tools: MachineTools | None = None) -> Bench:
        settings, pool = Settings(data_dir=tmp_path), Pool()
        made = Bench(
            ProfilingService(
                settings,
                device,
                pool,  # pyright: ignore[reportArgumentType]
                LastLatencies(tmp_path / "latencies"),
                find_tools=lambda: tools or machine(),
            ),
            pool,
        )

        async def count(self, subject, workload):
            made.by_ncu.append(workload.uuid)
            if made.refusal is not None:
                return made.refusal
            made.look(subject, workload)
            return WorkloadProfile(uuid=workload.uuid, axes=dict(workload.axes))

        async def replay(self, subject, workloads):
            assert pool.held
            made.replayed.append((subject.solution.name, [w.uuid for w in workloads]))
            if made.refusal is not None:
                words = {w.uuid: made.refusal.what for w in workloads}
                return Replays(reasons=words, refusal=made.refusal)
            profiles = {
                w.uuid: WorkloadProfile(uuid=w.uuid, axes=dict(w.axes), replayed=True)
                for w in workloads
            }
            return Replays(profiles)

        async def trace(self, subject, workload):
            made.look(subject, workload)
            return WorkloadProfile(uuid=workload.uuid, tool="torch_profiler")

        async def check(runner, program, tool, subject, workload, *, timeout_s):
            made.look(subject, workload)
            return ToolRun(tool=tool, workload_uuid=workload.uuid, status="clean")

        monkeypatch.setattr(NcuSession, "profile", count)
        monkeypatch.setattr(NcuSession, "profile_replays", replay)
        monkeypatch.setattr(TimelineSession, "profile", trace)
        monkeypatch.setattr(service, "run_tool", check)
        return made

    return build


async def test_the_workloads_with_most_of_the_time_are_profiled_and_the_profile_is_kept(
    bench, operator
):
    made = bench()
    found = await made.service.profile_ncu(operator, solution())
    uuids = [uuid for _, uuid in made.seen]
    assert len(uuids) <= HEAVIEST and "w512" in uuids
    assert [request.workload["uuid"] for request in made.pool.asked] == uuids
    assert len({request.seed for request in made.pool.asked}) == len(uuids)
    assert not any([await anyio.Path(request.path).exists() for request in made.pool.asked])
    assert made.kept("ncu-detailed.json")["solution_name"] == found.solution_name == "one"


async def test_named_workloads_are_profiled_by_a_beginning_of_their_id(bench, operator):
    made = bench()
    await made.service.profile_ncu(operator, solution(), workloads=["w64", "w1"])
    assert made.seen == [("one", "w64"), ("one", "w1")]
    with pytest.raises(RequestError, match="w9"):
        await made.service.profile_ncu(operator, solution(), workloads=["w9"])


async def test_two_candidates_are_compared_on_the_same_inputs(bench, operator):
    made = bench()
    found = await made.service.profile_ncu(operator, solution(), compare_to=solution("two"))
    assert found.compared_to == "two"
    first, second = ([u for name, u in made.seen if name == who] for who in ("one", "two"))
    assert first == second and len(made.pool.asked) == len(first)


async def test_recorded_calls_are_replayed_together_and_the_others_called_with_the_reason(
    bench, operator
):
    made = bench()
    made.pool.recordable = frozenset({"w1", "w64"})
    names = ["w1", "w8", "w64"]
    found = await made.service.profile_ncu(operator, solution(), workloads=names)
    assert made.replayed == [("one", ["w1", "w64"])] and made.seen == [("one", "w8")]
    assert [w.uuid for w in found.workloads] == names
    assert [w.replayed for w in found.workloads] == [True, False, True]
    assert [w.not_replayed for w in found.workloads] == [None, "it waits for the device", None]
    assert [request.workload["uuid"] for request in made.pool.asked] == ["w8"]
    assert not await anyio.Path(made.pool.recorded[0].folder).exists()


async def test_recorded_and_called_candidates_have_the_same_inputs(bench, operator):
    made = bench()
    made.pool.recordable = frozenset({"w1"})
    named = {"workloads": ["w1", "w8"], "compare_to": solution("two")}
    await made.service.profile_ncu(operator, solution(), **named)
    seeds = [[one.seed for one in request.workloads] for request in made.pool.recorded]
    assert len(made.pool.recorded) == 2 and seeds[0] == seeds[1]
    assert [request.seed for request in made.pool.asked] == [seeds[0][1]]


async def test_counters_that_are_refused_to_a_replay_are_not_asked_for_again(bench, operator):
    made = bench()
    made.pool.recordable, made.refusal = frozenset({"w1"}), Refusal("permission", "No", "Ask.")
    got = await made.service.profile_ncu(operator, solution(), workloads=["w1", "w8"])
    assert len(made.replayed) == 1 and not made.by_ncu
    assert (got.tool, got.reason) == ("torch_profiler", "No. Ask.")


async def test_with_the_sealed_clock_off_nothing_is_recorded(bench, operator):
    made = bench()
    made.service.settings = made.service.settings.model_copy(update={"sealed_clock": "off"})
    got = await made.service.profile_ncu(operator, solution(), workloads=["w1"])
    assert not made.pool.recorded and made.by_ncu == ["w1"]
    assert got.workloads[0].not_replayed == "the setting sealed_clock is off"


async def test_an_unknown_set_is_answered_with_those_there_are(bench, operator):
    made = bench()
    with pytest.raises(RequestError, match="detailed"):
        await made.service.profile_ncu(operator, solution(), profile_set="detail")
    assert not made.seen


async def test_the_sanitizer_runs_each_tool_on_the_smallest_workload(bench, operator):
    made = bench()
    report = await made.service.sanitize(operator, solution())
    assert made.seen == [("one", "w1")] * len(SanitizerTool)
    assert report.clean and made.kept("sanitizer.json")["tool"] == "compute-sanitizer"


async def test_the_sanitizers_run_side_by_side(bench, operator, monkeypatch):
    made, running, most = bench(), 0, 0

    async def check(runner, program, tool, subject, workload, *, timeout_s):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(0.01)
        running -= 1
        return ToolRun(tool=tool, workload_uuid=workload.uuid, status="clean")

    monkeypatch.setattr(service, "run_tool", check)
    report = await made.service.sanitize(operator, solution())
    assert most == len(SanitizerTool)
    assert [run.tool for run in report.runs] == list(SanitizerTool)


async def test_a_sanitizer_that_cannot_be_started_is_a_fault_of_ours(bench, operator, monkeypatch):
    async def check(runner, program, tool, subject, workload, *, timeout_s):
        if tool is SanitizerTool.RACECHECK:
            raise InfrastructureError("no room")
        return ToolRun(tool=tool, workload_uuid=workload.uuid, status="clean")

    made = bench()
    monkeypatch.setattr(service, "run_tool", check)
    with pytest.raises(InfrastructureError, match="no room"):
        await made.service.sanitize(operator, solution())


async def test_without_a_gpu_every_result_says_so_and_nothing_is_made_or_kept(bench, operator):
    made = bench("cpu")
    profiled = await made.service.profile_ncu(operator, solution())
    timeline = await made.service.profile_timeline(operator, solution())
    report = await made.service.sanitize(operator, solution())
    for got in (profiled, timeline, report):
        assert got.tool == "unavailable"
        assert "no GPU" in (got.reason or "")
    assert not report.clean
    assert not made.pool.asked and not made.service.settings.profiles_dir.exists()


async def test_without_counters_the_torch_profiler_is_used_and_the_reason_said(bench, operator):
    made = bench(tools=machine(counters=MISSING))
    got = await made.service.profile_ncu(operator, solution(), workloads=["w8"])
    assert (got.tool, got.reason) == ("torch_profiler", "No permission. Ask for it.")
    assert made.seen == [("one", "w8")] and not made.by_ncu
    assert made.kept("torch_profiler-detailed.json")["reason"] == got.reason


async def test_a_kept_trace_is_diagnosed_without_another_run(tmp_path, subject, workload):
    store = ProfileStore(tmp_path, device_name("cuda:7"))
    folder = store.folder("timeline", subject, workload.uuid, "torch_profiler")
    timeline = WorkloadTimeline(uuid="w-1", launch_bound=True, busy_us=4, span_us=30, host_us=25)
    store.keep(folder, RECORD, CallTrace(timeline=timeline, kernels=[profile(duration_us=4.0)]))
    session = TimelineSession(None, store, 1.0)  # pyright: ignore[reportArgumentType]
    entry = await session.profile(subject, workload)
    assert entry.bottleneck is not None
    assert entry.bottleneck.bottleneck is Bottleneck.LAUNCH
    assert entry.total_us == 4.0


@pytest.mark.parametrize(("kind", "tries"), [("permission", 1), ("nothing", 2)])
async def test_only_a_refusal_that_concerns_the_machine_ends_the_use_of_counters(
    bench, operator, kind, tries
):
    made = bench()
    made.refusal = Refusal(kind, "Refused", "Change it.")
    got = await made.service.profile_ncu(operator, solution(), workloads=["w1", "w8"])
    assert len(made.by_ncu) == tries
    assert (got.tool, got.reason) == ("torch_profiler", "Refused. Change it.")
    assert [entry.uuid for entry in got.workloads] == ["w1", "w8"]


async def test_a_missing_sanitizer_is_unavailable_with_the_remedy(bench, operator):
    made = bench(tools=machine(sanitizer=MISSING))
    got = await made.service.sanitize(operator, solution())
    assert (got.tool, got.reason) == ("unavailable", "No permission. Ask for it.")
    assert not made.pool.asked


async def test_the_judge_traces_all_workloads_at_once_and_what_is_kept_is_not_traced_again(
    bench, operator, monkeypatch
):
    made = bench()

    async def keep(self, subject, workload, sm_count, capability):
        assert (sm_count, workload.file) == (132, Path("trace"))
        timeline = WorkloadTimeline(uuid=workload.uuid, axes=dict(workload.axes), kernels=1)
        folder = self.store.folder("timeline", subject, workload.uuid, "torch_profiler")
        self.store.keep(folder, RECORD, CallTrace(timeline=timeline, kernels=[]))

    monkeypatch.setattr(TimelineSession, "keep_traced", keep)
    for _ in range(2):
        found = await made.service.profile_timeline(operator, solution(), workloads=["w8", "w1"])
        assert [w.uuid for w in found.workloads] == ["w8", "w1"]
    assert made.pool.traced == [["w8", "w1"]] and not made.pool.asked


async def test_what_the_judge_could_not_trace_is_traced_in_a_run_of_its_own(
    bench, operator, monkeypatch
):
    made, alone = bench(), []

    async def nothing(self, *_):
        pass

    async def trace(self, subject, workload):
        made.look(subject, workload)
        alone.append(workload.uuid)
        return CallTrace(timeline=WorkloadTimeline(uuid=workload.uuid), kernels=[])

    monkeypatch.setattr(TimelineSession, "keep_traced", nothing)
    monkeypatch.setattr(TimelineSession, "trace", trace)
    await made.service.profile_timeline(operator, solution(), workloads=["w1", "w8"])
    assert made.pool.traced == [["w1", "w8"]] and alone == ["w1", "w8"]


async def test_a_candidate_that_fails_under_the_profiler_is_named(bench, operator, monkeypatch):
    async def fails(self, subject, workload):
        return "call: it raised"

    async def nothing(self, *_):
        pass

    made = bench()
    monkeypatch.setattr(TimelineSession, "keep_traced", nothing)
    monkeypatch.setattr(TimelineSession, "trace", fails)
    with pytest.raises(CapabilityError, match="it raised"):
        await made.service.profile_timeline(operator, solution(), workloads=["w1"])


def document(name: str = "NVIDIA H200", value: float = 4.31e12) -> dict:
    rate = {"value": value, "source": "measured"}
    return {
        "device": {"name": name, "sm_count": 132, "memory_mhz": 3201},
        "calibration": {"memory_bytes_per_s": rate, "flops": {"bf16": rate}},
    }


async def test_a_calibration_is_kept_under_its_devices_name(bench, tmp_path, monkeypatch):
    got = await calibrated(bench, tmp_path, monkeypatch, status=0)
    assert got.name == "nvidia-h200.json"
    assert with_calibration(shipped_hardware()["H200"], got.parent).calibrated.flops


async def test_figures_that_were_not_measured_again_stay(bench, tmp_path, monkeypatch):
    part = {"measured_at": "now", "seconds": 1.0, "figures": []}
    kept = document() | {"measured": {"launch": part}}
    path = await calibrated(
        bench, tmp_path, monkeypatch, status=0, what=[Microbenchmark.COPY], kept=kept
    )
    written = json.loads(path.read_text())
    assert set(parts_of(written)) == {Microbenchmark.LAUNCH}
    assert written["arguments"][-2:] == ["--what", "copy"]


async def test_a_failed_calibration_is_named_and_not_kept(bench, tmp_path, monkeypatch):
    with pytest.raises(InfrastructureError, match="ended with 3"):
        await calibrated(bench, tmp_path, monkeypatch, status=3)


async def test_without_a_gpu_there_is_nothing_to_calibrate(bench):
    with pytest.raises(CapabilityError):
        await bench("cpu").service.calibrate()


async def calibrated(
    bench,
    tmp_path: Path,
    monkeypatch,
    *,
    status: int,
    what: Sequence[Microbenchmark] = tuple(Microbenchmark),
    kept: dict | None = None,
) -> Path:
    package = tmp_path / "package"
    package.mkdir()
    (package / "scripted.py").write_text(SCRIPT.format(document=document(), status=status))
    monkeypatch.setattr(calibration_run, "PROCESS", "scripted")
    monkeypatch.setenv("PYTHONPATH", str(package))
    made = bench("cuda:0")
    settings = made.service.settings
    calibration_folder(settings).mkdir(parents=True)
    if kept is not None:
        calibration_file(settings, "NVIDIA H200").write_text(json.dumps(kept))
    return await made.service.calibrate(what=what)


def whole(name: str, *workloads: WorkloadProfile) -> Profile:
    return Profile(
        solution_name=name, content_hash=name, definition="d", tool="ncu", workloads=list(workloads)
    )


def test_profiles_are_compared_on_the_workloads_that_both_have():
    mine = whole(
        "mine",
        WorkloadProfile(uuid="a", kernels=[profile(duration_us=10)]),
        WorkloadProfile(uuid="b", kernels=[profile(duration_us=10)]),
    )
    theirs = whole("theirs", WorkloadProfile(uuid="a", kernels=[profile(duration_us=40)]))
    got = compare_profiles(mine, theirs)
    assert got.compared_to == "theirs"
    assert [(d.workload_uuid, d.figure) for d in got.differences] == [("a", "duration_us")]


def test_floors_hold_what_the_cost_model_knows():
    cost = Cost(bytes_read=3e6, bytes_written=1e6, serial_steps=8, step_us=2.0, dependent_kernels=2)
    floors = Floors(1.0, 1.2, 20.0, "memory", upper_bound=False)
    got = work_floors(cost, floors)
    assert (got.floor_us, got.limiter, got.latency_floor_us) == (1.2, "memory", 20.0)
    assert (got.bytes_moved, got.serial_us, got.dependent_kernels) == (4e6, 16.0, 2)


def test_an_over_counted_cost_gives_no_floor_and_no_bytes():
    got = work_floors(Cost(bytes_read=3e9, upper_bound=True), Floors(9, 9, 9, "memory", True))
    assert (got.floor_us, got.bytes_moved) == (None, None)


def test_an_expectation_is_held_against_no_single_input():
    got = work_floors(Cost(bytes_read=3e9, expected=True), Floors(9, 9, 9, "memory", False))
    assert (got.floor_us, got.bytes_moved) == (None, None)


def test_profiling_is_light_enough_for_the_server():
    code = (
        "import sys, kernel_harness.tools.profiling.service\n"
        "heavy = {'torch', 'numpy', 'triton', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
