"""Shared handling of tool calls: errors, progress, and access to the server's parts.

It knows no tool. Cancelling a call reaches the work as the event loop's own cancellation; the
work's owner kills its processes.
"""

from __future__ import annotations

import functools
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError

from ...tools.errors import HarnessError
from ...tools.progress import OnProgress
from ..resources.skills import SCHEME as SKILL_SCHEME
from .authorship import made_by
from .legacy_clients import log_to_client

if TYPE_CHECKING:
    from ...tools.harness import Harness
    from ...tools.schema.search.made_by import MadeBy
    from ..resources.skills import SkillRegistry
    from .background import BackgroundTasks

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
Call = Context[Any]
"""The SDK's context of one call; its lifespan value is the Harness."""

BEAT_S = 2.0
_STEP = 1e-3
_ELAPSED = re.compile(r" \(\d+ s\)$")


def with_tool_errors(tool: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Turns a tool's exceptions into `ToolError`, the only one whose text the SDK shows a model.

    A `HarnessError` says what to do next. Anything else is a fault of ours: it is logged under a
    reference that the model can quote to a person.
    """

    @functools.wraps(tool)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        ctx: Any = kwargs["ctx"]
        began = time.monotonic()
        try:
            result = await tool(*args, **kwargs)
            seconds = round(time.monotonic() - began, 3)
            await log_to_client(ctx, "info", f"{tool.__name__} answered", seconds=seconds)
            return result
        except HarnessError as error:
            await log_to_client(
                ctx, "notice", f"{tool.__name__} refused: {error.what}", where=error.where
            )
            raise ToolError(str(error)) from error
        except ToolError:
            raise
        except Exception as error:
            reference = secrets.token_hex(4)
            log.exception("internal fault %s in %s", reference, tool.__name__)
            await log_to_client(ctx, "error", f"{tool.__name__} failed inside", reference=reference)
            raise ToolError(
                f"Internal fault, reference {reference}: the harness failed, not the candidate and "
                "not your arguments. Call again once; if it repeats, stop and give a person this "
                "reference, which the server's log (stderr) explains."
            ) from error

    return call


def harness_of(ctx: Call) -> Harness:
    """Returns the Harness of this server."""
    return ctx.request_context.lifespan_context


def background_of(ctx: Call) -> BackgroundTasks:
    """Returns the background tasks of this server."""
    app: Any = ctx.mcp_server
    return app.background


def skills_of(ctx: Call) -> SkillRegistry:
    """Returns the skills of this server."""
    app: Any = ctx.mcp_server
    return app.skills


def made_by_of(ctx: Call, declared: Mapping[str, str] | None) -> MadeBy:
    """Returns who makes what a call asks for; `declared` is its own word on the model."""
    app: Any = ctx.mcp_server
    return made_by(ctx, harness_of(ctx).settings, app.served_skills, declared)


def note_served_skill(ctx: Context[Any, Any] | None, address: str, text: str | None) -> None:
    """Notes what the client was served of a skill, for the candidates that it archives."""
    if ctx is not None and text:
        app: Any = ctx.mcp_server
        app.served_skills.note(ctx, address.removeprefix(SKILL_SCHEME), text)


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a slow synchronous method off the event loop; it cannot be cancelled midway."""
    return await anyio.to_thread.run_sync(functools.partial(work, *args, **kwargs))


class ProgressRelay:
    """Reports progress to the client, repeating the last step while nothing new happens.

    The work may add its own seconds ("queued (4 s)") or count from zero again, as a second
    evaluation in one call does; the client sees one count of seconds and a value that only rises.

    Args:
        ctx: the call's context; without a progress token every report is a no-op.
        every_s: most seconds between two reports.
    """

    def __init__(self, ctx: Call, every_s: float = BEAT_S) -> None:
        self._ctx = ctx
        self._every_s = every_s
        self._value = 0.0
        self._before = 0.0
        self._done = 0.0
        self._total: float | None = None
        self._message = "starting"
        self._step_at = time.monotonic()
        self._said_at = self._step_at

    async def __call__(self, done: float, total: float, message: str) -> None:
        """Reports one step, at a value above the last, as the protocol demands."""
        step = _ELAPSED.sub("", message)
        same = step == self._message
        if same and done <= self._done:
            return  # not a new step; `beat` repeats it
        if done < self._done:
            self._before = self._value
        self._done = done
        self._total = self._before + total
        self._message = step
        if not same:
            self._step_at = time.monotonic()
        await self._say(max(self._before + done, self._value + _STEP))

    async def beat(self) -> None:
        """Repeats the last step with the seconds it has taken, until cancelled."""
        while True:
            await anyio.sleep(self._every_s / 4)
            if time.monotonic() - self._said_at >= self._every_s * 0.75:
                await self._say(self._value + _STEP)

    async def _say(self, value: float) -> None:
        self._value = value
        self._said_at = time.monotonic()
        elapsed = round(self._said_at - self._step_at)
        message = f"{self._message} ({elapsed} s)" if elapsed else self._message
        total = None if self._total is None else max(self._total, value)
        await self._ctx.report_progress(value, total, message)


@asynccontextmanager
async def progress_to(ctx: Call) -> AsyncIterator[OnProgress]:
    """Gives a block a progress callback; the client hears of it at least every two seconds."""
    relay = ProgressRelay(ctx)
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(relay.beat)
        try:
            yield relay
        except Exception as error:  # raised below: a task group would wrap it
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
