"""Resources, templates, completion, prompts and skills through a real client."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from mcp import MCPError
from mcp.types import (
    PromptReference,
    ResourceTemplateReference,
)

from kernel_harness.server.app import INSTRUCTIONS
from kernel_harness.server.resources import templates as resources
from kernel_harness.server.resources.skills import SkillRegistry
from kernel_harness.tools.settings import load_settings

from ..calls import good
from ..scripted import DEFINITION, REFERENCE, solution

pytestmark = pytest.mark.anyio


async def text_of(client: Any, uri: str) -> str:
    (content,) = (await client.read_resource(uri)).contents
    return content.text


async def test_a_definition_is_read_with_its_reference(connect: Any) -> None:
    async with connect() as client:
        text = await text_of(client, f"kernel-harness://definition/{DEFINITION}")
    assert json.loads(text)["reference"] == REFERENCE


async def test_workloads_are_one_json_object_a_line(connect: Any) -> None:
    async with connect() as client:
        text = await text_of(client, f"kernel-harness://workloads/{DEFINITION}")
    assert [json.loads(line)["axes"]["rows"] for line in text.splitlines()] == [1, 4, 16, 64, 256]


async def test_an_evaluation_is_read_whole_by_the_address_in_its_result(connect: Any) -> None:
    async with connect() as client:
        verdict = await good(client, "evaluate_kernel", solution=solution())
        text = await text_of(client, verdict["evaluation_uri"])
    assert verdict["evaluation_id"] in text and "poisoned outputs" in text


@pytest.mark.parametrize(
    "uri",
    [
        "kernel-harness://definition/nothing_like_it",
        "kernel-harness://evaluation/ev-20000101-000000-00000000",
        "kernel-harness://profile/..%2f..%2fetc",
        "skill://optimize-kernel/../../../etc/passwd",
        "skill://no-such-skill/SKILL.md",
        "kernel-harness://nonsense",
    ],
)
async def test_what_is_not_there_is_refused_as_invalid(connect: Any, uri: str) -> None:
    async with connect() as client:
        with pytest.raises(MCPError) as refusal:
            await client.read_resource(uri)
    assert refusal.value.code == -32602


async def test_arguments_of_templates_and_prompts_are_completed(connect: Any) -> None:
    template = ResourceTemplateReference(uri="kernel-harness://definition/{definition}")
    records = ResourceTemplateReference(uri="kernel-harness://evaluation/{identity}")
    prompt = PromptReference(name="planner")
    async with connect() as client:
        verdict = await good(client, "evaluate_kernel", solution=solution())
        one = await client.complete(template, {"name": "definition", "value": "rms"})
        two = await client.complete(prompt, {"name": "definition", "value": "h128"})
        three = await client.complete(records, {"name": "identity", "value": "ev-"})
        none = await client.complete(prompt, {"name": "idea", "value": "x"})
    assert one.completion.values == two.completion.values == [DEFINITION]
    assert three.completion.values == [verdict["evaluation_id"]]
    assert none.completion.values == []


def test_completion_prefers_beginnings_and_stops_at_a_hundred() -> None:
    names = [f"x-gdn-{n}" for n in range(150)] + ["gdn-first"]
    found = resources.completion(names, "GDN")
    assert found.values[0] == "gdn-first"
    assert len(found.values) == 100 and found.has_more and found.total == 151


async def test_every_role_is_a_prompt_that_names_its_subject(connect: Any) -> None:
    async with connect() as client:
        names = {prompt.name for prompt in (await client.list_prompts()).prompts}
        made = await client.get_prompt("verifier", {"candidate_id": "4f2a9c01d3be"})
    assert names >= {"planner", "coder", "debugger", "verifier", "optimize-kernel"}
    text = made.messages[0].content.text
    assert "4f2a9c01d3be" in text and not text.startswith("---")


@pytest.mark.parametrize(
    ("name", "said"), [("plannner", "planner"), ("verifier", "needs candidate_id")]
)
async def test_a_prompt_that_cannot_be_filled_in_is_refused_as_invalid(
    connect: Any, name: str, said: str
) -> None:
    async with connect() as client:
        with pytest.raises(MCPError, match=said) as refusal:
            await client.get_prompt(name)
    assert refusal.value.code == -32602


async def test_the_loop_is_a_prompt_with_its_definition(connect: Any) -> None:
    async with connect() as client:
        made = await client.get_prompt("optimize-kernel", {"definition": DEFINITION})
    assert made.messages[0].content.text.endswith(DEFINITION)


async def test_skills_are_resources_under_their_own_names(connect: Any) -> None:
    async with connect() as client:
        listed = {str(r.uri): r for r in (await client.list_resources()).resources}
        text = await text_of(client, "skill://optimize-kernel/SKILL.md")
    entry = listed["skill://optimize-kernel/SKILL.md"]
    assert entry.name == "optimize-kernel" and entry.mime_type == "text/markdown"
    assert text.startswith("---\nname: optimize-kernel\n")


def test_the_digests_of_a_skill_are_of_the_files_that_are_served() -> None:
    skills = SkillRegistry(*load_settings({}).skills_dirs)
    for skill in skills.skills():
        for entry in skill.entry()["resources"]:
            text = skills.read(entry["uri"])
            assert text is not None
            assert entry["digest"] == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
            assert entry["size"] == len(text.encode())


async def test_the_instructions_are_short_and_name_the_first_skill(connect: Any) -> None:
    async with connect() as client:
        assert client.instructions == INSTRUCTIONS
    assert len(INSTRUCTIONS) < 700
    assert "skill://optimize-kernel/SKILL.md" in INSTRUCTIONS
