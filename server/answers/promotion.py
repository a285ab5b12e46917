"""Answers on promotions: the decision with its rules, and what a rollback withdrew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ...tools.schema.record_model import FiniteFloat
from ...tools.text import shorten
from .result import Answer, Result, short
from .text import lines, table

if TYPE_CHECKING:
    from ...tools.archive.promotion.events import Promotion
    from ...tools.archive.promotion.rules import PromotionDecision


class RulePart(Result):
    """One rule of promotion and what it saw."""

    name: str
    passed: bool
    applied: bool = True
    number: FiniteFloat = None
    limit: FiniteFloat = None
    words: Annotated[str, short(500)]


class PromotionAnswer(Answer):
    """Whether a candidate became the best, with the evidence for each rule."""

    status: str = Field(description="'promoted', 'refused' or 'RUNNING'.")
    candidate_id: str
    definition: str | None = None
    gpu: str | None = None
    line: str | None = Field(default=None, description="'timed', or 'verified' where it was not.")
    current_best: str | None = Field(default=None, description="What it was measured against.")
    rules: list[RulePart] = Field(default_factory=list)
    evaluations: list[str] = Field(default_factory=list, description="Ids of the verification's.")


class RollbackAnswer(Answer):
    """What was withdrawn, and what is the best now."""

    definition: str
    tag: str
    branch: str | None = None
    commit: str | None = Field(default=None, description="The best now; absent when there is none.")


def promotion_answer(candidate_id: str, decision: PromotionDecision | None) -> PromotionAnswer:
    """Whether the candidate was promoted, by rule; `decision` is None while it is verified."""
    if decision is None:
        return PromotionAnswer(
            summary="RUNNING: the verification goes on. Next: promote_candidate(candidate_id="
            f"'{candidate_id}') again waits for its end.",
            status="RUNNING",
            candidate_id=candidate_id,
        )
    refused = [rule for rule in decision.rules if rule.applied and not rule.passed]
    return PromotionAnswer.of(
        decision,
        summary=lines(
            decision.words,
            table(
                ("rule", "holds", "words"),
                [
                    (
                        rule.name,
                        ("yes" if rule.passed else "NO") if rule.applied else "–",
                        shorten(rule.words, 110),
                    )
                    for rule in decision.rules[:20]
                ],
            ),
            "Next: fix what the first refused rule names."
            if refused
            else "Next: report the promotion with its evaluation ids.",
        ),
        status="promoted" if decision.promoted else "refused",
        line=decision.track,
    )


def rollback_answer(definition: str, rolled: Promotion) -> RollbackAnswer:
    """The withdrawn promotion, and the best candidate now."""
    return RollbackAnswer.of(
        rolled,
        summary=f"{rolled.words}. Next: archive what was learnt about the withdrawn candidate.",
        definition=definition,
    )
