"""The rules on held-out sizes: enough of them were called, and the gain is there as well.

Both judge counts and ratios alone: a record does not say which sizes were held out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...schema.evaluation import Evaluation
from ...schema.measurement import TimeSource
from .rule_outcome import RuleOutcome, Rules

SIZES = "held_out_sizes"
SPEED = "held_out_speed"


def sizes_called(verification: Sequence[Evaluation], limits: Rules, *, timed: bool) -> RuleOutcome:
    """Whether one repeat called enough sizes to meet a fault on 5 % of the legal ones.

    Without a GPU, where large sizes take too long, the chance is stated and refuses nothing.
    """
    found = [e.held_out for e in verification if e.held_out is not None]
    if not found:
        return RuleOutcome(SIZES, False, None, limits.confidence, _UNSAID, applied=timed)
    best = max(found, key=lambda result: (not result.left_out, result.chance or 0.0))
    chance = best.chance or 0.0
    if best.legal == 0:
        words = "not applied: inputs cannot be made for other sizes than the public ones"
        return RuleOutcome(SIZES, True, None, limits.confidence, words, applied=False)
    words = (
        f"{best.called} held-out sizes, {best.uniform} drawn uniformly; a fault on 5 % of the "
        f"sizes is met with {chance:.1%} probability, {limits.confidence:.0%} wanted"
    )
    if best.left_out:
        words += f"; {best.left_out} more were left out as too slow, larger ones most likely"
    passed = chance >= limits.confidence and not best.left_out
    return RuleOutcome(SIZES, passed, chance, limits.confidence, words, applied=timed)


def speed_on_held_out(
    verification: Sequence[Evaluation], limits: Rules, noise: float
) -> RuleOutcome:
    """Whether the gain on public sizes is there on held-out ones: half of it, in logarithms.

    Args:
        noise: |ln ratio| that is not distinguishable from none.
    """
    asked = [e for e in verification if e.evidence.checks.get("timed_held_out")]
    if not asked or all(e.held_out is not None and e.held_out.called == 0 for e in asked):
        words = "not applied: no held-out size was to be timed"
        return RuleOutcome(SPEED, True, None, None, words, applied=False)
    held_out = [r for e in asked if e.held_out and (r := e.held_out.ratio)]
    public = [r for e in asked if (r := e.totals.geometric_mean_ratio)]
    if len(held_out) < len(asked) or len(public) < len(asked):
        words = "a repeat has no ratio on held-out sizes"
        return RuleOutcome(SPEED, False, None, None, words)
    for evaluation in asked:
        speed = evaluation.held_out
        if speed is not None and not speed.sealed and _sealed(evaluation):
            words = (
                f"{evaluation.evaluation_id} has sealed times on public sizes and claimed ones on "
                f"held-out sizes{': ' * bool(speed.claimed_because)}{speed.claimed_because}"
            )
            return RuleOutcome(SPEED, False, None, None, words)
    ratio, on_public = _mean(held_out), _mean(public)
    tolerated = 1 - max(limits.regime_bound, noise)
    limit = tolerated * max(on_public, 1.0) ** limits.held_out_share
    words = (
        f"ratio {ratio:.4f} on held-out sizes, {on_public:.4f} on the public ones; at least"
        f" {limit:.4f} is due, for a gain must not be that of the public sizes alone"
    )
    return RuleOutcome(SPEED, ratio >= limit, ratio, limit, words)


_UNSAID = "no repeat says how many held-out sizes it called"


def _sealed(evaluation: Evaluation) -> bool:
    measured = [w.measurement for w in evaluation.workloads if w.measurement is not None]
    return bool(measured) and all(m.clock is TimeSource.SEALED for m in measured)


def _mean(ratios: Sequence[float]) -> float:
    return math.exp(sum(math.log(ratio) for ratio in ratios) / len(ratios))
