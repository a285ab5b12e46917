"""The server as a process: what a client starts, and every way in which one ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from mcp import Client, StdioServerParameters

from kernel_harness.server import lifecycle
from kernel_harness.tools.errors import RequestError

from .scripted import DEFINITION

HELLO = (
    b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18",'
    b'"capabilities":{},"clientInfo":{"name":"test","version":"1"}}}\n'
)


def command(kernels_dir: Path, data: Path) -> tuple[list[str], dict[str, str]]:
    environment = {
        "PATH": os.defpath,
        "HOME": str(data),
        "KERNEL_HARNESS_KERNELS_DIR": str(kernels_dir),
        "KERNEL_HARNESS_DATA_DIR": str(data),
        "KERNEL_HARNESS_DEVICE": "cpu",
    }
    return [sys.executable, "-m", "kernel_harness.server", "serve"], environment


@pytest.mark.anyio
@pytest.mark.parametrize("mode", [pytest.param("legacy", marks=pytest.mark.long), "auto"])
async def test_a_stdio_client_calls_a_tool(mode: str, kernels_dir: Path, tmp_path: Path) -> None:
    words, environment = command(kernels_dir, tmp_path)
    server = StdioServerParameters(command=words[0], args=words[1:], env=environment)
    with anyio.fail_after(20):
        async with Client(server, mode=mode) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            result = await client.call_tool("list_workloads", {"definition": DEFINITION})
    assert "evaluate_kernel" in tools
    assert result.structured_content is not None
    assert result.structured_content["total"] == 5


@pytest.mark.parametrize(
    "ending",
    ["eof", "SIGTERM", *(pytest.param(n, marks=pytest.mark.long) for n in ("SIGINT", "SIGHUP"))],
)
def test_the_server_leaves_at_once_however_it_is_asked_to(
    ending: str, kernels_dir: Path, tmp_path: Path
) -> None:
    words, environment = command(kernels_dir, tmp_path)
    with subprocess.Popen(
        words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(HELLO)
        server.stdin.flush()
        assert b'"serverInfo"' in server.stdout.readline()
        if ending == "eof":
            server.stdin.close()
        else:
            server.send_signal(signal.Signals[ending])
        status = server.wait(timeout=5)
    assert status == (0 if ending == "eof" else 128 + signal.Signals[ending])


def test_a_client_that_is_gone_before_its_answer_ends_the_server_without_a_traceback(
    kernels_dir: Path, tmp_path: Path
) -> None:
    """It printed sixty lines of one, which clients keep as a crash of the server."""
    words, environment = command(kernels_dir, tmp_path)
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=environment, stdin=pipe, stdout=pipe, stderr=pipe) as server:
        assert server.stdin is not None and server.stdout is not None
        assert server.stderr is not None
        server.stdin.write(HELLO)
        server.stdin.flush()
        assert b'"serverInfo"' in server.stdout.readline()
        server.stdout.close()
        server.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        server.stdin.write(b'{"jsonrpc":"2.0","id":2,"method":"tools/list"}\n')
        server.stdin.close()
        assert server.wait(timeout=20) == 0
        assert b"Traceback" not in server.stderr.read()


def test_children_are_killed_when_serving_ends() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

    async def serve() -> None:
        async with lifecycle.reaping(child.kill):
            assert child.poll() is None

    anyio.run(serve)
    assert child.wait(timeout=5) == -signal.SIGKILL


def test_the_first_signal_lets_work_that_can_stop_end_by_itself() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    alive: list[bool] = []

    async def work() -> None:
        stop = asyncio.Event()
        async with lifecycle.reaping(child.kill, stop):
            os.kill(os.getpid(), signal.SIGTERM)
            with anyio.fail_after(5):
                await stop.wait()
            alive.append(child.poll() is None)

    anyio.run(work)
    assert alive == [True]
    assert child.wait(timeout=5) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("localhost", True), ("[::1]", True), ("0.0.0.0", False), ("gpu", False)],
)
def test_loopback_is_told_from_the_rest(host: str, local: bool) -> None:
    assert lifecycle.is_loopback(host) is local


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x" * 32)
    token.chmod(0o644)
    with pytest.raises(RequestError, match="chmod 600"):
        lifecycle.read_token(token)
    token.chmod(0o600)
    assert lifecycle.read_token(token) == "x" * 32


def test_a_short_or_missing_token_is_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with pytest.raises(RequestError, match="openssl"):
        lifecycle.read_token(token)
    token.touch(mode=0o600)
    token.write_text("short")
    with pytest.raises(RequestError, match="5 characters"):
        lifecycle.read_token(token)
