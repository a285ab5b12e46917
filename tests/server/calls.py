"""Calls that are expected to succeed, or to be refused."""

from __future__ import annotations

from typing import Any

from mcp import Client


def words(result: Any) -> str:
    """The text of a result."""
    return " ".join(block.text for block in result.content)


async def good(client: Client, tool: str, /, **arguments: Any) -> dict[str, Any]:
    """The structured content of a call that succeeds; its first field is the summary."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, words(result)
    assert result.structured_content is not None
    assert next(iter(result.structured_content)) == "summary"
    return result.structured_content


async def refused(client: Client, tool: str, /, **arguments: Any) -> str:
    """The words of a refusal."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert result.structured_content is None
    return words(result)
