"""Evaluations without a verdict yet: what their server knows, and the notes that outlive it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from ...messages.judge import EvaluatePlan, JudgeReport
from ...progress import OnProgress
from ...schema.evaluation import Evaluation, Evidence, Failure, Stage, Status
from ...schema.measurement import Totals
from ..plan import EvaluationRequest

CarryOut = Callable[[EvaluatePlan, OnProgress], Awaitable[JudgeReport]]
"""Has a plan carried out by a judge."""


@dataclass
class PendingEvaluation:
    """An evaluation under way: its future record and what is known so far."""

    evaluation_id: str
    request: EvaluationRequest
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    started: float = field(default_factory=time.monotonic)
    work: asyncio.Task[Evaluation] | None = None
    done: float = 0.0
    total: float = 1.0
    message: str = "queued"
    listeners: list[OnProgress] = field(default_factory=list)
    carry_out: CarryOut | None = None

    async def report(self, done: float, total: float, message: str) -> None:
        """Notes a step and reports it to every call that waits; one that fails is dropped."""
        self.done, self.total, self.message = max(done, self.done), total, message
        for listener in list(self.listeners):
            try:
                await listener(self.done, total, message)
            except Exception:  # the client has gone; the evaluation has not
                self.listeners.remove(listener)

    def record(self, status: Status, stage: Stage, **fields: Any) -> Evaluation:
        """A record of the request that no judge has filled in."""
        operator, solution = self.request.operator, self.request.solution
        seconds = time.monotonic() - self.started
        return Evaluation(
            evaluation_id=self.evaluation_id,
            definition=operator.name,
            solution_name=solution.name,
            language=solution.spec.language.value,
            content_hash=solution.content_hash(),
            workload_digest=operator.digest,
            scope=self.request.scope,
            status=status,
            stage=stage,
            evidence=Evidence(
                started_at=self.started_at,
                seconds={"so_far" if status is Status.RUNNING else "total": seconds},
                command=self.request.command,
            ),
            **fields,
        )

    def failed(self, status: Status, failure: Failure) -> Evaluation:
        """The record of an evaluation that ended before a judge's verdict."""
        return self.record(status, failure.stage, failure=failure, totals=Totals())

    def running(self) -> Evaluation:
        """The evaluation so far, with its present step in words."""
        return self.record(Status.RUNNING, Stage.CORRECTNESS, not_timed_reason=self.message)


class EvaluationsUnderWay:
    """Notes of the evaluations that have no verdict yet, in a folder created with the first.

    The server that carries an evaluation out holds a lock on its note. The kernel lets go of it
    when that process ends, however it does, so a note that can be locked is of a server that died.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, IO[bytes]] = {}

    def begin(self, evaluation: Evaluation) -> None:
        """Notes an evaluation, and holds the note until `end` or the end of this process.

        Raises:
            OSError: when the disk refuses.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(evaluation.evaluation_id)
        file = path.with_suffix(".part").open("wb")
        self._held[evaluation.evaluation_id] = file
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(evaluation.model_dump_json().encode())
        file.flush()
        os.replace(path.with_suffix(".part"), path)

    def end(self, evaluation_id: str) -> None:
        """Removes a note, which need not be there."""
        with contextlib.suppress(OSError):
            self._path(evaluation_id).unlink(missing_ok=True)
        if (file := self._held.pop(evaluation_id, None)) is not None:
            file.close()

    def find(self, evaluation_id: str) -> tuple[Evaluation, bool] | None:
        """The evaluation as it was noted, and whether its server still runs; None: no note."""
        with contextlib.suppress(OSError, ValidationError):
            with self._path(evaluation_id).open("rb") as file:
                evaluation = Evaluation.model_validate_json(file.read())
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return evaluation, True
                return evaluation, False
        return None

    def _path(self, evaluation_id: str) -> Path:
        return self._folder / f"{evaluation_id}.json"


async def uninterrupted(write: Callable[[], Evaluation]) -> Evaluation:
    """What a call that writes a record returns; it runs in a thread, to its end.

    Who is cancelled while waiting for it, however often, is so once it has ended. The thread is no
    task: the end of a server cancels all tasks, and who waits for one twice.
    """
    writing = asyncio.get_running_loop().run_in_executor(None, write)
    cancelled: asyncio.CancelledError | None = None
    while not writing.done():
        try:
            await asyncio.wait({writing})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return writing.result()
