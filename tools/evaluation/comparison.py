"""Raw samples become latencies, paired ratios, decisions and totals.

Pure: it takes records and returns records, so that every summary can be recomputed from the samples
at any later time. It knows nothing of devices or processes, and cannot repair samples that were
taken badly.

Method: pairs of one baseline and one candidate call on the same inputs; the median of the log
ratios; a block bootstrap (blocks, then pairs within a block) for the interval, since placement and
allocation differ between processes more than within one; a sign test as a guard that assumes no
distribution. See docs/explanation/statistics.md for the rule and its reasons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..devices.noise_floor import least_effect
from ..schema.evaluation import Evaluation, Finding, Severity, Status, WorkloadResult
from ..schema.measurement import Comparison, Decision, Measurement, Objective, Totals
from ..text import short_uuid

RESAMPLES = 2_000
DISPLAY_CONFIDENCE = 0.95
DECISION_CONFIDENCE = 0.99
SIGN_P = 0.01
COLD_ONLY = "cold_only"
"""Claim of the findings on gains that only a cold L2 shows."""
_OTHER_STATES = {
    Objective.WARM: "with a warm one",
    Objective.CLEAN: "with one that holds no line still to be written back",
    Objective.SUSTAINED: "in calls back to back over data larger than it",
}


def kept(measurement: Measurement) -> list[int]:
    """Indices of the samples that no throttle event set aside."""
    aside = set(measurement.set_aside)
    return [i for i in range(len(measurement.ranked_ns)) if i not in aside]


def _blocks(measurement: Measurement, indices: Sequence[int]) -> list[list[int]]:
    """Positions within `indices`, grouped by process block."""
    groups: dict[int, list[int]] = {}
    for position, index in enumerate(indices):
        block = measurement.block[index] if index < len(measurement.block) else 0
        groups.setdefault(block, []).append(position)
    return list(groups.values())


def bootstrap_medians(values: np.ndarray, blocks: Sequence[Sequence[int]]) -> np.ndarray:
    """Medians of block-bootstrap resamples.

    Args:
        values: the samples, shape [n].
        blocks: positions in `values` per process block; together they cover all of them.

    Returns:
        Shape [RESAMPLES], from a fixed seed so that a record always gives the same interval.
    """
    if len(blocks) < 3:
        # Two blocks resampled say nothing of the spread between blocks; pairs still do.
        drawn, ordered = _resamples((len(values),)), values
    else:
        drawn = _resamples(tuple(map(len, blocks)))
        ordered = values[[position for block in blocks for position in block]]
    ranks = np.argsort(ordered, kind="stable")
    ordered = ordered[ranks]
    # How often each resample drew this value or a smaller one: its middle is where half is reached.
    reached = np.cumsum(drawn.counts[ranks], axis=0, dtype=drawn.counts.dtype)
    lower = ordered[np.count_nonzero(reached <= drawn.lower, axis=0)]
    upper = ordered[np.count_nonzero(reached <= drawn.upper, axis=0)]
    return (lower + upper) / 2


@dataclass(frozen=True)
class _Resamples:
    """What was drawn for samples in blocks of some sizes.

    Attributes:
        counts: how often a resample holds a sample, shape [n, RESAMPLES].
        lower: how many values of a resample lie before its lower middle one, shape [RESAMPLES].
        upper: how many lie before its upper middle one.
    """

    counts: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


@lru_cache(maxsize=16)
def _resamples(sizes: tuple[int, ...]) -> _Resamples:
    """The draws for blocks of these sizes, one after the other; the same for all such samples."""
    rng = np.random.default_rng(20_261_120)
    count = sum(sizes)
    row = count * np.arange(RESAMPLES)
    if len(sizes) < 3:
        places = (rng.integers(0, count, size=(RESAMPLES, count)) + row[:, None]).ravel()
    else:
        widths, ends = np.array(sizes), np.cumsum(sizes)
        chosen = rng.integers(0, len(sizes), size=(RESAMPLES, len(sizes)))
        shape = (RESAMPLES, len(sizes), max(sizes))
        within = np.floor(rng.random(shape) * widths[chosen][..., None]).astype(int)
        begins = (ends - widths)[chosen] + row[:, None]
        places = (begins[..., None] + within)[np.arange(max(sizes)) < widths[chosen][..., None]]
    counts = np.bincount(places, minlength=RESAMPLES * count).reshape(RESAMPLES, count)
    drawn = counts.sum(axis=1)
    kind = np.min_scalar_type(int(drawn.max()))
    of_sample = np.ascontiguousarray(counts.T, dtype=kind)
    return _Resamples(of_sample, ((drawn - 1) // 2).astype(kind), (drawn // 2).astype(kind))


def _interval(resampled: np.ndarray, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2 * 100
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return float(low), float(high)


def latency(measurement: Measurement) -> tuple[float, tuple[float, float]] | None:
    """Median of the ranked samples and its 95 % interval, in µs; None without samples."""
    indices = kept(measurement)
    if not indices:
        return None
    values = np.array(measurement.ranked_ns, dtype=float)[indices] / 1e3
    low, high = _interval(
        bootstrap_medians(values, _blocks(measurement, indices)), DISPLAY_CONFIDENCE
    )
    return float(np.median(values)), (low, high)


def compare(
    baseline: Measurement, candidate: Measurement, calibrated: Mapping[str, float]
) -> Comparison | None:
    """Compares paired calls: sample i of both was taken on the same inputs, one after the other.

    Returns None when there are fewer than five pairs, for which nothing can be said.
    """
    aside = set(baseline.set_aside) | set(candidate.set_aside)
    pairs = list(zip(baseline.ranked_ns, candidate.ranked_ns, strict=False))
    indices = [i for i, (b, c) in enumerate(pairs) if i not in aside and b > 0 and c > 0]
    if len(indices) < 5:
        return None
    base, ours = np.array([pairs[i] for i in indices], dtype=float).T
    logs = np.log(base) - np.log(ours)
    resampled = bootstrap_medians(logs, _blocks(candidate, indices))
    wins, decided = int((logs > 0).sum()), int((logs != 0).sum())
    sign_p = sign_test(wins, decided)
    shorter_us = float(min(np.median(base), np.median(ours))) / 1e3
    effect = least_effect(shorter_us, calibrated)
    shown = _interval(resampled, DISPLAY_CONFIDENCE)
    return Comparison(
        ratio=float(np.exp(np.median(logs))),
        interval=(math.exp(shown[0]), math.exp(shown[1])),
        confidence=DISPLAY_CONFIDENCE,
        pairs=len(indices),
        wins=wins,
        sign_p=sign_p,
        threshold=1 + effect,
        decision=decide(_interval(resampled, DECISION_CONFIDENCE), sign_p, effect),
    )


def sign_test(wins: int, decided: int) -> float:
    """The chance that fair coins part at least as unevenly; exact, without what SciPy imports."""
    fewer = min(wins, decided - wins)
    tail = sum(math.comb(decided, count) for count in range(fewer + 1))
    return min(1.0, 2 * tail / 2**decided)


def decide(interval: tuple[float, float], sign_p: float, effect: float) -> Decision:
    """The rule: what an interval of ln(baseline / candidate) allows one to say.

    Args:
        interval: 99 % interval of the median log ratio.
        sign_p: two-sided sign test over the pairs.
        effect: smallest ratio beyond 1 that the noise floor lets us call a difference.
    """
    bound = math.log1p(effect)
    low, high = interval
    if low > bound and sign_p < SIGN_P:
        return Decision.FASTER
    if high < -bound and sign_p < SIGN_P:
        return Decision.SLOWER
    if low > -bound and high < bound:
        return Decision.EQUAL
    return Decision.INCONCLUSIVE


def with_statistics(result: WorkloadResult, calibrated: Mapping[str, float]) -> WorkloadResult:
    """The same workload result with every derived number computed from its raw samples."""
    if result.status is not Status.PASSED or result.measurement is None:
        return result
    own = latency(result.measurement)
    if own is None:
        return result
    changes: dict[str, object] = {
        "latency_us": own[0],
        "latency_interval_us": own[1],
        "warm_latency_us": _median_us(result.measurement.warm_ns),
        "host_latency_us": _median_us(result.measurement.host_ns),
        "called_us": _median_us(result.measurement.called_ns),
        "clean_us": _median_us(result.measurement.clean_ns),
        "sustained_us": _median_us(result.measurement.sustained_ns),
    }
    if result.measurement.ranked_by is not Objective.COLD:
        changes["cold_us"] = _median_us(result.measurement.cold_ns)
    floor = result.floors_us.get("device")
    if floor is not None:
        changes["sol_percent"] = 100 * floor / own[0]
    if (other := result.baseline_measurement) is not None:
        base = latency(other)
        found = compare(other, result.measurement, calibrated)
        changes |= {
            "baseline_called_us": _median_us(other.called_ns),
            "baseline_clean_us": _median_us(other.clean_ns),
            "baseline_sustained_us": _median_us(other.sustained_ns),
            "baseline_warm_us": _median_us(other.warm_ns),
        }
        if base is not None:
            changes["baseline_latency_us"] = base[0]
            changes["speedup"] = found.ratio if found else base[0] / own[0]
        changes["comparison"] = found
    return result.model_copy(update=changes)


def _median_us(samples_ns: Sequence[int]) -> float | None:
    return float(np.median(samples_ns)) / 1e3 if samples_ns else None


def totals(results: Sequence[WorkloadResult], objective: Objective = Objective.COLD) -> Totals:
    """Summaries over all results; latencies only when nothing failed.

    Mean of ratios (the contest's measure) and ratio of means differ widely when short and long
    workloads mix, so both are given; candidates rank by the mean latency, whose times `objective`
    names.
    """
    passed = [r for r in results if r.status is Status.PASSED]
    not_run = [r for r in results if r.status in (Status.NOT_RUN, Status.NOT_JUDGED)]
    failed = len(results) - len(passed) - len(not_run)
    counts = Totals(passed=len(passed), not_run=len(not_run), failed=failed)
    if objective is not Objective.COLD:
        counts = counts.model_copy(update={"objective": str(objective)})
    timed = [(r, r.latency_us) for r in passed if r.latency_us is not None]
    if failed or not timed:
        return counts
    latencies = np.array([latency_us for _, latency_us in timed], dtype=float)
    weights = [r.weight for r in results if r.weight is not None]
    weighted = None
    if len(weights) == len(results) == len(timed) and any(weights):
        weighted = float(latencies @ np.array(weights, dtype=float))
    decisions = [r.comparison.decision for r, _ in timed if r.comparison]
    return counts.model_copy(
        update={
            "mean_latency_us": float(latencies.mean()),
            "estimated_full_mean_us": weighted,
            "wins": decisions.count(Decision.FASTER),
            "ties": decisions.count(Decision.EQUAL),
            "losses": decisions.count(Decision.SLOWER),
            "inconclusive": decisions.count(Decision.INCONCLUSIVE),
        }
        | _ratios([r for r, _ in timed])
    )


def _ratios(timed: Sequence[WorkloadResult]) -> dict[str, object]:
    """Ratios to the baseline over all timed workloads; nothing when one has no comparison."""
    ratios, spread, base, ours = [], [], [], []
    for result in timed:
        found = result.comparison
        if found is None or not found.ratio or not result.baseline_latency_us:
            return {}
        ratios.append(found.ratio)
        # One workload's ratio is taken as normal on the log scale; its 95 % interval says how wide.
        spread.append((math.log(found.interval[1]) - math.log(found.interval[0])) / 3.92)
        base.append(result.baseline_latency_us)
        ours.append(result.latency_us or math.nan)
    logs = np.log(np.array(ratios, dtype=float))
    standard_error = float(np.sqrt((np.array(spread) ** 2).sum())) / len(logs)
    middle = float(logs.mean())
    return {
        "baseline_mean_latency_us": float(np.mean(base)),
        "mean_of_ratios": float(np.mean(ratios)),
        "ratio_of_means": float(np.mean(base) / np.mean(ours)),
        "geometric_mean_ratio": math.exp(middle),
        "ratio_interval": (
            math.exp(middle - 1.96 * standard_error),
            math.exp(middle + 1.96 * standard_error),
        ),
    }


def summarised(evaluation: Evaluation, calibrated: Mapping[str, float]) -> Evaluation:
    """The same evaluation with every summary recomputed from its raw samples."""
    results = [with_statistics(r, calibrated) for r in evaluation.workloads]
    summary = totals(results, evaluation.objective)
    if evaluation.status is not Status.PASSED:
        summary = Totals(
            passed=summary.passed,
            failed=summary.failed,
            not_run=summary.not_run,
            objective=summary.objective,
        )
    kept_findings = [f for f in evaluation.integrity.findings if f.claim != COLD_ONLY]
    findings = [*kept_findings, *cold_only(results)]
    integrity = evaluation.integrity.model_copy(update={"findings": findings})
    changes = {"workloads": results, "totals": summary, "integrity": integrity}
    return evaluation.model_copy(update=changes)


def cold_only(results: Sequence[WorkloadResult]) -> list[Finding]:
    """Findings on a gain with a cold L2 that is not there otherwise; none where that does not rank.

    One for each other way of timing: workloads that are FASTER with a cold L2 and whose ratio of
    medians, timed that way, is within the noise of 1 or below it.
    """
    found = []
    for state, words in _OTHER_STATES.items():
        lost: list[tuple[WorkloadResult, Comparison, float]] = []
        for result in results:
            ratio = _ratio_of_medians(result, state)
            said = result.comparison
            if ratio is None or said is None or said.decision is not Decision.FASTER:
                continue
            if ratio <= said.threshold:
                lost.append((result, said, ratio))
        if lost:
            found.append(_cold_only_finding(lost, state, words))
    return found


def _cold_only_finding(
    lost: Sequence[tuple[WorkloadResult, Comparison, float]], state: Objective, words: str
) -> Finding:
    def place(result: WorkloadResult) -> str:
        axes = " ".join(f"{name}={size}" for name, size in result.axes.items())
        return axes or short_uuid(result.uuid)

    shown = "; ".join(
        f"{place(result)}: {said.ratio or 0:.3f}x cold, {ratio:.3f}x {state}"
        for result, said, ratio in lost[:3]
    )
    return Finding(
        claim=COLD_ONLY,
        severity=Severity.WARNING,
        message=f"Faster than the baseline with a cold L2 and not faster {words}, on "
        f"{len(lost)} of the workloads: {shown}.",
        evidence={
            "state": str(state),
            "ratios": {
                result.uuid: {"cold": said.ratio, str(state): ratio} for result, said, ratio in lost
            },
        },
    )


def _ratio_of_medians(result: WorkloadResult, state: Objective) -> float | None:
    """Baseline over candidate, of the samples of a kind; None without them."""
    ours, base = result.measurement, result.baseline_measurement
    if ours is None or base is None or ours.by_host or ours.ranked_by is not Objective.COLD:
        return None
    own, other = _median_us(ours.samples(state)), _median_us(base.samples(state))
    return other / own if own and other else None
