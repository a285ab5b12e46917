"""Promotion, from the independent verification to the tag.

The verification is the harness's own: fresh processes and seeds, every workload, held-out cases,
enough checked calls to meet a rare fault. The rules are `archive.promotion_rules`; this module only
brings them their evidence.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from ...devices.environment import nvidia_devices
from ...errors import ArchiveError, InfrastructureError
from ...evaluation.plan import promotion_checks
from ...evaluation.service import EvaluateRequest, EvaluationService
from ...profiling.service import ProfilingService
from ...progress import OnProgress, ignore_progress
from ...schema.evaluation import Evaluation, Executor, Scope, Status
from ...schema.flashinfer_trace import Solution
from ...workloads.operators import Operator
from ..store.archive import Archive
from ..store.entry import gpu_label
from ..store.manifest import harness_version
from .events import (
    Promotion,
    PromotionDecision,
    current_best,
    decide,
    past_failures,
    promote,
    refused_beforehand,
    rollback,
)

REPEATS = 2
BUDGET_S = 3_000.0


@dataclass(frozen=True)
class PromotionVerifier:
    """Verifies and promotes candidates of one harness."""

    archive: Archive
    evaluations: EvaluationService
    profiling: ProfilingService
    device: str

    async def promote(
        self,
        operator: Operator,
        solution: Solution,
        candidate_id: str,
        progress: OnProgress | None = None,
    ) -> PromotionDecision:
        """Verifies one archived candidate and promotes it when every rule holds.

        Raises:
            ArchiveError: when the best has moved while the verification ran.
        """
        node = self.archive.node(candidate_id)
        if self.device != "cpu":
            # Only the judge knows which board a CUDA device is where some are hidden from it.
            with contextlib.suppress(InfrastructureError):
                await self.profiling.pool.warm(self.device)
        best = current_best(self.archive, operator.name, self._line())
        against = (
            self.archive.get(best.candidate_id).solution()
            if best is not None and best.candidate_id != node.candidate_id
            else operator.baseline(cpu=self.device == "cpu")
        )
        failures = past_failures(self.archive, solution.content_hash())
        hopeless = refused_beforehand(node, best, failures)
        if hopeless is not None:
            return hopeless
        verification = await self._verified(operator, solution, against, progress)
        passed = all(v.status is Status.PASSED for v in verification)
        decision = decide(
            node,
            verification,
            best,
            expected_workloads=[w.uuid for w in operator.workloads],
            harness_version=harness_version(),
            sanitizer=await self._sanitized(operator, solution, progress) if passed else None,
            past_failures=failures,
        )
        if decision.promoted:
            promote(self.archive, decision, verification)
        return decision

    def rollback(self, operator: Operator, reason: str, gpu: str | None) -> Promotion:
        """Returns an operator's best to the one before it, and says why.

        Raises:
            ArchiveError: without a reason.
        """
        if not reason.strip():
            raise ArchiveError("A rollback needs a reason", remedy="Say what was wrong with it.")
        return rollback(self.archive, operator.name, gpu or self._line(), reason)

    def _line(self) -> str:
        """The device as the archive's refs name it."""
        if self.device == "cpu":
            return "cpu"
        if (ready := self.profiling.pool.ready(self.device)) is not None:
            return gpu_label(ready.device["name"])
        found = nvidia_devices()
        index = int(self.device.partition(":")[2] or 0)
        return gpu_label(found[index].name) if index < len(found) else "cpu"

    async def _verified(
        self,
        operator: Operator,
        solution: Solution,
        against: Solution | None,
        progress: OnProgress | None,
    ) -> list[Evaluation]:
        executor = Executor.INTERPRETER if self.device == "cpu" else Executor.CUDA
        done: list[Evaluation] = []
        for _ in range(REPEATS):
            request = EvaluateRequest(
                operator=operator,
                solution=solution,
                scope=Scope.FULL,
                baseline=against,
                force=True,
                checks=promotion_checks(executor),
                budget_s=BUDGET_S,
            )
            done.append(await self.evaluations.evaluate(request, self.device, BUDGET_S, progress))
            if done[-1].status is not Status.PASSED:
                break
        return done

    async def _sanitized(
        self, operator: Operator, solution: Solution, progress: OnProgress | None
    ) -> str | None:
        if self.device == "cpu":
            return None
        report = await self.profiling.sanitize(operator, solution, progress or ignore_progress)
        if report.tool == "unavailable":
            return None
        faults = [f"{run.tool}: {run.status}" for run in report.runs if run.status != "clean"]
        return "clean" if report.clean else "; ".join(faults) or "nothing ran"
