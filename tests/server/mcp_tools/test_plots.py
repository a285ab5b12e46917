"""The plotting tools through a real client, in both eras."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from mcp import Client

from kernel_harness.tools.devices.roofline import Cost
from kernel_harness.tools.schema.evaluation import (
    DeviceInfo,
    Evidence,
    Executor,
    Scope,
    Stage,
    Status,
    WorkloadResult,
)
from kernel_harness.tools.schema.measurement import Measurement
from kernel_harness.tools.workloads.operators import Operator

from ..calls import good, refused
from ..scripted import DEFINITION, ScriptedHarness, solution

pytestmark = pytest.mark.anyio
H200 = DeviceInfo(name="NVIDIA H200", executor=Executor.CUDA, sm_count=132)


def timed(asked: Any) -> dict[str, Any]:
    """A pass with a latency, on a device whose rates are known."""
    results = [
        WorkloadResult(
            uuid=f"{number:08x}-0000-4000-8000-000000000000",
            axes={"rows": 4**number},
            status=Status.PASSED,
            measurement=Measurement(timer="cupti", cold_ns=[4_000 + 1_000 * number] * 10),
            floors_us={"device": 2.0, "B200": 1.5},
        )
        for number in range(5)
    ]
    return {
        "status": Status.PASSED,
        "stage": Stage.DONE,
        "scope": Scope.FULL,
        "workloads": results,
        "evidence": Evidence(started_at="2026-11-20T22:15:30+00:00", device=H200),
    }


async def picture(client: Client, tool: str, **arguments: Any) -> bytes:
    """The one image of a call, which has nothing beside it."""
    drawn = await client.call_tool(tool, arguments)
    assert not drawn.is_error and drawn.structured_content is None
    (block,) = drawn.content
    assert block.type == "image" and block.mime_type == "image/png"
    return base64.b64decode(block.data)


async def test_floors_are_drawn_of_a_timed_evaluation_only(
    connect: Any, harness: ScriptedHarness
) -> None:
    async with connect() as client:
        plain = await good(client, "evaluate_kernel", solution=solution())
        said = await refused(client, "plot_floors", evaluation_id=plain["evaluation_id"])
        harness.verdict = timed
        verdict = await good(client, "evaluate_kernel", solution=solution("two"), force=True)
        identity = verdict["evaluation_id"]
        drawn = await picture(client, "plot_floors", evaluation_id=identity)
        target = await picture(client, "plot_floors", evaluation_id=identity, device="B200")
        unknown = await refused(client, "plot_floors", evaluation_id=identity, device="B300")
    assert "GPU" in said
    assert drawn.startswith(b"\x89PNG") and target != drawn
    assert "B200" in unknown


async def test_a_roofline_is_drawn_of_the_archived_candidates(
    connect: Any, harness: ScriptedHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost = Cost(bytes_read=4e6, bytes_written=4e6, flops={"bf16": 1e8})
    monkeypatch.setattr(Operator, "expected_cost", lambda *_, **__: cost)
    harness.verdict = timed
    mine = solution()
    async with connect() as client:
        nothing = await refused(client, "plot_roofline", definition=DEFINITION)
        verdict = await good(client, "evaluate_kernel", solution=mine)
        await good(
            client,
            "archive_candidate",
            solution=mine,
            evaluation_id=verdict["evaluation_id"],
            hypothesis="identity is fast",
        )
        drawn = await picture(client, "plot_roofline", definition="rmsnorm")
        again = await good(client, "evaluate_kernel", solution=solution("two"))
        await good(
            client,
            "archive_candidate",
            solution=solution("two"),
            evaluation_id=again["evaluation_id"],
            hypothesis="another name is as fast",
        )
        both = await picture(client, "plot_roofline", definition="rmsnorm")
        elsewhere = await refused(client, "plot_roofline", definition="rmsnorm", gpu="B200")
    assert "archive_candidate" in nothing and "B200" in elsewhere
    assert drawn.startswith(b"\x89PNG") and both != drawn


@pytest.mark.parametrize("connect", ["legacy", "auto"], indirect=True)
async def test_the_course_of_a_search_is_drawn_over_and_up_as_asked(
    connect: Any, harness: ScriptedHarness
) -> None:
    harness.verdict = timed
    mine = solution()
    async with connect() as client:
        nothing = await refused(client, "plot_progress", definition=DEFINITION)
        verdict = await good(client, "evaluate_kernel", solution=mine)
        identity = verdict["evaluation_id"]
        await good(
            client, "archive_candidate", solution=mine, evaluation_id=identity, hypothesis="Fast."
        )
        drawn = await picture(client, "plot_progress", definition="rmsnorm")
        spent = await picture(client, "plot_progress", definition="rmsnorm", over="gpu_seconds")
        elsewhere = await refused(client, "plot_progress", definition="rmsnorm", gpu="B200")
        other = await refused(client, "plot_progress", definition="rmsnorm", over="weeks")
    assert "archive_candidate" in nothing and "B200" in elsewhere and "wall_time" in other
    assert drawn.startswith(b"\x89PNG") and spent != drawn


async def test_work_without_operations_has_no_roofline(
    connect: Any, harness: ScriptedHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Operator, "expected_cost", lambda *_, **__: Cost(bytes_read=4e6, bytes_written=4e6)
    )
    harness.verdict = timed
    mine = solution()
    async with connect() as client:
        verdict = await good(client, "evaluate_kernel", solution=mine)
        await good(
            client,
            "archive_candidate",
            solution=mine,
            evaluation_id=verdict["evaluation_id"],
            hypothesis="identity is fast",
        )
        said = await refused(client, "plot_roofline", definition=DEFINITION)
    assert "plot_floors" in said
