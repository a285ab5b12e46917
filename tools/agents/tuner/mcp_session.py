"""Calls of the server's tools by an agent that is a program, over HTTP with its token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ...errors import RequestError
from ..round_facts import RoundFacts

if TYPE_CHECKING:
    from mcp import Client

NAME = "kernel-harness-tuner"
HTTP_TIMEOUT_S = 3600.0
RUNNING = "RUNNING"


class ToolRefusal(RequestError):
    """Raised when a tool answers with an error; its words are the server's."""


class McpSession:
    """One client's calls; each returns the structured answer."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Calls a tool, and again while its work is under way.

        Raises:
            ToolRefusal: when it answers with an error.
        """
        answer = await self._called(tool, arguments)
        while answer.get("status") == RUNNING:
            if identity := answer.get("evaluation_id"):
                answer = await self._called("get_evaluation", {"evaluation_id": identity})
            else:
                answer = await self._called(tool, arguments)
        return answer

    async def _called(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in arguments.items() if value is not None}
        result = await self._client.call_tool(tool, given)
        if result.is_error:
            said = " ".join(getattr(block, "text", "") for block in result.content)
            raise ToolRefusal(f"{tool} refused: {said}")
        return dict(result.structured_content or {})


@asynccontextmanager
async def mcp_session(facts: RoundFacts) -> AsyncIterator[McpSession]:
    """Opens the session of a round's server."""
    from importlib.metadata import version

    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.types import Implementation

    headers = {"authorization": f"Bearer {facts.token}"}
    me = Implementation(name=NAME, version=version("kernel-harness"))
    async with httpx2.AsyncClient(headers=headers, timeout=HTTP_TIMEOUT_S) as http:
        transport = streamable_http_client(facts.url, http_client=http)
        async with Client(transport, client_info=me) as client:
            yield McpSession(client)
