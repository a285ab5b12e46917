"""The archive in words: what was kept, what is known, what to expand, what was promoted.

Pure; decisions, rankings and verdicts come from the archive as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...tools.documents import candidate_uri
from ...tools.text import shorten
from ..resources.skills import SCHEME as SKILL_SCHEME
from .archive_models import (
    AdvicePart,
    AlternativePart,
    AnchorsPart,
    ArchivedAnswer,
    CandidatePart,
    ContextAnswer,
    ContextPart,
    DirectionPart,
    NotePart,
    PromotionAnswer,
    RollbackAnswer,
    RulePart,
    SearchAnswer,
    SelectionAnswer,
)
from .text import Detail, counted, cut, fitted, lines, number, showing, table

if TYPE_CHECKING:
    from ...tools.archive.archiving import AnchorCheck, ArchivedCandidate
    from ...tools.archive.promotion.events import Promotion
    from ...tools.archive.promotion.rules import PromotionDecision
    from ...tools.archive.search.parent_selection import Selection
    from ...tools.archive.search.query import Direction
    from ...tools.archive.search.query import SearchResult as Found
    from ...tools.archive.search.role_context import RoleContext
    from ...tools.archive.store.entry import Node

ANCHOR_PROBLEMS = 8
WORDS = {"concise": 240, "detailed": 700}
DIRECTIONS = {"concise": 5, "detailed": 12}


def archived_answer(archived: ArchivedCandidate) -> ArchivedAnswer:
    """What archiving gave, and what the search looks like after it."""
    node = archived.node
    already = "was archived before as" if archived.already else "archived as"
    identity = node.candidate_id
    failed = node.decision.startswith("failed")
    follow = (
        f"Next: get_context(role='debug', candidate_id='{identity}') to mend it, or "
        "select_parent(definition=…) for another idea."
        if failed
        else "Next: select_parent(definition=…) for the next round, or promote_candidate("
        f"candidate_id='{identity}') when a full evaluation shows it faster."
    )
    return ArchivedAnswer(
        summary=lines(
            f"The trial {already} {identity}: {node.decision}",
            anchor_words(archived.anchors),
            *(f"{advice.kind}: {advice.words}. {advice.next_step}" for advice in archived.advice),
            None if archived.advice else follow,
        ),
        candidate_id=identity,
        commit=node.commit,
        ref=node.ref,
        decision=node.decision,
        already=archived.already,
        advice=[
            AdvicePart(
                kind=str(advice.kind),
                words=advice.words,
                next_step=advice.next_step,
                evidence=list(advice.evidence),
            )
            for advice in archived.advice
        ],
        anchors=anchors_part(archived.anchors),
        candidate_uri=candidate_uri(identity),
    )


def anchors_part(check: AnchorCheck | None) -> AnchorsPart | None:
    """Where a change stayed or left, by line of the parent's files."""
    if check is None:
        return None
    problems = check.report.problems
    said = [f"{p.path}:{p.line}: {cut(p.words, 160)}" for p in problems[:ANCHOR_PROBLEMS]]
    left = len(problems) - len(said)
    return AnchorsPart(
        parent=check.parent,
        kept=check.report.ok,
        regions=len(check.report.regions),
        outside=[*said, f"… and {left} more"] if left else said,
    )


def anchor_words(check: AnchorCheck | None) -> str | None:
    """What to say of a change that left the regions marked for it; None where it did not."""
    if check is None or check.report.ok:
        return None
    return (
        f"The change left the regions that {check.parent} marks, at {len(check.report.problems)} "
        "places (`anchors`): if it had to, say so in the next plan; if not, take it back."
    )


def search_answer(found: Found, definition: str | None, detail: Detail) -> SearchAnswer:
    """What is blocked, recommended and open, then a page of candidates.

    Args:
        found: what the archive knows.
        definition: what was asked for, in the summary.
        detail: 'detailed' shows longer lessons and more directions.
    """

    def build(rows: int) -> SearchAnswer:
        page = found.candidates[:rows]
        cursor = found.next_cursor
        if len(page) < len(found.candidates):
            cursor = None
        return SearchAnswer(
            summary=_search_words(found, definition, page),
            blocked=_directions(found.blocked, detail),
            recommended=_directions(found.recommended, detail),
            open=_directions(found.open, detail),
            candidates=[_candidate(node, detail) for node in page],
            total=found.total,
            next_cursor=cursor,
            skill_notes=[
                NotePart(
                    skill_uri=SKILL_SCHEME + note.path,
                    heading=note.heading,
                    excerpt=shorten(note.excerpt, WORDS[detail]),
                )
                for note in found.notes
            ],
        )

    return fitted(build, len(found.candidates))


def _search_words(found: Found, definition: str | None, page: Sequence[Node]) -> str:
    where = f" for {definition}" if definition else ""
    if not found.total:
        return lines(
            f"Nothing in the archive{where} answers this.",
            *_notes_words(found),
            "Next: leave filters out, one by one. If the archive is empty, evaluate the baseline "
            "with scope 'sample' and archive it as the root.",
        )
    left = showing(len(page), found.total, "pass next_cursor, a smaller limit, or a filter.")
    return lines(
        f"{counted(found.total, 'candidate')}{where}; "
        f"{counted(len(found.recommended), 'technique')} recommended, "
        f"{len(found.blocked)} blocked, {len(found.open)} open.",
        *(f"Recommended: {d.technique} ({cut(d.words, 160)})" for d in found.recommended[:3]),
        *(f"Blocked: {d.technique} ({cut(d.words, 160)})" for d in found.blocked[:3]),
        table(
            ("candidate", "outcome", "µs", "technique"),
            [
                (
                    node.candidate_id,
                    str(node.outcome),
                    number(node.latency_us),
                    ", ".join(node.technique[:3]),
                )
                for node in page[:8]
            ],
        ),
        left,
        *_notes_words(found),
        "Next: select_parent chooses what to expand; get_context shows one candidate's family.",
    )


def _notes_words(found: Found) -> list[str]:
    return [f"Skill: {SKILL_SCHEME}{note.path}, {note.heading!r}" for note in found.notes[:3]]


def _directions(directions: Sequence[Direction], detail: Detail) -> list[DirectionPart]:
    return [
        DirectionPart(
            technique=shorten(direction.technique, 120),
            definition=direction.definition,
            words=shorten(direction.words, WORDS[detail]),
            tried=direction.tried,
            evidence=list(direction.evidence)[:4],
        )
        for direction in directions[: DIRECTIONS[detail]]
    ]


def _candidate(node: Node, detail: Detail) -> CandidatePart:
    most = WORDS[detail]
    return CandidatePart(
        candidate_id=node.candidate_id,
        definition=node.definition,
        name=node.name,
        language=node.language,
        hardware=node.hardware,
        status=node.status,
        outcome=str(node.outcome),
        outcome_words=shorten(node.outcome_words, 160),
        latency_us=node.latency_us,
        speedup=node.speedup,
        technique=list(node.technique)[:6],
        parents=list(node.parents),
        failure=cut(node.failure, most),
        hypothesis=cut(node.hypothesis, most),
        lesson=cut(node.lesson, most),
        evaluation_id=node.evaluation_id,
    )


def selection_answer(selection: Selection) -> SelectionAnswer:
    """What to expand next, and what spoke for it."""
    identity = selection.candidate_id
    act = (
        f"Next: get_context(role='debug', candidate_id='{identity}'), then mend this one thing."
        if selection.role == "debug"
        else f"Next: get_context(role='plan', candidate_id='{identity}'), then "
        f"open_workspace(definition=…, start_from='{identity}')."
    )
    return SelectionAnswer(
        summary=lines(
            f"{identity}: {selection.why}.",
            *(f"Not {other.candidate_id}: {other.why}" for other in selection.alternatives[:3]),
            act,
        ),
        candidate_id=identity,
        why=selection.why,
        role=selection.role,
        policy=selection.policy,
        seed=selection.seed,
        alternatives=[
            AlternativePart(candidate_id=other.candidate_id, why=other.why)
            for other in selection.alternatives
        ],
        pruned=selection.pruned,
        candidate_uri=candidate_uri(identity),
    )


PARTS = {
    "plan": "choose one idea of top priority and mark where the source may change "
    "(<<<IMPROVE BEGIN>>> and <<<IMPROVE END>>> in comments)",
    "code": "implement the idea inside the marked regions only",
    "debug": "find the cause in the error and make the smallest change that mends it",
}
"""What each role does with its window; the roles' prompts say it at length."""


def context_answer(context: RoleContext) -> ContextAnswer:
    """A role's window on the search."""

    def build(rows: int) -> ContextAnswer:
        entries = context.entries[:rows]
        omitted = context.omitted + len(context.entries) - len(entries)
        return ContextAnswer(
            summary=lines(
                f"{counted(len(entries), 'candidate')} around {context.candidate_id} for the role "
                f"{context.role}, {omitted} left out.",
                *(
                    f"{entry.relation} {entry.candidate_id}: {cut(entry.outcome, 140)}"
                    for entry in entries[:12]
                ),
                f"Your part: {PARTS.get(str(context.role), 'read before you act')}.",
            ),
            role=str(context.role),
            candidate_id=context.candidate_id,
            entries=[
                ContextPart(
                    candidate_id=entry.candidate_id,
                    relation=entry.relation,
                    outcome=entry.outcome,
                    technique=list(entry.technique),
                    hypothesis=cut(entry.hypothesis, 600),
                    lesson=cut(entry.lesson, 600),
                    error=cut(entry.error, 1_200),
                    diff=cut(entry.diff, 4_000),
                )
                for entry in entries
            ],
            omitted=omitted,
            candidate_uri=candidate_uri(context.candidate_id),
        )

    return fitted(build, len(context.entries))


def promotion_answer(candidate_id: str, decision: PromotionDecision | None) -> PromotionAnswer:
    """Promoted, refused, or still being verified.

    Args:
        candidate_id: what was asked for.
        decision: None while the verification runs.
    """
    if decision is None:
        return PromotionAnswer(
            summary="RUNNING: the verification goes on. Next: promote_candidate(candidate_id="
            f"'{candidate_id}') again waits for its end.",
            status="RUNNING",
            candidate_id=candidate_id,
        )
    refused = [rule for rule in decision.rules if rule.applied and not rule.passed]
    return PromotionAnswer(
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
            "Next: mend what the first refused rule names; do not argue with it."
            if refused
            else "Next: report the promotion with its evaluation ids.",
        ),
        status="promoted" if decision.promoted else "refused",
        candidate_id=decision.candidate_id,
        definition=decision.definition,
        gpu=decision.gpu,
        line=decision.track,
        current_best=decision.current_best,
        rules=[
            RulePart(
                name=rule.name,
                passed=rule.passed,
                applied=rule.applied,
                number=rule.number,
                limit=rule.limit,
                words=shorten(rule.words, 500),
            )
            for rule in decision.rules
        ],
        evaluations=list(decision.evaluations),
    )


def rollback_answer(definition: str, rolled: Promotion) -> RollbackAnswer:
    """What was withdrawn, and what is the best now."""
    return RollbackAnswer(
        summary=f"{rolled.words}. Next: archive what was learnt about the withdrawn candidate.",
        definition=definition,
        tag=rolled.tag,
        branch=rolled.branch,
        commit=rolled.commit or None,
    )
