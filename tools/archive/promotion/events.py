"""Promotion and rollback as git events: annotated tags, an evidence commit, a branch that moves.

    refs/tags/promoted/<definition>/<gpu>/<n>   the decision, rule by rule, and who was best before
    refs/tags/verified/<definition>/<n>         the same where nothing could be timed
    refs/tags/rollback/<definition>/<gpu>/<n>   who was withdrawn, to whom it returned, and why
    refs/heads/best/<definition>/<gpu>          the best now; a reviewer can check it out
    refs/evidence/<kind>/<definition>/…/<n>     the verification's records, child of the candidate

Promotions and rollbacks of one track, a definition on a device, share the counter n, so that the
tags alone give the order of events, and say who is best: the branch is for people to check out. All
refs of one event move in one transaction, the tag by compare-and-swap: of two promotions decided
against the same best, the second is refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ...errors import ArchiveError, HarnessError, RequestError
from ...evaluation.records.record_store import RecordStore
from ...schema.evaluation import OUT_OF_BOUNDS, Evaluation, Status
from ...schema.measurement import Sealing, TimeSource, joint_sealing
from ...signing.signature import PROMOTION
from ...text import one_line
from ..git.repository import ZERO, RefConflict, RefUpdate
from ..store.archive import Archive, best_branch
from ..store.entry import Node, gpu_name
from ..store.manifest import ref_part
from ..store.promotion_tags import (
    NUMBER,
    PromotionEvent,
    promotion_events,
    promotion_stacks,
    promotions_elsewhere,
)
from .rules import TIMED, VERIFIED, PromotionDecision

_ATTEMPTS = 5
_MOST_ELSEWHERE = 1_000_000
"""No number of others above it counts: the next ones here must still be numbers."""
WRONG = frozenset(
    {
        Status.INCORRECT_NUMERICAL,
        Status.INCORRECT_SHAPE,
        Status.INCORRECT_DTYPE,
        Status.INTEGRITY_VIOLATION,
    }
)
"""What a program that gave wrong answers ends with."""


def gave_wrong_answers(record: Evaluation) -> bool:
    """Whether a trial ended with a wrong answer, or with a store outside of a tensor."""
    failure = record.failure
    return record.status in WRONG or (failure is not None and failure.kind == OUT_OF_BOUNDS)


@dataclass(frozen=True)
class Promotion:
    """Refs that promoting or rolling back wrote; `branch` is None on the verified track."""

    tag: str
    number: int
    commit: str
    branch: str | None
    evidence: str | None
    words: str


def _track_path(definition: str, gpu: str | None) -> str:
    return ref_part(definition) + (f"/{ref_part(gpu)}" if gpu else "")


def events(
    archive: Archive, definition: str | None = None, gpu: str | None = None
) -> list[PromotionEvent]:
    """Promotions and rollbacks decided here, oldest first within each track; by default of all."""
    return promotion_events(archive.repository, archive.keys, definition, gpu)


def best_elsewhere(archive: Archive, definition: str | None = None) -> list[PromotionEvent]:
    """What others promoted and did not roll back, as their fetched tags say; it decides nothing."""
    found = promotions_elsewhere(archive.repository, archive.keys, definition)
    by_signer: dict[str, list[PromotionEvent]] = {}
    for event in found:
        by_signer.setdefault(event.signer, []).append(event)
    stacks = (stack for made in by_signer.values() for stack in promotion_stacks(made).values())
    return [stack[-1] for stack in stacks]


def best_is_claimed(archive: Archive, definition: str, gpu: str) -> bool:
    """Whether a device's best was promoted on claimed times and not verified again since."""
    found = (e for e in events(archive, definition, gpu) if e.kind != "verified")
    stack = next(iter(promotion_stacks(found).values()), [])
    return bool(stack) and stack[-1].clock != TimeSource.SEALED


def current_best(archive: Archive, definition: str, gpu: str) -> Node | None:
    """The promoted candidate that a new one must beat; None while there is none."""
    if gpu == "cpu":
        verified = [e for e in events(archive, definition) if e.kind == "verified"]
        commit = verified[-1].commit if verified else None
    else:
        commit = archive.promoted(definition, gpu)
    found = archive.nodes(commit[:12]) if commit else []
    return found[0] if found else None


def past_failures(archive: Archive, records: RecordStore, node: Node, gpu: str) -> list[str]:
    """Ids of candidates and evaluations in which this program gave wrong answers: that is final.

    Comments and formatting make no other program. What failed without a GPU, where Triton's
    interpreter may be at fault, counts there alone.
    """
    rows = archive.synced.current().rows(
        "SELECT id FROM candidates WHERE (content_hash = ? OR normalised_hash = ?)"
        f" AND status IN ({', '.join('?' * len(WRONG))}) AND (hardware != 'cpu' OR ?) ORDER BY at",
        [node.content_hash, node.normalised_hash, *map(str, WRONG), gpu == "cpu"],
    )
    found = [row[0] for row in rows]
    named = {*records.of_content(node.content_hash), *records.of_program(node.normalised_hash)}
    for evaluation_id in sorted(named):
        try:
            record = records.get(evaluation_id)
        except HarnessError:
            continue
        wrong = archive.keys.verify_record(record).counts and gave_wrong_answers(record)
        if wrong and (gpu == "cpu" or gpu_name(record) != "cpu"):
            found.append(evaluation_id)
    return found


def promote(
    archive: Archive, decision: PromotionDecision, verification: Sequence[Evaluation]
) -> Promotion:
    """Writes a positive decision into git.

    Raises:
        ArchiveError: when the decision is a refusal, or the best has moved since it was made.
    """
    if not decision.promoted:
        raise ArchiveError(
            decision.words, where=decision.candidate_id, remedy="Fix what the rules name."
        )
    if archive.keys.public() is None:
        raise ArchiveError(
            f"A promotion must be signed, and {archive.keys.problem}",
            remedy="Correct that, or set KERNEL_HARNESS_SIGNING_KEY to a file that can be written.",
        )
    node = archive.node(decision.candidate_id)
    timed = decision.track == TIMED
    kind, gpu = ("promoted", decision.gpu) if timed else ("verified", None)
    branch = best_branch(node.definition, decision.gpu) if timed else None
    path = _track_path(node.definition, gpu)
    before = archive.node(decision.current_best).commit if decision.current_best else None
    for _ in range(_ATTEMPTS):
        held = (archive.repository.resolve(branch) or ZERO) if branch else ZERO
        if branch is not None and archive.promoted(node.definition, decision.gpu) != before:
            raise ArchiveError(
                "Another promotion came first",
                where=branch,
                remedy="Verify again, compared with the new best.",
            )
        number = _next_number(archive, node.definition, gpu)
        evidence = _write_evidence(archive, node, verification)
        tag = f"{kind}/{path}/{number}"
        sealing = joint_sealing(record.sealing for record in verification)
        message = _promotion_message(node, decision, evidence, sealing)
        target = _write_tag(archive, node.commit, tag, message)
        steps = [RefUpdate(f"refs/tags/{tag}", target), RefUpdate(f"refs/evidence/{tag}", evidence)]
        if branch is not None:
            steps.append(RefUpdate(branch, node.commit, held))
        try:
            archive.repository.update_refs(steps)
        except RefConflict:
            continue
        return Promotion(tag, number, node.commit, branch, evidence, decision.words)
    raise ArchiveError(
        f"The tag's number was taken {_ATTEMPTS} times", where=path, remedy="Try again."
    )


def rollback(archive: Archive, definition: str, gpu: str, reason: str) -> Promotion:
    """Returns to the best before the current one, and says why in a tag.

    Raises:
        RequestError: when nothing is promoted on this track or no reason is given.
    """
    said = one_line(reason, 500)
    if not said:
        raise RequestError("A rollback needs a reason", remedy="Say what was found to be wrong.")
    found = (event for event in events(archive, definition, gpu) if event.kind != "verified")
    stack = next(iter(promotion_stacks(found).values()), [])
    branch = best_branch(definition, gpu)
    if not stack:
        raise RequestError(
            f"Nothing is promoted for {definition} on {gpu}",
            remedy="See `kernel-harness best` for what is.",
        )
    current = stack[-1].commit
    before = stack[-2].commit if len(stack) > 1 else None
    back = before[:12] if before else "none"
    number = _next_number(archive, definition, gpu)
    tag = f"rollback/{_track_path(definition, gpu)}/{number}"
    trailers = [
        f"Definition: {one_line(definition)}",
        f"Gpu: {gpu}",
        f"From: {current[:12]}",
        f"To: {back}",
        f"Reason: {said}",
    ]
    subject = f"Roll back {definition} on {gpu} from {current[:12]} to {back}"
    message = "\n\n".join([one_line(subject), said, "\n".join(trailers)]) + "\n"
    target = _write_tag(archive, before or current, tag, message)
    held = archive.repository.resolve(branch) or ZERO
    archive.repository.update_refs(
        [RefUpdate(f"refs/tags/{tag}", target), RefUpdate(branch, before or ZERO, held)]
    )
    return Promotion(tag, number, before or "", branch, None, f"Rolled back to {back}: {said}")


def _next_number(archive: Archive, definition: str, gpu: str | None) -> int:
    """The number after all that are taken here, and by events elsewhere that are known here.

    Then the histories of several archives can lie in one repository.
    """
    path = _track_path(definition, gpu)
    kinds = ("promoted", "rollback") if gpu else ("verified",)
    names = (
        name for kind in kinds for name in archive.repository.ref_names(f"refs/tags/{kind}/{path}")
    )
    last_parts = (name.rsplit("/", 1)[-1] for name in names)
    taken = {int(number) for number in last_parts if NUMBER.fullmatch(number)}
    known = taken | {
        event.number
        for event in promotions_elsewhere(archive.repository, archive.keys, definition)
        if event.kind in kinds and gpu in (None, event.gpu)
    }
    here = [event.number for event in events(archive, definition, gpu) if event.kind in kinds]
    # Others may have pushed tags with any number, too: only one's own count without a limit.
    number = 1 + max([*here, *(one for one in known if one < _MOST_ELSEWHERE)], default=0)
    while number in taken:
        number += 1
    return number


def _write_tag(archive: Archive, commit: str, tag: str, message: str) -> str:
    sign = partial(archive.keys.sign, PROMOTION)
    return archive.repository.write_tag(commit, tag, message, int(time.time()), sign)


def _write_evidence(archive: Archive, node: Node, verification: Sequence[Evaluation]) -> str:
    files = {
        f"verification/{e.evaluation_id}.json": (e.model_dump_json(indent=1) + "\n").encode()
        for e in verification
    }
    tree = archive.repository.write_tree(files)
    message = f"Verification of {node.candidate_id}\n\nCandidate: {node.candidate_id}\n"
    return archive.repository.write_commit(tree, [node.commit], message, int(time.time()))


def _promotion_message(
    node: Node, decision: PromotionDecision, evidence: str, sealing: Sealing | None
) -> str:
    """Subject, the rules as a table, the decision as JSON, and trailers."""
    rules = [
        f"{'pass' if r.passed else 'n/a ' if not r.applied else 'FAIL'}  {r.name}: {r.words}"
        for r in decision.rules
    ]
    head = f"Promote {node.candidate_id} for {node.definition} on {decision.gpu}"
    if decision.track == VERIFIED:
        head = f"Verify {node.candidate_id} for {node.definition}: right, not timed"
    trailers = [
        f"Definition: {one_line(node.definition)}",
        f"Gpu: {decision.gpu}",
        f"Candidate: {node.candidate_id}",
        f"Previous: {decision.current_best or 'none'}",
        *(f"Evaluation: {one_line(name)}" for name in decision.evaluations),
        *([f"Clock: {sealing.source}"] if sealing else []),
        f"Evidence: {evidence}",
    ]
    blocks = [
        one_line(head),
        "\n".join(one_line(rule, 400) for rule in rules),
        json.dumps(decision.evidence, indent=1),
        "\n".join(trailers),
    ]
    return "\n\n".join(blocks) + "\n"
