"""Many static evaluations at once: one turn of the device's judge, which compiles several together.

The records are those of single evaluations: each is checked, signed, kept and committed by the
evaluation service, and only who carries the plan out is another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..evaluation.judge_pool import JudgePool, error_of
from ..evaluation.plan import EvaluationRequest
from ..evaluation.service import Evaluated, EvaluationService
from ..messages.judge import EvaluatePlan, JudgeFault, JudgeReport
from ..progress import OnProgress
from ..schema.evaluation import Evaluation

MOST_SENT = 48
"""Plans sent before the first is answered: the judge has always another to begin."""
BUILD_TIMEOUT_S = 90.0
"""Longest build of one variant: one that hangs holds up no more than that."""
GATHERED_S = 0.05
NO_LIMIT_S = 86_400.0


async def compile_together(
    evaluations: EvaluationService,
    pool: JudgePool,
    device: str,
    requests: Sequence[EvaluationRequest],
    progress: OnProgress,
) -> list[Evaluation]:
    """The static evaluations of the requests, in their order, by the judge of a device.

    Raises:
        DatasetError: when the operator has no workload.
    """
    together = _Together(pool, device, progress)
    work = [
        evaluations.evaluate(request, NO_LIMIT_S, carry_out=together.carry_out)
        for request in requests
    ]
    tasks = [asyncio.ensure_future(one) for one in work]
    carrying = asyncio.ensure_future(together.run(tasks))
    try:
        return [evaluated.evaluation for evaluated in await asyncio.gather(*tasks)]
    finally:
        carrying.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(carrying, *tasks, return_exceptions=True)


class _Together:
    """Collects plans from evaluations that wait for their reports, and has them carried out."""

    def __init__(self, pool: JudgePool, device: str, progress: OnProgress) -> None:
        self._pool, self._device, self._progress = pool, device, progress
        self._queued: list[EvaluatePlan] = []
        self._reports: dict[str, asyncio.Future[JudgeReport]] = {}
        self._done = 0

    async def carry_out(self, plan: EvaluatePlan, progress: OnProgress) -> JudgeReport:
        """Waits for the report on one plan; as the pool's own `evaluate`, it raises a fault."""
        timeout_s = min(plan.build_timeout_s, BUILD_TIMEOUT_S)
        changes = {"side_by_side": True, "build_timeout_s": timeout_s}
        self._reports[plan.evaluation_id] = report = asyncio.get_running_loop().create_future()
        self._queued.append(plan.model_copy(update=changes))
        return await report

    async def run(self, tasks: Sequence[asyncio.Future[Evaluated]]) -> None:
        """Carries out what is queued until every evaluation has ended."""
        while not all(task.done() for task in tasks):
            await asyncio.sleep(GATHERED_S)
            if not self._queued:
                continue
            try:
                await self._carried_out(len(tasks))
            except Exception as error:  # of any kind: who waits for a report would wait for ever
                self._queued.clear()
                for report in self._reports.values():
                    if not report.done():
                        report.set_exception(error)

    async def _carried_out(self, count: int) -> None:
        what = f"the compilation of {count} variants"
        under_way: set[str] = set()
        async with self._pool.judge_of(self._device, what, self._progress) as judge:
            while self._queued or under_way:
                while self._queued and len(under_way) < MOST_SENT:
                    plan = self._queued.pop(0)
                    under_way.add(plan.evaluation_id)
                    await judge.send(plan)
                message = await judge.read()
                if not isinstance(message, JudgeReport | JudgeFault):
                    continue
                if message.evaluation_id in under_way:
                    under_way.discard(message.evaluation_id)
                    self._take(message)
                    self._done += 1
                    words = f"compiled {self._done} of {count} variants"
                    await self._progress(self._done, count, words)

    def _take(self, message: JudgeReport | JudgeFault) -> None:
        report = self._reports.pop(message.evaluation_id)
        if report.done():
            return
        if isinstance(message, JudgeReport):
            report.set_result(message)
        else:
            report.set_exception(error_of(message))
