"""How soon the server is ready for a client, and what it holds while idle.

    python benchmarks/server_start.py [--runs 5]

Starts `kernel-harness serve` as a client does and prints the time until the session is initialised,
the time of a first and of later `list_workloads` calls, and the resident memory; beside them a bare
server of the SDK in the same run, since absolute figures depend on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from mcp import Client, StdioServerParameters
from rich.console import Console
from rich.table import Table

BARE = """
from mcp.server import MCPServer
server = MCPServer("bare")
@server.tool()
def list_workloads(definition: str = "") -> str:
    return definition
server.run()
"""


def resident_mb(marker: str) -> float:
    """Resident megabytes of the child process whose command line holds `marker`."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker in path.read_bytes().decode("utf-8", "replace"):
                pages = int((path.parent / "statm").read_text().split()[1])
                return pages * 4096 / 1e6
        except (OSError, ValueError):
            continue
    return float("nan")


async def measured(arguments: list[str], marker: str) -> tuple[float, float, float, float]:
    """Seconds until ready, milliseconds of the first and the median later call, megabytes."""
    began = time.perf_counter()
    server = StdioServerParameters(command=sys.executable, args=arguments)
    async with Client(server) as client:
        await client.list_tools()
        ready = time.perf_counter() - began
        calls = []
        for _ in range(10):
            start = time.perf_counter()
            await client.call_tool("list_workloads", {"definition": "gdn_decode"})
            calls.append((time.perf_counter() - start) * 1e3)
        await asyncio.sleep(0.5)
        memory = await asyncio.to_thread(resident_mb, marker)
    return ready, calls[0], statistics.median(calls[1:]), memory


async def run(count: int) -> Table:
    """Measures both servers in turn."""
    table = Table(title=f"medians of {count} starts")
    for column in ("server", "ready s", "first list ms", "list ms", "resident MB"):
        table.add_column(column)
    with tempfile.TemporaryDirectory() as folder:
        ours = ["-m", "kernel_harness.server", "serve", "--data-dir", folder]
        servers = {
            "kernel-harness": (ours, folder),
            "bare SDK": (["-c", BARE], 'MCPServer("bare")'),
        }
        rows: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in servers}
        for _ in range(count):
            for name, (arguments, marker) in servers.items():
                rows[name].append(await measured(arguments, marker))
    for name, values in rows.items():
        middle = [statistics.median(column) for column in zip(*values, strict=True)]
        table.add_row(name, *(f"{v:.2f}" if i == 0 else f"{v:.1f}" for i, v in enumerate(middle)))
    return table


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    Console(width=100).print(asyncio.run(run(parser.parse_args().runs)))


if __name__ == "__main__":
    main()
