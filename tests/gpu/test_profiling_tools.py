"""On a GPU: the profiling tools end to end, on a shipped operator, with the seconds of each step.

pytest tests/gpu/test_profiling_tools.py -m gpu -s
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.evaluation.judge_pool import JudgePool
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.profiling.runs.profiles import NCU, Profile, WorkloadProfile
from kernel_harness.tools.profiling.runs.tool_run import ProfileRunner
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.operators import Operator

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.alone,
    pytest.mark.process,
    pytest.mark.anyio,
    pytest.mark.timeout(300),
]
DECODE = "gdn_decode_qk4_v8_d128_k_last"
SOLUTION = "triton_split_v"
NCU_S = 8.0
SANITIZE_S = 8.0
TIMELINE_S = 4.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Steps:
    """Seconds from the start at which something was said or ended."""

    began: float = field(default_factory=time.monotonic)
    lines: list[str] = field(default_factory=list)

    def note(self, words: str) -> None:
        self.lines.append(f"{time.monotonic() - self.began:7.2f} s  {words}")

    async def progress(self, done: float, total: float, message: str) -> None:
        self.note(message)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


@pytest.fixture
def steps(monkeypatch, capsys):
    """Notes every command that a tool runs and every recording of the judge's; prints them."""
    found = Steps()
    execute, ask = ProfileRunner.execute, JudgePool.ask

    async def executed(self, command, **options) -> Any:
        done = await execute(self, command, **options)
        words = [Path(word).name for word in command[:1]] + [w for w in command if "page" in w]
        page = command[command.index("--page") + 1] if "--page" in command else ""
        found.note(f"ended after {done.seconds:.2f} s: {' '.join(words)} {page}")
        return done

    async def asked(self, device, request, kind, progress) -> Any:
        answer = await ask(self, device, request, kind, progress)
        found.note(f"the judge answered: {answer.model_dump(exclude_defaults=True)}")
        return answer

    monkeypatch.setattr(ProfileRunner, "execute", executed)
    monkeypatch.setattr(JudgePool, "ask", asked)
    yield found
    with capsys.disabled():
        print("\n" + "\n".join(found.lines))  # noqa: T201


@contextlib.asynccontextmanager
async def harness_in(folder: Path, **settings: Any) -> AsyncIterator[Harness]:
    harness = Harness.open(load_settings({"data_dir": str(folder), "device": "cuda:0", **settings}))
    try:
        await harness.pool.warm(harness.device)
        tools = harness.profiling.find_tools()
        if not tools.counters.found:
            pytest.skip(f"{tools.counters.reason} {tools.counters.remedy}")
        yield harness
    finally:
        await harness.aclose()


def two_workloads(operator: Operator) -> list[str]:
    ordered = sorted(operator.workloads, key=lambda w: w.axes["batch_size"])
    return [ordered[0].uuid, ordered[-1].uuid]


def text_of(workload: WorkloadProfile) -> str:
    return Path(workload.report_path or "").read_text()


async def profiled(harness: Harness, steps: Steps) -> tuple[Profile, float]:
    operator = harness.dataset.operator(DECODE)
    solution = harness.lookup.solution(operator, SOLUTION)
    begin = steps.seconds
    profile = await harness.profiling.profile_ncu(
        operator, solution, workloads=two_workloads(operator), progress=steps.progress
    )
    spent = steps.seconds - begin
    steps.note(f"profile_ncu of two workloads: {spent:.2f} s")
    for workload in profile.workloads:
        steps.note(
            f"{workload.axes} replayed {workload.replayed} {workload.not_replayed or ''} "
            f"{[(k.name[:60], k.launches, k.duration_us) for k in workload.kernels]}"
        )
    return profile, spent


async def test_two_workloads_are_profiled_by_their_replays_within_eight_seconds(tmp_path, steps):
    async with harness_in(tmp_path) as harness:
        found, spent = await profiled(harness, steps)
    assert found.tool == NCU, found.reason
    assert [w.failure for w in found.workloads] == [None, None]
    assert all(w.replayed for w in found.workloads), [w.not_replayed for w in found.workloads]
    assert all(w.bottleneck is not None and w.hints for w in found.workloads)
    texts = [text_of(workload) for workload in found.workloads]
    assert all("Section: " in text for text in texts) and texts[0] != texts[1]
    assert spent <= NCU_S


async def test_a_replay_has_the_figures_of_the_call_itself(tmp_path, steps):
    async with harness_in(tmp_path / "replay") as harness:
        replays, _ = await profiled(harness, steps)
    async with harness_in(tmp_path / "call", sealed_clock="off") as harness:
        calls, _ = await profiled(harness, steps)
    for mine, theirs in zip(replays.workloads, calls.workloads, strict=True):
        assert (mine.replayed, theirs.replayed) == (True, False)
        assert theirs.not_replayed == "the setting sealed_clock is off"
        assert [k.name for k in mine.kernels] == [k.name for k in theirs.kernels]
        for one, other in zip(mine.kernels, theirs.kernels, strict=True):
            assert (one.launches, one.grid, one.block) == (other.launches, other.grid, other.block)
            assert (one.registers, one.shared_bytes) == (other.registers, other.shared_bytes)
            assert one.duration_us == pytest.approx(other.duration_us, rel=0.15)
            assert one.dram_bytes == pytest.approx(other.dram_bytes, rel=0.15)
            assert one.instructions == pytest.approx(other.instructions, rel=0.02)


async def test_all_sanitizers_of_a_candidate_end_within_eight_seconds(tmp_path, steps):
    async with harness_in(tmp_path) as harness:
        if not harness.profiling.find_tools().compute_sanitizer.found:
            pytest.skip("compute-sanitizer is missing")
        operator = harness.dataset.operator(DECODE)
        solution = harness.lookup.solution(operator, SOLUTION)
        begin = steps.seconds
        report = await harness.profiling.sanitize(operator, solution, progress=steps.progress)
        spent = steps.seconds - begin
    steps.note(f"sanitize: {spent:.2f} s, each {[(r.tool.value, r.seconds) for r in report.runs]}")
    assert report.clean, report
    assert spent <= SANITIZE_S


async def test_a_timeline_of_two_workloads_is_there_within_four_seconds(tmp_path, steps):
    async with harness_in(tmp_path) as harness:
        operator = harness.dataset.operator(DECODE)
        solution = harness.lookup.solution(operator, SOLUTION)
        begin = steps.seconds
        found = await harness.profiling.profile_timeline(
            operator, solution, workloads=two_workloads(operator), progress=steps.progress
        )
        spent = steps.seconds - begin
    steps.note(f"profile_timeline of two workloads: {spent:.2f} s")
    for workload in found.workloads:
        kernels = [(e.name[:60], e.duration_us) for e in workload.events]
        steps.note(f"{workload.axes} host {workload.host_us} busy {workload.busy_us} {kernels}")
        assert workload.kernels >= 1 and workload.busy_us > 1
        assert workload.host_us is not None and workload.host_us > 1
        assert workload.host_calls, "launches are seen on the host, too"
    assert spent <= TIMELINE_S
