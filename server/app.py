"""Builds the MCP server: tools, resources, prompts and skills around one Harness.

The Harness is opened by the server's lifespan and reaches every tool in the call's context; nothing
here is global.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolResult,
    GetPromptResult,
    InputRequiredResult,
    Resource,
    TextContent,
    Tool,
)
from pydantic import AnyUrl, ValidationError

from ..tools.errors import RequestError, unknown_name
from ..tools.harness import Harness
from ..tools.settings import Settings, load_settings
from .mcp_tools.registry import ENTRIES, listed_tools
from .requests import arguments as call_arguments
from .requests.authorship import ServedSkills
from .requests.background import BackgroundTasks
from .requests.context import note_served_skill
from .requests.legacy_clients import LegacyClients
from .requests.refusals import validation_message
from .resources import prompts
from .resources import templates as resources
from .resources.skill_updates import skill_updates
from .resources.skills import SCHEME as SKILL_SCHEME
from .resources.skills import SkillRegistry, SkillsExtension

NAME = "kernel-harness"
INSTRUCTIONS = """\
Turns a GPU operator into a faster, proven kernel. Loop: check_environment → list_workloads → \
sample_shapes → open_workspace → edit the sources → evaluate_kernel (smoke, then sample) → \
profile_ncu → archive_candidate, failures too → select_parent → promote_candidate. The verdict, \
the clock and the promotion rules are the server's: change the kernel, not the question. Read the \
skill optimize-kernel first (skill://optimize-kernel/SKILL.md)."""


class HarnessServer(MCPServer[Harness]):
    """The SDK's server, which also refuses unknown argument names and serves skills as files."""

    harness: Harness | None = None
    """The open Harness while the server runs."""
    background: BackgroundTasks
    """Work that outlives its call; set while the server runs."""
    skills: SkillRegistry
    """The skills, read from disk on every request."""
    legacy_clients: LegacyClients
    loaded: set[str]
    """Names of the tools that were called, and so are loaded."""
    not_served: frozenset[str] = frozenset()
    """Names of tools that this server does not have."""
    served_skills: ServedSkills
    """What each client was served, for the candidates that it archives."""

    async def list_tools(self) -> list[Tool]:
        """Lists the tools as they are described beside their code; none is loaded for it."""
        added = [tool for tool in await super().list_tools() if tool.name not in self.loaded]
        served = [tool for tool in listed_tools() if tool.name not in self.not_served]
        return [*served, *added]

    async def list_resources(self) -> list[Resource]:
        """Lists the files of the skills as they are now; everything else is found by template."""
        fixed = await super().list_resources()
        return [*fixed, *resources.skill_resources(self.skills)]

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Any, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Reads a file of a skill, or the resource of that address."""
        text = self.skills.read(str(uri)) if str(uri).startswith(SKILL_SCHEME) else None
        if text is not None:
            note_served_skill(context, str(uri), text)
            return [ReadResourceContents(content=text, mime_type="text/markdown")]
        return await super().read_resource(uri, context)

    def kill_children(self) -> None:
        """Kills every process that the Harness started; may be called on a signal."""
        if self.harness is not None:
            self.harness.kill_children()

    async def get_prompt(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        context: Context[Any, Any] | None = None,
    ) -> GetPromptResult | InputRequiredResult:
        """Fills a prompt in; an unknown name or a missing argument is an error of the client's."""
        prompts_known = {prompt.name: prompt for prompt in await self.list_prompts()}
        if name not in prompts_known:
            refusal = str(unknown_name("prompt", name, prompts_known))
            raise MCPError(code=INVALID_PARAMS, message=refusal)
        expected = prompts_known[name].arguments or []
        missing = [a.name for a in expected if a.required and not (arguments or {}).get(a.name)]
        if missing:
            message = f"The prompt {name} needs {', '.join(missing)}."
            raise MCPError(code=INVALID_PARAMS, message=message)
        if skill := self.skills.skill(name):
            note_served_skill(context, name, skill.text)
        return await super().get_prompt(name, arguments, context)

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Corrects slips in the arguments and calls the tool.

        Raises:
            ToolError: for an unknown tool, an argument that it does not have, or its own failure.
        """
        schemas = {tool.name: tool.input_schema for tool in await self.list_tools()}
        try:
            if name not in schemas:
                raise unknown_name("tool", name, schemas)
            understood = call_arguments.understand(name, schemas[name], arguments)
        except RequestError as error:
            raise ToolError(str(error)) from error
        if name in ENTRIES and name not in self.loaded:
            self.add_tool(**ENTRIES[name].registration())
            self.loaded.add(name)
        try:
            result = await super().call_tool(name, understood, context)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                whole = {tool.name: tool.input_schema for tool in await super().list_tools()}
                words = validation_message(name, whole[name], understood, error.__cause__)
                raise ToolError(words) from None
            message = str(error).removeprefix(f"Error executing tool {name}: ")
            raise ToolError(message) from error.__cause__
        if isinstance(result, CallToolResult) and result.structured_content is not None:
            # The same once more for clients that read text alone, without the SDK's indentation.
            words = json.dumps(result.structured_content, separators=(",", ":"), ensure_ascii=False)
            return result.model_copy(update={"content": [TextContent(text=words)]})
        return result


def build_app(
    settings: Settings | None = None,
    *,
    harness: Harness | None = None,
    without: Collection[str] = (),
) -> HarnessServer:
    """Builds the server.

    Args:
        settings: used to open a Harness when the server starts.
        harness: an open Harness, or a substitute in tests; the caller closes it.
        without: names of tools that are not served.
    """

    chosen = harness.settings if harness else settings or load_settings()
    skills = SkillRegistry(*chosen.skills_dirs)
    bus, legacy_clients = InMemorySubscriptionBus(), LegacyClients()

    @asynccontextmanager
    async def lifespan(_: MCPServer[Any]) -> AsyncIterator[Harness]:
        opened = harness or Harness.open(chosen)
        app.harness = opened
        try:
            async with (
                skill_updates(skills, bus, legacy_clients.notify_resources_changed),
                BackgroundTasks.opened() as app.background,
            ):
                yield opened
        finally:
            if harness is None:
                with anyio.CancelScope(shield=True):
                    await opened.aclose()

    app = HarnessServer(
        NAME,
        title="Kernel Harness",
        version=importlib.metadata.version("kernel-harness"),
        instructions=INSTRUCTIONS,
        extensions=[SkillsExtension(skills)],
        subscriptions=bus,
        middleware=[legacy_clients],
        lifespan=lifespan,
        log_level="WARNING",
    )
    app.loaded = set()
    app.not_served = frozenset(without)
    app.skills = skills
    app.legacy_clients = legacy_clients
    app.served_skills = ServedSkills()
    resources.register(app)
    resources.register_completion(app, lambda: app.harness)
    prompts.register(app, skills)
    return app
