"""Tells subscribed clients when a skill is edited, added or removed, by looking every two seconds.

Looking is a few dozen `stat` calls; it needs no platform's notification interface and sees edits on
network file systems. It does nothing for clients that do not listen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourcesListChanged, ResourceUpdated

from .skills import SCHEME

if TYPE_CHECKING:
    from .skills import SkillShelf

EVERY_S = 2.0


@asynccontextmanager
async def announcing(
    shelf: SkillShelf, bus: InMemorySubscriptionBus, every_s: float = EVERY_S
) -> AsyncIterator[None]:
    """Watches the skills while the block runs.

    Args:
        shelf: what is watched.
        bus: where changes are published.
        every_s: seconds between two looks.
    """

    async def watch() -> None:
        seen = await anyio.to_thread.run_sync(shelf.fingerprint)
        while True:
            await anyio.sleep(every_s)
            now = await anyio.to_thread.run_sync(shelf.fingerprint)
            if now != seen:
                for path in sorted({entry[0] for entry in set(now) ^ set(seen)}):
                    await bus.publish(ResourceUpdated(uri=SCHEME + "/".join(path.split("/")[-2:])))
                await bus.publish(ResourcesListChanged())
            seen = now

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        yield
        group.cancel_scope.cancel()
