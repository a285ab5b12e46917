"""Clients of the handshake revisions hear what they asked for, and no more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from mcp import Client, MCPError
from mcp.types import (
    INVALID_PARAMS,
    EmptyResult,
    LoggingMessageNotificationParams,
    SetLevelRequest,
)

from kernel_harness.server.app import build_app
from kernel_harness.server.requests.legacy_clients import MOST_CLIENTS, LegacyClients

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


async def test_the_handshake_promises_logging_and_change_notices(harness: ScriptedHarness) -> None:
    async with Client(build_app(harness=harness), mode="legacy") as client:
        capabilities = client.server_capabilities
    assert capabilities.logging is not None
    assert capabilities.resources is not None and capabilities.resources.list_changed


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
async def test_a_level_that_does_not_exist_is_refused(harness: ScriptedHarness) -> None:
    level: Any = "loud"
    async with Client(build_app(harness=harness), mode="legacy") as client:
        with pytest.raises(MCPError) as refused:
            await client.session.send_request(
                SetLevelRequest.model_construct(params={"level": level}), EmptyResult
            )
    assert refused.value.error.code == INVALID_PARAMS


async def test_only_the_newest_clients_are_remembered() -> None:
    clients = LegacyClients()

    async def next_handler(_: Any) -> None:
        return None

    for number in range(MOST_CLIENTS + 5):
        ctx: Any = SimpleNamespace(
            protocol_version="2025-06-18",
            method="notifications/initialized",
            request=SimpleNamespace(headers={"mcp-session-id": str(number)}),
            session=Session(),
        )
        await clients(ctx, next_handler)
    Session.notified = 0
    await clients.notify_resources_changed()
    assert Session.notified == MOST_CLIENTS


class Session:
    """Counts the notifications of all sessions."""

    notified = 0

    async def send_notification(self, _: Any) -> None:
        Session.notified += 1
        raise OSError("a closed connection is skipped")
