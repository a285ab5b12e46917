"""Work that outlives the call which began it: the same call, made again, waits for the same work.

Some clients end a call after five minutes, and a promotion may take longer. Such a call answers
RUNNING after `wait_s` seconds and the work goes on in the server. Cancelling a call cancels its
work. Nothing is kept past the server's end.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import TaskGroup

from ...tools.progress import OnProgress

log = logging.getLogger(__name__)

Work = Callable[[OnProgress], Awaitable[Any]]


@dataclass
class _Pending:
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    done: anyio.Event = field(default_factory=anyio.Event)
    listeners: list[OnProgress] = field(default_factory=list)
    result: Any = None
    failure: Exception | None = None

    async def report(self, done: float, total: float, message: str) -> None:
        for listener in list(self.listeners):
            await listener(done, total, message)

    async def run(self, work: Work) -> None:
        with self.scope:
            try:
                self.result = await work(self.report)
            except Exception as error:  # raised again where the call waits
                self.failure = error
        self.done.set()


class BackgroundTasks:
    """Runs pieces of work by key, one at a time each.

    Args:
        group: runs the work; it must live as long as the server.
    """

    def __init__(self, group: TaskGroup) -> None:
        self._group = group
        self._pending: dict[Hashable, _Pending] = {}

    @classmethod
    @asynccontextmanager
    async def opened(cls) -> AsyncIterator[BackgroundTasks]:
        """Opens background tasks for a block; what is unfinished at its end is cancelled."""
        async with anyio.create_task_group() as group:
            yield cls(group)
            group.cancel_scope.cancel()

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs work that no call waits for; an exception of it is logged and ends nothing else."""

        async def alone() -> None:
            try:
                await work()
            except Exception:
                log.exception("work in the background failed")

        self._group.start_soon(alone)

    async def wait(self, key: Hashable, work: Work, wait_s: float, progress: OnProgress) -> Any:
        """Returns the work's result, or None when it is still running after `wait_s` seconds.

        Args:
            key: equal for calls that share their work.
            progress: called at every step meanwhile.
        """
        pending = self._pending.get(key)
        if pending is None:
            pending = self._pending[key] = _Pending()
            self._group.start_soon(pending.run, work)
        pending.listeners.append(progress)
        try:
            with anyio.move_on_after(wait_s):
                await pending.done.wait()
        except anyio.get_cancelled_exc_class():
            pending.scope.cancel()
            self._pending.pop(key, None)
            raise
        finally:
            pending.listeners.remove(progress)
        if not pending.done.is_set():
            return None
        self._pending.pop(key, None)
        if pending.failure is not None:
            raise pending.failure
        return pending.result
