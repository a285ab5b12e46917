"""The tools: which there are, as clients are given them, and each loaded when it is first called.

What `tools/list` answers lies beside this module as a file, which `scripts/update_contract.py`
writes from the functions and a test compares with them: making it anew took a third of a server's
start, and every result's model had to be loaded for it.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp.server.mcpserver.tools import Tool
from mcp.types import Tool as ListedTool
from mcp.types import ToolAnnotations

from ..requests.context import with_tool_errors
from .listing import listed_input, listed_output, without_titles

LISTED_FILE = Path(__file__).with_name("listed.json")

READ_ONLY = ToolAnnotations(read_only_hint=True, open_world_hint=False)
"""Changes nothing. That a tool does change something is what no hint means."""
ADDITIVE = ToolAnnotations(destructive_hint=False, open_world_hint=False)
"""Adds something new each time; changes and removes nothing."""
IDEMPOTENT = ToolAnnotations(destructive_hint=False, idempotent_hint=True, open_world_hint=False)
"""Runs in isolation or appends; the same call again returns what is there."""
DESTRUCTIVE = ToolAnnotations(destructive_hint=True, open_world_hint=False)
"""Undoes a decision; a headless client asks a person first."""
UNCONFINED = ToolAnnotations(destructive_hint=True, open_world_hint=False)
"""Runs a program that is not confined; a headless client asks a person first."""


@dataclass(frozen=True)
class Entry:
    """A tool and how it is registered.

    Attributes:
        module: of this folder, which has a function of the tool's name.
    """

    module: str
    name: str
    title: str
    hints: ToolAnnotations
    structured: bool | None = None

    @property
    def function(self) -> Callable[..., Awaitable[Any]]:
        """The function that answers it; loads its module."""
        return getattr(importlib.import_module(f".{self.module}", __package__), self.name)

    def registration(self) -> dict[str, Any]:
        """What the SDK is told of the tool, by its own words for it."""
        function = self.function
        return {
            "fn": with_tool_errors(function),
            "title": self.title,
            "description": _description(function),
            "annotations": self.hints,
            "structured_output": self.structured,
        }


_ENTRIES = (
    Entry("workloads", "check_environment", "Check the environment", READ_ONLY),
    Entry("workloads", "list_workloads", "List definitions and workloads", READ_ONLY),
    Entry("workloads", "sample_shapes", "Sample the shapes", READ_ONLY),
    Entry("workloads", "open_workspace", "Open a workspace", ADDITIVE),
    Entry("plans", "record_plan", "Record a plan", ADDITIVE),
    Entry("evaluation", "evaluate_kernel", "Evaluate a kernel", IDEMPOTENT),
    Entry("tuning", "evaluate_variants", "Evaluate variants", IDEMPOTENT),
    Entry("evaluation", "get_evaluation", "Get an evaluation", READ_ONLY),
    Entry("evaluation", "read_report", "Read a report", READ_ONLY),
    Entry("profiling", "profile_ncu", "Profile with counters", IDEMPOTENT),
    Entry("profiling", "profile_timeline", "Profile over time", IDEMPOTENT),
    Entry("profiling", "sanitize", "Run sanitizers", IDEMPOTENT),
    Entry("profiling", "inspect_call", "Look into a call", IDEMPOTENT),
    Entry("profiling", "show_code", "Show the code", IDEMPOTENT),
    Entry("profiling", "measure_device", "Measure the device", IDEMPOTENT),
    Entry("profiling", "rank_model", "Rank a model", UNCONFINED),
    Entry("plots", "plot_floors", "Plot latencies against floors", READ_ONLY, structured=False),
    Entry("plots", "plot_roofline", "Plot the roofline", READ_ONLY, structured=False),
    Entry("plots", "plot_progress", "Plot the search", READ_ONLY, structured=False),
    Entry("archive", "archive_candidate", "Archive a candidate", IDEMPOTENT),
    Entry("archive", "amend_candidate", "Amend a candidate", ADDITIVE),
    Entry("archive", "search_archive", "Search the archive", READ_ONLY),
    Entry("archive", "search_knowledge", "Search what is known", READ_ONLY),
    Entry("archive", "select_parent", "Select a parent", READ_ONLY),
    Entry("archive", "get_context", "Get a role's context", READ_ONLY),
    Entry("archive", "promote_candidate", "Promote a candidate", ADDITIVE),
    Entry("archive", "rollback_promotion", "Roll a promotion back", DESTRUCTIVE),
)
ENTRIES = {entry.name: entry for entry in _ENTRIES}
"""Every tool by its name, in the order in which they are listed."""


@functools.cache
def listed_tools() -> tuple[ListedTool, ...]:
    """Returns every tool as clients are given it, in order; loads none."""
    listed = json.loads(LISTED_FILE.read_text(encoding="utf-8"))
    return tuple(ListedTool.model_validate(tool) for tool in listed)


def described_tools() -> list[ListedTool]:
    """Returns the same, made from the functions; loads all of them."""
    known: set[Any] = set()
    return [_described(entry, known) for entry in ENTRIES.values()]


def _described(entry: Entry, known: set[Any]) -> ListedTool:
    """A tool as clients are given it; `known` are the results that were listed before it."""
    tool = Tool.from_function(**entry.registration())
    result, output = tool.fn_metadata.output_model, tool.fn_metadata.output_schema
    if output is not None:
        output = listed_output(output, again=result in known)
        known.add(result)
    return ListedTool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=listed_input(tool.parameters),
        output_schema=output,
        annotations=tool.annotations,
    )


def result_schemas() -> dict[str, dict[str, Any]]:
    """Returns the whole schema of every structured result; clients are given it in short."""
    models = {
        entry.name: Tool.from_function(**entry.registration()).fn_metadata.output_model
        for entry in ENTRIES.values()
    }
    return {
        name: without_titles(model.model_json_schema())
        for name, model in models.items()
        if model is not None
    }


def tool_schemas() -> dict[str, tuple[dict[str, Any], str]]:
    """Returns every tool's input schema and first paragraph, for the command line."""
    return {
        tool.name: (tool.input_schema, (tool.description or "").split("\n\n")[0])
        for tool in listed_tools()
    }


def _description(function: Callable[..., Any]) -> str:
    """Returns the docstring with each paragraph on one line, to save tokens."""
    paragraphs = (function.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
