"""Trials that only compile, several at once: one waits for its compilers while others start theirs.

They need no device. Each compiles in processes of its own, as a trial beside its checks does; only
how many there are at once is decided here. One whose compiler hangs holds up no other.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from dataclasses import dataclass

from ...messages.frames import Message
from ...messages.judge import EvaluatePlan, JudgeReport
from ..processes.context import JudgeContext
from ..processes.progress import Cancellation, Reporter
from ..trial import Trial
from .channel import Channel, Inbox, fault

logger = logging.getLogger(__name__)
MOST_AT_ONCE = 32
"""Processes that compile: a process keeps one processor busy, and takes some memory."""
POLL_S = 0.02


@dataclass(frozen=True, eq=False)
class _Started:
    evaluation_id: str
    processes: int
    trial: Trial
    cancellation: Cancellation
    ticking: contextlib.AbstractContextManager[None]


class StaticTrials:
    """Carries out plans that only compile, as long as such plans come."""

    def __init__(self, context: JudgeContext, channel: Channel, inbox: Inbox) -> None:
        self._context, self._channel, self._inbox = context, channel, inbox
        self._most = min(MOST_AT_ONCE, len(os.sched_getaffinity(0)))

    def run(self, first: EvaluatePlan) -> Message | None:
        """Reports on each plan; returns the message that is none of them, if one came."""
        started: list[_Started] = []
        message: Message | None = first
        while True:
            fits = len(started) < 2 or sum(one.processes for one in started) < self._most
            if fits and isinstance(message, EvaluatePlan) and message.side_by_side:
                begun = self._begun(message)
                started += [begun] if begun is not None else []
                message = None
            elif fits and message is None and self._inbox.pending():
                message = self._inbox.next()
            elif started:
                self._end_one(started)
            else:
                return message

    def _end_one(self, started: list[_Started]) -> None:
        """Ends the first that has compiled; where none has, it waits a moment."""
        ready = next((one for one in started if not one.trial.compiling), None)
        if ready is None:
            time.sleep(POLL_S)
            return
        started.remove(ready)
        self._finish(ready)

    def _begun(self, plan: EvaluatePlan) -> _Started | None:
        cancellation = Cancellation()
        reporter = Reporter(self._channel.send, plan.evaluation_id)
        self._inbox.running(plan.evaluation_id, cancellation)
        ticking = reporter.ticking()
        try:
            trial = Trial(plan, self._context, reporter, cancellation)
            trial.start_compilers()
        except Exception as error:
            self._failed(plan.evaluation_id, error, cancellation)
            self._inbox.ended(plan.evaluation_id)
            return None
        ticking.__enter__()
        processes = max(1, len(plan.checks.static_targets))
        return _Started(plan.evaluation_id, processes, trial, cancellation, ticking)

    def _finish(self, started: _Started) -> None:
        evaluation_id = started.evaluation_id
        try:
            evaluation = started.trial.run()
            report = evaluation.model_dump(mode="json")
            self._channel.send(JudgeReport(evaluation_id=evaluation_id, evaluation=report))
        except Exception as error:
            self._failed(evaluation_id, error, started.cancellation)
        finally:
            started.ticking.__exit__(None, None, None)
            self._inbox.ended(evaluation_id)

    def _failed(self, evaluation_id: str, error: Exception, cancellation: Cancellation) -> None:
        if not cancellation.requested:
            logger.exception("Trial %s failed", evaluation_id)
        self._channel.send(fault(evaluation_id, error, cancelled=cancellation.requested))
