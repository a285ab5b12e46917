"""Times each rung once in an evaluation of its own, and says how many times faster a candidate is.

A rung's record answers the next time, whichever candidate asks: its bytes and its plan are the
same. So the times of a rung and those of a candidate are of different minutes, and are compared as
latencies; what decides a verdict is the paired comparison with the baseline, which is also the
baseline's row.

Each rung has a time of its own, and the quick ones come first, so that a slow one holds up none of
them. What did not fit is said in its row, and is not tried again for minutes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...devices.gpus import devices_here
from ...devices.targets import suits
from ...errors import HarnessError
from ...progress import OnProgress, ignore_progress
from ...schema.evaluation import UNFAILED, Evaluation, Executor, Status
from ..plan import EvaluationRequest
from .rungs import Rung, rungs_of

if TYPE_CHECKING:
    from ..service import Evaluated, EvaluationService

NO_GPU = "nothing is timed without a GPU"
LATER = "not timed yet: ask again"
STILL = "still being timed: ask again"
OTHER_GPUS = "written for other GPUs"


@dataclass(frozen=True)
class RungTime:
    """How one rung compares.

    Attributes:
        times: the rung's latency over the candidate's, the geometric mean over `workloads`.
        mean_us: the rung's mean latency over the same workloads.
        clock: 'sealed' or 'claimed'.
        reason: why there is no time, or none of some workloads.
    """

    rung: str
    times: float | None = None
    mean_us: float | None = None
    workloads: int = 0
    clock: str | None = None
    reason: str | None = None
    evaluation_id: str | None = None


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
    candidate = evaluated.evaluation
    if not request.ladder or candidate.status not in UNFAILED:
        return evaluated
    rungs = rungs_of(request.operator, request.baseline)
    if why := _not_climbed(service, candidate):
        return replace(evaluated, ladder=tuple(RungTime(rung.name, reason=why) for rung in rungs))
    climbs = [_Climb(service, request, candidate, rung) for rung in rungs]
    rows = {climb.rung.name: climb.known() for climb in climbs}
    left = [climb for climb in climbs if rows[climb.rung.name] is None]
    for climb in sorted(left, key=lambda climb: climb.rung.slow):
        name = climb.rung.name
        done = sum(row is not None for row in rows.values())
        rows[name] = await climb.timed(ends, _within(progress, done, len(rungs), name))
    return replace(evaluated, ladder=tuple(row for row in rows.values() if row is not None))


def _not_climbed(service: EvaluationService, candidate: Evaluation) -> str:
    """Why no rung is timed; empty when they are."""
    if service.executor is Executor.INTERPRETER:
        return NO_GPU
    if candidate.status is Status.RUNNING:
        return LATER
    if not _latencies(candidate):
        return candidate.not_timed_reason or "the candidate was not timed"
    return ""


def _within(progress: OnProgress, done: int, rungs: int, name: str) -> OnProgress:
    """Tells what a rung's evaluation tells, as a part of the ladder's steps."""

    async def tell(steps: float, total: float, message: str) -> None:
        part = min(steps / total, 0.99) if total > 0 else 0.0
        await progress(done + part, rungs, f"rung {done + 1} of {rungs}, {name}: {message}")

    return tell


class _Climb:
    """The comparison of one candidate with one rung."""

    def __init__(
        self,
        service: EvaluationService,
        request: EvaluationRequest,
        candidate: Evaluation,
        rung: Rung,
    ) -> None:
        self.rung = rung
        self._service, self._candidate = service, candidate
        ran_on = candidate.evidence.device
        devices = devices_here(ran_on) if len(request.devices_among(service.devices)) > 1 else ()
        self._asked = replace(
            request,
            devices=devices,
            solution=rung.solution,
            baseline=None,
            checks=rung.checks(request),
            bounds=replace(rung.bounds(request.scope), again=request.force),
            force=False,
            started_from=None,
            plan=None,
            ladder=False,
        )
        self._too_slow: Evaluation | None = None

    def known(self) -> RungTime | None:
        """The row that needs no evaluation: of a pair, of an earlier record, or a reason."""
        ran_on, rung = self._candidate.evidence.device, self.rung
        hardware = rung.solution.spec.target_hardware
        if ran_on is not None and not suits(hardware, ran_on.compute_capability):
            return RungTime(rung.name, reason=OTHER_GPUS)
        if rung.solution.content_hash() == self._candidate.baseline_hash:
            if (row := paired(rung.name, self._candidate)) is not None:
                return row
        while (found := self._service.earlier(self._asked)) is not None:
            if not self._asks_for_less(found):
                return self._row(found)
        return None

    async def timed(self, ends: float, progress: OnProgress) -> RungTime:
        """The row once the rung was evaluated, or what is known of it when the wait ends."""
        while (left := ends - time.monotonic()) > 0:
            try:
                if identity := self._service.under_way(self._asked):
                    evaluated = await self._service.get(identity, left, progress)
                else:
                    evaluated = await self._service.evaluate(self._asked, left, progress)
            except HarnessError as error:
                return RungTime(self.rung.name, reason=str(error)[:200])
            if not self._asks_for_less(evaluated.evaluation):
                return self._row(evaluated.evaluation)
        identity = self._service.under_way(self._asked)
        reason = STILL if identity else LATER
        return RungTime(self.rung.name, reason=reason, evaluation_id=identity)

    def _asks_for_less(self, found: Evaluation) -> bool:
        """Asks for what was right before a workload that took too long, if anything was."""
        right = [r.uuid for r in found.workloads if r.status is Status.PASSED]
        if found.status is not Status.TIMEOUT or not 0 < len(right) < len(found.workloads):
            return False
        self._too_slow, self._asked = found, replace(self._asked, only=tuple(right))
        return True

    def _row(self, found: Evaluation) -> RungTime:
        return compared(self.rung.name, found, self._candidate, self._too_slow)


def compared(
    name: str, rung: Evaluation, candidate: Evaluation, too_slow: Evaluation | None = None
) -> RungTime:
    """How a rung's record compares with a candidate's, over the workloads that both timed.

    Args:
        too_slow: the rung's record of more workloads, one of which took too long.
    """
    identity = rung.evaluation_id
    if rung.status is Status.RUNNING:
        return RungTime(name, reason=STILL, evaluation_id=identity)
    theirs, ours = _latencies(rung), _latencies(candidate)
    both = sorted(set(theirs) & set(ours))
    if rung.status not in UNFAILED or not both:
        reason = f"{rung.status}: {said}" if (said := _why(rung)) else str(rung.status)
        return RungTime(name, reason=reason[:200], evaluation_id=identity)
    why = None
    if len(both) < len(ours):
        said = _why(too_slow or rung) or "the others were not timed"
        why = f"{len(both)} of {len(ours)} workloads: {said}"[:200]
    return RungTime(
        rung=name,
        times=_geometric_mean([theirs[uuid] / ours[uuid] for uuid in both]),
        mean_us=sum(theirs[uuid] for uuid in both) / len(both),
        workloads=len(both),
        clock=str(rung.sealing.source) if rung.sealing else None,
        reason=why,
        evaluation_id=identity,
    )


def paired(name: str, candidate: Evaluation) -> RungTime | None:
    """The row of what the candidate was timed against call by call; None where it was not."""
    found = [r for r in candidate.workloads if r.latency_us and r.baseline_latency_us]
    if not found:
        return None
    base, ours = [r.baseline_latency_us or 0.0 for r in found], len(_latencies(candidate))
    return RungTime(
        rung=name,
        times=_geometric_mean(
            [r.speedup or b / (r.latency_us or 1.0) for r, b in zip(found, base, strict=True)]
        ),
        mean_us=sum(base) / len(base),
        workloads=len(found),
        clock=str(candidate.sealing.source) if candidate.sealing else None,
        reason=f"{len(found)} of {ours} workloads" if len(found) < ours else None,
        evaluation_id=candidate.evaluation_id,
    )


def _why(rung: Evaluation) -> str | None:
    """What a rung's record says of workloads without a time, and on which one it was too slow."""
    if rung.failure is not None:
        sizes = " ".join(f"{axis}={size}" for axis, size in rung.failure.axes.items())
        return f"{rung.failure.message}{f' ({sizes})' if sizes else ''}"
    if rung.not_timed_reason:
        return rung.not_timed_reason
    untimed = next((r.reason for r in rung.workloads if not r.latency_us and r.reason), None)
    if untimed is None or "budget" not in untimed:
        return untimed
    return f"no more fitted into its {rung.evidence.budgets.get('candidate', 0.0):g} s"


def _latencies(evaluation: Evaluation) -> Mapping[str, float]:
    return {r.uuid: r.latency_us for r in evaluation.workloads if r.latency_us}


def _geometric_mean(ratios: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))
