"""Writes the snapshot of the server's contract, and the list of tools that the server answers.

Run it after an intended change and read the diff: clients and skills may rely on every line.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from kernel_harness.server.app import build_app
from kernel_harness.server.mcp_tools.registry import LISTED_FILE, described_tools, result_schemas

SNAPSHOT = Path(__file__).resolve().parents[1] / "tests" / "server" / "snapshots" / "contract.json"


async def contract() -> dict[str, Any]:
    """All names, descriptions, schemas and annotations, as clients see them, and whole results."""
    app = build_app()
    tools = [tool.model_dump(mode="json", exclude_none=True) for tool in described_tools()]
    templates = [
        {"uri": template.uri_template, "name": template.name, "type": template.mime_type}
        for template in await app.list_resource_templates()
    ]
    prompts = [
        {"name": prompt.name, "arguments": {a.name: a.required for a in prompt.arguments or []}}
        for prompt in await app.list_prompts()
    ]
    return {
        "instructions": app.instructions,
        "tools": {tool.pop("name"): tool for tool in tools},
        "results": result_schemas(),
        "templates": templates,
        "prompts": prompts,
    }


def listed() -> str:
    """What `tools/list` answers, a tool a line, as it lies beside the tools."""
    tools = [tool.model_dump_json(exclude_none=True, by_alias=True) for tool in described_tools()]
    return "[\n" + ",\n".join(tools) + "\n]\n"


def text() -> str:
    """The contract as the snapshot holds it."""
    return json.dumps(asyncio.run(contract()), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SNAPSHOT.parent.mkdir(parents=True, exist_ok=True)
    SNAPSHOT.write_text(text(), encoding="utf-8")
    LISTED_FILE.write_text(listed(), encoding="utf-8")
    sys.stdout.write(f"wrote {SNAPSHOT}\nwrote {LISTED_FILE}\n")
