"""A race of variants on a device: short evaluations that rank them, before any is judged.

Each run is an evaluation with its record: outputs are checked on one set of inputs, and the times
are those that the candidate's own process tells. That is enough to tell variants of one program
apart, and no more: who wins is judged like any candidate, and only that counts. Where the host
takes longer between a call's launches than these do, such times tell of the host alone; then runs
are sealed, which takes longer.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...evaluation.plan import CHECKS, EvaluationRequest
from ...evaluation.service import EvaluationService
from ...messages.judge import Checks
from ...progress import OnProgress, ignore_progress
from ...schema.evaluation import UNFAILED, Evaluation, Scope
from ...workloads.regimes import Regime
from ..variants import Variant
from .halving import Course, RaceTime, race

NO_LIMIT_S = 86_400.0
HIDDEN = 1.5
"""So many times the sealed span takes a call whose gaps between launches hide what varies."""


def race_checks(calls: int) -> Checks:
    """One set of inputs, and so many timed calls without a baseline."""
    changes = {"pairs_per_block": calls, "max_pairs": calls, "warm_calls": 0, "half_width": 0.0}
    return CHECKS[Scope.SMOKE].model_copy(update=changes)


@dataclass
class DeviceRace:
    """Runs variants of one program against one another.

    Args:
        request: of any of them; its solution, scope and baseline are replaced.
        regimes: each is run on its representative.
        sealed: whether times are taken from replays instead of the candidate's own process.

    Attributes:
        evaluations: by variant, the records of its runs.
    """

    service: EvaluationService
    request: EvaluationRequest
    regimes: Sequence[Regime]
    progress: OnProgress = ignore_progress
    sealed: bool = False
    evaluations: dict[str, list[Evaluation]] = field(default_factory=dict)
    runs: int = 0

    async def run(self, variants: Sequence[Variant]) -> Course:
        """The course of the race."""
        by_name = {variant.name: variant for variant in variants}
        uuids = {regime.name: regime.representative for regime in self.regimes}

        async def measure(
            name: str, names: Sequence[str], calls: int
        ) -> dict[str, RaceTime] | None:
            evaluation = await self._evaluated(by_name[name], [uuids[n] for n in names], calls)
            return times_of(evaluation, {uuids[n]: n for n in names})

        values = {variant.name: variant.values for variant in variants}
        return await race(list(by_name), list(uuids), measure, values=values)

    async def _evaluated(self, variant: Variant, uuids: Sequence[str], calls: int) -> Evaluation:
        request = replace(
            self.request,
            solution=variant.solution,
            scope=Scope.SMOKE,
            baseline=None,
            only=sorted(uuids),
            checks=race_checks(calls),
            started_from=variant.started_from,
            plan=variant.plan,
            sealed=self.sealed,
        )
        self.runs += 1
        await self.progress(self.runs, 0, f"run {self.runs}: {variant.name}, {calls} calls")
        evaluated = await self.service.evaluate(request, NO_LIMIT_S)
        self.evaluations.setdefault(variant.name, []).append(evaluated.evaluation)
        return evaluated.evaluation


def gaps_hide(records: Iterable[Evaluation]) -> bool:
    """Whether gaps between launches hide a program's kernels, as sealed records of it tell."""
    ratios = [
        result.called_us / result.latency_us
        for record in records
        for result in record.workloads
        if result.called_us and result.latency_us
    ]
    return bool(ratios) and statistics.median(ratios) >= HIDDEN


def times_of(evaluation: Evaluation, regimes: Mapping[str, str]) -> dict[str, RaceTime] | None:
    """The times by regime; None for a variant that failed.

    Args:
        regimes: by the uuid of the workload that stands for each.
    """
    if evaluation.status not in UNFAILED:
        return None
    found = {}
    for result in evaluation.workloads:
        if result.latency_us is not None and result.uuid in regimes:
            low, high = result.latency_interval_us or (result.latency_us, result.latency_us)
            found[regimes[result.uuid]] = RaceTime(result.latency_us, low, high)
    return found
