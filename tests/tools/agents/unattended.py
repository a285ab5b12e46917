"""Searches for tests: real rounds and processes, a scripted device, the program of this folder."""

from __future__ import annotations

import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kernel_harness.server.cli.searching.endpoints import round_endpoints
from kernel_harness.tools.agents.clients.table import agent_named
from kernel_harness.tools.agents.records.options import SearchOptions
from kernel_harness.tools.agents.searches.agent_step import Endpoint
from kernel_harness.tools.agents.searches.search_loop import UnattendedSearch
from kernel_harness.tools.harness import Harness
from tests.server.scripted import DEFINITION

from .scripted_device import SOURCE

STUB = Path(__file__).with_name("stub_agent.py")
START = "shipped"


def stub(behaviour: str, argument: str = "") -> str:
    """The command line of a stub agent."""
    return shlex.join([sys.executable, "-P", str(STUB), behaviour, *filter(None, [argument])])


def ship_start(kernels_dir: Path) -> None:
    """Adds the program to the operator's solutions."""
    folder = kernels_dir / DEFINITION / "solutions" / START
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kernel.py").write_text(SOURCE)
    (folder / "candidate.toml").write_text(
        f'name = "{START}"\ndefinition = "{DEFINITION}"\nlanguage = "triton"\n'
        'entry_point = "kernel.py::run"\ndestination_passing_style = true\n'
    )


def options(agent: str, **changes: Any) -> SearchOptions:
    """What a search is asked for."""
    asked = {"definition": DEFINITION, "agent": agent, "start": START, "rounds": 1, "summarise": 0}
    return SearchOptions.model_validate({**asked, "round_minutes": 1.0, **changes})


@asynccontextmanager
async def no_server(harness: Harness) -> AsyncIterator[Endpoint]:
    """Serves nothing: for agents that ask the server nothing."""
    del harness
    yield Endpoint("http://127.0.0.1:9/mcp", "token")


async def searched(
    harness: Harness, agent: str, home: Path, *, served: bool = False, **changes: Any
) -> Any:
    """An `UnattendedSearch` that was run to its end."""
    asked = options(agent, **changes)
    command = agent_named(agent)
    if not served:
        search = UnattendedSearch.opened(harness, asked, command, no_server, home)
        await search.run()
        return search
    async with round_endpoints() as serve:
        search = UnattendedSearch.opened(harness, asked, command, serve, home)
        await search.run()
    return search
