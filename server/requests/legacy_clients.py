"""Logging and change notices for clients of the handshake revisions, 2024-11-05 to 2025-11-25.

Such a client sets its log level once, with `logging/setLevel`, and cannot subscribe; a client of
2026-07-28 does both request by request, which the SDK serves. Everything here goes through the
SDK's middleware, for a request has no public way to its connection.
"""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass
from typing import Any, get_args

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp.types import LoggingLevel, ResourceListChangedNotification, SetLevelRequestParams
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

LEVELS: tuple[LoggingLevel, ...] = get_args(LoggingLevel)
DEFAULT_LEVEL: LoggingLevel = "warning"
MOST_CLIENTS = 256
"""HTTP sessions end unnoticed; the oldest are forgotten beyond this number."""


@dataclass
class _Client:
    session: ServerSession
    level: LoggingLevel = DEFAULT_LEVEL


class LegacyClients:
    """Middleware that knows the connected clients of the handshake revisions.

    Clients are distinguished by their HTTP session; on standard input there is one.
    """

    def __init__(self) -> None:
        self._clients: dict[str | None, _Client] = {}

    async def __call__(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Answers `logging/setLevel`, and follows the handshake."""
        if ctx.protocol_version not in HANDSHAKE_PROTOCOL_VERSIONS:
            return await call_next(ctx)
        client = self._clients.get(_session_id(ctx))
        if ctx.method == "logging/setLevel" and client is not None:
            client.level = SetLevelRequestParams.model_validate(ctx.params or {}).level
            return {}
        result = await call_next(ctx)
        if ctx.method == "initialize" and isinstance(result, dict):
            result["capabilities"]["logging"] = {}
            result["capabilities"]["resources"]["listChanged"] = True
        elif ctx.method == "notifications/initialized":
            self._clients[_session_id(ctx)] = _Client(ctx.session)
            for oldest in list(self._clients)[:-MOST_CLIENTS]:
                del self._clients[oldest]
        return result

    def wants(self, ctx: Context[Any], level: LoggingLevel) -> bool:
        """Whether the client of a call wants log lines of this level."""
        client = self._clients.get(_session_id(ctx.request_context))
        least = client.level if client else DEFAULT_LEVEL
        return LEVELS.index(level) >= LEVELS.index(least)

    async def notify_resources_changed(self) -> None:
        """Tells every client that the list of resources changed; closed connections are skipped."""
        for client in list(self._clients.values()):
            with contextlib.suppress(Exception):
                await client.session.send_notification(ResourceListChangedNotification())


def _session_id(ctx: ServerRequestContext[Any, Any]) -> str | None:
    headers = getattr(ctx.request, "headers", None)
    return headers.get("mcp-session-id") if headers else None


async def log_to_client(ctx: Context[Any], level: LoggingLevel, message: str, **facts: Any) -> None:
    """Sends a log line about a call, if the client wants lines of that level."""
    app: Any = ctx.mcp_server
    if ctx.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS:
        if not app.legacy_clients.wants(ctx, level):
            return
    with warnings.catch_warnings():
        # The SDK calls the capability deprecated; clients in use still ask for it.
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        await ctx.session.send_log_message(  # pyright: ignore[reportDeprecated]
            level=level,
            data={"message": message, **facts},
            logger="kernel-harness",
            related_request_id=ctx.request_id,
        )
