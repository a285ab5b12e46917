"""The rules under which a candidate becomes the best: pure, each with its number and its limit.

They answer what was seen to go wrong elsewhere: promotions on one run and inside the noise, a gain
that one outlier made, a mean that got worse while ratios got better, wrong answers retried until
they passed. They judge records; whether the records come from fresh processes and seeds is the
business of whoever ran the verification.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...schema.evaluation import Evaluation, Executor, Scope, Severity, Status
from ..store.entry import Node, gpu_name, noise_level, started_at
from .held_out_rules import sizes_called
from .rule_outcome import RuleOutcome, Rules
from .time_rules import time_rules

TIMED = "timed"
VERIFIED = "verified"
AS_COMPILED = "launches_as_compiled"
"""The check without which a candidate that never ran on a GPU is not verified."""
MOST_FAILURE_CHARACTERS = 300


@dataclass(frozen=True)
class PromotionDecision:
    """Promoted or refused, with the evidence for each rule.

    Attributes:
        track: "timed" (a GPU's best) or "verified" (right, but never timed).
        current_best: id of the candidate it was compared with; None for the first of its track.
    """

    promoted: bool
    rules: tuple[RuleOutcome, ...]
    track: str
    candidate_id: str
    definition: str
    gpu: str
    current_best: str | None
    evaluations: tuple[str, ...]
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The refusals, or what was gained, in one sentence."""
        refused = [rule for rule in self.rules if rule.applied and not rule.passed]
        if refused:
            return "Refused: " + "; ".join(f"{r.name}: {r.words}" for r in refused)
        gained = next((r.words for r in self.rules if r.name == "ratio_beyond_noise"), "")
        return f"Promoted ({self.track})" + (
            f": {gained}" if self.track == TIMED else ", not timed"
        )


def early_refusal(
    candidate: Node,
    current_best: Node | None,
    past_failures: Sequence[str],
    *,
    best_claimed: bool = False,
) -> PromotionDecision | None:
    """The refusal that no verification could change; None when one is worth its time."""
    is_new = _not_the_best(candidate, current_best, claimed=best_claimed)
    outcomes = (_never_wrong(past_failures), is_new)
    if all(outcome.passed for outcome in outcomes):
        return None
    return PromotionDecision(
        promoted=False,
        rules=outcomes,
        track=VERIFIED if candidate.latency_us is None else TIMED,
        candidate_id=candidate.candidate_id,
        definition=candidate.definition,
        gpu=candidate.hardware,
        current_best=current_best.candidate_id if current_best else None,
        evaluations=(),
    )


def decide(
    candidate: Node,
    verification: Sequence[Evaluation],
    current_best: Node | None = None,
    *,
    best_claimed: bool = False,
    noise: float | None = None,
    expected_workloads: Sequence[str] = (),
    harness_version: str = "",
    sanitizer: str | None = None,
    past_failures: Sequence[str] = (),
    rules: Rules | None = None,
) -> PromotionDecision:
    """Holds a verification to every rule.

    Args:
        verification: independent records of the candidate, compared with the current best, or
            with the operator's baseline while nothing is promoted.
        best_claimed: the current best was promoted on claimed times; it may then be verified again.
        noise: |ln ratio| to be exceeded; None: the recorded noise floor.
        expected_workloads: uuids of the operator's whole set; empty: those of the largest record.
        harness_version: of the running harness; empty: not compared.
        sanitizer: "clean", what it found, or None when it was not run.
        past_failures: ids of candidates of this content hash that gave wrong answers.
    """
    limits = rules or Rules()
    devices = [e.evidence.device for e in verification]
    timed = any(d is not None and d.executor is Executor.CUDA for d in devices)
    expected = set(expected_workloads) or {
        w.uuid for e in verification for w in e.workloads if w.status is not Status.NOT_RUN
    }
    outcomes = [
        _same_sources(candidate, verification),
        _fresh(candidate, verification, harness_version),
        _repeats(verification, limits),
        _all_passed(verification, expected),
        _never_wrong(past_failures),
        _calls(verification, limits),
        _checks_ran(verification, limits),
        sizes_called(verification, limits, timed=timed),
        _integrity(verification),
        _as_compiled(verification, timed),
        _sanitizer(sanitizer, timed),
        _not_the_best(candidate, current_best, claimed=best_claimed),
    ]
    floor = noise if noise is not None else _recorded_noise(verification)
    rival = None if is_best(candidate, current_best) else current_best
    outcomes += time_rules(verification, rival, floor, limits, timed=timed)
    return PromotionDecision(
        promoted=all(outcome.passed for outcome in outcomes if outcome.applied),
        rules=tuple(outcomes),
        track=TIMED if timed else VERIFIED,
        candidate_id=candidate.candidate_id,
        definition=candidate.definition,
        gpu=gpu_name(verification[0]) if verification else candidate.hardware,
        current_best=current_best.candidate_id if current_best else None,
        evaluations=tuple(e.evaluation_id for e in verification),
        evidence=_summary(verification, floor),
    )


def _recorded_noise(verification: Sequence[Evaluation]) -> float:
    return max((noise_level(e, e.totals.mean_latency_us) for e in verification), default=0.0)


def _summary(verification: Sequence[Evaluation], floor: float) -> dict[str, Any]:
    return {
        "noise_floor": floor,
        "repeats": [
            {
                "evaluation": e.evaluation_id,
                "started_at": e.evidence.started_at,
                "baseline": e.baseline,
                "clock": clock.words if (clock := e.sealing) else None,
                "mean_latency_us": e.totals.mean_latency_us,
                "baseline_mean_latency_us": e.totals.baseline_mean_latency_us,
                "geometric_mean_ratio": e.totals.geometric_mean_ratio,
                "ratio_interval": e.totals.ratio_interval,
                "wins": e.totals.wins,
                "ties": e.totals.ties,
                "losses": e.totals.losses,
                "workloads": e.totals.passed,
                "calls_checked": sum(w.calls_checked for w in e.workloads),
                "versions": e.evidence.versions,
            }
            for e in verification
        ],
    }


def _same_sources(candidate: Node, verification: Sequence[Evaluation]) -> RuleOutcome:
    others = [e for e in verification if e.content_hash != candidate.content_hash]
    words = (
        f"{len(others)} of {len(verification)} records judged other sources"
        if others
        else "every record judged these very sources"
    )
    passed = bool(verification) and not others
    return RuleOutcome("same_sources", passed, len(others), 0, words)


def _fresh(candidate: Node, verification: Sequence[Evaluation], version: str) -> RuleOutcome:
    early = [e.evaluation_id for e in verification if started_at(e) < candidate.at]
    theirs = {e.evidence.versions.get("kernel-harness", version) for e in verification}
    reused = [e.evaluation_id for e in verification if e.evaluation_id == candidate.evaluation_id]
    if early:
        words = f"{early[0]} is older than the candidate's own evaluation"
    elif version and theirs - {version}:
        words = f"verified by harness {', '.join(sorted(theirs - {version}))}, this is {version}"
    elif reused:
        words = f"{reused[0]} is the candidate's own evaluation, not an independent one"
    else:
        return RuleOutcome("fresh", True, 0, 0, "evidence is newer than sources and harness")
    stale = len(early) + len(reused) + len(theirs - {version} if version else ())
    return RuleOutcome("fresh", False, stale, 0, words)


def _repeats(verification: Sequence[Evaluation], limits: Rules) -> RuleOutcome:
    ids = {e.evaluation_id for e in verification}
    seeds = {
        tuple(sorted((k, tuple(v)) for k, v in e.evidence.seeds.items())) for e in verification
    }
    count = min(len(ids), len(seeds))
    words = f"{count} repeats with seeds of their own, {limits.repeats} wanted"
    return RuleOutcome("repeats", count >= limits.repeats, count, limits.repeats, words)


def _all_passed(verification: Sequence[Evaluation], expected: set[str]) -> RuleOutcome:
    complete, least = bool(verification) and bool(expected), len(expected)
    worst = ""
    for evaluation in verification:
        passed = {w.uuid for w in evaluation.workloads if w.status is Status.PASSED}
        count = len(expected & passed)
        wide = evaluation.scope in (Scope.FULL, Scope.OFFICIAL)
        if evaluation.status is not Status.PASSED or count < len(expected) or not wide:
            complete = False
            worst = f"; {evaluation.evaluation_id} ({evaluation.scope}) is {evaluation.status}"
            if evaluation.failure is not None:
                worst += f": {evaluation.failure.message[:MOST_FAILURE_CHARACTERS]}"
        least = min(least, count)
    words = f"{least} of {len(expected)} workloads passed in every repeat{worst}"
    return RuleOutcome("all_workloads_passed", complete, least, len(expected), words)


def _never_wrong(past_failures: Sequence[str]) -> RuleOutcome:
    words = (
        f"these sources gave wrong answers in {', '.join(past_failures[:3])}: that is final"
        if past_failures
        else "these sources never gave a wrong answer"
    )
    return RuleOutcome("never_wrong", not past_failures, len(past_failures), 0, words)


def _calls(verification: Sequence[Evaluation], limits: Rules) -> RuleOutcome:
    calls = sum(w.calls_checked for e in verification for w in e.workloads)
    words = (
        f"{calls} checked calls; {limits.calls} meet a fault of {limits.failure_rate:.1%} with"
        f" {limits.confidence:.0%} confidence"
    )
    return RuleOutcome("correctness_budget", calls >= limits.calls, calls, limits.calls, words)


def _checks_ran(verification: Sequence[Evaluation], limits: Rules) -> RuleOutcome:
    ran = {check for e in verification for check in e.integrity.checks}
    left = {c: why for e in verification for c, why in e.integrity.not_run.items()}
    missing = [c for c in limits.checks if c not in ran or c in left]
    reasons = ", ".join(f"{c} ({left.get(c, 'not asked for')})" for c in missing)
    words = f"not run: {reasons}" if missing else f"ran: {', '.join(limits.checks)}"
    asked = len(limits.checks)
    return RuleOutcome("checks_ran", not missing, asked - len(missing), asked, words)


def _integrity(verification: Sequence[Evaluation]) -> RuleOutcome:
    found = [
        f.message
        for e in verification
        for f in e.integrity.findings
        if f.severity is Severity.VIOLATION
    ]
    flaky = [e.evaluation_id for e in verification if e.integrity.determinism == "flaky"]
    words = found[0] if found else "outputs differ from run to run" if flaky else "nothing found"
    number = len(found) + len(flaky)
    return RuleOutcome("integrity", number == 0, number, 0, words)


def _as_compiled(verification: Sequence[Evaluation], timed: bool) -> RuleOutcome:
    left = [
        e.integrity.not_run.get(AS_COMPILED, "its launches were not compared with compiled ones")
        for e in verification
        if AS_COMPILED not in e.integrity.checks or AS_COMPILED in e.integrity.not_run
    ]
    words = left[0] if left else "what was interpreted is what is compiled for every target"
    if timed:
        words = "not applied: it ran on a GPU"
    return RuleOutcome("judged_as_compiled", not left, len(left), 0, words, applied=not timed)


def _sanitizer(sanitizer: str | None, timed: bool) -> RuleOutcome:
    if sanitizer is None:
        words = "compute-sanitizer was not run" if timed else "not applied: no GPU here"
        return RuleOutcome("sanitizer", False, None, 0, words, applied=timed)
    clean = sanitizer == "clean"
    return RuleOutcome("sanitizer", clean, 0 if clean else 1, 0, sanitizer)


def is_best(candidate: Node, best: Node | None) -> bool:
    """Whether the candidate has the current best's sources."""
    return best is not None and best.content_hash == candidate.content_hash


def _not_the_best(candidate: Node, best: Node | None, *, claimed: bool) -> RuleOutcome:
    same = is_best(candidate, best)
    words = "it is the current best already" if same else "other sources than the current best"
    if same and claimed:
        words = "the current best, promoted on claimed times, is verified again"
    return RuleOutcome("is_new", not same or claimed, float(same), 0, words)
