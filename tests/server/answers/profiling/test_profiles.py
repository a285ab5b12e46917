"""Answers on profiles, timelines and sanitizers, made of records without a server."""

from __future__ import annotations

from typing import Any

from kernel_harness.server.answers.profiling.profiles import (
    profile_answer,
    sanitizer_answer,
    timeline_answer,
)
from kernel_harness.server.answers.text import BUDGET_CHARACTERS
from kernel_harness.tools.profiling.diagnosis.kernel_profile import KernelProfile
from kernel_harness.tools.profiling.diagnosis.stall_samples import StallSpot
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

SUBJECT: dict[str, Any] = {"solution_name": "mine", "content_hash": "ab" * 32, "definition": "d"}


def profiled(*workloads: WorkloadProfile, tool: str = "ncu", reason: str | None = None) -> Profile:
    return Profile(**SUBJECT, tool=tool, reason=reason, workloads=list(workloads))


def test_figures_are_rounded_and_lists_are_sizes():
    kernel = KernelProfile(name="k", dram_percent=81.234567, grid=[4, 2, 1], registers=64)
    answer = profile_answer(profiled(WorkloadProfile(uuid="w", kernels=[kernel])), "concise")
    metrics = answer.workloads[0].kernels[0].metrics
    assert metrics == {"dram_percent": 81.23, "grid": "4x2x1", "registers": 64}


def test_whether_launches_were_replayed_is_told_and_why_they_were_not():
    replayed = WorkloadProfile(uuid="0123456789", total_us=3.0, replayed=True)
    called = WorkloadProfile(uuid="abcdef0123", total_us=3.0, not_replayed="it waits")
    answer = profile_answer(profiled(replayed, called), "concise")
    assert [w.replayed for w in answer.workloads] == [True, False]
    assert answer.workloads[1].not_replayed == "it waits"
    assert "3 µs replayed" in answer.summary and "Not replayed: it waits." in answer.summary


def test_where_most_warps_waited_is_told_by_address_as_show_code_takes_it():
    spot = StallSpot(
        kernel="k", address=0x490, opcode="LDG.E", share=0.381, reason="long_scoreboard"
    )
    sampled = WorkloadProfile(uuid="0123456789", stall_spots=[spot], stall_samples=4812)
    words = profile_answer(profiled(sampled, WorkloadProfile(uuid="a")), "concise").summary
    assert "0x490 LDG.E (38 %, long_scoreboard) of 4812 samples" in words
    assert words.count("waited") == 1


def test_how_the_profiled_process_was_confined_is_told_once():
    weak = Isolation(level="weaker", granted=["userns"], missing=["net"])
    bare, confined = WorkloadProfile(uuid="a"), WorkloadProfile(uuid="b", isolation=weak)
    part = profile_answer(profiled(bare, confined), "concise").isolation
    assert part is not None and (part.level, part.missing) == ("weaker", ["net"])
    assert profile_answer(profiled(bare), "concise").isolation is None


def test_without_a_profile_the_reason_is_told_and_nothing_is_linked():
    answer = profile_answer(profiled(tool="unavailable", reason="ncu is missing"), "concise")
    assert "ncu is missing" in answer.summary and answer.profile_uri is None


def test_a_workload_that_could_not_be_profiled_says_why():
    failed = WorkloadProfile(uuid="0123456789", axes={"m": 4}, failure="it crashed")
    answer = profile_answer(profiled(failed), "concise")
    assert "0123456789 m=4: not profiled: it crashed" in answer.summary


def test_a_long_timeline_shows_its_longest_gaps_and_counts_what_it_leaves_out():
    events = [
        TimelineEvent(name="k" * 300, kind="kernel", start_us=float(n), duration_us=0.5)
        for n in range(90)
    ]
    gaps = [Gap(after="a", before="b", duration_us=float(n)) for n in range(9)]
    traced = WorkloadTimeline(
        uuid="w",
        axes={},
        events=events,
        dropped_events=10,
        kernels=100,
        busy_us=50.0,
        span_us=100.0,
        gap_us=50.0,
        gaps=gaps,
        launch_bound=True,
        why="half of the span is gaps",
    )
    answer = timeline_answer(
        Timeline(**SUBJECT, tool="torch_profiler", workloads=[traced]), "detailed"
    )
    shown = answer.workloads[0]
    assert "of 100" in (shown.events_shown or "") and len(shown.events) < 90
    assert [gap.duration_us for gap in shown.gaps] == [8.0, 7.0, 6.0, 5.0, 4.0]
    assert "half of the span is gaps" in answer.summary
    assert len(answer.model_dump_json().encode()) <= BUDGET_CHARACTERS


def report(status: str, *findings: SanitizerFinding, reason: str | None = None) -> SanitizerReport:
    run = ToolRun(
        tool=SanitizerTool.MEMCHECK,
        workload_uuid="w",
        status=status,
        findings=list(findings),
        reason=reason,
    )
    return SanitizerReport(**SUBJECT, tool="compute-sanitizer", runs=[run])


def test_a_sanitizer_that_did_not_finish_is_not_clean_and_says_why():
    answer = sanitizer_answer(report("timeout", reason="memcheck ran past 60 s"))
    assert not answer.clean and answer.reason == "memcheck ran past 60 s"
    assert answer.runs == {"memcheck": "timeout"}
    assert "memcheck ran past 60 s" in answer.summary and "0 findings" not in answer.summary


def test_a_finding_without_a_line_is_placed_by_its_kernel():
    finding = SanitizerFinding(
        tool=SanitizerTool.MEMCHECK, kind="race", message="two writers", kernel="sum_rows"
    )
    answer = sanitizer_answer(report("findings", finding))
    assert "race at sum_rows:?: two writers" in answer.summary


def test_clean_is_said_of_tools_that_ran():
    assert sanitizer_answer(report("clean")).clean
    unavailable = SanitizerReport(**SUBJECT, tool="unavailable", reason="no GPU")
    answer = sanitizer_answer(unavailable)
    assert not answer.clean and answer.summary == "Not checked: no GPU"
    assert answer.profile_uri is None
