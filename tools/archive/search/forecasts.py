"""Forecasts of plans, compared with what was measured: whom to believe, and on what.

A forecast says that a plan gains at least so much, with a probability. It is decided by the first
candidate of the plan that was timed: later ones do not count, for whoever tries often enough gets
there. While all of them failed, where they could have been timed, it counts as missed, and a fix
may still overturn that. A plan that was recorded after its trial began forecast nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..retrieval.filters import regimes_meant
from ..store.archive import Archive
from ..store.entry import Node, number
from ..store.index import node_from_json
from ..store.plans.commits import StoredPlan
from ..store.trials.commits import TRIAL_NAME

UNSAID = "nobody said"
NO_DEVICE = "cpu"
"""Stands for the hardware of trials that had no GPU."""
LATE_S = 1
"""Records and commits are dated in whole seconds."""
LEAST_DECIDED = 5
OFF = 0.15
"""By how much confidence and what came of it must differ for a word of it."""


class ForecastStatus(StrEnum):
    """What became of a forecast."""

    REACHED = "reached"
    MISSED = "missed"
    FAILED = "failed"
    OPEN = "open"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Forecast:
    """One plan and what became of it.

    Attributes:
        gain: what was measured, as a ratio to the parent; None when nothing was.
        candidate_id: of the candidate that decided it; empty without one.
    """

    plan: StoredPlan
    status: ForecastStatus
    words: str
    gain: float | None = None
    candidate_id: str = ""

    @property
    def decided(self) -> bool:
        """Whether a trial bore the forecast out or did not."""
        return self.status not in (ForecastStatus.OPEN, ForecastStatus.UNCLEAR)

    @property
    def reached(self) -> bool:
        """Whether it came true."""
        return self.status is ForecastStatus.REACHED


@dataclass(frozen=True)
class ForecastCalibration:
    """How far the forecasts of one agent, or on one technique, can be believed.

    Attributes:
        confidence: mean of what was said.
        reached: share that came true.
        brier: mean square of confidence minus outcome; 0 is perfect, 0.25 is a coin.
        base: the same for whoever always says the share that came true.
        bias: geometric mean of the gains measured over those forecast; None when none was.
        error: factor by which a gain is typically off, either way.
    """

    label: str
    decided: int
    confidence: float
    reached: float
    brier: float
    base: float
    bias: float | None = None
    error: float | None = None

    @property
    def words(self) -> str:
        """All of it in a sentence."""
        said = (
            f"{self.decided} decided: {self.confidence:.0%} confident on average, "
            f"{self.reached:.0%} came true; Brier {self.brier:.2f} "
            f"({self.base:.2f} for always saying {self.reached:.0%})"
        )
        if self.bias is not None and self.error is not None:
            said += f"; gains {self.bias:.2f} of the forecast, typically off by {self.error:.2f}x"
        return said

    @property
    def correction(self) -> str:
        """What to change of forecasts to come; empty where nothing is to be said."""
        if self.decided < LEAST_DECIDED:
            return ""
        if self.confidence - self.reached > OFF:
            return f"Promise less: {self.reached:.0%} of what had {self.confidence:.0%} came true"
        if self.reached - self.confidence > OFF:
            return f"Be bolder: {self.reached:.0%} of what had {self.confidence:.0%} came true"
        return ""


@dataclass(frozen=True)
class ForecastReport:
    """All forecasts of an operator, or of all of them, oldest first, and how good they are."""

    forecasts: tuple[Forecast, ...]
    overall: ForecastCalibration | None
    agents: tuple[ForecastCalibration, ...]
    techniques: tuple[ForecastCalibration, ...]


def forecast_report(
    archive: Archive, definition: str | None = None, newest: int = -1
) -> ForecastReport:
    """Compares the plans of an operator, or all, with what was measured of their candidates.

    Args:
        newest: so many of them alone.
    """
    found = tuple(_forecasts(archive, archive.plans.of(definition, newest)))
    overall = calibrations(found, lambda _: ["all"])
    return ForecastReport(
        found,
        overall[0] if overall else None,
        tuple(calibrations(found, lambda plan: [agent_of(plan)])),
        tuple(calibrations(found, lambda plan: plan.record.technique or ["untagged"])),
    )


def agent_of(plan: StoredPlan) -> str:
    """Who made a plan, by client, model and effort."""
    return plan.record.made_by.agent or UNSAID


def _forecasts(archive: Archive, plans: Sequence[StoredPlan]) -> list[Forecast]:
    index = archive.synced.current()
    of_plan: dict[str, list[Node]] = {}
    for start in range(0, len(plans), 500):
        part = [plan.plan_id for plan in plans[start : start + 500]]
        for plan_id, facts in index.rows(
            "SELECT l.label, c.facts FROM labels l JOIN candidates c ON c.seq = l.seq"
            f" WHERE l.kind = 'plan' AND l.label IN ({','.join('?' * len(part))})"
            " ORDER BY c.at, c.seq",
            part,
        ):
            of_plan.setdefault(plan_id, []).append(node_from_json(facts))
    names = {plan.record.parent for plan in plans}
    names |= {parent for nodes in of_plan.values() for node in nodes for parent in node.parents}
    known = index.by_id(names)
    return [compare(plan, of_plan.get(plan.plan_id, ()), known) for plan in plans]


def compare(plan: StoredPlan, candidates: Sequence[Node], known: Mapping[str, Node]) -> Forecast:
    """What became of one plan.

    Args:
        candidates: that name the plan, oldest first.
        known: what they and the plan were begun from, by candidate id.
    """
    if not candidates:
        return Forecast(plan, ForecastStatus.OPEN, "nobody tried it")
    counted = [c for c in candidates if c.verified and plan.at <= c.at + LATE_S]
    if not counted:
        return Forecast(plan, ForecastStatus.UNCLEAR, "it was recorded after its trial began")
    words = "not timed"
    for node in counted:
        if node.latency_us is None:
            continue
        gain, words = measured_gain(plan, node, _parent(plan, node, known))
        if gain is not None:
            status = (
                ForecastStatus.REACHED
                if gain >= plan.record.expected_gain
                else ForecastStatus.MISSED
            )
            said = f"{number(gain)}x {words}"
            return Forecast(plan, status, said, gain, node.candidate_id)
    # Where nothing can be timed no plan can win, so that none may lose there either.
    if failed := [node for node in counted if node.failed and node.hardware != NO_DEVICE]:
        last = failed[-1]
        return Forecast(plan, ForecastStatus.FAILED, last.outcome_words, None, last.candidate_id)
    return Forecast(plan, ForecastStatus.UNCLEAR, words, None, counted[-1].candidate_id)


def _parent(plan: StoredPlan, node: Node, known: Mapping[str, Node]) -> Node | None:
    """The candidate that a plan is measured against; None for one that began from none."""
    if plan.record.parent.startswith(TRIAL_NAME):
        return next((known[name] for name in node.parents if name in known), None)
    return known.get(plan.record.parent)


def measured_gain(plan: StoredPlan, node: Node, parent: Node | None) -> tuple[float | None, str]:
    """The gain in the regimes of a plan, and against what; or None and why there is none.

    The record's own comparison decides where it was with the parent, or where there is none. A
    regime means those that are much the same, for each sample draws their borders anew.
    """
    regimes = plan.record.regimes
    names = [fact.name for fact in node.regimes]
    meant = {name for asked in regimes for name in regimes_meant(names, asked)}
    if parent is None or node.baseline_hash == parent.content_hash:
        versus = "the baseline" if parent is None else f"{parent.candidate_id}, in pairs"
        if not regimes:
            return node.speedup, f"against {versus}" if node.speedup else "compared with nothing"
        ratios = [f.ratio for f in node.regimes if f.name in meant and f.ratio]
        if ratios:
            return _mean(ratios), f"against {versus}"
        return None, f"not measured in {', '.join(regimes)}"
    comparable = (node.hardware, node.clock) == (parent.hardware, parent.clock)
    if parent.latency_us is None or node.latency_us is None or not comparable:
        return None, f"not comparable with {parent.candidate_id}: another device or clock"
    if not regimes:
        return parent.latency_us / node.latency_us, f"against {parent.candidate_id}"
    before = {f.name: f.latency_us for f in parent.regimes if f.latency_us}
    ratios = [
        before[f.name] / f.latency_us
        for f in node.regimes
        if f.name in meant and f.name in before and f.latency_us
    ]
    if ratios:
        return _mean(ratios), f"against {parent.candidate_id}"
    return None, f"not measured in {', '.join(regimes)}"


def calibrations(
    forecasts: Iterable[Forecast], labels: Callable[[StoredPlan], Sequence[str]]
) -> list[ForecastCalibration]:
    """The calibration of each label, those with the most decided forecasts first."""
    groups: dict[str, list[Forecast]] = {}
    for forecast in forecasts:
        if forecast.decided:
            for label in labels(forecast.plan):
                groups.setdefault(label, []).append(forecast)
    found = [_calibration(label, group) for label, group in groups.items()]
    return sorted(found, key=lambda c: (-c.decided, c.label))


def _calibration(label: str, group: Sequence[Forecast]) -> ForecastCalibration:
    said = [f.plan.record.confidence for f in group]
    came = [float(f.reached) for f in group]
    share = sum(came) / len(group)
    errors = [math.log(f.gain / f.plan.record.expected_gain) for f in group if f.gain]
    return ForecastCalibration(
        label,
        len(group),
        sum(said) / len(group),
        share,
        sum((s - c) ** 2 for s, c in zip(said, came, strict=True)) / len(group),
        share * (1 - share),
        math.exp(sum(errors) / len(errors)) if errors else None,
        math.exp(sum(map(abs, errors)) / len(errors)) if errors else None,
    )


def _mean(ratios: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))
