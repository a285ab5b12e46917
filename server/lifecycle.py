"""Serves stdio or HTTP, and kills every child process when the server ends, however it ends.

Clients close standard input, or send SIGINT and a tenth of a second later SIGTERM, or SIGTERM and
end-of-file at once. The thread that reads standard input cannot be joined, so a signal kills the
children and exits at once. For SIGKILL, the children ask the kernel to be killed with their parent.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from ..tools.errors import RequestError

if TYPE_CHECKING:
    import asyncio

    from anyio.abc import TaskStatus
    from starlette.types import ASGIApp, Receive, Scope, Send

    from .app import HarnessServer

log = logging.getLogger(__name__)

LEAST_TOKEN = 16


@asynccontextmanager
async def reaping(
    kill_children: Callable[[], None], stop: asyncio.Event | None = None
) -> AsyncIterator[None]:
    """Kills all children when the block ends, or when a signal ends the process.

    Args:
        kill_children: must not block and must not raise when there are none.
        stop: set by the first signal, after which the block ends by itself; a second one ends it.
    """

    async def leave_on_signal(*, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
            task_status.started()
            async for number in received:
                if stop is not None and not stop.is_set():
                    stop.set()
                    continue
                kill_children()
                os._exit(128 + number)

    try:
        async with anyio.create_task_group() as group:
            if threading.current_thread() is threading.main_thread():
                await group.start(leave_on_signal)
            yield
            group.cancel_scope.cancel()
    finally:
        kill_children()


def serve_stdio(app: HarnessServer) -> None:
    """Serves one client on standard input and output until it disconnects."""

    async def main() -> None:
        async with reaping(app.kill_children):
            await app.run_stdio_async()

    try:
        anyio.run(main)
    except* BrokenPipeError:
        log.info("The client was gone before its answer could be written.")
        # What is still buffered cannot be written either, and Python would say so as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine only."""
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ip_address(host.strip("[]")).is_loopback
    return False


def read_token(path: Path) -> str:
    """Reads the token that HTTP clients must send.

    Raises:
        RequestError: when the file is missing, readable by others, or its token too short.
    """
    try:
        token = path.read_text(encoding="utf-8").strip()
        mode = path.stat().st_mode
    except OSError as error:
        raise RequestError(
            f"The token cannot be read: {error.strerror}",
            where=str(path),
            remedy="Make one: (umask 077; openssl rand -hex 32 > token).",
        ) from error
    if mode & 0o077:
        raise RequestError(
            "The token can be read by other users",
            where=str(path),
            remedy=f"Run: chmod 600 {path}",
        )
    if len(token) < LEAST_TOKEN:
        raise RequestError(
            f"The token has {len(token)} characters; {LEAST_TOKEN} are the least",
            where=str(path),
            remedy="Make one: (umask 077; openssl rand -hex 32 > token).",
        )
    return token


class BearerToken:
    """ASGI middleware: no request passes without the token, whatever its path.

    Args:
        token: the one that `Authorization: Bearer …` must carry.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or answers 401."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        if hmac.compare_digest(given, self._expected):
            await self._app(scope, receive, send)
            return
        headers = [(b"www-authenticate", b"Bearer"), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b"A bearer token is required.\n"})


def http_app(
    app: HarnessServer, host: str, allowed_hosts: tuple[str, ...], token: str | None
) -> ASGIApp:
    """Returns the streamable HTTP application, with path /mcp.

    Args:
        allowed_hosts: `Host` headers accepted beside loopback, e.g. 'gpu-box:8791'.
        token: required of every request when given.

    Raises:
        RequestError: when the address is not loopback and there is no token.
    """
    from mcp.server.transport_security import TransportSecuritySettings

    if not is_loopback(host) and token is None:
        raise RequestError(
            f"Serving on {host} without a token would let anyone run code here",
            remedy="Pass --token-file FILE, or bind to 127.0.0.1 and use an SSH tunnel.",
        )
    names = ["127.0.0.1:*", "localhost:*", "[::1]:*", *allowed_hosts]
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=names,
        allowed_origins=[f"http://{name}" for name in names],
    )
    guarded: Any = app.streamable_http_app(host=host, transport_security=security)
    return BearerToken(guarded, token) if token else guarded


def serve_http(
    app: HarnessServer,
    host: str,
    port: int,
    allowed_hosts: tuple[str, ...] = (),
    token: str | None = None,
) -> None:
    """Serves streamable HTTP until a signal ends it.

    Args:
        host: the address to bind; loopback unless there is a token.
        allowed_hosts: further `Host` headers to accept.
        token: required of every request when given.
    """
    import uvicorn

    guarded = http_app(app, host, allowed_hosts, token)
    config = uvicorn.Config(
        guarded, host=host, port=port, log_level="warning", timeout_graceful_shutdown=1
    )
    try:
        uvicorn.Server(config).run()
    finally:
        app.kill_children()
