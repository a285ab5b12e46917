"""Processes whose CUDA context is made in advance, each used once.

Making a context takes most of a second and depends on no candidate, so it is done while the judge
is idle. A prewarmed process has seen no code and no input of any candidate, and a process that was
used is never used again.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from ...errors import InfrastructureError

MAX_PREWARMED = 7
"""What one evaluation with three process pairs and a held-out process takes."""
CHECKED_AND_HELD_OUT = 2
"""What it takes of them where times are sealed: no other process of the candidate is timed."""
SPARE = 1
"""A wrong candidate takes one process and is soon done: then another waits for the next trial."""
RECORDERS = 2
"""Of candidate and baseline."""
RUNNERS, RUNNERS_OF_A_PAIR = 6, 2
"""Those of three pairs, and of one."""
CONTEXT_BYTES = 700 << 20
"""Device memory of one process: a context, CUPTI, and the clock's buffer of twice the L2."""
SHARE = 0.05
POLL_S = 0.02


class Prewarmed(Protocol):
    """A process that makes its context after it was started."""

    @property
    def pid(self) -> int:
        """Its id."""
        ...

    def answered(self) -> bool:
        """Whether `prepared` need not wait."""
        ...

    def prepared(self) -> bool:
        """Waits for the context; False when the process is gone."""
        ...

    def close(self) -> None:
        """Ends the process."""
        ...


Process = TypeVar("Process", bound=Prewarmed)


class PrewarmedPool(Generic[Process]):
    """The prewarmed processes of one kind.

    Args:
        most: how many `fill` starts, unless it is told otherwise.
        spawn: starts a process and asks it to make its context, without waiting.
    """

    def __init__(self, most: int, spawn: Callable[[], Process]) -> None:
        self._most = most
        self._spawn = spawn
        self._sessions: deque[Process] = deque()

    @property
    def first(self) -> Process | None:
        """Peeks at the next process."""
        return self._sessions[0] if self._sessions else None

    @property
    def pids(self) -> list[int]:
        """Ids of the processes that wait."""
        return [session.pid for session in list(self._sessions)]  # a thread may add one

    @property
    def unready_pids(self) -> list[int]:
        """Ids of those that have not made their contexts yet."""
        return [session.pid for session in list(self._sessions) if not session.answered()]

    def take(self, *, wait: bool = True) -> Process | None:
        """Removes and returns the oldest live process; None when there is none.

        Args:
            wait: for its context; otherwise the first answer of one that still makes it waits.
        """
        while self._sessions:
            session = self._sessions.popleft()
            if not wait and not session.answered():
                return session
            with contextlib.suppress(InfrastructureError):
                if session.prepared():
                    return session
                # The system may have ended it for lack of memory; that is no candidate's fault.
                session.close()
        return None

    def begin(self, most: int | None = None) -> None:
        """Starts what is missing of `most` processes, without waiting."""
        while len(self._sessions) < (self._most if most is None else min(most, self._most)):
            self._sessions.append(self._spawn())

    def fill(self, most: int | None = None) -> None:
        """Starts missing processes and waits for every context."""
        self.begin(most)
        self.wait_for_contexts()

    def wait_for_contexts(self, hurried: Callable[[], bool] = lambda: False) -> None:
        """Waits for the context of every process that was started, until it is `hurried`."""
        for session in list(self._sessions):
            while not session.answered():
                if hurried():
                    return
                time.sleep(POLL_S)
            if not session.prepared():
                self._sessions.remove(session)
                session.close()

    def close(self) -> None:
        """Ends every prewarmed process."""
        while self._sessions:
            with contextlib.suppress(InfrastructureError):
                self._sessions.popleft().close()


def prewarm_count(device_bytes: int, processors: int) -> int:
    """How many processes to prewarm on a device of this much memory.

    Args:
        processors: that this judge may use; each process keeps one busy while it starts.
    """
    return min(MAX_PREWARMED, int(SHARE * device_bytes / CONTEXT_BYTES), max(2, processors))
