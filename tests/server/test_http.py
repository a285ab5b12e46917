"""Over HTTP: who may speak to the server, and from where."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import Implementation

from kernel_harness.server import lifecycle
from kernel_harness.server.app import build_app
from kernel_harness.server.cli import main as cli
from kernel_harness.tools.errors import InfrastructureError, RequestError
from kernel_harness.tools.tuning.service import TuningRequest
from tests.tools.agents.scripted_device import SOURCE

from .calls import good, refused
from .conftest import MODES
from .scripted import DEFINITION, ScriptedHarness, solution

pytestmark = pytest.mark.anyio
TOKEN = "a-token-of-enough-length"


@asynccontextmanager
async def served(
    harness: ScriptedHarness, host: str, hosts: tuple[str, ...], token: str | None
) -> AsyncIterator[Any]:
    """The HTTP application, running, without a socket."""
    server = build_app(harness=harness)
    app = lifecycle.http_app(server, host, hosts, token)
    async with server.session_manager.run():
        yield app


async def status_of(app: Any, **headers: str) -> int:
    """The status of one POST to /mcp."""
    sent: list[dict[str, Any]] = []
    given = {"host": "127.0.0.1:8791", "content-type": "application/json", **headers}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/mcp",
        "raw_path": b"/mcp",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 8791),
        "scheme": "http",
        "root_path": "",
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    with anyio.move_on_after(5):
        await app(scope, receive, send)
    return int(sent[0]["status"])


async def test_only_the_token_opens(harness: ScriptedHarness) -> None:
    async with served(harness, "127.0.0.1", (), TOKEN) as app:
        assert await status_of(app) == 401
        assert await status_of(app, authorization="Bearer wrong") == 401
        assert await status_of(app, authorization=f"bearer {TOKEN}x") == 401
        assert await status_of(app, authorization=f"Bearer {TOKEN}") not in (401, 403, 421)
        evil = {"authorization": f"Bearer {TOKEN}", "origin": "http://evil.example"}
        assert await status_of(app, **evil) == 403


async def test_foreign_hosts_and_origins_are_refused_without_a_token_too(
    harness: ScriptedHarness,
) -> None:
    async with served(harness, "127.0.0.1", (), None) as app:
        assert await status_of(app, host="evil.example") == 421
        assert await status_of(app, origin="http://evil.example") == 403


async def test_a_further_host_is_accepted_when_it_was_named(harness: ScriptedHarness) -> None:
    bearer = {"authorization": f"Bearer {TOKEN}"}
    async with served(harness, "0.0.0.0", ("gpu-box:*",), TOKEN) as app:
        assert await status_of(app, host="gpu-box:8791", **bearer) not in (401, 403, 421)
        assert await status_of(app, host="other:8791", **bearer) == 421


def test_off_loopback_a_token_is_required(harness: ScriptedHarness) -> None:
    with pytest.raises(RequestError, match="token"):
        lifecycle.http_app(build_app(harness=harness), "0.0.0.0", (), None)


@asynccontextmanager
async def listening(harness: ScriptedHarness, token: str | None) -> AsyncIterator[str]:
    """The server on a port of this machine, and its address."""
    app = lifecycle.http_app(build_app(harness=harness), "127.0.0.1", (), token)
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as door:
        async with anyio.create_task_group() as group:
            # The event loop's signals stay the test runner's.
            server.capture_signals = no_signals
            group.start_soon(server.serve, [door])
            yield f"http://127.0.0.1:{door.getsockname()[1]}/mcp"
            server.should_exit = True


@contextmanager
def no_signals() -> Iterator[None]:
    """Stands in for uvicorn's own handlers."""
    yield


@asynccontextmanager
async def client_of(url: str, token: str, mode: Any, **asked: Any) -> AsyncIterator[Client]:
    """A client that carries a token."""
    headers = {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=20) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode, **asked) as client:
            yield client


@pytest.mark.parametrize("mode", MODES)
async def test_the_loop_goes_round_over_http(harness: ScriptedHarness, mode: Any) -> None:
    steps: list[str | None] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        steps.append(message)

    async with listening(harness, TOKEN) as url, client_of(url, TOKEN, mode) as client:
        opened = await good(client, "open_workspace", definition=DEFINITION, name="first")
        asked = {"workspace": opened["name"], "scope": "smoke"}
        verdict = await client.call_tool("evaluate_kernel", asked, progress_callback=hear)
        content = verdict.structured_content
        assert content is not None and content["status"] == "PASSED"
        (text,) = (await client.read_resource(content["evaluation_uri"])).contents
        assert content["evaluation_id"] in str(text)
        served = len(cli.TOOL_COMMANDS) + len(cli.OWN_COMMANDS)
        assert len((await client.list_tools()).tools) == served
    assert steps == ["step 0", "step 1", "step 2"]


@pytest.mark.parametrize("mode", MODES)
async def test_a_call_that_its_client_leaves_over_http_stops_its_work(
    harness: ScriptedHarness, mode: Any
) -> None:
    harness.hold, harness.begun, harness.cancelled = anyio.Event(), anyio.Event(), anyio.Event()
    async with listening(harness, TOKEN) as url, client_of(url, TOKEN, mode) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "evaluate_kernel", {"solution": solution()})
            await harness.begun.wait()
            group.cancel_scope.cancel()
        with anyio.fail_after(10):
            await harness.cancelled.wait()
        harness.hold = None
        assert (await good(client, "evaluate_kernel", solution=solution()))["status"] == "PASSED"


@pytest.mark.parametrize("mode", MODES)
async def test_candidates_of_two_clients_over_http_say_which_of_them_made_each(
    harness: ScriptedHarness, mode: Any
) -> None:
    """Two of one name are two sessions before 2026-07-28; from then on only names tell them."""
    legacy = mode == "legacy"
    names = ("codex", "codex" if legacy else "claude-code")
    infos = [Implementation(name=name, version="1") for name in names]
    async with (
        listening(harness, TOKEN) as url,
        client_of(url, TOKEN, mode, client_info=infos[0]) as first,
        client_of(url, TOKEN, mode, client_info=infos[1]) as second,
    ):
        await first.read_resource("skill://write-triton/SKILL.md")
        made = []
        for client, label in ((first, "a"), (second, "b")):
            mine = solution(label, f"return x  # {label}")
            verdict = await good(client, "evaluate_kernel", solution=mine)
            asked = {"evaluation_id": verdict["evaluation_id"], "hypothesis": "faster"}
            kept = await good(
                client, "archive_candidate", solution=mine, made_by={"session": label}, **asked
            )
            made.append(harness.archive.get(kept["candidate_id"]).candidate.made_by)
    assert tuple(m.client for m in made) == names
    assert [m.session for m in made] == ["a", "b"]
    assert [list(m.skills) for m in made] == [["write-triton"], []]


async def test_a_client_without_the_token_learns_nothing(harness: ScriptedHarness) -> None:
    async with listening(harness, TOKEN) as url, httpx2.AsyncClient() as http:
        for path in ("", "/", "/../mcp", "?x=1"):
            answer = await http.post(url + path, json={})
            assert answer.status_code == 401
            assert answer.text == "A bearer token is required.\n"


@pytest.mark.parametrize("mode", MODES)
async def test_agents_with_one_program_are_clients_of_their_own(
    harness: ScriptedHarness, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    """Without a session all were one client, and one that asked for much held the others up."""
    asked: list[str] = []
    evaluate = harness.pool.evaluate

    async def noted(*given: Any, client: str) -> Any:
        asked.append(client)
        return await evaluate(*given, client=client)

    async def tune(request: TuningRequest, *given: Any) -> Any:
        asked.append(request.base.caller)
        raise InfrastructureError("nothing is tried here")

    monkeypatch.setattr(harness.pool, "evaluate", noted)
    monkeypatch.setattr(harness.tuning, "tune", tune)
    async with listening(harness, TOKEN) as url:
        for name in ("one", "other"):
            async with client_of(url, TOKEN, mode) as client:
                opened = await good(client, "open_workspace", definition=DEFINITION, name=name)
                (Path(opened["workspace"]) / "kernel.py").write_text(f"{SOURCE}# {name}")
                await good(client, "evaluate_kernel", workspace=name)
                tile = {"tile": {"num_warps": [1, 2]}}
                await refused(client, "evaluate_variants", workspace=name, variants=tile)
    one, one_again, other, other_again = asked
    assert one == one_again != other == other_again
