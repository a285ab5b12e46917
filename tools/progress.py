"""Progress of a long call: the function that is told each step, and one that ignores it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

OnProgress = Callable[[float, float, str], Awaitable[None]]
"""Takes steps done, steps in all, and what is being done."""


async def ignore_progress(done: float, total: float, message: str) -> None:
    """Ignores progress."""
