"""The explaining tools, promotion and rollback through a real client."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from kernel_harness.tools.archive.promotion.events import Promotion
from kernel_harness.tools.archive.promotion.rules import PromotionDecision, RuleOutcome
from kernel_harness.tools.archive.promotion.verification import PromotionVerifier
from kernel_harness.tools.profiling.diagnosis.bottleneck import (
    Bottleneck,
    Diagnosis,
    MetricEvidence,
)
from kernel_harness.tools.profiling.diagnosis.hints import Hint
from kernel_harness.tools.profiling.diagnosis.kernel_profile import KernelProfile, Stall
from kernel_harness.tools.profiling.runs.profiles import Profile, WorkloadProfile
from kernel_harness.tools.profiling.sanitizer.findings import (
    SanitizerFinding,
    SanitizerReport,
    SanitizerTool,
    ToolRun,
)
from kernel_harness.tools.profiling.timeline.chrome_trace import (
    Gap,
    Timeline,
    TimelineEvent,
    WorkloadTimeline,
)
from kernel_harness.tools.schema.evaluation import Isolation

from ..calls import good, refused
from ..scripted import DEFINITION, ScriptedHarness, solution

pytestmark = pytest.mark.anyio
SUBJECT: dict[str, Any] = {
    "solution_name": "mine",
    "content_hash": "ab" * 32,
    "definition": DEFINITION,
}
UUID = "00000000-0000-4000-8000-000000000000"


def profile(kernels: int = 2) -> Profile:
    """One workload, limited by DRAM."""
    one = KernelProfile(
        name="k" * 900,
        share=0.5,
        duration_us=4.0,
        registers=64,
        dram_percent=81.23456,
        grid=[4, 1, 1],
        stalls=[Stall(reason="long_scoreboard", cycles=9.0, share=0.7)],
    )
    workload = WorkloadProfile(
        uuid=UUID,
        axes={"rows": 64},
        kernels=[one] * kernels,
        bottleneck=Diagnosis(
            bottleneck=Bottleneck.MEMORY_BANDWIDTH,
            level="DRAM",
            evidence=[MetricEvidence(metric="dram", value=81.2, unit="%", says="near the peak")],
        ),
        hints=[Hint(change="Read each byte once.", because="two passes", gain_percent=30.0)],
        total_us=8.0,
        isolation=Isolation(level="weaker", missing=["net"]),
    )
    return Profile(**SUBJECT, tool="ncu", workloads=[workload] * 2)


async def test_a_profile_names_the_limit_and_what_to_change(
    connect: Any, harness: ScriptedHarness
) -> None:
    harness.answers["profile_ncu"] = profile()
    async with connect() as client:
        found = await good(client, "profile_ncu", solution=solution(), workloads="0000")
    assert found["workloads"][0]["bottleneck"] == "memory_bandwidth"
    assert "limited by memory bandwidth at DRAM" in found["summary"]
    assert found["workloads"][0]["kernels"][0]["metrics"]["dram_percent"] == 81.23
    assert found["isolation"]["level"] == "weaker"
    assert harness.asked["profile_ncu"]["workloads"] == ["0000"]


async def test_a_profile_of_a_thousand_kernels_fits_a_screen(
    connect: Any, harness: ScriptedHarness
) -> None:
    harness.answers["profile_ncu"] = profile(kernels=1000)
    async with connect() as client:
        found = await good(client, "profile_ncu", solution=solution(), detail="detailed")
    assert len(json.dumps(found)) < 26_000


async def test_no_profiler_is_an_answer_with_its_reason(
    connect: Any, harness: ScriptedHarness
) -> None:
    harness.answers["profile_ncu"] = Profile(**SUBJECT, tool="unavailable", reason="no GPU here")
    async with connect() as client:
        found = await good(client, "profile_ncu", solution=solution())
    assert "no GPU here" in found["summary"] and "profile_uri" not in found


async def test_without_a_gpu_the_real_profilers_say_so(
    connect: Any, harness: ScriptedHarness
) -> None:
    async with connect() as client:
        for tool in ("profile_ncu", "profile_timeline", "sanitize"):
            found = await good(client, tool, solution=solution())
            assert found["tool"] == "unavailable" and found["reason"], tool
        for tool in ("profile_ncu", "profile_timeline"):
            said = await refused(client, tool, solution=solution(), workloads=["ffff0000"])
            assert "Unknown workload" in said


async def test_a_timeline_shows_gaps_and_whether_launching_is_the_limit(
    connect: Any, harness: ScriptedHarness
) -> None:
    events = [
        TimelineEvent(name=f"k{n}", kind="kernel", start_us=5.0 * n, duration_us=2.0)
        for n in range(200)
    ]
    traced = WorkloadTimeline(
        uuid=UUID,
        axes={"rows": 1},
        events=events,
        kernels=200,
        busy_us=400.0,
        span_us=997.0,
        gap_us=597.0,
        gaps=[Gap(after="k0", before="k1", duration_us=3.0)],
        launch_bound=True,
        why="gaps are 60 % of the span",
    )
    harness.answers["profile_timeline"] = Timeline(
        **SUBJECT, tool="torch_profiler", workloads=[traced]
    )
    async with connect() as client:
        found = await good(client, "profile_timeline", solution=solution())
    assert found["workloads"][0]["launch_bound"] is True
    assert "of 200" in found["workloads"][0]["events_shown"]
    assert "gaps are 60 %" in found["summary"]


async def test_a_sanitizer_finding_names_its_line(connect: Any, harness: ScriptedHarness) -> None:
    finding = SanitizerFinding(
        tool=SanitizerTool.MEMCHECK,
        kind="out_of_bounds",
        message="write of 4 bytes",
        file="kernel.cu",
        line=12,
    )
    run = ToolRun(
        tool=SanitizerTool.MEMCHECK, workload_uuid=UUID, status="findings", findings=[finding]
    )
    harness.answers["sanitize"] = SanitizerReport(**SUBJECT, tool="compute-sanitizer", runs=[run])
    async with connect() as client:
        found = await good(client, "sanitize", solution=solution())
    assert not found["clean"] and "kernel.cu:12" in found["summary"]


def decision(promoted: bool) -> PromotionDecision:
    """One rule, kept or broken."""
    rule = RuleOutcome("ratio_beyond_noise", promoted, 1.01, 1.02, "1.01x is within the noise")
    return PromotionDecision(
        promoted=promoted,
        rules=(rule,),
        track="timed",
        candidate_id="4f2a9c01d3be",
        definition=DEFINITION,
        gpu="H200",
        current_best=None,
        evaluations=("ev-1", "ev-2"),
    )


@pytest.mark.parametrize("promoted", [True, False])
async def test_a_promotion_shows_every_rule(
    connect: Any, harness: ScriptedHarness, promoted: bool
) -> None:
    harness.answers["promote_candidate"] = decision(promoted)
    async with connect() as client:
        found = await good(client, "promote_candidate", candidate_id="4f2a9c01d3be")
    assert found["status"] == ("promoted" if promoted else "refused")
    assert found["rules"][0]["number"] == 1.01
    assert "within the noise" in found["summary"]


async def test_a_long_promotion_answers_running_and_is_joined_by_the_same_call(
    connect: Any, harness: ScriptedHarness
) -> None:
    harness.answers["promote_candidate"] = decision(True)
    harness.hold = anyio.Event()
    async with connect() as client:
        first = await good(client, "promote_candidate", candidate_id="4f2a", wait_s=0)
        assert first["status"] == "RUNNING"
        harness.hold.set()
        second = await good(client, "promote_candidate", candidate_id="4f2a")
    assert second["status"] == "promoted"
    assert harness.calls["promote_candidate"] == 1


async def test_a_cancelled_promotion_stops_and_can_be_asked_for_again(
    connect: Any, harness: ScriptedHarness
) -> None:
    harness.answers["promote_candidate"] = decision(True)
    harness.hold, harness.begun, harness.cancelled = anyio.Event(), anyio.Event(), anyio.Event()
    async with connect() as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "promote_candidate", {"candidate_id": "4f2a"})
            await harness.begun.wait()
            group.cancel_scope.cancel()
        with anyio.fail_after(60):
            await harness.cancelled.wait()
        harness.hold = None
        again = await good(client, "promote_candidate", candidate_id="4f2a")
    assert again["status"] == "promoted"


async def test_a_candidate_that_is_not_there_is_not_promoted(connect: Any) -> None:
    async with connect() as client:
        said = await refused(client, "promote_candidate", candidate_id="4f2a9c01d3be")
    assert "4f2a9c01d3be" in said


async def test_rolling_back_what_was_never_promoted_is_refused(connect: Any) -> None:
    async with connect() as client:
        said = await refused(
            client, "rollback_promotion", definition=DEFINITION, reason="it was wrong"
        )
        short = await refused(client, "rollback_promotion", definition=DEFINITION, reason="bad")
    assert "romoted" in said
    assert "'reason'" in short


async def test_a_rollback_names_what_is_the_best_now(
    connect: Any, harness: ScriptedHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = f"rollback/{DEFINITION}/H200/2"
    rolled = Promotion(tag, 2, "c" * 40, "best", None, "Back to cccccccccccc")
    asked: list[tuple[Any, ...]] = []

    def rollback(_: PromotionVerifier, *given: Any) -> Promotion:
        asked.append(given)
        return rolled

    monkeypatch.setattr(PromotionVerifier, "rollback", rollback)
    async with connect() as client:
        said = await refused(client, "rollback_promotion", definition="rmsnorm", reason="bad")
        found = await good(
            client, "rollback_promotion", definition="rmsnorm", reason="reads past seq_len"
        )
    assert "reason" in said and asked == [("rmsnorm", "reads past seq_len", None)]
    assert (found["tag"], found["commit"]) == (tag, "c" * 40)
    assert found["summary"].startswith("Back to cccccccccccc")


async def test_a_profiles_address_leads_to_the_whole_of_it(
    connect: Any, harness: ScriptedHarness
) -> None:
    harness.answers["profile_ncu"] = kept = profile()
    folder = harness.settings.profiles_dir / SUBJECT["content_hash"]
    folder.mkdir(parents=True)
    (folder / "ncu-detailed.json").write_text(kept.model_dump_json(), encoding="utf-8")
    async with connect() as client:
        found = await good(client, "profile_ncu", solution=solution())
        report = await good(client, "read_report", uri=found["profile_uri"])
    assert report["sections"] == ["ncu-detailed.json"] and "k" * 900 in report["text"]


async def test_what_was_not_profiled_is_not_kept_as_a_profile(
    connect: Any, harness: ScriptedHarness
) -> None:
    async with connect() as client:
        await good(client, "profile_ncu", solution=solution())
    assert not list(harness.settings.profiles_dir.rglob("*.json"))
