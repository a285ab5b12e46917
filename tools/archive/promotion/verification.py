"""Promotion, from the independent verification to the tag.

The verification is the harness's own: fresh processes and seeds, every workload, held-out cases,
enough checked calls to meet a rare fault. `rules` decides; this module brings it the evidence.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

from ...devices.gpus import nvidia_devices
from ...errors import InfrastructureError
from ...evaluation.plan import EvaluationRequest, promotion_checks
from ...evaluation.service import EvaluationService
from ...profiling.service import ProfilingService
from ...progress import OnProgress, ignore_progress
from ...schema.evaluation import Evaluation, Scope, Status
from ...schema.flashinfer_trace import Solution
from ...workloads.dataset import Dataset
from ...workloads.operators import Operator
from ..store.archive import Archive
from ..store.entry import Node, gpu_label
from ..store.manifest import harness_version
from .events import (
    Promotion,
    best_is_claimed,
    current_best,
    gave_wrong_answers,
    past_failures,
    promote,
    rollback,
)
from .peer_times import peer_times, peers_beaten
from .rules import PromotionDecision, decide, early_refusal, is_best

REPEATS = 2
BUDGET_S = 3_000.0


@dataclass(frozen=True)
class PromotionVerifier:
    """Verifies and promotes candidates on one device ("cpu" or "cuda:N")."""

    archive: Archive
    dataset: Dataset
    evaluations: EvaluationService
    profiling: ProfilingService
    device: str

    async def promote(
        self, candidate_id: str, progress: OnProgress = ignore_progress
    ) -> PromotionDecision:
        """Verifies one archived candidate and promotes it when every rule holds.

        Raises:
            ArchiveError: when the best has moved while the verification ran.
        """
        node = self.archive.node(candidate_id)
        solution = self.archive.read(node).solution()
        operator = self.dataset.operator(solution.definition)
        if self.device != "cpu":
            # Only the judge knows which board a CUDA device is where some are hidden from it.
            with contextlib.suppress(InfrastructureError):
                await self.profiling.pool.warm(self.device)
        gpu = self._gpu(operator)
        best = current_best(self.archive, operator.name, gpu)
        claimed = best is not None and best_is_claimed(self.archive, operator.name, gpu)
        failures = past_failures(self.archive, self.evaluations.records, node, gpu)
        if (refusal := early_refusal(node, best, failures, best_claimed=claimed)) is not None:
            return refusal
        against = self._baseline(operator, None if is_best(node, best) else best)
        verification = await self._verify(operator, solution, node.candidate_id, against, progress)
        passed = all(record.status is Status.PASSED for record in verification)
        self._archive_failures(node, solution, operator, verification)
        decision = decide(
            node,
            verification,
            best,
            best_claimed=claimed,
            expected_workloads=[w.uuid for w in operator.workloads],
            harness_version=harness_version(),
            sanitizer=await self._sanitize(operator, solution, progress) if passed else None,
            past_failures=failures,
        )
        peers = peer_times(operator.peers(), self.archive.iter(operator.name), gpu)
        decision = replace(decision, rules=(*decision.rules, *peers_beaten(peers, verification)))
        if decision.promoted:
            promote(self.archive, decision, verification)
        return decision

    def _archive_failures(
        self, node: Node, solution: Solution, operator: Operator, verification: list[Evaluation]
    ) -> None:
        """Archives each verification that gave wrong answers: promoting again is no new draw."""
        for record in verification:
            if gave_wrong_answers(record):
                self.archive.add(
                    solution=solution,
                    evaluation=record,
                    definition=operator.definition,
                    workloads=operator.workloads,
                    hypothesis=f"Verification of {node.candidate_id} for its promotion.",
                    parents=[node.candidate_id],
                )

    def rollback(self, definition: str, reason: str, gpu: str | None = None) -> Promotion:
        """Returns an operator's best on a device, this one if None, to the one before it.

        Raises:
            RequestError: when nothing is promoted there or no reason is given.
        """
        operator = self.dataset.operator(definition)
        return rollback(self.archive, operator.name, gpu or self._gpu(operator), reason)

    def _gpu(self, operator: Operator) -> str:
        """The device as the archive's refs name it, for what the operator's candidates rank by."""
        ranked_by = operator.policy.objective
        if self.device == "cpu":
            return "cpu"
        if (ready := self.profiling.pool.ready(self.device)) is not None:
            return gpu_label(ready.device["name"], ranked_by)
        found = nvidia_devices()
        index = int(self.device.partition(":")[2] or 0)
        return gpu_label(found[index].name, ranked_by) if index < len(found) else "cpu"

    def _baseline(self, operator: Operator, best: Node | None) -> Solution | None:
        """What the candidate has to beat: the best of others, or the operator's baseline."""
        if best is not None:
            return self.archive.read(best).solution()
        return operator.baseline(cpu=self.device == "cpu")

    async def _verify(
        self,
        operator: Operator,
        solution: Solution,
        candidate_id: str,
        against: Solution | None,
        progress: OnProgress,
    ) -> list[Evaluation]:
        done: list[Evaluation] = []
        for _ in range(REPEATS):
            request = EvaluationRequest(
                operator=operator,
                solution=solution,
                scope=Scope.FULL,
                baseline=against,
                force=True,
                started_from=candidate_id,
                checks=promotion_checks(self.evaluations.executor),
                budget_s=BUDGET_S,
            )
            evaluated = await self.evaluations.evaluate(request, BUDGET_S, progress)
            done.append(evaluated.evaluation)
            if done[-1].status is not Status.PASSED:
                break
        return done

    async def _sanitize(
        self, operator: Operator, solution: Solution, progress: OnProgress
    ) -> str | None:
        if self.device == "cpu":
            return None
        report = await self.profiling.sanitize(operator, solution, progress)
        if report.tool == "unavailable":
            return None
        faults = [f"{run.tool}: {run.status}" for run in report.runs if run.status != "clean"]
        return "clean" if report.clean else "; ".join(faults) or "nothing ran"
