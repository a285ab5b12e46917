"""A race of variants on a device: short evaluations that rank them, before any is judged.

Each run is an evaluation with its record: outputs are checked on one set of inputs, and the times
are those that the candidate's own process tells. That is enough to tell variants of one program
apart, and no more: who wins is judged like any candidate, and only that counts. Where the host
takes longer between a call's launches than these do, such times tell of the host alone; then runs
are sealed, which takes longer. The last of a regime are evaluated with one another as baseline.
"""

from __future__ import annotations

import contextlib
import secrets
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...evaluation.plan import CHECKS, EvaluationRequest
from ...evaluation.service import EvaluationService
from ...messages.judge import Checks
from ...progress import OnProgress, ignore_progress
from ...schema.evaluation import UNDECIDED, UNFAILED, Evaluation, Scope, WorkloadResult
from ...workloads.regimes import Regime
from ..variants import Variant
from .finals import Lead, Paired, order_finalists
from .halving import Course, RaceTime, race

NO_LIMIT_S = 86_400.0
HIDDEN = 1.5
"""So many times the sealed span takes a call whose gaps between launches hide what varies."""
MOST_PAIRS = 20
HALF_WIDTH = 0.005
"""Pairs of two programs of 3.2 µs that differ by 6 % said 5.9 to 6.1 in each of eleven runs."""


def race_checks(calls: int) -> Checks:
    """One set of inputs, and so many timed calls without a baseline."""
    changes = {"pairs_per_block": calls, "max_pairs": calls, "warm_calls": 0, "half_width": 0.0}
    return CHECKS[Scope.SMOKE].model_copy(update=changes)


def finals_checks() -> Checks:
    """One set of inputs, and pairs of calls until the interval of their ratio is narrow."""
    changes = {"max_pairs": MOST_PAIRS, "warm_calls": 0, "half_width": HALF_WIDTH}
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
        leads: by regime, of the fastest over the other finalists.
        seconds: of wall time, by part.
        identity: tells the judge whose kernels a run may be given.
    """

    service: EvaluationService
    request: EvaluationRequest
    regimes: Sequence[Regime]
    progress: OnProgress = ignore_progress
    sealed: bool = False
    evaluations: dict[str, list[Evaluation]] = field(default_factory=dict)
    leads: dict[str, list[Lead]] = field(default_factory=dict)
    runs: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    identity: str = field(default_factory=lambda: secrets.token_hex(8))

    async def run(self, variants: Sequence[Variant]) -> Course:
        """The course of the race."""
        by_name = {variant.name: variant for variant in variants}
        uuids = {regime.name: regime.representative for regime in self.regimes}

        async def measure(
            name: str, names: Sequence[str], calls: int
        ) -> dict[str, RaceTime] | None:
            request = self._request(by_name[name], [uuids[n] for n in names], race_checks(calls))
            evaluation = await self._evaluated(name, request, f"{name}, {calls} calls")
            return times_of(evaluation, {uuids[n]: n for n in names})

        async def measure_pair(first: str, second: str, names: Sequence[str]) -> Paired:
            request = self._request(by_name[first], [uuids[n] for n in names], finals_checks())
            request = replace(request, baseline=by_name[second].solution)
            evaluation = await self._evaluated(first, request, f"{first} beside {second}")
            by_uuid = {uuids[n]: n for n in names}
            return paired_of(evaluation, first, second, by_uuid)

        values = {variant.name: variant.values for variant in variants}
        with timed(self.seconds, "race"):
            course = await race(list(by_name), list(uuids), measure, values=values)
        with timed(self.seconds, "finals"):
            self.leads = await order_finalists(course, measure_pair)
        return course

    def _request(self, variant: Variant, uuids: Sequence[str], checks: Checks) -> EvaluationRequest:
        return replace(
            self.request,
            solution=variant.solution,
            scope=Scope.SMOKE,
            baseline=None,
            only=sorted(uuids),
            checks=checks,
            started_from=variant.started_from,
            plan=variant.plan,
            sealed=self.sealed,
            race=self.identity,
        )

    async def _evaluated(self, name: str, request: EvaluationRequest, words: str) -> Evaluation:
        self.runs += 1
        await self.progress(self.runs, 0, f"run {self.runs}: {words}")
        evaluated = await self.service.evaluate(request, NO_LIMIT_S)
        self.evaluations.setdefault(name, []).append(evaluated.evaluation)
        return evaluated.evaluation


@contextlib.contextmanager
def timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    """Notes how long what is done meanwhile takes."""
    began = time.monotonic()
    try:
        yield
    finally:
        seconds[part] = round(time.monotonic() - began, 3)


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


def paired_of(
    evaluation: Evaluation, first: str, second: str, regimes: Mapping[str, str]
) -> Paired:
    """What a record tells of a variant beside another one, its baseline.

    Args:
        regimes: by the uuid of the workload that stands for each.
    """
    if evaluation.status not in UNFAILED:
        return Paired(failed=evaluation.status not in UNDECIDED)
    leads: dict[str, Lead] = {}
    times: dict[str, dict[str, RaceTime]] = {first: {}, second: {}}
    for result in evaluation.workloads:
        if result.uuid in regimes and (lead := _lead(result, first, second)) is not None:
            regime = regimes[result.uuid]
            leads[regime] = lead
            for name, us in ((first, result.latency_us), (second, result.baseline_latency_us)):
                if us is not None:
                    times[name][regime] = RaceTime(us, us, us)
    return Paired(leads, times)


def _lead(result: WorkloadResult, first: str, second: str) -> Lead | None:
    found = result.comparison
    if found is None or not found.ratio:
        return None
    return Lead(first, second, found.ratio, *found.interval, found.decision)
