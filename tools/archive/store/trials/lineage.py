"""Candidates and trials by name, and the candidate that a program was derived from.

A workspace says what it was opened from: an archived candidate, a trial, or something that was
never judged here. Of a trial that was not archived the nearest ancestor that was is the parent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....errors import HarnessError
from ..entry import Node
from ..index_sync import read_commit
from ..manifest import CandidateRecord
from .commits import TRIAL_NAME

if TYPE_CHECKING:
    from ..archive import Archive

_MOST_STEPS = 1_000
_CANDIDATE_ID = re.compile(r"[0-9a-f]{12}")
NO_PARENT = ("none", "reference", "template")
"""What callers write to say that a candidate was derived from no other."""


@dataclass(frozen=True)
class DerivedFrom:
    """The parents of a candidate where its author named none.

    Attributes:
        words: how they were found, or why there are none; empty for a workspace that was opened
            from nothing that was judged.
    """

    parents: tuple[str, ...] = ()
    words: str = ""


def candidate_or_trial(archive: Archive, name: str) -> tuple[Node, CandidateRecord]:
    """An archived candidate by its id, or a trial by that of its evaluation.

    A trial whose evaluation was archived is the candidate.

    Raises:
        RequestError: when there is none of that name.
    """
    of_evaluation = _candidate_of(archive, name) if name.strip().startswith(TRIAL_NAME) else None
    if of_evaluation or not name.strip().startswith(TRIAL_NAME):
        node = of_evaluation or archive.node(name)
        return node, archive.read(node)
    record = archive.trials.read(name)
    return archive.trials.node_of(record), record


def start_of(archive: Archive, started_from: str | None) -> list[tuple[str, str]]:
    """Name and commit of the candidate or trial that a workspace was opened from, if it was one."""
    if not started_from:
        return []
    if candidate := _candidate_of(archive, started_from):
        return [(candidate.candidate_id, candidate.commit)]
    if trial := archive.trials.find(started_from):
        return [(trial[0].rpartition("/")[2], trial[1])]
    try:
        node = archive.node(started_from)
    except HarnessError:
        return []
    return [(node.candidate_id, node.commit)]


def derived_from(archive: Archive, evaluation_id: str, started_from: str | None) -> DerivedFrom:
    """The candidate that a judged program was derived from, by what its workspace was opened from.

    Its trial says so; `started_from` does where no trial was kept.
    """
    if own := archive.trials.find(evaluation_id):
        starts = archive.trials.read_at(*own).parents
        started_from = starts[0] if starts else started_from
    if not started_from:
        return DerivedFrom()
    opened = f"{started_from}, which its workspace was opened from"
    if not started_from.startswith(TRIAL_NAME):
        try:
            return DerivedFrom((archive.resolve(started_from),), f"Parent: {opened}.")
        except HarnessError:
            known = _CANDIDATE_ID.fullmatch(started_from) is None
            return DerivedFrom(words="" if known else f"No parent: {opened}, is not archived.")
    if candidate := _candidate_of(archive, started_from):
        name = candidate.candidate_id
        return DerivedFrom((name,), f"Parent: {name}, the candidate of {opened}.")
    trial = archive.trials.find(started_from)
    found = nearest_archived(archive, *trial) if trial else None
    if found is None:
        return DerivedFrom(
            words=f"No parent: {opened}, was not archived, nor was anything before it. Where that "
            f"matters: archive_candidate(evaluation_id='{started_from}', hypothesis=…), then "
            "amend_candidate(parent=[its id])."
        )
    candidate_id, own_trial = found
    how = "the candidate of" if own_trial else "the nearest archived ancestor of"
    return DerivedFrom((candidate_id,), f"Parent: {candidate_id}, {how} {opened}.")


def _candidate_of(archive: Archive, evaluation_id: str) -> Node | None:
    """The candidate of an evaluation, one that counts."""
    known = archive.synced.current().nodes("evaluation_id = ?", [evaluation_id.strip()])
    return next((node for node in known if node.verified), None)


def nearest_archived(archive: Archive, ref: str, commit: str) -> tuple[str, bool] | None:
    """The candidate of a trial, or of the nearest trial or candidate before it that has one.

    Returns:
        Its id, and whether it is of the trial itself; None where there is none.
    """
    index = archive.synced.current()
    for step in range(_MOST_STEPS):
        try:
            record = archive.trials.read_at(ref, commit)
            counts = archive.trials.verify(record).counts
        except HarnessError:
            return None
        if not counts:
            return None
        judged, definition = record.evaluation, record.candidate.definition
        same = index.nodes(
            "(evaluation_id = ? OR content_hash = ?) AND definition = ?",
            [judged.evaluation_id, judged.content_hash, definition, judged.evaluation_id],
            "ORDER BY evaluation_id = ? DESC, at DESC",
        )
        if archived := next((node for node in same if node.verified), None):
            return archived.candidate_id, step == 0
        before = read_commit(archive.repository, commit).ids("parent")
        if not before:
            return None
        ref, commit = "", before[0]
        if node := index.by_id([commit[:12]]).get(commit[:12]):
            return node.candidate_id, False
    return None
