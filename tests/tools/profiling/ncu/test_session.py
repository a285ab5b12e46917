"""Counters through a scripted Nsight Compute: profiles are read, kept, and refusals are values."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kernel_harness.tools.devices.environment import MachineTools, Tool
from kernel_harness.tools.profiling.diagnosis.bottleneck import Bottleneck
from kernel_harness.tools.profiling.ncu.command import ProfileSet, Refusal
from kernel_harness.tools.profiling.ncu.session import NcuSession
from kernel_harness.tools.profiling.runs.profile_store import ProfileStore
from kernel_harness.tools.profiling.runs.profiles import WorkloadProfile
from kernel_harness.tools.profiling.runs.tool_run import ProfileRunner

pytestmark = pytest.mark.anyio

SCRIPT = '''#!{python}
"""Stands in for ncu: "profiles" by writing a file, prints the pages that the test gives."""
import json, pathlib, sys
words = sys.argv
log = pathlib.Path({log!r})
log.write_text(log.read_text() + " ".join(words) + "\\n")
if "--import" in words:
    page = words[words.index("--page") + 1]
    print(pathlib.Path({pages!r}, page + (".csv" if "--csv" in words else ".txt")).read_text())
else:
    print({says!r})
    if {writes}:
        pathlib.Path(words[words.index("--export") + 1]).write_text("report")
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

    def build(says: str = "==PROF== done", *, writes: bool = True, **able: bool) -> NcuSession:
        ncu = tmp_path / "ncu"
        log = str(tmp_path / "log")
        ncu.write_text(
            SCRIPT.format(
                python=sys.executable, log=log, pages=str(pages), says=says, writes=writes
            )
        )
        ncu.chmod(0o755)
        Path(log).touch()
        Path(log).chmod(0o666)
        found = Tool(name="ncu", found=True, path=str(ncu), version="2025.3")
        none = Tool(name="x", found=False)
        tools = MachineTools(none, found, found, none, none, none, none, **able)
        store = ProfileStore(tmp_path / "profiles", "test")
        return NcuSession(ProfileRunner("cpu"), store, tools, ProfileSet.BASIC, 60.0)

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
