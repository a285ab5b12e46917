"""MCP resources by address: definitions, workloads, candidates, evaluations, profiles.

These are the texts that `read_report` serves a slice at a time, for clients that attach resources.
Arguments of templates and prompts are completed from what exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceNotFoundError
from mcp.types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    Resource,
    ResourceTemplateReference,
)

from ...tools.documents import SCHEME
from ...tools.errors import HarnessError
from .skills import MANIFEST
from .skills import SCHEME as SKILL_SCHEME

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from ...tools.harness import Harness
    from .skills import SkillRegistry

MOST_COMPLETIONS = 100
MOST_CHARACTERS = 200_000
"""Length limit of one resource; `read_report` reads the rest of a longer text."""


def register(app: MCPServer[Any]) -> None:
    """Adds the resource templates to a server."""

    @app.resource(
        SCHEME + "definition/{definition}",
        name="definition",
        title="A definition",
        description="The FlashInfer-Trace definition of one operator, with its reference code.",
        mime_type="application/json",
    )
    async def definition(definition: str, ctx: Context[Any]) -> str:
        return _read(ctx, lambda harness: definition_text(harness, definition))

    @app.resource(
        SCHEME + "workloads/{definition}",
        name="workloads",
        title="Workloads of a definition",
        description="Every workload of one operator, one JSON object a line.",
        mime_type="application/jsonl",
    )
    async def workloads(definition: str, ctx: Context[Any]) -> str:
        return _read(ctx, lambda harness: workloads_text(harness, definition))

    for kind, title, description in (
        ("evaluation", "An evaluation", "The whole record of one trial: samples, seeds, clocks."),
        ("candidate", "A candidate", "Sources, notes and diff of one archived candidate."),
        ("profile", "A profile", "The texts of one profile."),
    ):
        _register_report(app, kind, title, description)


def _register_report(app: MCPServer[Any], kind: str, title: str, description: str) -> None:
    @app.resource(
        f"{SCHEME}{kind}/{{identity}}",
        name=kind,
        title=title,
        description=description,
        mime_type="text/plain",
    )
    async def report(identity: str, ctx: Context[Any]) -> str:
        uri = f"{SCHEME}{kind}/{identity}"
        return await anyio.to_thread.run_sync(
            lambda: _read(ctx, lambda harness: whole_report(harness, uri))
        )


def _read(ctx: Context[Any], text: Callable[[Harness], str]) -> str:
    try:
        return text(ctx.request_context.lifespan_context)
    except HarnessError as error:
        raise ResourceNotFoundError(str(error)) from error


def definition_text(harness: Harness, name: str) -> str:
    """Returns a definition as FlashInfer-Trace JSON."""
    definition = harness.dataset.operator(name).definition
    return definition.model_dump_json(indent=1, exclude_none=True)


def workloads_text(harness: Harness, name: str) -> str:
    """Returns a definition's workloads, one JSON object a line."""
    workloads = harness.dataset.operator(name).workloads
    return "\n".join(w.model_dump_json(exclude_none=True) for w in workloads)


def whole_report(harness: Harness, uri: str) -> str:
    """Returns all slices of a report, joined and cut at MOST_CHARACTERS."""
    parts: list[str] = []
    offset: int | None = 0
    while offset is not None and offset < MOST_CHARACTERS:
        piece = harness.documents.read(uri, offset=offset)
        parts.append(piece.text)
        offset = piece.next_offset
    left = "" if offset is None else f"\n… cut; read_report(uri='{uri}', offset={offset}) goes on"
    return "".join(parts) + left


def register_completion(app: MCPServer[Any], harness: Callable[[], Harness | None]) -> None:
    """Completes the arguments of resource templates and prompts from what exists.

    Args:
        harness: returns the open Harness; None before the server runs.
    """

    @app.completion()
    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion | None:
        opened = harness()
        kind = argument.name
        if kind == "identity" and isinstance(ref, ResourceTemplateReference):
            kind = ref.uri.removeprefix(SCHEME).split("/")[0]
        if opened is None or kind not in NAMES:
            return None
        names = await anyio.to_thread.run_sync(lambda: list(NAMES[kind](opened)))
        return completion(names, argument.value)


def _profiles(harness: Harness) -> list[str]:
    folder = harness.settings.profiles_dir
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _workspaces(harness: Harness) -> list[str]:
    folder = harness.settings.workspaces_dir
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def _candidates(harness: Harness) -> list[str]:
    return [node.candidate_id for node in harness.archive.iter()][::-1]


def _evaluations(harness: Harness) -> list[str]:
    return list(harness.records.ids())[::-1]


NAMES: dict[str, Callable[[Harness], Iterable[str]]] = {
    "definition": lambda harness: sorted(harness.dataset.operators),
    "candidate": _candidates,
    "candidate_id": _candidates,
    "evaluation": _evaluations,
    "evaluation_id": _evaluations,
    "profile": _profiles,
    "workspace": _workspaces,
}
"""Valid values by name of an argument or kind of a template, newest first."""


def skill_resources(skills: SkillRegistry) -> list[Resource]:
    """Lists every file of every skill; SKILL.md has the skill's name and description."""
    found = []
    for skill, path in skills.files():
        manifest = path == MANIFEST
        found.append(
            Resource(
                uri=f"{SKILL_SCHEME}{skill.name}/{path}",
                name=skill.name if manifest else f"{skill.name}/{path}",
                description=skill.description if manifest else None,
                mime_type="text/markdown",
            )
        )
    return found


def completion(names: Iterable[str], beginning: str) -> Completion:
    """Returns the names that begin with what is typed, then those that contain it; at most 100."""
    known = list(names)
    typed = beginning.strip().casefold()
    found = [name for name in known if name.casefold().startswith(typed)]
    found += [name for name in known if typed in name.casefold() and name not in found]
    return Completion(
        values=found[:MOST_COMPLETIONS],
        total=len(found),
        has_more=len(found) > MOST_COMPLETIONS,
    )
