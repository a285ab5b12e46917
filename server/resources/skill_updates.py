"""Notices to clients when a skill is edited, added or removed, from a look every two seconds.

A look is a few dozen `stat` calls; it needs no notification interface of the platform and sees
edits on network file systems.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourcesListChanged, ResourceUpdated

from .skills import SCHEME

if TYPE_CHECKING:
    from .skills import SkillRegistry

EVERY_S = 2.0


@asynccontextmanager
async def skill_updates(
    skills: SkillRegistry,
    bus: InMemorySubscriptionBus,
    notify_others: Callable[[], Awaitable[None]],
    every_s: float | None = None,
) -> AsyncIterator[None]:
    """Publishes changes of the skills while the block runs.

    Args:
        notify_others: notifies clients that cannot subscribe.
        every_s: seconds between two looks; EVERY_S when None.
    """
    pause_s = EVERY_S if every_s is None else every_s

    # Before the block begins: what is edited in it is a change.
    at_first = await anyio.to_thread.run_sync(skills.fingerprint)

    async def publish_changes() -> None:
        before = at_first
        while True:
            await anyio.sleep(pause_s)
            now = await anyio.to_thread.run_sync(skills.fingerprint)
            if now != before:
                for path in sorted({entry[0] for entry in set(now) ^ set(before)}):
                    await bus.publish(ResourceUpdated(uri=SCHEME + path))
                await bus.publish(ResourcesListChanged())
                await notify_others()
            before = now

    async with anyio.create_task_group() as group:
        group.start_soon(publish_changes)
        yield
        group.cancel_scope.cancel()
