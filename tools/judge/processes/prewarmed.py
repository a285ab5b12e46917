"""Processes that wait for a candidate with the device already up, each used once.

Making a CUDA context takes most of a second and depends on no candidate, so it is done while the
judge has nothing else to do. A process that waits has seen no code and no input of any candidate;
one that was used is never used again.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable

from ...errors import InfrastructureError
from .candidate_process import ProcessSession

MOST = 7
"""As many as one evaluation with three blocks of pairs and a held-out process takes."""
CONTEXT_BYTES = 700 << 20
"""What one process is counted as: a context, CUPTI, and a clock's buffer of twice the L2."""
SHARE = 0.05


class PrewarmedPool:
    """The processes of one judge that wait.

    Args:
        most: how many to keep.
        spawn: starts one and has it bring the device up, without waiting for that.
    """

    def __init__(self, most: int, spawn: Callable[[], ProcessSession]) -> None:
        self._most = most
        self._spawn = spawn
        self._sessions: deque[ProcessSession] = deque()

    @property
    def first(self) -> ProcessSession | None:
        """The one that is taken next, left where it is."""
        return self._sessions[0] if self._sessions else None

    def take(self) -> ProcessSession | None:
        """The one that has waited longest, its device up; None when there is none."""
        while self._sessions:
            session = self._sessions.popleft()
            with contextlib.suppress(InfrastructureError):
                if session.prepared():
                    return session
                # The system may have ended it for want of memory: no candidate is to be blamed.
                session.close()
        return None

    def fill(self) -> None:
        """Starts what is missing and waits until all are ready."""
        while len(self._sessions) < self._most:
            self._sessions.append(self._spawn())
        for session in list(self._sessions):
            if not session.prepared():
                self._sessions.remove(session)
                session.close()

    def close(self) -> None:
        """Ends them all."""
        while self._sessions:
            with contextlib.suppress(InfrastructureError):
                self._sessions.popleft().close()


def how_many(device_bytes: int) -> int:
    """How many processes may wait beside a device of this much memory."""
    return min(MOST, int(SHARE * device_bytes / CONTEXT_BYTES))
