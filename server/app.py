"""Builds the MCP server: tools, resources, prompts and skills on one Harness.

Words and wiring only. The Harness is opened by the server's lifespan and handed to every tool by
the call's context; nothing here is global.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolResult,
    GetPromptResult,
    InputRequiredResult,
    Resource,
    SetLevelRequestParams,
    ToolAnnotations,
)
from pydantic import AnyUrl, ValidationError

from ..tools.errors import RequestError, unknown_name
from ..tools.harness import Harness
from ..tools.settings import Settings, load_settings
from .mcp_tools import archive as tools_archive
from .mcp_tools import evaluation as tools_evaluation
from .mcp_tools import plots as tools_plots
from .mcp_tools import profiling as tools_profile
from .mcp_tools import workloads as tools_workloads
from .requests import arguments as reading
from .requests.background import BackgroundTasks
from .requests.client_log import set_level
from .requests.context import in_words
from .resources import prompts
from .resources import templates as resources
from .resources.skill_updates import Listeners, announcing
from .resources.skills import SCHEME as SKILL_SCHEME
from .resources.skills import SkillRegistry, SkillsExtension

NAME = "kernel-harness"
INSTRUCTIONS = """\
Turns a GPU operator into a faster, proven kernel. Loop: check_environment → list_workloads → \
sample_shapes → open_workspace → edit the sources → evaluate_kernel (smoke, then sample) → \
profile_ncu → archive_candidate, failures too → select_parent → promote_candidate. The verdict, \
the clock and the promotion rules are the server's: change the kernel, not the question. Read the \
skill optimize-kernel first (skill://optimize-kernel/SKILL.md)."""


@dataclass(frozen=True)
class Entry:
    """One tool as it is registered."""

    function: Callable[..., Awaitable[Any]]
    title: str
    hints: ToolAnnotations
    structured: bool | None = None


READS = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
"""Looks, and changes nothing."""
ADDS = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
)
"""Adds something new each time; never changes or removes what is there."""
KEEPS = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
"""Runs in isolation or appends, once: the same call again gives what is there already."""
WITHDRAWS = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False
)
"""Takes something back that was decided; a headless client asks a person first."""

ENTRIES = (
    Entry(tools_workloads.check_environment, "Check the environment", READS),
    Entry(tools_workloads.list_workloads, "List definitions and workloads", READS),
    Entry(tools_workloads.sample_shapes, "Sample the shapes", READS),
    Entry(tools_workloads.open_workspace, "Open a workspace", ADDS),
    Entry(tools_evaluation.evaluate_kernel, "Evaluate a kernel", KEEPS),
    Entry(tools_evaluation.get_evaluation, "Get an evaluation", READS),
    Entry(tools_evaluation.read_report, "Read a report", READS),
    Entry(tools_profile.profile_ncu, "Profile with counters", KEEPS),
    Entry(tools_profile.profile_timeline, "Profile over time", KEEPS),
    Entry(tools_profile.sanitize, "Run sanitizers", KEEPS),
    Entry(tools_plots.plot_floors, "Plot latencies against floors", READS, structured=False),
    Entry(tools_plots.plot_roofline, "Plot the roofline", READS, structured=False),
    Entry(tools_archive.archive_candidate, "Archive a candidate", KEEPS),
    Entry(tools_archive.search_archive, "Search the archive", READS),
    Entry(tools_archive.select_parent, "Select a parent", READS),
    Entry(tools_archive.get_context, "Get a role's context", READS),
    Entry(tools_archive.promote_candidate, "Promote a candidate", ADDS),
    Entry(tools_archive.rollback_promotion, "Roll a promotion back", WITHDRAWS),
)


class HarnessServer(MCPServer[Harness]):
    """The SDK's server, strict about what the SDK lets pass: argument names and their words."""

    harness: Harness | None = None
    """The open Harness while the server runs; for ending it from a signal only."""
    continuing: BackgroundTasks
    """Work that outlives its call; there while the server runs."""
    shelf: SkillRegistry
    """The skills, read from disk on every request."""

    def answer_set_level(self) -> None:
        """Lets clients of the 2025 revisions choose how much is logged to them."""
        self._lowlevel_server.add_request_handler(
            "logging/setLevel", SetLevelRequestParams, set_level
        )

    async def list_resources(self) -> list[Resource]:
        """The files of the skills as they are now; everything else is found by template."""
        fixed = await super().list_resources()
        return [*fixed, *resources.skill_resources(self.shelf)]

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Any, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Reads a file of a skill, or whatever else has that address."""
        text = self.shelf.read(str(uri)) if str(uri).startswith(SKILL_SCHEME) else None
        if text is not None:
            return [ReadResourceContents(content=text, mime_type="text/markdown")]
        return await super().read_resource(uri, context)

    def kill_children(self) -> None:
        """Kills every process that the Harness started; callable from a signal's handler."""
        if self.harness is not None:
            self.harness.kill_children()

    async def run_stdio_async(self) -> None:
        """Serves stdio, telling clients of the 2025 revisions too that lists can change."""
        low = self._lowlevel_server
        options = low.create_initialization_options(NotificationOptions(resources_changed=True))
        async with stdio_server() as (read_stream, write_stream):
            await low.run(read_stream, write_stream, options)

    async def get_prompt(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        context: Context[Any, Any] | None = None,
    ) -> GetPromptResult | InputRequiredResult:
        """Fills a prompt in; a name or arguments that do not fit are the client's mistake."""
        prompts_known = {prompt.name: prompt for prompt in await self.list_prompts()}
        if name not in prompts_known:
            refusal = str(unknown_name("prompt", name, prompts_known))
            raise MCPError(code=INVALID_PARAMS, message=refusal)
        wanted = prompts_known[name].arguments or []
        missing = [a.name for a in wanted if a.required and not (arguments or {}).get(a.name)]
        if missing:
            words = f"The prompt {name} needs {', '.join(missing)}."
            raise MCPError(code=INVALID_PARAMS, message=words)
        return await super().get_prompt(name, arguments, context)

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Understands the arguments, then calls; refuses what cannot be understood."""
        schemas = {tool.name: tool.input_schema for tool in await self.list_tools()}
        try:
            if name not in schemas:
                raise unknown_name("tool", name, schemas)
            understood = reading.understand(name, schemas[name], arguments)
        except RequestError as error:
            raise ToolError(str(error)) from error
        try:
            return await super().call_tool(name, understood, context)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                raise ToolError(reading.words_of(name, error.__cause__)) from None
            words = str(error).removeprefix(f"Error executing tool {name}: ")
            raise ToolError(words) from error.__cause__


@functools.cache
def registered_tools() -> tuple[Tool, ...]:
    """Every tool with its schemas, made once: they hold no state of any server."""
    return tuple(_tool(entry) for entry in ENTRIES)


def _tool(entry: Entry) -> Tool:
    tool = Tool.from_function(
        in_words(entry.function),
        title=entry.title,
        description=_description(entry.function),
        annotations=entry.hints,
        structured_output=entry.structured,
    )
    tool.parameters = _without_titles(tool.parameters) | {"additionalProperties": False}
    if tool.fn_metadata.output_schema is not None:
        tool.fn_metadata.output_schema = _without_titles(tool.fn_metadata.output_schema)
    return tool


def _without_titles(schema: Any) -> Any:
    """A schema without the titles that pydantic makes of names: tokens that say nothing."""
    if isinstance(schema, list):
        return [_without_titles(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _without_titles(part)
        for name, part in schema.items()
        if name != "title" or not isinstance(part, str)
    }


def _description(function: Callable[..., Any]) -> str:
    """The docstring without its line breaks, which cost tokens and say nothing."""
    paragraphs = (function.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def build_app(settings: Settings | None = None, *, harness: Harness | None = None) -> HarnessServer:
    """Builds the server.

    Args:
        settings: where things are; used to open a Harness when the server starts.
        harness: an open Harness, or one that stands in for it in tests; the caller closes it.
    """

    shelf = SkillRegistry.shipped()
    bus, listeners = InMemorySubscriptionBus(), Listeners()

    @asynccontextmanager
    async def lifespan(_: MCPServer[Any]) -> AsyncIterator[Harness]:
        opened = harness or Harness.open(settings or load_settings())
        app.harness = opened
        try:
            async with (
                announcing(shelf, bus, listeners),
                BackgroundTasks.opened() as app.continuing,
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
        tools=list(registered_tools()),
        extensions=[SkillsExtension(shelf)],
        subscriptions=bus,
        middleware=[listeners.remember],
        lifespan=lifespan,
        log_level="WARNING",
    )
    app.shelf = shelf
    app.answer_set_level()
    resources.register(app)
    resources.register_completion(app, lambda: app.harness)
    prompts.register(app, shelf)
    return app


def tool_schemas() -> dict[str, tuple[dict[str, Any], str]]:
    """Every tool's input schema and first sentence, for the command line."""
    return {
        tool.name: (tool.parameters, tool.description.split("\n\n")[0])
        for tool in registered_tools()
    }
