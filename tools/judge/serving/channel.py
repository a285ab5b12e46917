"""The judge's stream: messages out as frames, requests in by a thread, cancellations at once."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import threading
from typing import TYPE_CHECKING, BinaryIO

from ...errors import DatasetError, HarnessError
from ...messages.frames import (
    TRUSTED_FRAME_BYTES,
    Message,
    WireError,
    decode,
    encode,
    frame_length,
    recv_exactly,
)
from ...messages.judge import Cancel, Hurry, JudgeFault, Shutdown, to_judge

if TYPE_CHECKING:
    from ..processes.progress import Cancellation

logger = logging.getLogger(__name__)
MOST_WORDS = 1_500
"""Of an error's text: that of a full device names each process on it."""


class Channel:
    """Writes messages as frames; safe from several threads."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Writes one message; ends this process when the server is gone."""
        frame = encode(message)
        with self._lock:
            try:
                self._stream.write(frame)
                self._stream.flush()
            except (BrokenPipeError, ValueError):
                os.kill(os.getpid(), signal.SIGTERM)


class Inbox:
    """Reads messages in a thread of its own and queues them; a `Cancel` takes effect at once."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._queue: queue.Queue[Message] = queue.Queue()
        self._lock = threading.Lock()
        self._running: dict[str, Cancellation] = {}
        self._cancelled: set[str] = set()
        self._hurried = ""
        threading.Thread(target=self._read, daemon=True, name="inbox").start()

    def next(self, patience_s: float | None = None) -> Message | None:
        """Waits for the next request; None when none came in time."""
        with contextlib.suppress(queue.Empty):
            return self._queue.get(timeout=patience_s)
        return None

    def pending(self) -> bool:
        """Whether a request is queued."""
        return not self._queue.empty()

    def hurried(self, evaluation_id: str) -> bool:
        """Whether something waits for the device that this trial, which has ended, had."""
        return self._hurried == evaluation_id

    def running(self, evaluation_id: str, cancellation: Cancellation) -> None:
        """Registers a running trial, so that it can be cancelled."""
        with self._lock:
            self._running[evaluation_id] = cancellation
            stop = evaluation_id in self._cancelled
        if stop:
            cancellation.cancel()

    def ended(self, evaluation_id: str) -> None:
        """Says that a trial runs no more."""
        with self._lock:
            self._running.pop(evaluation_id, None)
            self._cancelled.discard(evaluation_id)

    def _read(self) -> None:
        try:
            while header := recv_exactly(self._stream.read, 4):
                length = frame_length(header, TRUSTED_FRAME_BYTES)
                message = decode(to_judge, recv_exactly(self._stream.read, length))
                if isinstance(message, Cancel):
                    self._cancel(message.evaluation_id)
                elif isinstance(message, Hurry):
                    self._hurried = message.evaluation_id
                else:
                    self._queue.put(message)
        except WireError:
            logger.exception("The server's stream cannot be read")
        self._cancel(None)
        self._queue.put(Shutdown())

    def _cancel(self, evaluation_id: str | None) -> None:
        with self._lock:
            if evaluation_id is not None:
                self._cancelled.add(evaluation_id)
            meant = [c for name, c in self._running.items() if evaluation_id in (None, name)]
        for cancellation in meant:
            cancellation.cancel()


def fault(evaluation_id: str, error: Exception, *, cancelled: bool) -> JudgeFault:
    """The message for a failure of the harness or of the operator, not of the candidate."""
    if cancelled:
        return JudgeFault(
            evaluation_id=evaluation_id,
            what="The evaluation was cancelled",
            remedy="Evaluate again when you want its result.",
        )
    if isinstance(error, HarnessError):
        return JudgeFault(
            evaluation_id=evaluation_id,
            of_dataset=isinstance(error, DatasetError),
            what=error.what,
            where=error.where,
            remedy=error.remedy,
        )
    if isinstance(error, OSError):
        return JudgeFault(
            evaluation_id=evaluation_id,
            what=f"The system refused: {error.strerror or error}",
            where=str(error.filename or ""),
            remedy="Free disk space, memory or processes and evaluate again.",
        )
    return JudgeFault(
        evaluation_id=evaluation_id,
        what=f"The judge failed: {type(error).__name__}: {str(error)[:MOST_WORDS]}",
        where="tools.judge",
        remedy="This is a fault of the harness; its log has the traceback.",
    )
