"""A workspace that chooses by size between archived candidates, through a real client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from kernel_harness.tools.schema.evaluation import (
    DeviceInfo,
    Evidence,
    Executor,
    Scope,
    Stage,
    Status,
    WorkloadResult,
)
from kernel_harness.tools.schema.measurement import Measurement, TimeSource

from ..calls import good, refused
from ..scripted import DEFINITION, ScriptedHarness, solution

pytestmark = pytest.mark.anyio
H200 = DeviceInfo(name="NVIDIA H200", executor=Executor.CUDA, sm_count=132)


def took(*nanoseconds: int) -> Any:
    """A verdict with these times at 1, 4, 16, 64 and 256 rows."""

    def verdict(asked: Any) -> dict[str, Any]:
        results = [
            WorkloadResult(
                uuid=f"{number:08x}-0000-4000-8000-000000000000",
                axes={"rows": 4**number},
                status=Status.PASSED,
                measurement=Measurement(
                    timer="cupti", cold_ns=[time] * 10, clock=TimeSource.SEALED
                ),
            )
            for number, time in enumerate(nanoseconds)
        ]
        return {
            "status": Status.PASSED,
            "stage": Stage.DONE,
            "scope": Scope.FULL,
            "workloads": results,
            "evidence": Evidence(started_at="2026-11-20T22:15:30+00:00", device=H200),
        }

    return verdict


async def archived(client: Client, mine: dict[str, Any]) -> str:
    """Evaluates and archives a solution; returns its candidate's id."""
    verdict = await good(client, "evaluate_kernel", solution=mine, scope="full")
    kept = await good(
        client,
        "archive_candidate",
        solution=mine,
        evaluation_id=verdict["evaluation_id"],
        hypothesis="It fits some sizes.",
    )
    return kept["candidate_id"]


async def test_a_workspace_can_start_from_the_child_of_the_record_holders(
    connect: Any, harness: ScriptedHarness
) -> None:
    async with connect() as client:
        nothing = await refused(
            client, "open_workspace", definition=DEFINITION, start_from="dispatch"
        )
        harness.verdict = took(1_000, 1_000, 9_000, 30_000, 90_000)
        small = await archived(client, solution("small", "return x + 0"))
        alone = await refused(
            client, "open_workspace", definition=DEFINITION, start_from="dispatch"
        )
        harness.verdict = took(30_000, 30_000, 9_000, 20_000, 40_000)
        large = await archived(client, solution("large", "return x * 1"))
        opened = await good(
            client, "open_workspace", definition=DEFINITION, start_from="dispatch", name="both"
        )
    assert "was timed" in nothing and "fastest at every size" in alone
    main = (Path(opened["workspace"]) / "main.py").read_text("utf-8")
    assert small in main and large in main
    # At 16 rows they are equally fast, and the one that is the best over all keeps the record.
    assert "if size <= 8:" in main
    assert "x + 0" in (Path(opened["workspace"]) / "part_2.py").read_text("utf-8")
