"""The built-in agent in a search of its own, as any other agent: by its process, over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server.scripted import DEFINITION, ScriptedHarness
from tests.tools.agents.unattended import searched


@pytest.mark.long
@pytest.mark.anyio
async def test_the_tuner_alone_makes_a_program_faster_that_it_was_not_written_for(
    device: ScriptedHarness, tmp_path: Path
) -> None:
    search = await searched(device, "tuner 8", tmp_path, served=True, rounds=6, policy="best_first")
    best = search.state.best
    assert best.best_speedup > 1.25, [r.words for r in search.state.finished]
    assert all(" variants " in ended.words for ended in search.state.finished)
    sessions = {node.session.partition("/")[0] for node in device.archive.iter(DEFINITION)}
    assert sessions == {search.state.began.search_id}
