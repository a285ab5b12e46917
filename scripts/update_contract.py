"""Writes the snapshot of the server's contract: tools, resources, prompts, schemas, annotations.

Run it after an intended change and read the diff: clients and skills may rely on every line.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from kernel_harness.server.app import build_app, result_schemas

SNAPSHOT = Path(__file__).resolve().parents[1] / "tests" / "server" / "snapshots" / "contract.json"


async def contract() -> dict[str, Any]:
    """All names, descriptions, schemas and annotations, as clients see them, and whole results."""
    app = build_app()
    tools = [tool.model_dump(mode="json", exclude_none=True) for tool in await app.list_tools()]
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


def text() -> str:
    """The contract as the snapshot holds it."""
    return json.dumps(asyncio.run(contract()), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SNAPSHOT.parent.mkdir(parents=True, exist_ok=True)
    SNAPSHOT.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"wrote {SNAPSHOT}\n")
