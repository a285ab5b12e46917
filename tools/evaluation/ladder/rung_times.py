"""Times each rung once in an evaluation of its own, and says how many times faster a candidate is.

A rung's record answers the next time, whichever candidate asks: its bytes and its plan are the
same. So the times of a rung and those of a candidate are of different minutes, and are compared as
latencies; what decides a verdict is the paired comparison with the baseline.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...devices.gpus import devices_here
from ...devices.targets import suits
from ...errors import HarnessError
from ...messages.judge import Checks
from ...progress import OnProgress, ignore_progress
from ...schema.evaluation import UNFAILED, Evaluation, Executor, Status
from ..plan import CHECKS, EvaluationRequest
from .rungs import Rung, rungs_of

if TYPE_CHECKING:
    from ..service import Evaluated, EvaluationService

NO_GPU = "nothing is timed without a GPU"
LATER = "not timed yet: ask again"
OTHER_GPUS = "written for other GPUs"


@dataclass(frozen=True)
class RungTime:
    """How one rung compares.

    Attributes:
        times: the rung's latency over the candidate's, the geometric mean over `workloads`.
        mean_us: the rung's mean latency over the same workloads.
        clock: 'sealed' or 'claimed'.
        reason: why there is no time.
    """

    rung: str
    times: float | None = None
    mean_us: float | None = None
    workloads: int = 0
    clock: str | None = None
    reason: str | None = None
    evaluation_id: str | None = None


def rung_checks(request: EvaluationRequest) -> Checks:
    """The scope's way of timing, with one checked set of inputs: a rung is nobody's candidate."""
    return CHECKS[request.scope].model_copy(
        update={
            "trials": 1,
            "families": 0,
            "held_out": 0,
            "sizes": 0,
            "timed_held_out": 0,
            "determinism_runs": 0,
            "ghost_replay": False,
            "sanitizer": False,
            "deployment": False,
        }
    )


async def evaluate_with_ladder(
    service: EvaluationService,
    request: EvaluationRequest,
    wait_s: float | None = None,
    progress: OnProgress = ignore_progress,
) -> Evaluated:
    """Evaluates; of a request with a ladder, each rung as well, as long as the wait lasts."""
    patience = service.patience_s if wait_s is None else wait_s
    ends = time.monotonic() + patience
    evaluated = await service.evaluate(request, wait_s, progress)
    if not request.ladder or evaluated.evaluation.status not in UNFAILED:
        return evaluated
    rungs = rungs_of(request.operator, request.baseline)
    if service.executor is Executor.INTERPRETER:
        return replace(evaluated, ladder=tuple(RungTime(r.name, reason=NO_GPU) for r in rungs))
    rows: list[RungTime] = []
    for number, rung in enumerate(rungs, 1):
        left = ends - time.monotonic()
        if left <= 0:
            rows.append(RungTime(rung.name, reason=LATER))
            continue
        await progress(number, len(rungs), f"rung {number} of {len(rungs)}: {rung.name}")
        rows.append(await _rung_time(service, request, rung, evaluated.evaluation, left))
    return replace(evaluated, ladder=tuple(rows))


async def _rung_time(
    service: EvaluationService,
    request: EvaluationRequest,
    rung: Rung,
    candidate: Evaluation,
    wait_s: float,
) -> RungTime:
    ran_on, hardware = candidate.evidence.device, rung.solution.spec.target_hardware
    if ran_on is not None and not suits(hardware, ran_on.compute_capability):
        return RungTime(rung.name, reason=OTHER_GPUS)
    asked = replace(
        request,
        devices=devices_here(ran_on) if len(request.devices_among(service.devices)) > 1 else (),
        solution=rung.solution,
        baseline=None,
        checks=rung_checks(request),
        force=False,
        started_from=None,
        plan=None,
        ladder=False,
    )
    try:
        found = _timed_out(service, asked) or (await service.evaluate(asked, wait_s)).evaluation
    except HarnessError as error:
        return RungTime(rung.name, reason=str(error)[:200])
    return compared(rung.name, found, candidate)


def _timed_out(service: EvaluationService, asked: EvaluationRequest) -> Evaluation | None:
    """An earlier record of a rung that took too long: it would again, for minutes."""
    for evaluation_id in service.records.of_content(asked.solution.content_hash()):
        with contextlib.suppress(HarnessError):  # one that no harness wrote
            found = service.records.get(evaluation_id)
            if found.status is Status.TIMEOUT and found.evidence.command == asked.command:
                return found
    return None


def compared(name: str, rung: Evaluation, candidate: Evaluation) -> RungTime:
    """How a rung's record compares with a candidate's, over the workloads that both timed."""
    identity = rung.evaluation_id
    if rung.status is Status.RUNNING:
        return RungTime(name, reason=LATER, evaluation_id=identity)
    theirs, ours = _latencies(rung), _latencies(candidate)
    both = sorted(set(theirs) & set(ours))
    if rung.status not in UNFAILED or not both:
        said = rung.failure.message if rung.failure else rung.not_timed_reason
        reason = f"{rung.status}: {said}" if said else str(rung.status)
        if rung.status in UNFAILED and not ours:
            reason = candidate.not_timed_reason or "the candidate was not timed"
        return RungTime(name, reason=reason[:200], evaluation_id=identity)
    return RungTime(
        rung=name,
        times=_geometric_mean([theirs[uuid] / ours[uuid] for uuid in both]),
        mean_us=sum(theirs[uuid] for uuid in both) / len(both),
        workloads=len(both),
        clock=str(rung.sealing.source) if rung.sealing else None,
        evaluation_id=identity,
    )


def _latencies(evaluation: Evaluation) -> Mapping[str, float]:
    return {r.uuid: r.latency_us for r in evaluation.workloads if r.latency_us}


def _geometric_mean(ratios: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))
