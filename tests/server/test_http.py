"""Over HTTP: who may speak to the server, and from where."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from kernel_harness.server import lifecycle
from kernel_harness.server.app import build_app
from kernel_harness.tools.errors import RequestError

from .scripted import ScriptedHarness

pytestmark = pytest.mark.anyio
TOKEN = "a-token-of-enough-length"


@asynccontextmanager
async def served(
    harness: ScriptedHarness, host: str, hosts: tuple[str, ...], token: str | None
) -> AsyncIterator[Any]:
    """The HTTP application, running, without a socket."""
    server = build_app(harness=harness)
    app = lifecycle.http_app(server, host, hosts, token)
    async with server.session_manager.run():
        yield app


async def status_of(app: Any, **headers: str) -> int:
    """The status of one POST to /mcp."""
    sent: list[dict[str, Any]] = []
    given = {"host": "127.0.0.1:8791", "content-type": "application/json", **headers}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/mcp",
        "raw_path": b"/mcp",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 8791),
        "scheme": "http",
        "root_path": "",
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    with anyio.move_on_after(5):
        await app(scope, receive, send)
    return int(sent[0]["status"])


async def test_only_the_token_opens(harness: ScriptedHarness) -> None:
    async with served(harness, "127.0.0.1", (), TOKEN) as app:
        assert await status_of(app) == 401
        assert await status_of(app, authorization="Bearer wrong") == 401
        assert await status_of(app, authorization=f"bearer {TOKEN}x") == 401
        assert await status_of(app, authorization=f"Bearer {TOKEN}") not in (401, 403, 421)
        evil = {"authorization": f"Bearer {TOKEN}", "origin": "http://evil.example"}
        assert await status_of(app, **evil) == 403


async def test_foreign_hosts_and_origins_are_refused_without_a_token_too(
    harness: ScriptedHarness,
) -> None:
    async with served(harness, "127.0.0.1", (), None) as app:
        assert await status_of(app, host="evil.example") == 421
        assert await status_of(app, origin="http://evil.example") == 403


async def test_a_further_host_is_accepted_when_it_was_named(harness: ScriptedHarness) -> None:
    bearer = {"authorization": f"Bearer {TOKEN}"}
    async with served(harness, "0.0.0.0", ("gpu-box:*",), TOKEN) as app:
        assert await status_of(app, host="gpu-box:8791", **bearer) not in (401, 403, 421)
        assert await status_of(app, host="other:8791", **bearer) == 421


def test_off_loopback_a_token_is_required(harness: ScriptedHarness) -> None:
    with pytest.raises(RequestError, match="token"):
        lifecycle.http_app(build_app(harness=harness), "0.0.0.0", (), None)
