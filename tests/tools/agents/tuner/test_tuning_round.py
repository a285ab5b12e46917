"""Rounds of the built-in agent through the real server, on a device whose times are scripted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from kernel_harness.server.app import build_app
from kernel_harness.tools.agents.round_facts import RoundFacts
from kernel_harness.tools.agents.tuner.mcp_session import McpSession
from kernel_harness.tools.agents.tuner.memory import EditEnd, outcomes_in
from kernel_harness.tools.agents.tuner.proposals import proposals
from kernel_harness.tools.agents.tuner.tuning_round import SECONDS, TuningRound
from kernel_harness.tools.schema.evaluation import Status
from tests.server.scripted import DEFINITION, ScriptedHarness, passed, wrong
from tests.tools.agents.scripted_device import ROWS, SOURCE, mean_us, microseconds, run_at

pytestmark = pytest.mark.anyio


async def played(
    harness: ScriptedHarness,
    number: int,
    parent: str = "",
    count: int = 8,
    source: str = SOURCE,
    seconds: float | None = None,
    evaluation_s: float | None = None,
    device_seconds: float | None = None,
) -> str:
    """One round in a workspace that is opened from the parent; returns the agent's words."""
    folder = harness.settings.workspaces_dir
    async with Client(build_app(harness=harness)) as client:
        tools = McpSession(client)
        name = f"main{number}"
        await tools.call(
            "open_workspace", definition=DEFINITION, name=name, start_from=parent or "template"
        )
        if not parent:
            (folder / name / "kernel.py").write_text(source)
        for left in [*folder.glob("v[0-9]*"), *folder.glob("dispatch")]:
            left.rename(folder / f"before-{number}-{left.name}")
        facts = RoundFacts(
            definition=DEFINITION,
            workspace=name,
            url="",
            token="",
            parent=parent,
            compare_to=parent or "nothing",
            seed=number,
            seconds=seconds,
            device_seconds=device_seconds,
            evaluation_s=evaluation_s,
        )
        return await TuningRound(tools, folder, facts, count).run()


def best(harness: ScriptedHarness) -> str:
    return harness.archiving.select_parent(DEFINITION, "best_first", 1).candidate_id


def text_of(harness: ScriptedHarness, candidate_id: str) -> str:
    solution = harness.archive.get(candidate_id).solution()
    return "\n".join(source.content for source in solution.sources)


async def test_a_round_keeps_the_fastest_of_its_variants_with_what_each_edit_gave(
    device: ScriptedHarness,
) -> None:
    words = await played(device, 1, count=5)
    assert re.match(r"5 variants raced, \d kept", words)
    node = device.archive.node(best(device))
    record = device.archive.get(node.candidate_id)
    assert record.candidate.made_by.client == "mcp"
    told = outcomes_in([record.candidate.lesson])
    assert len([outcome for outcome in told if outcome.gain]) > len(told) / 2, told
    assert node.sealed and node.latency_us is not None
    assert mean_us(text_of(device, node.candidate_id)) < mean_us(SOURCE)


async def test_a_round_has_as_many_variants_as_its_time_allows(device: ScriptedHarness) -> None:
    words = await played(device, 1, seconds=3 * SECONDS)
    assert words.startswith("3 variants raced")
    slow = await played(device, 2, seconds=6 * SECONDS, evaluation_s=2 * SECONDS)
    assert slow.startswith("2 variants raced"), "an evaluation of this operator takes longer"
    last = await played(device, 3, seconds=900 * SECONDS, device_seconds=4 * SECONDS)
    assert last.startswith("4 variants raced"), "the search may use so much of the device"


async def test_a_variant_that_was_not_run_is_no_failure_and_an_undecided_one_is_forgotten(
    device: ScriptedHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = McpSession.call
    proposed = proposals({"kernel.py": SOURCE}, [], [], 8, 1)
    alone = {f"v{n:02d}": p.label for n, p in enumerate(proposed, 1) if len(p.edits) == 1}
    not_run, unknown = list(alone)[:2]

    async def call(self: McpSession, tool: str, **arguments: Any) -> dict[str, Any]:
        answer = await ran(self, tool, **arguments)
        if tool == "evaluate_variants":
            answer["states"] |= {not_run: "pruned", unknown: "undecided"}
            for name in (not_run, unknown):
                answer["times"].pop(name, None)
        return answer

    monkeypatch.setattr(McpSession, "call", call)
    await played(device, 1, count=8)
    told = outcomes_in([node.lesson for node in device.archive.iter(DEFINITION)])
    ends = {outcome.label: outcome.end for outcome in told}
    assert ends[alone[not_run]] is EditEnd.PRUNED
    assert set(ends) == set(alone.values()) - {alone[unknown]}


@pytest.mark.long
async def test_rounds_end_in_a_program_that_chooses_by_size(device: ScriptedHarness) -> None:
    await played(device, 1)
    for number in range(2, 9):
        await played(device, number, best(device))
    record = device.archive.get(best(device))
    sources = {source.path: source.content for source in record.solution().sources}
    times = [microseconds(run_at(sources, rows), rows) or 0.0 for rows in ROWS]
    assert sum(times) / len(times) < 0.75 * mean_us(SOURCE)
    assert [n for n in device.archive.iter(DEFINITION) if "dispatch" in n.technique]


@pytest.mark.long
async def test_edits_that_fail_are_told_and_end_nothing(device: ScriptedHarness) -> None:
    blocks = SOURCE.replace("@triton.jit", "@triton.jit  # jit").replace(
        "block, split = 32", "block, split = 64"
    )
    await played(device, 1, count=6, source=blocks)
    told = outcomes_in([node.lesson for node in device.archive.iter(DEFINITION)])
    assert {o.label for o in told if o.failed} <= {"run.block=128", "run.block=256"}
    assert [o for o in told if o.gained()]


@pytest.mark.long
async def test_where_nothing_is_faster_the_parent_is_told_what_was_tried(
    device: ScriptedHarness,
) -> None:
    await played(device, 1, count=6)
    parent = best(device)
    device.verdict = slower_than(device, text_of(device, parent))
    words = await played(device, 2, parent, count=3)
    assert words.startswith("3 variants raced, none kept")
    assert outcomes_in(device.archive.node(parent).notes)
    again = await played(device, 3, parent, count=3)
    assert again.startswith("3 variants raced, none kept")
    labels = [o.label for o in outcomes_in(device.archive.node(parent).notes)]
    assert len(set(labels)) == len(labels), "an edit was tried twice on one program"


def slower_than(harness: ScriptedHarness, kept: str):
    scripted = harness.verdict

    def verdict(plan):
        found = scripted(plan)
        text = plan.solution["sources"][0]["content"]
        if text != kept and "workloads" in found:
            slow = [
                w.model_copy(
                    update={
                        "measurement": w.measurement.model_copy(update={"cold_ns": [90_000] * 10})
                    }
                )
                for w in found["workloads"]
            ]
            return {**found, "workloads": slow}
        return found

    return verdict


async def test_without_a_gpu_variants_are_judged_and_nothing_is_said_to_be_faster(
    harness: ScriptedHarness,
) -> None:
    words = await played(harness, 1)
    assert words == "3 variants judged without a GPU: 3 right, none timed."
    (node,) = harness.archive.iter(DEFINITION)
    assert node.latency_us is None and "right" in node.lesson
    harness.verdict = lambda plan: wrong(plan)
    await played(harness, 2, node.candidate_id)
    assert "failed" in harness.archive.node(node.candidate_id).notes[0]
    (before,) = harness.archive.node(node.candidate_id).notes
    harness.verdict = lambda plan: {**wrong(plan), "status": Status.TIMEOUT}
    await played(harness, 3, node.candidate_id)
    assert harness.archive.node(node.candidate_id).notes == (before,), "slow here is not wrong"
    harness.verdict = lambda plan: passed(plan)


async def test_a_program_without_anything_to_change_ends_the_round(
    device: ScriptedHarness, tmp_path: Path
) -> None:
    words = await played(device, 1, source="def run(x, weight, y):\n    y.copy_(x)\n")
    assert words == "Nothing of this program is left to change."
