"""A client hears what it asked for, and no more."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.types import LoggingMessageNotificationParams

from kernel_harness.server.app import build_app

from ..scripted import DEFINITION, ScriptedHarness

pytestmark = pytest.mark.anyio


async def heard(harness: ScriptedHarness, level: Any, definition: str) -> list[tuple[str, str]]:
    """The log lines of one call, with the level set or not."""
    lines: list[tuple[str, str]] = []

    async def hear(params: LoggingMessageNotificationParams) -> None:
        lines.append((params.level, params.data["message"]))

    app = build_app(harness=harness)
    async with Client(app, mode="legacy", logging_callback=hear) as client:
        if level:
            await client.set_logging_level(level)  # pyright: ignore[reportDeprecated]
        await client.call_tool("sample_shapes", {"definition": definition})
        await anyio.sleep(0.05)
    return lines


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
async def test_the_level_decides_what_is_heard(harness: ScriptedHarness) -> None:
    assert await heard(harness, "info", DEFINITION) == [("info", "sample_shapes answered")]
    assert await heard(harness, "error", DEFINITION) == []
    (line,) = await heard(harness, "debug", "nothing")
    assert line[0] == "notice" and "refused" in line[1]


async def test_a_client_that_asked_for_nothing_hears_no_chatter(harness: ScriptedHarness) -> None:
    assert await heard(harness, None, DEFINITION) == []
