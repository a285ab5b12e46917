"""Tokens of what an agent reads in one round of the loop, through a real client, without a GPU.

Plays the round on GDN decode: the machine, the workloads, a workspace, three evaluations, one of
thirty configurations, seven archived candidates, the search; then eighteen variants that are only
compiled, one by one and in one call. Prints calls and seconds, too. A token is counted as four
characters of compact JSON, for no client's tokeniser is public.

    python benchmarks/answer_tokens.py [--server .venv/bin/kernel-harness]
    python benchmarks/answer_tokens.py --recorded

With `--recorded` nothing is evaluated: the evaluations in the histories that are shipped, most of
them timed on H200s, are worded as `evaluate_kernel` does.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters

from kernel_harness.server.answers.evaluation.answer import evaluation_answer
from kernel_harness.tools.evaluation.service import Evaluated
from kernel_harness.tools.schema.evaluation import Evaluation, Status

KERNELS = Path(__file__).resolve().parents[1] / "kernels"
DEFINITION = "gdn_decode_qk4_v8_d128_k_last"
CHARACTERS = 4
MORE = 6
"""Candidates beside the first."""
TUNED = """\
@triton.autotune(
    [
        triton.Config({"BLOCK_V": size}, num_warps=warps, num_stages=stages)
        for size in (8, 16, 32, 64, 128)
        for warps in (1, 2, 4)
        for stages in (1, 2)
    ],
    key=[],
)
@triton.jit"""
"""Thirty configurations of the shipped kernel."""


def tuned(kernel: str) -> str:
    """The shipped kernel with thirty configurations instead of one."""
    changes = {
        "@triton.jit": TUNED,
        "[(batch, heads // block_h, size // block_v)]": (
            "[lambda chosen: (batch, heads // block_h, size // chosen['BLOCK_V'])]"
        ),
        " BLOCK_V=block_v,": "",
        "        num_warps=4,\n": "",
    }
    for old, new in changes.items():
        if old not in kernel:
            raise SystemExit(f"The shipped kernel has no {old!r} to change")
        kernel = kernel.replace(old, new)
    return kernel


def say(words: str) -> None:
    """Prints a line at once."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def tokens(content: Any) -> int:
    """Tokens of plain data as a client receives it."""
    return len(json.dumps(content, separators=(",", ":"), ensure_ascii=False)) // CHARACTERS


GRID = {"VALUES": (16, 32, 64), "num_warps": (1, 2, 4), "num_stages": (2, 3)}
"""Eighteen variants."""


def with_constants(kernel: str, values: int, warps: int, stages: int) -> str:
    """The shipped kernel with its constants where a call can vary them."""
    changes = {
        "block_h, block_v = 1, 32": "block_h, block_v = 1, VALUES",
        "        num_warps=4,\n": f"        num_warps={warps}, num_stages={stages},\n",
        "\n\n\ndef run(": f"\n\n\nVALUES = {values}\n\n\ndef run(",
    }
    for old, new in changes.items():
        if old not in kernel:
            raise SystemExit(f"The shipped kernel has no {old!r} to change")
        kernel = kernel.replace(old, new)
    return kernel


class Round:
    """A connected client that prints what each answer costs, or only what all do."""

    def __init__(self, client: Client, *, silent: bool = False) -> None:
        self.client, self.silent = client, silent
        self.total = self.calls = 0
        self.begin = time.monotonic()

    async def call(self, tool: str, note: str = "", /, **arguments: Any) -> dict[str, Any]:
        """Calls a tool and returns its structured content."""
        self.calls += 1
        result = await self.client.call_tool(tool, arguments)
        content = result.structured_content
        if result.is_error or content is None:
            raise SystemExit(f"{tool} failed: {result.content}")
        text = sum(len(getattr(block, "text", "")) for block in result.content) // CHARACTERS
        cost = tokens(content)
        self.total += cost
        if not self.silent:
            say(f"{tool:18} {note:34} {cost:6} {text:6}")
        return content

    def say_all(self, what: str) -> None:
        """Prints what all calls so far took."""
        seconds = time.monotonic() - self.begin
        say(f"{what:18} {f'{self.calls} calls, {seconds:.0f} s':34} {self.total:6}")


async def play(client: Client, data: Path) -> None:
    """Plays the round."""
    listed = await client.list_tools()
    tools = [
        tool.model_dump(mode="json", exclude_none=True, by_alias=True) for tool in listed.tools
    ]
    say(f"{'call':18} {'':34} {'tokens':>6} {'text':>6}")
    say(f"{'tools/list':18} {f'{len(tools)} tools':34} {tokens(tools):6}")
    now = Round(client)
    await now.call("check_environment")
    await now.call("list_workloads", "all definitions")
    await now.call("list_workloads", "one definition", definition=DEFINITION)
    await now.call("sample_shapes", definition=DEFINITION)
    await now.call(
        "open_workspace", definition=DEFINITION, name="round", start_from="triton_baseline"
    )
    for scope in ("static", "smoke", "sample"):
        judged = await now.call("evaluate_kernel", scope, workspace="round", scope=scope)
    kernel = data / "workspaces" / "round" / "kernel.py"
    shipped = kernel.read_text()
    kernel.write_text(tuned(shipped))
    await now.call(
        "evaluate_kernel", "static, 30 configurations", workspace="round", scope="static"
    )
    kernel.write_text(shipped)
    first = await now.call(
        "archive_candidate",
        workspace="round",
        evaluation_id=judged["evaluation_id"],
        hypothesis="The shipped kernel as it is, to have something to compare with.",
    )
    for number in range(MORE):
        kernel.write_text(f"{kernel.read_text()}\nVARIANT_{number} = {number}\n")
        judged = await now.call("evaluate_kernel", "smoke", workspace="round", scope="smoke")
        await now.call(
            "archive_candidate",
            workspace="round",
            evaluation_id=judged["evaluation_id"],
            hypothesis=f"Variant {number} should do as well as its parent.",
            lesson="It did.",
            tags=["vectorise"],
        )
    await now.call("search_archive", f"{MORE + 1} candidates", definition=DEFINITION)
    await now.call("select_parent", definition=DEFINITION)
    await now.call("get_context", candidate_id=first["candidate_id"], role="plan")
    now.say_all("all answers")
    by_hand = Round(client, silent=True)
    for values, warps, stages in itertools.product(*GRID.values()):
        kernel.write_text(with_constants(shipped, values, warps, stages))
        await by_hand.call("evaluate_kernel", workspace="round", scope="static")
    by_hand.say_all("18 by hand")
    at_once = Round(client, silent=True)
    # Other bytes than before: what was compiled once is not compiled again.
    kernel.write_text(with_constants(f"{shipped}\n", 32, 4, 3))
    grid = {name: list(values) for name, values in GRID.items()}
    await at_once.call(
        "evaluate_variants", workspace="round", scope="static", variants={"tile": grid}
    )
    at_once.say_all("18 in one call")


def word_recorded() -> None:
    """Prints the least, median and most tokens of recorded evaluations by operator and scope."""
    say(f"{'operator':34} {'scope':8} {'answers':>7} {'least':>6} {'median':>6} {'most':>6}")
    for bundle in sorted(KERNELS.glob("*/history.bundle")):
        found: dict[str, list[int]] = {}
        for record in recorded(bundle):
            answer = evaluation_answer(Evaluated(record)).model_dump(mode="json")
            if record.status in (Status.PASSED, Status.COMPILED):
                found.setdefault(record.scope.value, []).append(tokens(answer))
        for scope, costs in sorted(found.items()):
            shown = f"{min(costs):6} {round(statistics.median(costs)):6} {max(costs):6}"
            say(f"{bundle.parent.name[:34]:34} {scope:8} {len(costs):7} {shown}")


def recorded(bundle: Path) -> Iterator[Evaluation]:
    """The evaluations of the candidates in a history."""
    with tempfile.TemporaryDirectory() as folder:

        def git(*words: str, asked: bytes = b"") -> bytes:
            command = ["git", "-C", folder, *words]
            return subprocess.run(command, check=True, capture_output=True, input=asked).stdout

        git("init", "-q", "--bare")
        git("fetch", "-q", str(bundle), "refs/candidates/*:refs/candidates/*")
        refs = git("for-each-ref", "--format=%(refname):evaluation.json")
        # All at once: a process for each took as long as wording them.
        found = io.BytesIO(git("cat-file", "--batch", asked=refs))
        for line in found:
            *_, last = line.split()
            if last != b"missing":
                yield Evaluation.model_validate_json(found.read(int(last)))
                found.read(1)  # the end of the line


async def main(server: str) -> None:
    """Starts the server on a new data folder and plays the round."""
    with tempfile.TemporaryDirectory() as folder:
        program, *words = server.split()
        command = StdioServerParameters(
            command=program, args=[*words, "serve", "--data-dir", folder]
        )
        async with Client(command) as client:
            await play(client, Path(folder))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default=f"{sys.executable} -m kernel_harness.server")
    parser.add_argument("--recorded", action="store_true")
    arguments = parser.parse_args()
    if arguments.recorded:
        word_recorded()
    else:
        asyncio.run(main(arguments.server))
