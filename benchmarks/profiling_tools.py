"""Wall time of the profiling tools on two workloads of a shipped operator, as the caller waits.

    python benchmarks/profiling_tools.py [--solution triton_split_v] [--repeat 2] [--json FILE]

Needs an NVIDIA GPU, and Nsight Compute and compute-sanitizer on the path. The judge is warm, as it
is after a first evaluation. Prints the seconds of profile_ncu, profile_timeline and sanitize, and
whether the replay of a recorded call was profiled or the slower way around it was taken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.operators import Operator

DEFINITION = "gdn_decode_qk4_v8_d128_k_last"
console = Console(width=140)


def two_workloads(operator: Operator) -> list[str]:
    """The workloads of the smallest and of the largest batch."""
    ordered = sorted(operator.workloads, key=lambda w: w.axes["batch_size"])
    return [ordered[0].uuid, ordered[-1].uuid]


async def ncu(harness: Harness, operator: Operator, solution: Solution) -> str:
    """Profiles with Nsight Compute; says how."""
    chosen = two_workloads(operator)
    found = await harness.profiling.profile_ncu(operator, solution, workloads=chosen)
    ways = [w.failure or ("replay" if w.replayed else w.not_replayed) for w in found.workloads]
    return f"{found.tool}: {', '.join(map(str, ways))}"


async def timeline(harness: Harness, operator: Operator, solution: Solution) -> str:
    """Traces; says what was seen."""
    chosen = two_workloads(operator)
    found = await harness.profiling.profile_timeline(operator, solution, workloads=chosen)
    return f"{[w.kernels for w in found.workloads]} kernels by {found.tool}"


async def sanitize(harness: Harness, operator: Operator, solution: Solution) -> str:
    """Runs every sanitizer; says what each took."""
    report = await harness.profiling.sanitize(operator, solution)
    return ", ".join(f"{run.tool.value} {run.seconds:.1f} s" for run in report.runs)


async def measure(solution_name: str, repeat: int) -> list[dict[str, object]]:
    """Seconds of each tool, each time with a data folder that holds no profile."""
    tools: dict[str, Callable[[Harness, Operator, Solution], Awaitable[str]]] = {
        "profile_ncu": ncu,
        "profile_timeline": timeline,
        "sanitize": sanitize,
    }
    rows: list[dict[str, object]] = []
    for _ in range(repeat):
        with tempfile.TemporaryDirectory() as folder:
            harness = Harness.open(load_settings({"data_dir": folder}))
            await harness.pool.warm(harness.device)
            operator = harness.dataset.operator(DEFINITION)
            solution = harness.lookup.solution(operator, solution_name)
            for name, tool in tools.items():
                began = time.perf_counter()
                words = await tool(harness, operator, solution)
                rows.append({"tool": name, "seconds": time.perf_counter() - began, "how": words})
            await harness.aclose()
    return rows


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--solution", default="triton_split_v")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--json", type=Path)
    choices = parser.parse_args()
    rows = asyncio.run(measure(choices.solution, choices.repeat))
    table = Table(title=f"{DEFINITION}, {choices.solution}: two workloads")
    for column in ("tool", "seconds", "how"):
        table.add_column(column)
    for row in rows:
        table.add_row(str(row["tool"]), f"{row['seconds']:.2f}", str(row["how"]))
    console.print(table)
    if choices.json:
        choices.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
