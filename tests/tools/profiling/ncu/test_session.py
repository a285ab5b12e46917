"""Counters through a scripted Nsight Compute: profiles are read, kept, and refusals are values."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kernel_harness.tools.devices.environment import MachineTools, Tool
from kernel_harness.tools.messages.profiler import ReplayRun, read_message
from kernel_harness.tools.profiling.diagnosis.bottleneck import Bottleneck
from kernel_harness.tools.profiling.ncu.command import MAX_LAUNCHES, ProfileSet, Refusal
from kernel_harness.tools.profiling.ncu.session import NcuSession, groups
from kernel_harness.tools.profiling.runs.profile_store import ProfileStore
from kernel_harness.tools.profiling.runs.profiles import WorkloadProfile
from kernel_harness.tools.profiling.runs.run_files import RecordedWorkload
from kernel_harness.tools.profiling.runs.tool_run import ProfileRunner

from ..profiles import recorded_call
from ..source_pages import source_page

pytestmark = pytest.mark.anyio

SCRIPT = '''#!{python}
"""Stands in for ncu: "profiles" by writing a file, prints the pages that the test gives."""
import json, pathlib, sys
words = sys.argv
with open({log!r}, "a") as log:  # pages are printed side by side
    log.write(" ".join(words) + "\\n")
if "--import" in words:
    page = words[words.index("--page") + 1]
    print(pathlib.Path({pages!r}, page + (".csv" if "--csv" in words else ".txt")).read_text())
else:
    print({says!r})
    if {writes}:
        pathlib.Path(words[words.index("--export") + 1]).write_text("report")
    for call in map(pathlib.Path, (w for w in words if w.endswith(".json") and "call-" in w)):
        call.with_suffix(".answer.json").write_text(json.dumps({answer}))
'''
RAW = """"ID","Kernel Name","Block Size","Grid Size","gpu__time_duration.sum",\
"gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed"
"","","","","ns","%"
"0","copy","(256, 1, 1)","(1056, 1, 1)","40,000","91.5"
"""
RULES = """"ID","Kernel Name","Rule Name","Rule Type","Rule Description",\
"Estimated Speedup Type","Estimated Speedup"
"0","copy","SOLBottleneck","OPT","Memory is busy.","global","8.5"
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def bench(tmp_path: Path):
    """Builds a `NcuSession` around a scripted ncu."""
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "raw.csv").write_text(RAW)
    (pages / "details.csv").write_text(RULES)
    (pages / "details.txt").write_text("the whole report")
    tmp_path.chmod(0o755)

    def build(
        says: str = "==PROF== done",
        *,
        writes: bool = True,
        fault: str | None = None,
        profile_set: ProfileSet = ProfileSet.BASIC,
        **able: bool,
    ) -> NcuSession:
        ncu = tmp_path / "ncu"
        log = str(tmp_path / "log")
        ncu.write_text(
            SCRIPT.format(
                python=sys.executable,
                log=log,
                pages=str(pages),
                says=says,
                writes=writes,
                answer={"fault": fault},
            )
        )
        ncu.chmod(0o755)
        Path(log).touch()
        Path(log).chmod(0o666)
        found = Tool(name="ncu", found=True, path=str(ncu), version="2025.3")
        none = Tool(name="x", found=False)
        tools = MachineTools(none, found, found, none, none, none, none, **able)
        store = ProfileStore(tmp_path / "profiles", "test")
        return NcuSession(ProfileRunner("cpu"), store, tools, profile_set, 60.0)

    return build


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "log").read_text().splitlines()


def text_of(path: str | None) -> str:
    return Path(path or "").read_text()


async def test_a_report_becomes_a_profile_with_its_text_kept(bench, subject, workload):
    got = await bench().profile(subject, workload)
    assert isinstance(got, WorkloadProfile)
    assert got.bottleneck is not None
    assert got.bottleneck.bottleneck is Bottleneck.MEMORY_BANDWIDTH
    assert got.kernels[0].duration_us == pytest.approx(40.0)
    assert got.kernels[0].rules[0].speedup_percent == 8.5
    assert got.hints
    assert "the whole report" in text_of(got.report_path)
    assert got.isolation is not None


async def test_the_same_profile_is_not_made_twice(bench, subject, workload, tmp_path):
    session = bench()
    first = await session.profile(subject, workload)
    before = len(calls(tmp_path))
    second = await session.profile(subject, workload)
    assert len(calls(tmp_path)) == before
    assert isinstance(first, WorkloadProfile)
    assert isinstance(second, WorkloadProfile)
    assert second.cached
    assert second.kernels == first.kernels


async def test_a_missing_permission_is_a_refusal_with_a_remedy(bench, subject, workload):
    got = await bench("==ERROR== ERR_NVGPUCTRPERM", writes=False).profile(subject, workload)
    assert isinstance(got, Refusal)
    assert got.kind == "permission"
    assert "NVreg_RestrictProfilingToAdminUsers" in got.remedy


async def test_an_administrator_tries_once_more_with_the_right_kept(
    bench, subject, workload, tmp_path
):
    session = bench("==ERROR== ERR_NVGPUCTRPERM", writes=False, administrator=True)
    got = await session.profile(subject, workload)
    assert isinstance(got, Refusal)
    assert len(calls(tmp_path)) == 2


async def test_a_profiler_that_dies_without_words_is_a_refusal_too(bench, subject, workload):
    got = await bench("something odd", writes=False).profile(subject, workload)
    assert isinstance(got, Refusal)
    assert got.kind == "unexplained"
    assert "something odd" in got.what


async def test_nothing_is_kept_of_a_refusal(bench, subject, workload, tmp_path):
    await bench("==WARNING== No kernels were profiled.", writes=False).profile(subject, workload)
    assert not (tmp_path / "profiles").exists()


@pytest.fixture
def recorded(tmp_path: Path):
    """Builds workloads whose recorded calls have so many launches each."""

    def build(*launches: int) -> list[RecordedWorkload]:
        folder = tmp_path / "calls"
        folder.mkdir()
        files = [recorded_call(folder, number, count) for number, count in enumerate(launches)]
        return [
            RecordedWorkload(f"w{n}", {"m": n}, file, read_message(ReplayRun, file))
            for n, file in enumerate(files)
        ]

    return build


def pages_of(tmp_path: Path, launches: list[str]) -> None:
    """The pages of a report in which each launch takes ten microseconds more than the last."""
    head, units = RAW.splitlines()[:2]
    rows = [
        f'"{n}","{name}","(32, 1, 1)","(1, 1, 1)","{10_000 * (n + 1)}","50"'
        for n, name in enumerate(launches)
    ]
    shapes = "(1, 1, 1)x(32, 1, 1), Context 1, Stream 7, Device 0, CC 9.0"
    texts = [f"  {name} {shapes}\n    Section: of launch {n}\n" for n, name in enumerate(launches)]
    (tmp_path / "pages" / "raw.csv").write_text("\n".join([head, units, *rows]))
    (tmp_path / "pages" / "details.txt").write_text("[7] python\n" + "".join(texts))


async def test_recorded_calls_share_a_process_and_each_gets_its_own_launches(
    bench, subject, recorded, tmp_path
):
    session, workloads = bench(), recorded(2, 1)
    pages_of(tmp_path, ["copy", "copy", "add"])
    got = await session.profile_replays(subject, workloads)
    assert not got.reasons and got.refusal is None
    first, second = (got.profiles[w.uuid] for w in workloads)
    assert [(k.name, k.launches, k.duration_us) for k in first.kernels] == [
        ("copy", 2, pytest.approx(30.0))
    ]
    assert [(k.name, k.launches, k.duration_us) for k in second.kernels] == [
        ("add", 1, pytest.approx(30.0))
    ]
    assert first.replayed and second.replayed and first.isolation is not None
    assert "of launch 1" in text_of(first.report_path)
    assert "of launch 2" not in text_of(first.report_path)
    assert text_of(second.report_path).count("of launch") == 1
    runs = [call for call in calls(tmp_path) if "--import" not in call]
    assert len(runs) == 1 and "call-0.json" in runs[0] and "call-1.json" in runs[0]
    assert "runner.profiled.run" in runs[0]
    kept = session.kept(subject, "w1")
    assert kept is not None and kept.cached and kept.kernels == second.kernels


async def test_a_replay_that_fails_is_a_reason_and_no_profile(bench, subject, recorded):
    got = await bench(fault="DriverError: 719").profile_replays(subject, recorded(1, 1))
    assert not got.profiles and got.refusal is None
    assert all("DriverError: 719" in got.reasons[uuid] for uuid in ("w0", "w1"))


async def test_launches_that_are_not_those_recorded_are_no_profile(bench, subject, recorded):
    got = await bench().profile_replays(subject, recorded(2, 1))
    assert not got.profiles
    assert "1 of 3 launches were profiled" in got.reasons["w0"]


async def test_of_a_call_with_many_launches_the_first_are_profiled(
    bench, subject, recorded, tmp_path
):
    pages_of(tmp_path, ["copy"] * MAX_LAUNCHES)
    got = await bench().profile_replays(subject, recorded(MAX_LAUNCHES + 6))
    assert got.profiles["w0"].kernels[0].launches == MAX_LAUNCHES


async def test_a_missing_permission_ends_the_replays(bench, subject, recorded, tmp_path):
    session = bench("==ERROR== ERR_NVGPUCTRPERM", writes=False)
    got = await session.profile_replays(subject, recorded(MAX_LAUNCHES, MAX_LAUNCHES))
    assert got.refusal is not None and got.refusal.kind == "permission"
    assert len(calls(tmp_path)) == 1


def test_calls_share_a_process_while_all_their_launches_are_profiled(recorded):
    workloads = recorded(40, 24, 1, MAX_LAUNCHES + 1, 3)
    assert [[w.uuid for w in group] for group in groups(workloads)] == [
        ["w0", "w1"],
        ["w2"],
        ["w3"],
        ["w4"],
    ]


async def test_where_warps_waited_is_kept_by_kernel_beside_the_profile(
    bench, subject, recorded, tmp_path
):
    session, workloads = bench(profile_set=ProfileSet.DETAILED), recorded(2, 1)
    pages_of(tmp_path, ["copy", "copy", "add"])
    page = source_page("void copy(float *)", "void copy(float *)", "add")
    (tmp_path / "pages" / "source.csv").write_text(page)
    got = await session.profile_replays(subject, workloads)
    first = got.profiles["w0"]
    assert first.stall_samples == 400
    assert (first.stall_spots[0].kernel, first.stall_spots[0].address) == ("copy", 0x30)
    kept = session.store.samples(subject, "w0")
    assert kept is not None and [(k.name, k.launches) for k in kept.kernels] == [("copy", 2)]
    other = session.store.samples(subject, "w1")
    assert other is not None and [(k.name, k.samples) for k in other.kernels] == [("add", 200)]
    assert session.store.samples(subject, "w2") is None


async def test_a_report_without_samples_is_a_profile_all_the_same(
    bench, subject, workload, tmp_path
):
    session = bench(profile_set=ProfileSet.DETAILED)  # no page of the source: its print fails
    got = await session.profile(subject, workload)
    assert isinstance(got, WorkloadProfile)
    assert got.kernels and got.stall_spots == [] and got.stall_samples == 0
    assert session.store.samples(subject, workload.uuid) is None
    assert any("--page source --csv --print-source sass" in call for call in calls(tmp_path))


async def test_samples_of_other_launches_than_were_profiled_are_left_out(
    bench, subject, workload, tmp_path
):
    (tmp_path / "pages" / "source.csv").write_text(source_page("copy", "copy"))
    got = await bench(profile_set=ProfileSet.DETAILED).profile(subject, workload)
    assert isinstance(got, WorkloadProfile) and got.stall_samples == 0


async def test_the_basic_set_has_no_samples_to_ask_for(bench, subject, workload, tmp_path):
    await bench().profile(subject, workload)
    assert not any("--page source" in call for call in calls(tmp_path))
