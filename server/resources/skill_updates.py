"""Tells subscribed clients when a skill is edited, added or removed, by looking every two seconds.

Looking is a few dozen `stat` calls; it needs no platform's notification interface and sees edits on
network file systems.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourcesListChanged, ResourceUpdated

from .skills import SCHEME

if TYPE_CHECKING:
    from .skills import SkillRegistry

EVERY_S = 2.0


class Listeners:
    """The connections of clients of the 2025 revisions, which cannot subscribe."""

    def __init__(self) -> None:
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()

    async def remember(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Middleware: notes the connection that a handshake opened."""
        if ctx.method == "initialize":
            # The SDK lists no connections, and gives a request no other way to its own.
            self._connections.add(ctx.session._connection)  # pyright: ignore[reportPrivateUsage]
        return await call_next(ctx)

    async def tell_that_resources_changed(self) -> None:
        """Notifies each connection that is still open; one that has gone is no matter."""
        for connection in list(self._connections):
            if connection.initialized.is_set():
                with contextlib.suppress(Exception):
                    await connection.outbound.notify("notifications/resources/list_changed", None)


@asynccontextmanager
async def announcing(
    shelf: SkillRegistry,
    bus: InMemorySubscriptionBus,
    listeners: Listeners,
    every_s: float | None = None,
) -> AsyncIterator[None]:
    """Watches the skills while the block runs.

    Args:
        shelf: what is watched.
        bus: where changes are published for clients that subscribed.
        listeners: the clients that cannot subscribe.
        every_s: seconds between two looks; two when None.
    """
    pause_s = EVERY_S if every_s is None else every_s

    async def watch() -> None:
        seen = await anyio.to_thread.run_sync(shelf.fingerprint)
        while True:
            await anyio.sleep(pause_s)
            now = await anyio.to_thread.run_sync(shelf.fingerprint)
            if now != seen:
                for path in sorted({entry[0] for entry in set(now) ^ set(seen)}):
                    await bus.publish(ResourceUpdated(uri=SCHEME + path))
                await bus.publish(ResourcesListChanged())
                await listeners.tell_that_resources_changed()
            seen = now

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        yield
        group.cancel_scope.cancel()
