"""A real Harness with a device whose times follow from a program's text: no GPU, no sleeping."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from kernel_harness.tools.messages.judge import Ready
from kernel_harness.tools.progress import ignore_progress
from kernel_harness.tools.schema.evaluation import (
    DeviceInfo,
    Evidence,
    Executor,
    Failure,
    Stage,
    StaticCheck,
    StaticKernel,
    Status,
    WorkloadResult,
)
from kernel_harness.tools.schema.measurement import Measurement, TimeSource
from tests.server.scripted import ScriptedHarness

H200 = DeviceInfo(name="NVIDIA H200", executor=Executor.CUDA, sm_count=132)
SOURCE = """\
import triton
import triton.language as tl


@triton.jit
def _scale(x_ptr, y_ptr, weight_ptr, BLOCK: tl.constexpr, SPLIT: tl.constexpr):
    row = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * 128 + lane)
    weight = tl.load(weight_ptr + lane)
    tl.store(y_ptr + row * 128 + lane, x * weight)


def run(x, weight, y):
    block, split = 32, 1
    _scale[(x.shape[0], split)](x, y, weight, BLOCK=block, SPLIT=split, num_warps=4)
"""
"""A program with a tile, a split, warps and three accesses."""

ROWS = (1, 4, 16, 64, 256)
Microseconds = Callable[[str, int], float | None]
"""Takes a program's text and a number of rows; None: the program is wrong."""


def number(text: str, name: str, without: int) -> int:
    found = re.search(rf"\b{name}=(\d+)", text)
    return int(found[1]) if found else without


def tile(text: str) -> tuple[int, int]:
    """The block and the split of a program that was edited from SOURCE."""
    found = re.search(r"block, split = (\d+), (\d+)", text)
    assert found is not None, text
    return int(found[1]), int(found[2])


def microseconds(text: str, rows: int) -> float | None:
    """Fastest at 8 by 4 with one warp on few rows, at 16 by 4 with two on many; streaming stores
    gain 4 %. A block of more than 64 is wrong."""
    block, split = tile(text)
    if block > 64:
        return None
    best = 8 if rows <= 4 else 16
    off = abs(block.bit_length() - best.bit_length()) + abs(split.bit_length() - 3)
    off += abs(number(text, "num_warps", 4).bit_length() - (1 if rows <= 4 else 2))
    stores = re.search(r"tl\.store\(.*evict_first", text) is not None
    return (2.0 + rows / 16) * (1 + 0.15 * off) * (0.96 if stores else 1.0)


def verdict_of(times: Microseconds) -> Callable[[Any], dict[str, Any]]:
    """The judge's part of a record, by what a program's text would take."""

    def verdict(plan: Any) -> dict[str, Any]:
        sources = {s["path"]: s["content"] for s in plan.solution["sources"]}
        if not plan.checks.execute:
            kernel = StaticKernel(name="_scale", target="sm_90", registers=32, threads=128)
            check = StaticCheck(status="built", kernels=[kernel])
            return {"status": Status.COMPILED, "stage": Stage.DONE, "static": check}
        evidence = Evidence(
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            device=H200,
            command=plan.command,
            seconds={"total": 2.0, "candidate_build": 0.5},
        )
        results = []
        for planned in plan.workloads:
            rows = planned.workload["axes"]["rows"]
            us = times(run_at(sources, rows), rows)
            if us is None:
                failure = Failure(
                    stage=Stage.CORRECTNESS,
                    kind="wrong_values",
                    message="40 of 128 elements differ",
                    remedy="Look at the last tile.",
                )
                status = Status.INCORRECT_NUMERICAL
                return {
                    "status": status,
                    "stage": Stage.CORRECTNESS,
                    "failure": failure,
                    "evidence": evidence,
                }
            results.append(_timed(plan, planned, rows, us))
        return {
            "status": Status.PASSED,
            "stage": Stage.DONE,
            "workloads": results,
            "evidence": evidence,
        }

    return verdict


def run_at(sources: Mapping[str, str], rows: int) -> str:
    """The text of the program that a solution runs at a size: of a dispatch the part it chooses."""
    entry = next((text for text in sources.values() if "Calls the candidate" in text), None)
    if entry is None:
        return "\n".join(sources.values())
    chosen = ""
    for least, part in re.findall(r"(?:if size <= (\d+):\s*)?return (part_\d+)\(", entry):
        if not least or rows <= int(least):
            chosen = part
            break
    inner = {path.removeprefix(chosen): text for path, text in sources.items() if chosen in path}
    return run_at(inner, rows)


def _timed(plan: Any, planned: Any, rows: int, us: float) -> WorkloadResult:
    clock = TimeSource.SEALED if plan.sealed_clock else TimeSource.CLAIMED
    measurement = Measurement(timer="cupti", cold_ns=[round(1_000 * us)] * 10, clock=clock)
    return WorkloadResult(
        uuid=planned.uuid,
        axes={"rows": rows},
        status=Status.PASSED,
        measurement=measurement,
        regime=planned.regime,
        weight=planned.weight,
    )


class CompilingJudge:
    """Answers plans that only compile, by the harness's verdict."""

    ready = Ready(device={"compute_capability": "9.0"}, versions={}, isolation={}, seconds=0.0)

    def __init__(self, harness: ScriptedHarness) -> None:
        self._harness, self._plans = harness, list[Any]()

    async def send(self, plan: Any) -> None:
        self._plans.append(plan)

    async def read(self) -> Any:
        return await self._harness._judged("cpu", self._plans.pop(0), ignore_progress)


def on_device(harness: ScriptedHarness, times: Microseconds = microseconds) -> ScriptedHarness:
    """The harness with the scripted device."""

    @contextlib.asynccontextmanager
    async def judge_of(*given: Any) -> AsyncIterator[CompilingJudge]:
        yield CompilingJudge(harness)

    report = harness.check_environment

    def check_environment(*given: Any) -> Any:
        return report(*given).model_copy(update={"executor": Executor.CUDA})

    scripted: Any = harness
    scripted.check_environment = check_environment
    scripted.pool.judge_of = judge_of
    harness.evaluations.executor = Executor.CUDA
    harness.verdict = verdict_of(times)
    return harness


def mean_us(*texts: str) -> float:
    """The time over all sizes of a program, or of the best of several at each."""
    best = [min(filter(None, (microseconds(t, rows) for t in texts))) for rows in ROWS]
    return sum(best) / len(best)
