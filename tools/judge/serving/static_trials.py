"""Trials that only compile, several at once: one waits for its compilers while others start theirs.

They need no device. Each compiles in processes of its own, as a trial beside its checks does; only
how many there are at once is decided here. They end in the order in which they came.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import deque
from dataclasses import dataclass

from ...messages.frames import Message
from ...messages.judge import EvaluatePlan, JudgeReport
from ..processes.context import JudgeContext
from ..processes.progress import Cancellation, Reporter
from ..trial import Trial
from .channel import Channel, Inbox, fault

logger = logging.getLogger(__name__)
MOST_AT_ONCE = 8
"""Each of them has a process a target, and each process may start compilers of its own."""


@dataclass(frozen=True)
class _Started:
    trial: Trial
    cancellation: Cancellation
    ticking: contextlib.AbstractContextManager[None]


class StaticTrials:
    """Carries out plans that only compile, as long as such plans come."""

    def __init__(self, context: JudgeContext, channel: Channel, inbox: Inbox) -> None:
        self._context, self._channel, self._inbox = context, channel, inbox
        processors = len(os.sched_getaffinity(0))
        self._most = max(2, min(MOST_AT_ONCE, processors // 2))

    def run(self, first: EvaluatePlan) -> Message | None:
        """Reports on each plan; returns the message that is none of them, if one came."""
        started: deque[tuple[str, _Started]] = deque()
        message: Message | None = first
        while True:
            while isinstance(message, EvaluatePlan) and message.side_by_side:
                if (begun := self._begun(message)) is not None:
                    started.append((message.evaluation_id, begun))
                fits = len(started) < self._most and self._inbox.pending()
                message = self._inbox.next() if fits else None
            if not started:
                return message
            self._finish(*started.popleft())
            if message is None and self._inbox.pending():
                message = self._inbox.next()

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
        return _Started(trial, cancellation, ticking)

    def _finish(self, evaluation_id: str, started: _Started) -> None:
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
