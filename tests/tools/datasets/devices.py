"""Devices whose verdicts are written down beforehand: a run without judges."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from kernel_harness.tools.errors import InfrastructureError
from kernel_harness.tools.evaluation.plan import EvaluationRequest
from kernel_harness.tools.evaluation.service import Evaluated
from kernel_harness.tools.progress import OnProgress, ignore_progress
from kernel_harness.tools.schema.evaluation import Evaluation, Executor

REFERENCE_US = 40.0
LATENCIES = {"plain": 20.0, "quick": 5.0, "wrong": "INCORRECT_NUMERICAL", "slow": 80.0}
FAILURE = {"stage": "correctness", "kind": "wrong_values", "message": "It is wrong.", "remedy": "?"}


class ScriptedDevice:
    """Answers with the latencies of solutions; a text is the status of a failure.

    Args:
        latencies_us: by solution; the reference's where it is not named.
        seconds: what an evaluation takes.
    """

    def __init__(
        self,
        latencies_us: Mapping[str, float | str],
        name: str = "NVIDIA H200",
        *,
        executor: Executor = Executor.CUDA,
        seconds: float = 0.0,
    ) -> None:
        self.executor = executor
        self.requests: list[EvaluationRequest] = []
        self._latencies_us, self._name, self._seconds = latencies_us, name, seconds
        self._known: dict[str, Evaluation] = {}

    async def evaluate(
        self,
        request: EvaluationRequest,
        wait_s: float | None = None,
        progress: OnProgress = ignore_progress,
    ) -> Evaluated:
        self.requests.append(request)
        await asyncio.sleep(self._seconds)
        key = f"{request.operator.name} {request.solution.content_hash()} {request.command}"
        if key in self._known and not request.force:
            return Evaluated(self._known[key], earlier=True)
        found = self._latencies_us.get(request.solution.name, REFERENCE_US)
        if found == "the judge died":
            raise InfrastructureError("The judge died")
        self._known[key] = self._record(request, found)
        return Evaluated(self._known[key])

    async def get(
        self,
        evaluation_id: str,
        wait_s: float | None = None,
        progress: OnProgress = ignore_progress,
    ) -> Evaluated:
        raise AssertionError("nothing is left running")

    def judged(self) -> list[str]:
        """The names of the solutions in the order in which they were judged."""
        return [request.solution.name for request in self.requests]

    def _record(self, request: EvaluationRequest, found: float | str) -> Evaluation:
        number = len(self.requests)
        timed = not isinstance(found, str) and self.executor is Executor.CUDA
        status = found if isinstance(found, str) else "PASSED"
        errors = [{"output": "y", "max_absolute": 0.001, "max_relative": 0.001}]
        workloads: list[dict[str, Any]] = [
            {
                "uuid": workload.uuid,
                "axes": workload.axes,
                "status": status,
                "errors": errors,
                "latency_us": found if timed else None,
            }
            for workload in request.operator.workloads
        ]
        return Evaluation.model_validate(
            {
                "evaluation_id": f"ev-20260101-{number:06}-00000000",
                "definition": request.operator.name,
                "solution_name": request.solution.name,
                "language": "python",
                "content_hash": request.solution.content_hash(),
                "workload_digest": request.operator.digest,
                "scope": request.scope,
                "status": status,
                "stage": "done",
                "failure": FAILURE if isinstance(found, str) else None,
                "workloads": workloads,
                "totals": {"mean_latency_us": found if timed else None},
                "evidence": {
                    "started_at": f"2026-01-01T00:00:{number:02}+00:00",
                    "device": {"name": self._name, "executor": self.executor},
                },
            }
        )
