"""Programs that were archived before: the same sources, or the same but for their formatting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...schema.recognition import PriorRun
from ..store.archive import Archive

if TYPE_CHECKING:
    from ...schema.flashinfer_trace import Solution


def seen(
    archive: Archive, *, content_hash: str | None = None, normalised_hash: str | None = None
) -> list[str]:
    """Ids of the candidates with this content hash or this normalised source, newest first."""
    rows = archive.synced.current().rows(
        "SELECT id FROM candidates WHERE content_hash = ? OR normalised_hash = ?"
        " ORDER BY at DESC, seq DESC",
        [content_hash or "", normalised_hash or ""],
    )
    return [row[0] for row in rows]


def recognise(archive: Archive, solution: Solution) -> PriorRun | None:
    """The archived candidates that are this program; None when it is new."""
    from ..store.normalise import normalised_hash

    exact_hash = solution.content_hash()
    ids = seen(archive, content_hash=exact_hash, normalised_hash=normalised_hash(solution))
    found = archive.nodes(*ids)
    if not found:
        return None
    same = [node for node in found if node.content_hash == exact_hash]
    shown = same or found
    how = "The same sources were" if same else "The same program, formatted otherwise, was"
    final = " A numerical failure is final." if shown[0].status.startswith("INCORRECT") else ""
    words = f"{how} archived as {shown[0].candidate_id}: {shown[0].outcome_words}.{final}"
    ids = [node.candidate_id for node in shown]
    return PriorRun(exact=bool(same), words=words, candidates=ids)
