"""The rules of promotion that judge times: sealed, and shorter than the current best's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ...schema.evaluation import Evaluation, WorkloadResult
from ...schema.measurement import TimeSource
from ...text import one_line
from ..store.entry import Node
from .held_out_rules import SPEED, speed_on_held_out
from .rule_outcome import RuleOutcome, Rules

CLOCK_RULES = (
    "sealed_times",
    "compared_with_best",
    "ratio_beyond_noise",
    "mean_latency",
    "regimes",
    "outlier",
    SPEED,
)
"""Names of the rules that judge times."""


_SEALING_REMEDY = (
    "Only sealed times promote: keep host synchronisation, decisions on device data, textures and "
    "managed memory out of the call. A best that cannot be sealed as baseline is rolled back first"
)
_REASON_CHARACTERS = 240


def time_rules(
    verification: Sequence[Evaluation],
    current_best: Node | None,
    floor: float,
    limits: Rules,
    *,
    timed: bool,
) -> list[RuleOutcome]:
    """Holds a verification's times to every rule on them; none applies where nothing was timed.

    Args:
        current_best: what every record must have been compared with; None: any baseline.
        floor: |ln ratio| to be exceeded.
    """
    if not timed:
        words = "not applied: nothing was timed on this machine"
        return [RuleOutcome(name, False, None, None, words, applied=False) for name in CLOCK_RULES]
    return [
        _sealed_times(verification),
        _compared_with(verification, current_best),
        _ratio(verification, floor),
        _mean_latency(verification),
        _regimes(verification, max(limits.regime_bound, floor)),
        _outlier(verification, limits),
        speed_on_held_out(verification, limits, floor),
    ]


def _sealed_times(verification: Sequence[Evaluation]) -> RuleOutcome:
    clocks = [(e.evaluation_id, e.sealing) for e in verification]
    claimed = [(i, c) for i, c in clocks if c is None or c.source is not TimeSource.SEALED]
    if claimed:
        identity, clock = claimed[0]
        said = one_line(clock.words if clock else "not timed", _REASON_CHARACTERS)
        words = f"{identity} is {said}. {_SEALING_REMEDY}"
    else:
        words = "every time is sealed: replayed where no host code of a candidate runs"
    return RuleOutcome("sealed_times", not claimed, len(claimed), 0, words)


def _compared_with(verification: Sequence[Evaluation], best: Node | None) -> RuleOutcome:
    if best is None:
        bare = [e.evaluation_id for e in verification if e.baseline_hash is None]
        words = f"{bare[0]} was compared with nothing" if bare else "with the operator's baseline"
        return RuleOutcome("compared_with_best", not bare, len(bare), 0, words)
    other = [e for e in verification if e.baseline_hash != best.content_hash]
    words = (
        f"{other[0].evaluation_id} was compared with {other[0].baseline}, the current best is"
        f" {best.candidate_id}"
        if other
        else f"with the current best {best.candidate_id}"
    )
    return RuleOutcome("compared_with_best", not other, len(other), 0, words)


def _ratio(verification: Sequence[Evaluation], floor: float) -> RuleOutcome:
    limit = math.exp(floor)
    intervals = [e.totals.ratio_interval for e in verification]
    lows = [interval[0] for interval in intervals if interval is not None]
    if len(lows) < len(verification) or not lows:
        return RuleOutcome("ratio_beyond_noise", False, None, limit, "a repeat has no interval")
    shown = ", ".join(f"[{i[0]:.4f}, {i[1]:.4f}]" for i in intervals if i is not None)
    words = f"95 % intervals of the ratio {shown}; each must lie above {limit:.4f} (noise floor)"
    return RuleOutcome("ratio_beyond_noise", min(lows) > limit, min(lows), limit, words)


def _mean_latency(verification: Sequence[Evaluation]) -> RuleOutcome:
    pairs = [(e.totals.mean_latency_us, e.totals.baseline_mean_latency_us) for e in verification]
    known = [(ours, base) for ours, base in pairs if ours is not None and base is not None]
    if not known or len(known) < len(pairs):
        return RuleOutcome("mean_latency", False, None, None, "a repeat has no mean latency")
    ours = sum(own for own, _ in known) / len(known)
    base = sum(other for _, other in known) / len(known)
    words = f"mean over repeats {ours:.4g} us, current best {base:.4g} us in the same trials"
    return RuleOutcome("mean_latency", ours < base, ours, base, words)


def _log_ratios(results: Iterable[WorkloadResult]) -> list[float]:
    return [math.log(r.comparison.ratio) for r in results if r.comparison and r.comparison.ratio]


def _regimes(verification: Sequence[Evaluation], bound: float) -> RuleOutcome:
    groups: dict[str, list[WorkloadResult]] = {}
    for evaluation in verification:
        for result in evaluation.workloads:
            groups.setdefault(result.regime or "all", []).append(result)
    means = {name: _log_ratios(group) for name, group in groups.items()}
    ratios = {name: math.exp(sum(m) / len(m)) for name, m in means.items() if m}
    limit = 1 - bound
    if not ratios:
        return RuleOutcome("regimes", False, None, limit, "no regime was compared")
    worst = min(ratios, key=lambda name: ratios[name])
    words = f"worst regime {worst!r} at {ratios[worst]:.4f}; none may be below {limit:.4f}"
    return RuleOutcome("regimes", ratios[worst] >= limit, ratios[worst], limit, words)


def _outlier(verification: Sequence[Evaluation], limits: Rules) -> RuleOutcome:
    by_workload: dict[str, list[WorkloadResult]] = {}
    for evaluation in verification:
        for result in evaluation.workloads:
            by_workload.setdefault(result.uuid, []).append(result)
    pooled = {uuid: _log_ratios(results) for uuid, results in by_workload.items()}
    logs = sorted(sum(m) / len(m) for m in pooled.values() if m)
    if len(logs) < limits.outlier_workloads:
        words = f"not applied: {len(logs)} workloads"
        return RuleOutcome("outlier", True, None, 1.0, words, applied=False)
    rest = math.exp(sum(logs[:-1]) / (len(logs) - 1))
    words = f"ratio without its best workload {rest:.4f}; the gain must not be one workload's"
    return RuleOutcome("outlier", rest > 1, rest, 1.0, words)
