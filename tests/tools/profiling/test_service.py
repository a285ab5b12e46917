"""The whole door: fallbacks are said, and comparisons cover what both ran."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from kernel_harness.tools.devices.profilers import Capability, ProfilingTool
from kernel_harness.tools.devices.roofline import Cost, Floors
from kernel_harness.tools.profiling.diagnosis.bottleneck import Bottleneck
from kernel_harness.tools.profiling.ncu.command import Refusal
from kernel_harness.tools.profiling.ncu.session import NcuSession
from kernel_harness.tools.profiling.runs.profile_store import ProfileStore, device_name
from kernel_harness.tools.profiling.runs.profiles import Profile, WorkloadProfile, compare_profiles
from kernel_harness.tools.profiling.service import Profiler, bounds_of
from kernel_harness.tools.profiling.timeline.chrome_trace import WorkloadTimeline
from kernel_harness.tools.profiling.timeline.session import RECORD, TimelineSession, Traced
from kernel_harness.tools.settings import Settings

from .profiles import profile

pytestmark = pytest.mark.anyio

MISSING = ProfilingTool(name="counters", found=False, reason="No permission.", remedy="Ask for it.")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def bare_machine() -> Capability:
    return Capability(
        ncu=MISSING,
        counters=MISSING,
        ncu_report=MISSING,
        compute_sanitizer=MISSING,
        nsys=MISSING,
        cupti=MISSING,
    )


async def test_without_a_gpu_every_result_says_so(tmp_path, subject, workload):
    profiler = Profiler(Settings(data_dir=tmp_path), "cpu")
    told = await profiler.profile_ncu(subject, [workload])
    timeline = await profiler.profile_timeline(subject, [workload])
    report = await profiler.sanitize(subject, [workload])
    for got in (told, timeline, report):
        assert got.tool == "unavailable"
        assert "no GPU" in (got.reason or "")
    assert not report.clean


async def test_without_counters_the_torch_profiler_takes_over_and_says_why(
    tmp_path, subject, workload
):
    settings = Settings(data_dir=tmp_path)
    shelf = ProfileStore(settings.profiles_dir, device_name("cuda:7"))
    folder = shelf.folder("timeline", subject, workload, "torch_profiler")
    timeline = WorkloadTimeline(uuid="w-1", launch_bound=True, busy_us=4, span_us=30, host_us=25)
    shelf.keep(folder, RECORD, Traced(timeline=timeline, kernels=[profile(duration_us=4.0)]))
    got = await Profiler(settings, "cuda:7", probe=bare_machine).profile_ncu(subject, [workload])
    assert got.tool == "torch_profiler"
    assert got.reason == "No permission. Ask for it."
    (entry,) = got.workloads
    assert entry.bottleneck is not None
    assert entry.bottleneck.bottleneck is Bottleneck.LAUNCH
    assert entry.total_us == 4.0


@pytest.mark.parametrize(("kind", "tries"), [("permission", 1), ("nothing", 2)])
async def test_only_a_refusal_that_concerns_the_machine_ends_the_use_of_counters(
    tmp_path, subject, workload, monkeypatch, kind, tries
):
    asked, second = [], replace(workload, uuid="w-2")

    async def refuse(self, subject, workload, *, force=False):
        asked.append(workload.uuid)
        return Refusal(kind, "Refused", "Mend it.")

    async def trace(self, subject, workload, *, force=False):
        return WorkloadProfile(uuid=workload.uuid, tool="torch_profiler")

    monkeypatch.setattr(NcuSession, "profile", refuse)
    monkeypatch.setattr(TimelineSession, "profile", trace)
    able = bare_machine().model_copy(update={"counters": ProfilingTool(name="c", found=True)})
    profiler = Profiler(Settings(data_dir=tmp_path), "cuda:7", probe=lambda: able)
    got = await profiler.profile_ncu(subject, [workload, second])
    assert len(asked) == tries
    assert (got.tool, got.reason) == ("torch_profiler", "Refused. Mend it.")
    assert [entry.uuid for entry in got.workloads] == ["w-1", "w-2"]


async def test_a_missing_sanitizer_is_unavailable_with_the_remedy(tmp_path, subject, workload):
    profiler = Profiler(Settings(data_dir=tmp_path), "cuda:7", probe=bare_machine)
    got = await profiler.sanitize(subject, [workload])
    assert (got.tool, got.reason) == ("unavailable", "No permission. Ask for it.")


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


def test_bounds_hold_what_the_cost_model_knows():
    cost = Cost(bytes_read=3e6, bytes_written=1e6, serial_steps=8, step_us=2.0, dependent_kernels=2)
    floors = Floors(1.0, 1.2, 20.0, "memory", upper_bound=False)
    got = bounds_of(cost, floors)
    assert (got.floor_us, got.limiter, got.latency_floor_us) == (1.2, "memory", 20.0)
    assert (got.bytes_moved, got.serial_us, got.dependent_kernels) == (4e6, 16.0, 2)


def test_an_over_counted_cost_gives_no_floor_and_no_bytes():
    got = bounds_of(Cost(bytes_read=3e9, upper_bound=True), Floors(9, 9, 9, "memory", True))
    assert (got.floor_us, got.bytes_moved) == (None, None)


def test_an_expectation_is_held_against_no_single_input():
    got = bounds_of(Cost(bytes_read=3e9, expected=True), Floors(9, 9, 9, "memory", False))
    assert (got.floor_us, got.bytes_moved) == (None, None)


def test_the_room_is_light_enough_for_the_server():
    code = (
        "import sys, kernel_harness.tools.profiling.service\n"
        "heavy = {'torch', 'numpy', 'triton', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
