"""Plans through a real client: recorded, carried out, departed from, fixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from kernel_harness.tools.workloads.solution_folder import read_candidate_file

from ..calls import good, refused
from ..scripted import DEFINITION, ScriptedHarness, passed, wrong

pytestmark = pytest.mark.anyio
BODY = """\
def run(x, weight):
    # <<<IMPROVE BEGIN>>>
    # Unroll here.
    y = x
    # <<<IMPROVE END>>>
    return y
"""
FORECAST = {"expected_gain": 1.3, "confidence": 0.6}


async def opened(client: Client, name: str, **how: Any) -> Path:
    """The source of a new workspace."""
    made = await good(client, "open_workspace", definition=DEFINITION, name=name, **how)
    folder = Path(made["workspace"])
    toml = folder / "candidate.toml"
    said = toml.read_text("utf-8").replace('"triton"', '"python"')
    toml.write_text(said.replace("passing_style = true", "passing_style = false"), "utf-8")
    return folder / "kernel.py"


async def evaluated(client: Client, workspace: str) -> dict[str, Any]:
    return await good(client, "evaluate_kernel", workspace=workspace, scope="smoke")


async def archived(client: Client, workspace: str, verdict: dict[str, Any]) -> dict[str, Any]:
    asked = {"evaluation_id": verdict["evaluation_id"], "hypothesis": "unrolled"}
    return await good(client, "archive_candidate", workspace=workspace, **asked)


async def test_a_plan_is_recorded_carried_out_and_departed_from(
    connect: Any, harness: ScriptedHarness
) -> None:
    async with connect() as client:
        source = await opened(client, "planned")
        source.write_text(BODY, "utf-8")
        plan = await good(
            client, "record_plan", workspace="planned", hypothesis="unroll", **FORECAST
        )
        source.write_text(BODY.replace("y = x", "y = x * 1"), "utf-8")
        kept = await evaluated(client, "planned")
        source.write_text(BODY.replace("return y", "return y + weight"), "utf-8")
        left = await evaluated(client, "planned")
        candidate = await archived(client, "planned", left)
    assert read_candidate_file(source.parent).plan == plan["plan_id"]
    assert plan["regions"] == 1 and plan["forecast"] == "≥ 1.3x with 60 %"
    assert kept.get("anchors") is None and "left the regions" not in kept["summary"]
    assert any("return y" in place for place in left["anchors"])
    assert f"left the regions that plan {plan['plan_id']} marks" in left["summary"]
    assert candidate["anchors"]["plan"] == plan["plan_id"] and not candidate["anchors"]["kept"]
    assert harness.archive.node(candidate["candidate_id"]).plan == plan["plan_id"]


async def test_another_workspace_is_opened_from_a_plan_with_its_words(connect: Any) -> None:
    async with connect() as client:
        source = await opened(client, "planned")
        source.write_text(BODY, "utf-8")
        told = {"hypothesis": "unroll by four", "tags": ["unrolling"], "regimes": ["rows 4"]}
        plan = await good(client, "record_plan", workspace="planned", **told, **FORECAST)
        made = await good(
            client, "open_workspace", definition=DEFINITION, name="coder", plan=plan["plan_id"]
        )
        both = await refused(
            client,
            "open_workspace",
            definition=DEFINITION,
            plan=plan["plan_id"],
            start_from="reference",
        )
    folder = Path(made["workspace"])
    assert made["plan"] == plan["plan_id"] and plan["plan_id"] in made["summary"]
    assert (folder / "kernel.py").read_text("utf-8") == BODY
    assert read_candidate_file(folder).language == "python"
    assert "unroll by four" in (folder / "NOTES.md").read_text("utf-8")
    assert "start_from" in both


async def test_an_empty_plan_is_none_that_anybody_recorded(connect: Any) -> None:
    """Left out it means that there is none; an empty one is a plan that got lost on the way."""
    async with connect() as client:
        for plan in ("", " ", '""'):
            said = await refused(client, "open_workspace", definition=DEFINITION, plan=plan)
            assert "Unknown plan ''" in said and "record_plan" in said
        assert await good(client, "open_workspace", definition=DEFINITION, plan=None)


async def test_what_fixes_a_failure_is_held_to_the_plan_that_failed(
    connect: Any, harness: ScriptedHarness
) -> None:
    async with connect() as client:
        source = await opened(client, "planned")
        source.write_text(BODY, "utf-8")
        plan = await good(
            client, "record_plan", workspace="planned", hypothesis="unroll", **FORECAST
        )
        harness.verdict = wrong
        source.write_text(BODY.replace("y = x", "y = x + 1"), "utf-8")
        verdict = await evaluated(client, "planned")
        failed = await archived(client, "planned", verdict)
        of_trial = await good(
            client,
            "open_workspace",
            definition=DEFINITION,
            name="from-trial",
            start_from=verdict["evaluation_id"],
        )
        harness.verdict = passed
        fix = await opened(client, "fix", start_from=failed["candidate_id"])
        fix.write_text(BODY.replace("return y", "return y.clone()"), "utf-8")
        left = await evaluated(client, "fix")
        fixed = await archived(client, "fix", left)
        after = await good(
            client,
            "open_workspace",
            definition=DEFINITION,
            name="after",
            start_from=fixed["candidate_id"],
        )
    assert read_candidate_file(fix.parent).plan == plan["plan_id"] == of_trial["plan"]
    assert any("return y" in place for place in left["anchors"])
    assert harness.archive.node(fixed["candidate_id"]).plan == plan["plan_id"]
    assert after.get("plan") is None


@pytest.mark.parametrize(
    ("source", "forecast", "words"),
    [
        (BODY.replace("# <<<IMPROVE END>>>", ""), FORECAST, "anchors cannot be read"),
        (BODY, {"expected_gain": 0, "confidence": 0.5}, "expected_gain"),
        (BODY, {"expected_gain": 1.2, "confidence": 60}, "confidence"),
    ],
)
async def test_a_malformed_plan_is_refused(
    connect: Any, source: str, forecast: dict[str, float], words: str
) -> None:
    async with connect() as client:
        (await opened(client, "planned")).write_text(source, "utf-8")
        said = await refused(
            client, "record_plan", workspace="planned", hypothesis="unroll", **forecast
        )
    assert words in said
