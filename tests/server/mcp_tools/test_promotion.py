"""Promotion through a real client, with trials that are told beforehand how they end."""

from __future__ import annotations

from typing import Any

import pytest

from ..calls import good
from ..scripted import DEFINITION, ScriptedHarness, passed, solution, wrong

pytestmark = pytest.mark.anyio


async def test_a_verification_that_failed_is_archived_and_is_final(
    connect: Any, harness: ScriptedHarness
) -> None:
    """The same program passes when asked again: luck is no proof."""
    verdicts, asked = [passed, wrong, passed, passed], []

    def verdict(plan: Any) -> dict[str, Any]:
        asked.append(plan.scope)
        return verdicts[len(asked) - 1](plan)

    harness.verdict = verdict
    mine = solution("lucky", "return x  # right at times")
    async with connect() as client:
        first = await good(client, "evaluate_kernel", solution=mine)
        kept = await good(
            client,
            "archive_candidate",
            solution=mine,
            evaluation_id=first["evaluation_id"],
            hypothesis="A coin decides.",
        )
        candidate = kept["candidate_id"]
        refusal = await good(client, "promote_candidate", candidate_id=candidate)
        assert refusal["status"] == "refused" and len(asked) == 2
        found = await good(client, "search_archive", definition=DEFINITION, status="failed")
        (failed,) = found["candidates"]
        assert failed["parents"] == [candidate]
        again = await good(client, "promote_candidate", candidate_id=candidate)
    assert again["status"] == "refused" and len(asked) == 2
    assert "never_wrong" in again["summary"] and failed["candidate_id"] in again["summary"]
