"""Progress messages to the server; cancellation from it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from ...errors import HarnessError
from ...messages.frames import Message
from ...messages.judge import Progress
from ...schema.evaluation import Stage
from .candidate_process import CandidateSession

TICK_S = 1.5


class TrialCancelledError(HarnessError):
    """Raised inside a trial that the server has cancelled."""


class Cancellation:
    """Stops one trial from another thread: kills its processes, then `check` raises."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: list[CandidateSession] = []
        self._requested = False
        self.overdue = False
        """Whether the trial was cancelled for what it took."""

    @contextlib.contextmanager
    def due_in(self, seconds: float | None) -> Iterator[None]:
        """Cancels a trial that is not over when so many seconds are; None: whenever it ends."""
        timer = threading.Timer(seconds or 0.0, self._end)
        if seconds is not None:
            timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end(self) -> None:
        self.overdue = True
        self.cancel()

    @property
    def requested(self) -> bool:
        """Whether the trial was cancelled."""
        return self._requested

    def watch(self, session: CandidateSession) -> None:
        """Registers a process to be killed on cancellation."""
        with self._lock:
            self._sessions.append(session)
        if self._requested:
            session.close()

    def cancel(self) -> None:
        """Kills every registered process; callable from any thread."""
        with self._lock:
            self._requested = True
            sessions = list(self._sessions)
        for session in sessions:
            with contextlib.suppress(HarnessError, OSError):
                session.close()

    def check(self) -> None:
        """Raises `TrialCancelledError` when the trial was cancelled."""
        if self._requested:
            raise TrialCancelledError("The evaluation was cancelled")


class Reporter:
    """Sends progress at each step, and regularly in between: silence would look like a hang."""

    def __init__(self, send: Callable[[Message], None], evaluation_id: str) -> None:
        self._send = send
        self._id = evaluation_id
        self._lock = threading.Lock()
        self._done = 0.0
        self._ticks = 0
        self._total = 10.0
        self._stage = Stage.REQUEST
        self._message = "starting"
        self._since = time.monotonic()
        self._stop = threading.Event()

    def expect(self, steps: int) -> None:
        """Sets the expected number of steps."""
        with self._lock:
            self._total = max(self._done + 1, float(steps))

    def step(self, stage: Stage, message: str) -> None:
        """Starts the next step."""
        with self._lock:
            self._done += 1
            self._total = max(self._total, self._done + 1)
            self._ticks = 0
            self._stage, self._message, self._since = stage, message, time.monotonic()
            self._say(message)

    @contextlib.contextmanager
    def ticking(self) -> Iterator[None]:
        """Repeats the current step with its duration every `TICK_S` seconds within the context."""
        thread = threading.Thread(target=self._tick, daemon=True, name="progress")
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _tick(self) -> None:
        while not self._stop.wait(TICK_S):
            with self._lock:
                self._ticks += 1
                self._say(f"{self._message} ({time.monotonic() - self._since:.0f} s)")

    def _say(self, message: str) -> None:
        # Clients may drop progress that does not increase.
        within = 0.9 * (1 - 1 / (1 + self._ticks / 20))
        self._send(
            Progress(
                evaluation_id=self._id,
                done=self._done + within,
                total=self._total,
                stage=self._stage.value,
                message=message,
            )
        )
