"""A search in a process of its own, begun or resumed, to be killed at any moment.

python -m tests.tools.agents.search_process DATA KERNELS AGENT ROUNDS PARALLEL
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from kernel_harness.tools.agents.clients.table import agent_named
from kernel_harness.tools.agents.records.ledger import searches
from kernel_harness.tools.agents.searches.search_loop import UnattendedSearch
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.workloads.dataset import Dataset
from tests.server.scripted import ScriptedHarness

from .scripted_device import on_device
from .unattended import no_server, options


async def main(data: str, kernels: str, agent: str, rounds: str, parallel: str) -> None:
    """Begins the search of a data folder, or goes on with it."""
    settings = Settings(
        data_dir=Path(data), kernels_dir=Path(kernels), device="cpu", warm_ahead=False
    )
    harness = on_device(ScriptedHarness(settings, Dataset.load(settings.kernels_dir, ())))
    asked = options(agent, rounds=int(rounds), parallel=int(parallel), round_minutes=0.1)
    command, home = agent_named(agent), Path(data) / "home"
    known = searches(harness.archive.repository)
    search = UnattendedSearch.opened(
        harness, asked, command, no_server, home, ledger=known[0] if known else None
    )
    await search.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
