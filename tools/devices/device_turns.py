"""Turns at a device within one server, first come, first served."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

from ..progress import OnProgress, ignore_progress

TELL_SOON_S = 0.05
TELL_S = 1.5
"""Who waits for a device is told so at once, and again this often."""


class DeviceTurns:
    """Who has a device, and who waits for it.

    Attributes:
        waited_for: set while somebody waits.
    """

    def __init__(self) -> None:
        self.waited_for = asyncio.Event()
        self._lock = asyncio.Lock()
        self._queue: list[tuple[object, str]] = []

    @contextlib.asynccontextmanager
    async def turn(self, what: str, progress: OnProgress = ignore_progress) -> AsyncIterator[None]:
        """Waits for the device and holds it; who waits is told behind what, and for how long."""
        began = time.monotonic()
        ticket = (object(), what)
        self._queue.append(ticket)
        self._note_waiting()
        turn = asyncio.ensure_future(self._lock.acquire())
        try:
            patience = TELL_SOON_S
            while not (await asyncio.wait({turn}, timeout=patience))[0]:
                patience = TELL_S
                before = [name for _, name in self._queue[: self._queue.index(ticket)]]
                await progress(0, 1, queued_words(before, time.monotonic() - began))
            yield
        finally:
            self._queue.remove(ticket)
            self._note_waiting()
            if turn.done() and not turn.cancelled():
                self._lock.release()
            turn.cancel()

    def _note_waiting(self) -> None:
        if len(self._queue) > 1:  # the first of them has it
            self.waited_for.set()
        else:
            self.waited_for.clear()


def queued_words(before: Sequence[str], seconds: float) -> str:
    """What a waiting evaluation is behind in its server's queue, the one under way first."""
    others = f" and {len(before) - 1} more" if len(before) > 1 else ""
    first = before[0] if before else "another"
    return f"queued for {seconds:.0f} s behind {first}{others}"
