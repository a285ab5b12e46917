"""Answers on promotions and rollbacks, made of decisions without a server."""

from __future__ import annotations

from kernel_harness.server.answers.promotion import promotion_answer, rollback_answer
from kernel_harness.tools.archive.promotion.events import Promotion
from kernel_harness.tools.archive.promotion.rules import PromotionDecision, RuleOutcome


def decision(*rules: RuleOutcome, track: str = "timed") -> PromotionDecision:
    return PromotionDecision(
        promoted=all(rule.passed for rule in rules if rule.applied),
        rules=rules,
        track=track,
        candidate_id="4f2a9c01d3be",
        definition="d",
        gpu="H200",
        current_best="c0",
        evaluations=("ev-1",),
    )


HELD = RuleOutcome("held_out", True, 3.0, 1.0, "3 held-out calls")
BROKEN = RuleOutcome("ratio_beyond_noise", False, 1.01, 1.02, "w" * 900)
UNTIMED = RuleOutcome("regimes", False, None, None, "nothing was timed", applied=False)


def test_while_it_is_verified_the_same_call_waits():
    answer = promotion_answer("4f2a9c01d3be", None)
    assert answer.status == "RUNNING" and not answer.rules
    assert "promote_candidate(candidate_id='4f2a9c01d3be') again" in answer.summary


def test_a_refusal_names_the_rule_its_number_and_the_limit():
    answer = promotion_answer("4f2a9c01d3be", decision(HELD, BROKEN))
    assert answer.status == "refused" and answer.line == "timed" and answer.current_best == "c0"
    broken = answer.rules[1]
    assert (broken.name, broken.number, broken.limit) == ("ratio_beyond_noise", 1.01, 1.02)
    assert len(broken.words) <= 500
    assert "fix what the first refused rule names" in answer.summary


def test_a_rule_that_did_not_apply_refuses_nothing():
    answer = promotion_answer("4f2a9c01d3be", decision(HELD, UNTIMED, track="verified"))
    assert answer.status == "promoted" and answer.line == "verified"
    (row,) = (line for line in answer.summary.splitlines() if line.startswith("regimes"))
    assert row.split()[1] == "–"
    assert "report the promotion" in answer.summary


def test_a_rollback_tells_the_tag_and_the_best_now():
    rolled = Promotion("rollback/d/H200/2", 2, "c" * 40, "best", None, "Back to cccc")
    answer = rollback_answer("d", rolled)
    assert (answer.tag, answer.commit, answer.branch) == ("rollback/d/H200/2", "c" * 40, "best")
    assert answer.summary.startswith("Back to cccc.")
