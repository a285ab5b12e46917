"""Runs the whole loop once with a real MCP client: what a newcomer runs first.

Starts the server as a client would, over stdio, and calls its tools: environment, workloads,
regimes, workspace, baseline, a wrong candidate, a better one, the archive. All files are left in
one folder, named at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from rich.console import Console

from kernel_harness.tools.text import counted

ROOT = Path(__file__).resolve().parents[1]
DEFINITION = "gdn_decode_qk4_v8_d128_k_last"
# A path that is broken into lines cannot be copied.
console = Console(highlight=False, soft_wrap=True)


class Tour:
    """A connected client that prints its calls and their answers."""

    def __init__(self, client: Client, scope: str) -> None:
        self.client = client
        self.scope = scope
        self.began = time.monotonic()

    def heading(self, text: str) -> None:
        console.print(f"\n[bold cyan]{text}[/]  [dim]{time.monotonic() - self.began:.1f} s[/]")

    async def call(self, tool: str, /, show: int = 14, **arguments: Any) -> dict[str, Any]:
        """Calls a tool, shows its summary's beginning and next step, returns the whole content."""
        words = ", ".join(f"{k}={_short(v)}" for k, v in arguments.items())
        console.print(f"[dim]→ {tool}({words})[/]")

        shown = ""

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            nonlocal shown
            step = re.sub(r" \(\d+ s\)$", "", message or "")
            if step != shown:
                console.print(f"  [dim]… {step}[/]")
            shown = step

        result = await self.client.call_tool(tool, arguments, progress_callback=on_progress)
        content = result.structured_content
        if result.is_error or content is None:
            raise SystemExit(f"{tool} failed: {result.content}")
        lines = str(content["summary"]).splitlines()
        console.print("\n".join(f"  {line}" for line in lines[:show]), markup=False)
        if len(lines) > show:
            console.print(f"  [dim]({counted(len(lines) - show, 'more line')})[/]")
        for step in content.get("next_steps", [])[:1]:
            console.print(f"  Next: {step}", markup=False)
        return content

    async def trial(self, name: str, start_from: str, hypothesis: str, **more: Any) -> str:
        """Opens a workspace, judges it, archives it; returns the candidate's id."""
        workspace = await self.call(
            "open_workspace", show=2, definition=DEFINITION, name=name, start_from=start_from
        )
        path = Path(workspace["workspace"])
        if edit := more.pop("edit", None):
            edit(path)
        lesson = more.pop("lesson", None)
        tags = more.pop("tags")
        parent = more.pop("parent", None)
        verdict = await self.call(
            "evaluate_kernel", show=18, workspace=str(path), scope=self.scope, **more
        )
        archived = await self.call(
            "archive_candidate",
            show=6,
            workspace=str(path),
            evaluation_id=verdict["evaluation_id"],
            hypothesis=hypothesis,
            tags=tags,
            **({"lesson": lesson} if lesson else {}),
            **({"parent": parent} if parent else {}),
        )
        return archived["candidate_id"]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:28]}…{text[-28:]}"


def _without_decay(workspace: Path) -> None:
    """Makes the mistake the demo shows: the state is not decayed before it is read."""
    fixture = ROOT / "tests" / "fixtures" / "candidates" / "gdn_decode_wrong_gate"
    for source in fixture.glob("*.py"):
        (workspace / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")


async def trials(steps: Tour, first: str, better: str) -> None:
    """Judges a baseline, a mistake and a program that is to be better; keeps all three.

    Args:
        first: name of the program to begin with.
        better: name of the other.
    """
    steps.heading("3  The baseline")
    baseline = await steps.trial(
        "demo-baseline",
        first,
        "The shipped Triton kernel is the starting point.",
        tags=["baseline"],
    )
    steps.heading("4  A wrong candidate: what an agent is told")
    await steps.trial(
        "demo-wrong",
        "triton_baseline",
        "Skipping the decay gate saves an exponential per head.",
        edit=_without_decay,
        tags=["drop-gate"],
        parent=baseline,
        lesson="The gate cannot be dropped: the state drifts away from the reference.",
    )
    steps.heading("5  A better candidate, compared with the baseline")
    await steps.trial(
        "demo-better",
        better,
        "One pass over the state for both products, tiles chosen by batch.",
        parent=baseline,
        tags=["single-pass", "tile-by-batch"],
        compare_to=first,
    )


async def tour(data_dir: Path, scope: str) -> None:
    """Goes round the loop."""
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "kernel_harness.server", "serve", "--data-dir", str(data_dir)],
        # On a slow machine the usual budget ends before every workload was interpreted.
        env={"KERNEL_HARNESS_CPU_BUDGET_S": "120"},
    )
    async with Client(server) as client:
        steps = Tour(client, scope)
        steps.heading("1  What is this machine?")
        await steps.call("check_environment")
        steps.heading("2  What is there to optimise?")
        await steps.call("list_workloads")
        await steps.call("sample_shapes", definition=DEFINITION)
        await trials(steps, "triton_baseline", "triton_split_v")
        steps.heading("6  What was learnt")
        await steps.call("search_archive", definition=DEFINITION)


def show_history(data_dir: Path) -> None:
    """Prints the archive as plain git sees it."""
    repository = data_dir / "archive" / "repository.git"
    command = ["git", "-C", str(repository), "log", "--graph", "--oneline", "--decorate=no"]
    console.print("\n[bold cyan]The search tree is git's own history[/]")
    typed = f"{' '.join(command)} --glob='refs/candidates/*'"
    console.print(f"[dim]$ {typed}[/]", soft_wrap=True)
    found = subprocess.run(
        [*command, "--glob=refs/candidates/*"], capture_output=True, text=True, check=True
    )
    console.print(found.stdout.rstrip(), markup=False)
    console.print(
        f"\nEverything lies in {data_dir}\n"
        "Next: connect your agent (README, 'Connect an agent'), or read docs/tutorial.md.",
        markup=False,
        soft_wrap=True,
    )


def main() -> None:
    """Runs the demo in a folder of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="where to leave the result")
    parser.add_argument("--scope", default="sample", choices=["smoke", "sample", "full"])
    choices = parser.parse_args()
    data_dir = choices.data_dir or Path(tempfile.mkdtemp(prefix="kernel-harness-demo-"))
    asyncio.run(tour(data_dir, choices.scope))
    show_history(data_dir)


if __name__ == "__main__":
    main()
