"""How long until the server answers, and what it weighs: medians over fresh processes.

Figures to hold: ready within 1.3 times what a server of the bare SDK takes, measured in turns with
it, for most of the time is the SDK's imports; 90 MB resident when idle; `list_workloads` within
50 ms. Seconds of the processor are those until the handshake's answer.

    python benchmarks/server_start.py [--runs 10]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

SERVER = (sys.executable, "-m", "kernel_harness.server", "serve")
BARE = (
    sys.executable,
    "-c",
    "from mcp.server import MCPServer; MCPServer('bare').run()",
)
RATIO = 1.3
LIMITS = {"resident MB": 90.0, "list_workloads s": 0.05}


class Server:
    """One server process and its newline-delimited JSON-RPC."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._id = 0

    def ask(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Sends one request and reads until its answer."""
        self._id += 1
        self.send({"id": self._id, "method": method, "params": params or {}})
        assert self.process.stdout is not None
        while True:
            message = json.loads(self.process.stdout.readline())
            if message.get("id") == self._id:
                return message

    def send(self, message: Mapping[str, Any]) -> None:
        """Sends one message."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self.process.stdin.flush()

    def hello(self) -> None:
        """The handshake of the 2025 revisions, which every client speaks."""
        hello = {"name": "benchmark", "version": "1"}
        self.ask(
            "initialize",
            {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": hello},
        )
        self.send({"method": "notifications/initialized"})

    def resident_mb(self) -> float:
        """Resident memory in MB (1e6 bytes would flatter; these are 2**20)."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def processor_s(self) -> float:
        """Seconds of the processor so far, user's and system's."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def leave(self) -> None:
        """Closes standard input and waits."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=10)


def once(command: tuple[str, ...], tools: bool) -> dict[str, float]:
    """One fresh process, measured."""
    began = time.perf_counter()
    server = Server(command)
    server.hello()
    found = {"ready s": time.perf_counter() - began, "processor s": server.processor_s()}
    if tools:
        server.ask("tools/list")
        found["tools listed s"] = time.perf_counter() - began
        call = {"name": "list_workloads", "arguments": {}}
        asked = time.perf_counter()
        server.ask("tools/call", call)
        found["first list_workloads s"] = time.perf_counter() - asked
        asked = time.perf_counter()
        server.ask("tools/call", call)
        found["list_workloads s"] = time.perf_counter() - asked
    found["resident MB"] = server.resident_mb()
    server.leave()
    return found


def main() -> int:
    """Prints a table; the status is 1 when a figure is over its limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    bare, ours = [], []
    for _ in range(runs):  # in turns, so that a machine that slows down slows both
        bare.append(once(BARE, False))
        ours.append(once(SERVER, True))
    over = 0
    for name, samples, limits in (("bare SDK", bare, {}), ("kernel-harness", ours, LIMITS)):
        for figure in samples[0]:
            values = [sample[figure] for sample in samples]
            over += _said(name, figure, statistics.median(values), min(values), limits.get(figure))
    for figure in ("ready s", "processor s"):
        ratios = [a[figure] / b[figure] for a, b in zip(ours, bare, strict=True)]
        least = min(a[figure] for a in ours) / min(b[figure] for b in bare)
        limit = RATIO if figure == "ready s" else None
        over += _said("times the bare", figure, statistics.median(ratios), least, limit)
    return int(over > 0)


def _said(name: str, figure: str, median: float, least: float, limit: float | None) -> bool:
    """Prints a line; returns whether the figure is over its limit."""
    over = limit is not None and median > limit
    mark = "" if limit is None else f"  limit {limit:g}" + " OVER" * over
    sys.stdout.write(f"{name:16} {figure:22} {median:8.3f}  least {least:8.3f}{mark}\n")
    return over


if __name__ == "__main__":
    sys.exit(main())
