"""Every tool through a real client over stdio, on the real harness: good arguments and bad ones.

In between come the demo's trials, of which the README shows what is printed.
"""

import asyncio
import sys

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import get_default_environment

from tests.docs.transcript import printed_by_trials, require_transcript

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]
DEFINITION = "gdn_decode_qk4_v8_d128_k_last"
BAD = [
    ("list_workloads", {"definition": "gdn_decoed"}, "gdn_decode"),
    ("list_workloads", {"defintion": "gdn_decode"}, "definition"),
    ("list_workloads", {"definition": "gdn_decode", "cursor": "x"}, "cursor"),
    ("sample_shapes", {"definition": "nothing"}, "Unknown definition"),
    ("open_workspace", {"definition": "gdn_decode", "start_from": "triton_baselin"}, "triton_bas"),
    ("open_workspace", {"definition": "gdn_decode", "name": "../out"}, "name"),
    ("evaluate_kernel", {"workspace": "/etc"}, "outside the workspaces"),
    ("evaluate_kernel", {"workspace": "first", "scope": "everything"}, "scope"),
    ("evaluate_kernel", {}, "exactly one"),
    ("get_evaluation", {"evaluation_id": "ev-1"}, "evaluation id"),
    ("read_report", {"uri": "kernel-harness://evaluation/nothing"}, "evaluation id"),
    ("read_report", {"uri": "file:///etc/passwd"}, "address"),
    (
        "archive_candidate",
        {"evaluation_id": "ev-1", "hypothesis": "h", "workspace": "first"},
        "ev-",
    ),
    ("search_archive", {"definition": "nothing"}, "Unknown definition"),
    ("select_parent", {"definition": "gdn_decode", "policy": "random"}, "policy"),
    ("get_context", {"role": "plan", "candidate_id": "ffffffffffff"}, "candidate"),
    ("profile_ncu", {"candidate": "ffffffffffff"}, "candidate"),
    ("promote_candidate", {"candidate_id": "ffffffffffff"}, "candidate"),
    ("rollback_promotion", {"definition": "gdn_decode", "reason": "because"}, "promot"),
    ("no_such_tool", {}, "nknown tool"),
]


async def good(client: Client, tool: str, **arguments: object) -> dict:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, (tool, result.content)
    content = result.structured_content
    assert content is not None and next(iter(content)) == "summary" and content["summary"]
    return content


async def round_of_the_loop(client: Client) -> None:
    environment = await good(client, "check_environment")
    assert environment["executor"] in ("cuda", "interpreter")
    listing = await good(client, "list_workloads")
    assert DEFINITION in str(listing)
    sample = await good(client, "sample_shapes", definition="gdn_decode")
    weights, regimes = sample["weights"], sample["regimes"]
    assert {regime["representative"] for regime in regimes} <= set(weights)
    assert all(weight > 0 for weight in weights.values())
    opened = await good(
        client, "open_workspace", definition=DEFINITION, name="first", start_from="torch_vectorised"
    )
    verdict = await good(client, "evaluate_kernel", workspace=opened["workspace"], scope="smoke")
    assert verdict["status"] == "PASSED"
    again = await good(client, "get_evaluation", evaluation_id=verdict["evaluation_id"])
    assert again["status"] == "PASSED"
    report = await good(
        client, "read_report", uri=f"kernel-harness://evaluation/{verdict['evaluation_id']}"
    )
    assert report["sections"]
    kept = await good(
        client,
        "archive_candidate",
        workspace="first",
        evaluation_id=verdict["evaluation_id"],
        hypothesis="The vectorised peer is right.",
        tags=["peer"],
    )
    found = await good(client, "search_archive", definition="gdn_decode", query="vectorised")
    assert kept["candidate_id"] in str(found)
    chosen = await good(client, "select_parent", definition="gdn_decode", seed=1)
    assert chosen["candidate_id"] == kept["candidate_id"]
    await good(client, "get_context", role="plan", candidate_id=kept["candidate_id"])
    for tool in ("profile_ncu", "profile_timeline", "sanitize"):
        await good(client, tool, candidate=kept["candidate_id"])


async def bad_arguments(client: Client) -> None:
    for tool, arguments, words in BAD:
        result = await client.call_tool(tool, arguments)
        assert result.is_error, (tool, arguments)
        text = "".join(getattr(part, "text", "") for part in result.content)
        assert words in text, (tool, arguments, text)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_whole_loop_over_stdio(tmp_path, mode):
    async def run() -> None:
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "kernel_harness.server", "serve", "--data-dir", str(tmp_path)],
            env={
                **get_default_environment(),
                "KERNEL_HARNESS_DEVICE": "cpu",
                "KERNEL_HARNESS_WARM_AHEAD": "true" if mode == "auto" else "false",
            },
        )
        printed = None
        async with Client(server, mode=mode) as client:
            if mode == "auto":
                await round_of_the_loop(client)
                printed = await printed_by_trials(client, tmp_path)
            else:
                await good(client, "list_workloads", definition="gdn_decode", limit=3)
                await good(client, "open_workspace", definition="gdn_decode", name="first")
            await bad_arguments(client)
            await good(client, "check_environment")
        if printed is not None:
            require_transcript(printed)

    asyncio.run(run())
