"""The draft of what an operator's searches taught: every line names its evidence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kernel_harness.tools.agents.lessons.draft import lesson_draft
from tests.server.scripted import DEFINITION, ScriptedHarness
from tests.tools.agents.tuner.test_tuning_round import played
from tests.tools.agents.unattended import searched, stub

pytestmark = pytest.mark.anyio


@pytest.mark.long
async def test_a_draft_names_the_way_to_the_best_failures_and_what_was_told(
    device: ScriptedHarness, tmp_path: Path
) -> None:
    await searched(device, stub("better"), tmp_path, rounds=2, policy="best_first")
    await searched(device, stub("wrong"), tmp_path)
    best = device.archive.best(DEFINITION)
    assert best is not None
    told = tmp_path / "told.md"
    told.write_text(f"- It is the fastest: {best.candidate_id}\n- Nobody can know this\n")
    run = await searched(device, stub("lessons", str(told)), tmp_path, rounds=2, summarise=1)
    assert run.state.lessons == [f"- It is the fastest: {best.candidate_id}"]
    assert run.state.spent.usage.cost_usd is None, "the path is no price"
    text = lesson_draft(device.archive, DEFINITION)
    for title in ("The way to the best", "How programs failed", "borne out by the record"):
        assert title in text
    assert "Nobody can know this" not in text
    ids = {node.candidate_id for node in device.archive.iter(DEFINITION)}
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert lines and all(set(re.findall(r"\b[0-9a-f]{12}\b", line)) & ids for line in lines), text


async def test_an_operator_without_a_search_has_an_empty_draft(device: ScriptedHarness) -> None:
    assert "Candidates: 0; unattended searches: 0." in lesson_draft(device.archive, DEFINITION)


async def test_what_a_round_tried_is_told_once_however_many_candidates_it_kept(
    device: ScriptedHarness,
) -> None:
    await played(device, 1, count=12)
    kept = list(device.archive.iter(DEFINITION))
    assert len(kept) > 1
    text = lesson_draft(device.archive, DEFINITION)
    counts = re.findall(r"x on average of (\d+)", text)
    assert counts and set(counts) == {"1"}, text
