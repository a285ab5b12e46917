"""Who made a candidate, through real clients: their names, what they declare, what they read."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import Implementation

from kernel_harness.server.app import build_app
from kernel_harness.server.resources.skills import SkillRegistry
from kernel_harness.tools.archive.store.commit.message import read_trailers
from kernel_harness.tools.settings import Settings, load_settings
from kernel_harness.tools.workloads.dataset import Dataset

from ..calls import good, refused
from ..conftest import MODES
from ..scripted import ScriptedHarness, solution

pytestmark = pytest.mark.anyio
CODEX = Implementation(name="codex", version="1.2.3")


async def archived(client: Client, name: str = "mine", **more: Any) -> dict[str, Any]:
    """Evaluates and archives one candidate."""
    mine = solution(name, f"return x  # {name}")
    verdict = await good(client, "evaluate_kernel", solution=mine)
    named = {"evaluation_id": verdict["evaluation_id"], "hypothesis": f"{name} is faster"}
    return await good(client, "archive_candidate", solution=mine, **named, **more)


def digest(path: str) -> str:
    """The beginning of the sha256 of a skill's file."""
    text = SkillRegistry(*load_settings({}).skills_dirs).read(f"skill://{path}")
    assert text is not None
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@pytest.mark.parametrize("mode", MODES)
async def test_a_candidate_names_the_client_its_model_and_the_skills_that_it_was_served(
    harness: ScriptedHarness, mode: Any
) -> None:
    async with Client(build_app(harness=harness), client_info=CODEX, mode=mode) as client:
        await client.read_resource("skill://write-triton/SKILL.md")
        await good(client, "read_report", uri="skill://read-the-verdict")
        await client.get_prompt("optimize-kernel", {"definition": "rmsnorm"})
        kept = await archived(
            client, made_by={"model": "gpt-9", "effort": "high", "session": "night"}
        )
        found = await good(client, "search_archive", client="codex", model="gpt")
        none = await good(client, "search_archive", client="claude")
    trailers = read_trailers(harness.archive.repository.read(kept["commit"])[1].decode())
    assert trailers["Client"] == ["codex 1.2.3"] and trailers["Model"] == ["gpt-9"]
    assert trailers["Effort"] == ["high"] and trailers["Session"] == ["night"]
    assert trailers["Skill"] == [
        f"{name} {digest(f'{name}/SKILL.md')}"
        for name in ("optimize-kernel", "read-the-verdict", "write-triton")
    ]
    (row,) = found["candidates"]
    assert row["client"] == "codex 1.2.3" and row["model"] == "gpt-9 high"
    assert none["total"] == 0


async def test_settings_declare_the_model_unless_the_call_does(
    settings: Settings, kernels_dir: Path
) -> None:
    declared = settings.model_copy(update={"model": "opus", "session": "run-7"})
    harness = ScriptedHarness(declared, Dataset.load(kernels_dir, ()))
    async with Client(build_app(harness=harness), client_info=CODEX) as client:
        first = await archived(client, "first")
        other = await archived(client, "other", made_by={"model": "haiku"})
    said = [harness.archive.node(kept["candidate_id"]) for kept in (first, other)]
    assert [node.model for node in said] == ["opus", "haiku"]
    assert [node.session for node in said] == ["run-7", "run-7"]


async def test_a_trial_that_nobody_archives_says_who_made_it(harness: ScriptedHarness) -> None:
    async with Client(build_app(harness=harness), client_info=CODEX) as client:
        await client.read_resource("skill://write-triton/SKILL.md")
        verdict = await good(client, "evaluate_kernel", solution=solution())
    trial = harness.archive.trials.read(verdict["evaluation_id"])
    assert trial.candidate.made_by.agent == "codex 1.2.3"
    assert list(trial.candidate.made_by.skills) == ["write-triton"]


async def test_two_clients_of_one_server_are_told_apart(harness: ScriptedHarness) -> None:
    app = build_app(harness=harness)
    other = Implementation(name="claude-code", version="2")
    async with Client(app, client_info=CODEX) as one, Client(app, client_info=other) as two:
        await one.read_resource("skill://write-triton/SKILL.md")
        kept = [await archived(one, "first"), await archived(two, "second")]
    made = [harness.archive.get(k["candidate_id"]).candidate.made_by for k in kept]
    assert [m.client for m in made] == ["codex", "claude-code"]
    assert [list(m.skills) for m in made] == [["write-triton"], []]


async def test_what_is_no_part_of_it_is_refused(connect: Any) -> None:
    async with connect() as client:
        said = await refused(
            client,
            "archive_candidate",
            solution=solution(),
            evaluation_id="ev-1",
            hypothesis="h",
            made_by={"model_name": "x"},
        )
    assert "model_name" in said and "model" in said
