"""Builds the MCP server: tools, resources, prompts and skills around one Harness.

The Harness is opened by the server's lifespan and reaches every tool in the call's context; nothing
here is global.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolResult,
    GetPromptResult,
    InputRequiredResult,
    Resource,
    TextContent,
    ToolAnnotations,
)
from pydantic import AnyUrl, ValidationError

from ..tools.errors import RequestError, unknown_name
from ..tools.harness import Harness
from ..tools.settings import Settings, load_settings
from .mcp_tools import archive as tools_archive
from .mcp_tools import evaluation as tools_evaluation
from .mcp_tools import plans as tools_plans
from .mcp_tools import plots as tools_plots
from .mcp_tools import profiling as tools_profile
from .mcp_tools import tuning as tools_tuning
from .mcp_tools import workloads as tools_workloads
from .mcp_tools.listing import listed_input, listed_output, without_titles
from .requests import arguments as call_arguments
from .requests.authorship import ServedSkills
from .requests.background import BackgroundTasks
from .requests.context import note_served_skill, with_tool_errors
from .requests.legacy_clients import LegacyClients
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


@dataclass(frozen=True)
class Entry:
    """A tool and how it is registered."""

    function: Callable[..., Awaitable[Any]]
    title: str
    hints: ToolAnnotations
    structured: bool | None = None


READ_ONLY = ToolAnnotations(read_only_hint=True, open_world_hint=False)
"""Changes nothing; the other hints say something only of tools that do."""
ADDITIVE = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
"""Adds something new each time; changes and removes nothing."""
IDEMPOTENT = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
"""Runs in isolation or appends; the same call again returns what is there."""
DESTRUCTIVE = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)
"""Undoes a decision; a headless client asks a person first."""

ENTRIES = (
    Entry(tools_workloads.check_environment, "Check the environment", READ_ONLY),
    Entry(tools_workloads.list_workloads, "List definitions and workloads", READ_ONLY),
    Entry(tools_workloads.sample_shapes, "Sample the shapes", READ_ONLY),
    Entry(tools_workloads.open_workspace, "Open a workspace", ADDITIVE),
    Entry(tools_plans.record_plan, "Record a plan", ADDITIVE),
    Entry(tools_evaluation.evaluate_kernel, "Evaluate a kernel", IDEMPOTENT),
    Entry(tools_tuning.evaluate_variants, "Evaluate variants", IDEMPOTENT),
    Entry(tools_evaluation.get_evaluation, "Get an evaluation", READ_ONLY),
    Entry(tools_evaluation.read_report, "Read a report", READ_ONLY),
    Entry(tools_profile.profile_ncu, "Profile with counters", IDEMPOTENT),
    Entry(tools_profile.profile_timeline, "Profile over time", IDEMPOTENT),
    Entry(tools_profile.sanitize, "Run sanitizers", IDEMPOTENT),
    Entry(tools_profile.inspect_call, "Look into a call", IDEMPOTENT),
    Entry(tools_profile.show_code, "Show the code", IDEMPOTENT),
    Entry(tools_profile.measure_device, "Measure the device", IDEMPOTENT),
    Entry(tools_plots.plot_floors, "Plot latencies against floors", READ_ONLY, structured=False),
    Entry(tools_plots.plot_roofline, "Plot the roofline", READ_ONLY, structured=False),
    Entry(tools_plots.plot_progress, "Plot the search", READ_ONLY, structured=False),
    Entry(tools_archive.archive_candidate, "Archive a candidate", IDEMPOTENT),
    Entry(tools_archive.amend_candidate, "Amend a candidate", ADDITIVE),
    Entry(tools_archive.search_archive, "Search the archive", READ_ONLY),
    Entry(tools_archive.search_knowledge, "Search what is known", READ_ONLY),
    Entry(tools_archive.select_parent, "Select a parent", READ_ONLY),
    Entry(tools_archive.get_context, "Get a role's context", READ_ONLY),
    Entry(tools_archive.promote_candidate, "Promote a candidate", ADDITIVE),
    Entry(tools_archive.rollback_promotion, "Roll a promotion back", DESTRUCTIVE),
)


class HarnessServer(MCPServer[Harness]):
    """The SDK's server, which also refuses unknown argument names and serves skills as files."""

    harness: Harness | None = None
    """The open Harness while the server runs."""
    background: BackgroundTasks
    """Work that outlives its call; set while the server runs."""
    skills: SkillRegistry
    """The skills, read from disk on every request."""
    legacy_clients: LegacyClients
    served_skills: ServedSkills
    """What each client was served, for the candidates that it archives."""

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
        try:
            result = await super().call_tool(name, understood, context)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                raise ToolError(call_arguments.validation_message(name, error.__cause__)) from None
            message = str(error).removeprefix(f"Error executing tool {name}: ")
            raise ToolError(message) from error.__cause__
        if isinstance(result, CallToolResult) and result.structured_content is not None:
            # The same once more for clients that read text alone, without the SDK's indentation.
            words = json.dumps(result.structured_content, separators=(",", ":"), ensure_ascii=False)
            return result.model_copy(update={"content": [TextContent(text=words)]})
        return result


@functools.cache
def registered_tools() -> tuple[Tool, ...]:
    """Returns every tool with its schemas; made once, for they hold no state of a server."""
    known: set[Any] = set()
    return tuple(_tool(entry, known) for entry in ENTRIES)


def _tool(entry: Entry, known: set[Any]) -> Tool:
    """A tool as clients are given it; `known` are the results that were listed before it."""
    tool = Tool.from_function(
        with_tool_errors(entry.function),
        title=entry.title,
        description=_description(entry.function),
        annotations=entry.hints,
        structured_output=entry.structured,
    )
    tool.parameters = listed_input(tool.parameters)
    result = tool.fn_metadata.output_model
    if tool.fn_metadata.output_schema is not None:
        whole = tool.fn_metadata.output_schema
        tool.fn_metadata.output_schema = listed_output(whole, again=result in known)
        known.add(result)
    return tool


def result_schemas() -> dict[str, dict[str, Any]]:
    """Returns the whole schema of every structured result; clients are given it in short."""
    models = {tool.name: tool.fn_metadata.output_model for tool in registered_tools()}
    return {
        name: without_titles(model.model_json_schema())
        for name, model in models.items()
        if model is not None
    }


def _description(function: Callable[..., Any]) -> str:
    """Returns the docstring with each paragraph on one line, to save tokens."""
    paragraphs = (function.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def build_app(settings: Settings | None = None, *, harness: Harness | None = None) -> HarnessServer:
    """Builds the server.

    Args:
        settings: used to open a Harness when the server starts.
        harness: an open Harness, or a substitute in tests; the caller closes it.
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
        tools=list(registered_tools()),
        extensions=[SkillsExtension(skills)],
        subscriptions=bus,
        middleware=[legacy_clients],
        lifespan=lifespan,
        log_level="WARNING",
    )
    app.skills = skills
    app.legacy_clients = legacy_clients
    app.served_skills = ServedSkills()
    resources.register(app)
    resources.register_completion(app, lambda: app.harness)
    prompts.register(app, skills)
    return app


def tool_schemas() -> dict[str, tuple[dict[str, Any], str]]:
    """Returns every tool's input schema and first paragraph, for the command line."""
    return {
        tool.name: (tool.parameters, tool.description.split("\n\n")[0])
        for tool in registered_tools()
    }
