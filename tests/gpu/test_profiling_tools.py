"""On a GPU: the profiling tools end to end, on a shipped operator.

Their seconds are measured by benchmarks/profiling_tools.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.harness import Harness
from kernel_harness.tools.profiling.code.findings import waits_of
from kernel_harness.tools.profiling.runs.profiles import NCU, Profile, WorkloadProfile
from kernel_harness.tools.progress import ignore_progress
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


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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


async def profiled(harness: Harness) -> Profile:
    operator = harness.dataset.operator(DECODE)
    solution = harness.lookup.solution(operator, SOLUTION)
    return await harness.profiling.profile_ncu(
        operator, solution, workloads=two_workloads(operator)
    )


async def test_two_workloads_are_profiled_by_their_replays(tmp_path):
    async with harness_in(tmp_path) as harness:
        found = await profiled(harness)
    assert found.tool == NCU, found.reason
    assert [w.failure for w in found.workloads] == [None, None]
    assert all(w.replayed for w in found.workloads), [w.not_replayed for w in found.workloads]
    assert all(w.bottleneck is not None and w.hints for w in found.workloads)
    texts = [text_of(workload) for workload in found.workloads]
    assert all("Section: " in text for text in texts) and texts[0] != texts[1]


async def test_a_replay_has_the_figures_of_the_call_itself(tmp_path):
    async with harness_in(tmp_path / "replay") as harness:
        replays = await profiled(harness)
    async with harness_in(tmp_path / "call", sealed_clock="off") as harness:
        calls = await profiled(harness)
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


async def test_all_sanitizers_find_a_shipped_candidate_clean(tmp_path):
    async with harness_in(tmp_path) as harness:
        if not harness.profiling.find_tools().compute_sanitizer.found:
            pytest.skip("compute-sanitizer is missing")
        operator = harness.dataset.operator(DECODE)
        solution = harness.lookup.solution(operator, SOLUTION)
        report = await harness.profiling.sanitize(operator, solution)
    assert report.clean, report


async def test_a_timeline_of_two_workloads_has_both_halves(tmp_path):
    async with harness_in(tmp_path) as harness:
        operator = harness.dataset.operator(DECODE)
        solution = harness.lookup.solution(operator, SOLUTION)
        found = await harness.profiling.profile_timeline(
            operator, solution, workloads=two_workloads(operator)
        )
    for workload in found.workloads:
        assert workload.kernels >= 1 and workload.busy_us > 1
        assert workload.host_us is not None and workload.host_us > 1
        assert workload.host_calls, "launches are seen on the host, too"


async def test_stalls_of_a_replay_stand_beside_the_code_that_is_compiled(tmp_path):
    async with harness_in(tmp_path) as harness:
        found = await profiled(harness)
        operator = harness.dataset.operator(DECODE)
        solution = harness.lookup.solution(operator, SOLUTION)
        largest = found.workloads[1]
        code = await harness.code.compiled(
            operator, solution, ignore_progress, workload=largest.uuid
        )
    assert largest.stall_samples > 100 and largest.stall_spots, largest
    (kernel,) = [one for one in code.kernels if one.samples is not None]
    assert kernel.sampled_on == largest.uuid
    assert kernel.samples is not None
    waits = waits_of(kernel.sass, kernel.samples, 5)
    # Some are in what the compiler's library brings in, a sum for instance.
    assert waits[0].place.startswith("kernel.py:") and all(".py:" in w.place for w in waits), waits
    assert sum(line.share for line in waits) > 0.3
    assert any(" % " in line for line in kernel.lines("sass"))
