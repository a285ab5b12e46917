"""Log lines for the client, at the level it asked for.

Clients of the 2025 revisions set a level with `logging/setLevel`; those of 2026-07-28 ask request
by request, which the SDK sees to. Nobody who asked for nothing is sent anything below a warning.
The server's own log, on standard error, is another matter.
"""

from __future__ import annotations

import warnings
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp.types import EmptyResult, LoggingLevel, SetLevelRequestParams

LEVELS: tuple[LoggingLevel, ...] = (
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
)
UNASKED: LoggingLevel = "warning"
_KEY = "kernel_harness.log_level"


def _state(session: Any) -> dict[str, Any]:
    """What the SDK keeps for one connection; it offers no public way to it from a request."""
    return session._connection.state


async def set_level(
    ctx: ServerRequestContext[Any, Any], params: SetLevelRequestParams
) -> EmptyResult:
    """Answers `logging/setLevel`: remembers the level for this connection."""
    _state(ctx.session)[_KEY] = params.level
    return EmptyResult()


async def tell(ctx: Context[Any], level: LoggingLevel, words: str, **facts: Any) -> None:
    """Sends one log line about a call, if the client wants lines of that level.

    Args:
        ctx: the call's context.
        level: how loud it is.
        words: what happened.
        facts: plain values that belong to it.
    """
    wanted = _state(ctx.session).get(_KEY, UNASKED)
    legacy = not ctx.protocol_version or ctx.protocol_version < "2026"
    if legacy and LEVELS.index(level) < LEVELS.index(wanted):
        return
    with warnings.catch_warnings():
        # The SDK calls the capability deprecated; clients in use still ask for it.
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        await ctx.session.send_log_message(  # pyright: ignore[reportDeprecated]
            level=level,
            data={"message": words, **facts},
            logger="kernel-harness",
            related_request_id=ctx.request_id,
        )
