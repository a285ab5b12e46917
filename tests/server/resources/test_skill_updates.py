"""Changes of skills reach subscribed clients, and those of older revisions, while a server runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourcesListChanged, ServerEvent
from mcp.types import ResourceListChangedNotification

from kernel_harness.server.app import build_app
from kernel_harness.server.resources import skill_updates
from kernel_harness.server.resources.skills import SkillRegistry

from ..scripted import ScriptedHarness

pytestmark = pytest.mark.anyio


async def nobody() -> None:
    """No client of an older revision is connected."""


async def test_an_edited_skill_is_published_and_served_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "tune"
    folder.mkdir()
    manifest = folder / "SKILL.md"
    manifest.write_text("---\nname: tune\ndescription: first\n---\n")
    skills, bus = SkillRegistry(tmp_path), InMemorySubscriptionBus()
    changed = anyio.Event()

    def hear(event: ServerEvent) -> None:
        if isinstance(event, ResourcesListChanged):
            changed.set()

    bus.subscribe(hear)
    async with skill_updates.skill_updates(skills, bus, nobody, every_s=0.02):
        await anyio.sleep(0.05)
        assert not changed.is_set()
        manifest.write_text("---\nname: tune\ndescription: second words\n---\n")
        with anyio.fail_after(20):
            await changed.wait()
    assert skills.skills()[0].description == "second words"


async def test_a_client_of_the_2025_revisions_hears_that_resources_changed(
    harness: ScriptedHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tune").mkdir()
    manifest = tmp_path / "tune" / "SKILL.md"
    manifest.write_text("---\nname: tune\ndescription: first\n---\n")
    harness.settings = harness.settings.model_copy(update={"skills_dir": tmp_path})
    monkeypatch.setattr(skill_updates, "EVERY_S", 0.02)
    heard = anyio.Event()

    async def hear(message: Any) -> None:
        if isinstance(message, ResourceListChangedNotification):
            heard.set()

    async with Client(build_app(harness=harness), mode="legacy", message_handler=hear) as client:
        await client.list_tools()
        await anyio.sleep(0.05)
        manifest.write_text("---\nname: tune\ndescription: second\n---\n")
        with anyio.fail_after(3):
            await heard.wait()
