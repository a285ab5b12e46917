"""Servers of rounds: each behind its own token, and without the tools that decide for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from kernel_harness.server.cli.searching.endpoints import NOT_SERVED, round_endpoints
from kernel_harness.tools.agents.round_facts import RoundFacts
from kernel_harness.tools.agents.searches.round_harness import (
    DeviceBudget,
    RoundHarness,
    RoundMeter,
)
from kernel_harness.tools.agents.tuner.mcp_session import ToolRefusal, mcp_session
from tests.server.scripted import DEFINITION, ScriptedHarness

pytestmark = pytest.mark.anyio


def facts(endpoint: Any) -> RoundFacts:
    return RoundFacts(
        definition=DEFINITION, workspace="main", url=endpoint.url, token=endpoint.token
    )


async def test_a_token_opens_its_own_rounds_workspaces_and_ends_with_them(
    harness: ScriptedHarness, tmp_path: Path
) -> None:
    budget = DeviceBudget(1.0, 0.0)
    meters = [RoundMeter(budget), RoundMeter(budget)]
    first, second = (
        RoundHarness(harness, tmp_path / name, name, meter)
        for name, meter in zip(("one", "two"), meters, strict=True)
    )
    async with round_endpoints() as serve:
        async with serve(first) as one, serve(second) as two:
            async with mcp_session(facts(one)) as tools, mcp_session(facts(two)) as others:
                opened = await tools.call("open_workspace", definition=DEFINITION, name="main")
                assert Path(opened["workspace"]).parent == tmp_path / "one"
                judged = await tools.call("evaluate_kernel", workspace="main", scope="smoke")
                record = harness.archive.trials.read(judged["evaluation_id"])
                assert record.candidate.made_by.session == "one"
                assert [len(meter.evaluations) for meter in meters] == [1, 0]
                with pytest.raises(ToolRefusal, match="Unknown workspace"):
                    await others.call("evaluate_kernel", workspace="main", scope="smoke")
                for name in NOT_SERVED:
                    with pytest.raises(ToolRefusal, match="Unknown tool"):
                        await tools.call(name, candidate_id="0" * 12)
                budget.used = 1.0
                with pytest.raises(ToolRefusal, match="are used up"):
                    await tools.call("evaluate_kernel", workspace="main", scope="sample")
                assert meters[0].refused == 1
        async with httpx2.AsyncClient() as http:
            for token in (one.token, "x"):
                headers = {"authorization": f"Bearer {token}"}
                assert (await http.post(one.url, json={}, headers=headers)).status_code == 401
