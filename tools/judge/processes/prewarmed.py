"""Candidate processes whose CUDA context is made in advance, each used once.

Making a context takes most of a second and depends on no candidate, so it is done while the judge
is idle. A prewarmed process has seen no code and no input of any candidate, and a process that was
used is never used again.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable

from ...errors import InfrastructureError
from .candidate_process import ProcessSession

MAX_PREWARMED = 7
"""What one evaluation with three process pairs and a held-out process takes."""
CONTEXT_BYTES = 700 << 20
"""Device memory of one process: a context, CUPTI, and the clock's buffer of twice the L2."""
SHARE = 0.05


class PrewarmedPool:
    """The prewarmed processes of one judge.

    Args:
        spawn: starts a process and asks it to make its context, without waiting.
    """

    def __init__(self, most: int, spawn: Callable[[], ProcessSession]) -> None:
        self._most = most
        self._spawn = spawn
        self._sessions: deque[ProcessSession] = deque()

    @property
    def first(self) -> ProcessSession | None:
        """Peeks at the next process."""
        return self._sessions[0] if self._sessions else None

    def take(self) -> ProcessSession | None:
        """Removes and returns the oldest live process; None when there is none."""
        while self._sessions:
            session = self._sessions.popleft()
            with contextlib.suppress(InfrastructureError):
                if session.prepared():
                    return session
                # The system may have ended it for lack of memory; that is no candidate's fault.
                session.close()
        return None

    def fill(self) -> None:
        """Starts missing processes and waits for every context."""
        while len(self._sessions) < self._most:
            self._sessions.append(self._spawn())
        for session in list(self._sessions):
            if not session.prepared():
                self._sessions.remove(session)
                session.close()

    def close(self) -> None:
        """Ends every prewarmed process."""
        while self._sessions:
            with contextlib.suppress(InfrastructureError):
                self._sessions.popleft().close()


def prewarm_count(device_bytes: int) -> int:
    """How many processes to prewarm on a device of this much memory."""
    return min(MAX_PREWARMED, int(SHARE * device_bytes / CONTEXT_BYTES))
