"""Serves the tools to the agents of a search over HTTP: one port, and a token for each round.

A token opens its own round's server alone, and nothing after the round's end. What decides for
others is not served: promotions and their reversal stay with people. Nor is what would run outside
of the agents' confinement: programs of theirs under the profiler.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import anyio

from ....tools.agents.searches.agent_step import Endpoint, Serve

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from ....tools.harness import Harness

HOST = "127.0.0.1"
NOT_SERVED = ("promote_candidate", "rollback_promotion", "rank_model")
BEARER = b"Bearer "


class TokenRoutes:
    """ASGI application: the server that a request's token opens, or 401."""

    def __init__(self) -> None:
        self.servers: dict[str, ASGIApp] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on to its round's server."""
        given = dict(scope.get("headers", ())).get(b"authorization", b"")
        token = given.removeprefix(BEARER).decode("latin-1")
        server = self.servers.get(token) if given.startswith(BEARER) else None
        if server is not None:
            await server(scope, receive, send)
        elif scope["type"] == "http":
            headers = [(b"www-authenticate", b"Bearer"), (b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": b"A bearer token is required.\n"})


@contextmanager
def _no_signals() -> Iterator[None]:
    """Leaves the signals to the search's own process."""
    yield


@asynccontextmanager
async def round_endpoints() -> AsyncIterator[Serve]:
    """Listens on a free port of this machine; yields what serves a round's harness there."""
    import uvicorn

    routes = TokenRoutes()
    config = uvicorn.Config(routes, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server: Any = uvicorn.Server(config)
    server.capture_signals = _no_signals
    with socket.create_server((HOST, 0)) as listening:
        port = listening.getsockname()[1]

        @asynccontextmanager
        async def serve(harness: Harness) -> AsyncIterator[Endpoint]:
            from ...app import build_app
            from ...lifecycle import http_app

            token = secrets.token_hex(24)
            app = build_app(harness=harness, without=NOT_SERVED)
            guarded = http_app(app, HOST, (), token)
            async with app.session_manager.run():
                routes.servers[token] = guarded
                try:
                    yield Endpoint(f"http://{HOST}:{port}/mcp", token)
                finally:
                    del routes.servers[token]

        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listening])
            try:
                yield serve
            finally:
                server.should_exit = True
