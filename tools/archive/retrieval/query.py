"""Searches the archive: candidates, and the techniques that worked or failed.

A direction is a technique (or, for candidates without one, a failure) with the verdict of all the
candidates that tried it: *blocked* when it only failed or was slower, *recommended* when it made
something faster here or on a sibling operator (one of the same op_type), *open* when nobody knows.
The verdict is a count of evidence, not a proof that a technique cannot work.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import RequestError, unknown_name
from ...schema.evaluation import Status
from ..store.archive import Archive
from ..store.entry import CandidateStatus, Node
from ..store.index import Index, match_expression
from ..store.prose import technique_tags
from .skill_notes import SkillNote, search_notes

GROUP_LIMIT = 12
_COUNTED = (
    CandidateStatus.FASTER,
    CandidateStatus.SLOWER,
    CandidateStatus.FAILED,
    CandidateStatus.EQUAL,
)


@dataclass(frozen=True)
class Direction:
    """One technique (or a failure's signature) and the outcomes of trying it.

    Attributes:
        definition: the operator where the evidence is from; a sibling's name for its wins.
        words: the counts, and the newest lesson or failure.
        evidence: ids of the newest candidates it rests on.
    """

    technique: str
    definition: str
    words: str
    evidence: tuple[str, ...]
    tried: int


@dataclass(frozen=True)
class SearchRequest:
    """A question about all candidates, failed ones too; answered in pages of `limit`.

    Attributes:
        definition: one operator; None: all of them.
        query: free text over names, techniques, hypotheses, lessons and failures.
        status: a status ("TIMEOUT") or an outcome ("failed", "slower", "equal", "faster", …).
        hardware: device, e.g. "H200".
        technique, regime, bottleneck: the beginning of the name.
        error: words of the failure.
        client, model: who made it, the beginning of the name.
        op_type: operator family; beside a definition, the family whose wins are recommended,
            which needs saying only while the definition has no candidate of its own.
        cursor: `next_cursor` of the page before.
    """

    definition: str | None = None
    query: str | None = None
    status: str | None = None
    hardware: str | None = None
    technique: str | None = None
    regime: str | None = None
    bottleneck: str | None = None
    error: str | None = None
    client: str | None = None
    model: str | None = None
    op_type: str | None = None
    limit: int = 20
    cursor: str | None = None


@dataclass(frozen=True)
class SearchResult:
    """The answer to a question: directions, and one page of candidates."""

    blocked: tuple[Direction, ...]
    recommended: tuple[Direction, ...]
    open: tuple[Direction, ...]
    candidates: tuple[Node, ...]
    total: int
    next_cursor: str | None = None
    notes: tuple[SkillNote, ...] = field(default=())


def search(
    archive: Archive, request: SearchRequest, skills_dir: Path | None = None
) -> SearchResult:
    """Searches the candidates, and the notes under `skills_dir` for the same free text."""
    index = archive.synced.current()
    filters = _Filters()
    filters.status(request.status)
    filters.hardware(request.hardware)
    technique = technique_tags([request.technique]) if request.technique else []
    filters.label("technique", technique[0] if technique else None)
    filters.regime(request.regime)
    filters.label("bottleneck", request.bottleneck)
    filters.label("client", request.client)
    filters.label("model", request.model)
    filters.words(request.query, request.error)
    siblings = filters.copy()
    filters.equal("c.definition", request.definition)
    filters.equal("c.op_type", None if request.definition else request.op_type)
    total = index.rows(f"SELECT count(*) {filters.source()}", filters.values)[0][0]
    start = _offset(request.cursor)
    limit = max(1, min(request.limit, 200))
    order = "rank" if filters.matched else "c.at DESC, c.seq DESC"
    found = index.rows(
        f"SELECT c.facts {filters.source()} ORDER BY {order} LIMIT {limit} OFFSET {start}",
        filters.values,
    )
    blocked, recommended, open_ = _directions(
        index, filters, siblings, request.definition, request.op_type
    )
    notes = search_notes(index, skills_dir, request.query) if skills_dir and request.query else ()
    return SearchResult(
        blocked=blocked,
        recommended=recommended,
        open=open_,
        candidates=tuple(_nodes(found)),
        total=total,
        next_cursor=f"o{start + limit}" if start + limit < total else None,
        notes=tuple(notes),
    )


class _Filters:
    """Builds the SQL condition of a question."""

    def __init__(self) -> None:
        self.conditions: list[str] = []
        self.values: list[Any] = []
        self.matched = False

    def copy(self) -> _Filters:
        other = _Filters()
        other.conditions, other.values = [*self.conditions], [*self.values]
        other.matched = self.matched
        return other

    def source(self, join: str = "") -> str:
        """FROM and WHERE; `c` is the candidate, `rank` exists when there is free text."""
        # CROSS JOIN keeps the order: words first, else every candidate would ask FTS5 anew.
        matched = "words w CROSS JOIN candidates c ON c.seq = w.rowid"
        table = matched if self.matched else "candidates c"
        return f"FROM {table} {join} WHERE {' AND '.join(self.conditions) or '1'}"

    def add(self, condition: str, *values: Any) -> None:
        self.conditions.append(condition)
        self.values.extend(values)

    def equal(self, column: str, value: str | None) -> None:
        if value:
            self.add(f"{column} = ?", value)

    def status(self, value: str | None) -> None:
        if not value:
            return
        if value.upper() in Status.__members__:
            self.equal("c.status", value.upper())
        elif value.lower() in list(CandidateStatus):
            self.equal("c.outcome", value.lower())
        else:
            raise unknown_name("status", value, [*Status, *CandidateStatus])

    def hardware(self, value: str | None) -> None:
        if value:
            device = "-".join(value.upper().replace("NVIDIA", " ").replace("-", " ").split())
            self.add("(upper(c.hardware) = ? OR upper(c.hardware) GLOB ?)", device, f"{device}-*")

    def label(self, kind: str, value: str | None) -> None:
        if value:
            self.add(
                "c.seq IN (SELECT seq FROM labels WHERE kind = ? AND label >= ? AND label < ?)",
                kind,
                value.lower(),
                value.lower() + "\U0010ffff",
            )

    def regime(self, value: str | None) -> None:
        if value:
            self.add("c.seq IN (SELECT seq FROM regimes WHERE name GLOB ?)", f"{_literal(value)}*")

    def words(self, query: str | None, error: str | None) -> None:
        parts = []
        if query and (expression := match_expression(query)):
            parts.append(f"({expression})")
        if error and (expression := match_expression(error)):
            parts.append(f"(failure : ({expression}))")
        if parts:
            self.matched = True
            self.add("words MATCH ?", " AND ".join(parts))


def _literal(text: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", text)


def _offset(cursor: str | None) -> int:
    if not cursor:
        return 0
    if not re.fullmatch(r"o\d{1,9}", cursor):
        raise RequestError(
            f"Cursor {cursor!r} is not one of ours",
            remedy="Use next_cursor of the answer before, or leave it out.",
        )
    return int(cursor[1:])


def _nodes(rows: Sequence[tuple[Any, ...]]) -> list[Node]:
    from ..store.index import node_from_json

    return [node_from_json(row[0]) for row in rows]


def _counts(index: Index, filters: _Filters) -> dict[str, dict[str, list[Any]]]:
    """Per technique and outcome: how often, and the newest row's number."""
    source = filters.source("LEFT JOIN labels l ON l.seq = c.seq AND l.kind = 'technique'")
    rows = index.rows(
        "SELECT coalesce(l.label, CASE WHEN c.outcome = 'failed' THEN '! ' || c.error_signature"
        f" ELSE '' END) AS tag, c.outcome, count(*), max(c.seq) {source} GROUP BY 1, 2",
        filters.values,
    )
    found: dict[str, dict[str, list[Any]]] = {}
    for tag, outcome, count, newest in rows:
        if tag:
            found.setdefault(tag, {})[outcome] = [count, newest]
    return found


def _directions(
    index: Index, here: _Filters, everywhere: _Filters, definition: str | None, op_type: str | None
) -> tuple[tuple[Direction, ...], tuple[Direction, ...], tuple[Direction, ...]]:
    """Sorts the techniques of the candidates that fulfil the filters, then the siblings' wins."""
    groups: dict[str, list[Direction]] = {"blocked": [], "recommended": [], "open": []}
    counts = _counts(index, here)
    newest = {n: None for by in counts.values() for _, n in by.values()}
    nodes = _by_seq(index, newest)
    for tag, by in counts.items():
        groups[verdict(by)].append(_direction(tag, by, nodes, definition or ""))
    if definition:
        sibling = everywhere.copy()
        own = "SELECT op_type FROM candidates WHERE definition = ? LIMIT 1"
        sibling.add(f"c.op_type = coalesce(({own}), ?)", definition, op_type)
        sibling.add("c.definition <> ?", definition)
        others = {
            tag: by
            for tag, by in _counts(index, sibling).items()
            if tag not in counts and not tag.startswith("! ")
        }
        nodes |= _by_seq(index, {n: None for by in others.values() for _, n in by.values()})
        for tag, by in others.items():
            group = "recommended" if verdict(by) == "recommended" else "open"
            groups[group].append(_direction(tag, by, nodes, ""))
    for group in groups.values():
        group.sort(key=lambda d: (d.definition != (definition or d.definition), -d.tried))
    return (
        tuple(groups["blocked"][:GROUP_LIMIT]),
        tuple(groups["recommended"][:GROUP_LIMIT]),
        tuple(groups["open"][:GROUP_LIMIT]),
    )


def verdict(outcomes: dict[str, list[Any]]) -> str:
    """Blocked, recommended or open, from how often each outcome was seen."""
    won = outcomes.get(CandidateStatus.FASTER, [0])[0]
    lost = (
        outcomes.get(CandidateStatus.SLOWER, [0])[0] + outcomes.get(CandidateStatus.FAILED, [0])[0]
    )
    even = (
        outcomes.get(CandidateStatus.EQUAL, [0])[0] + outcomes.get(CandidateStatus.UNTIMED, [0])[0]
    )
    if won:
        return "recommended"
    return "blocked" if lost and not even else "open"


def _by_seq(index: Index, numbers: dict[int, None]) -> dict[int, Node]:
    found: dict[int, Node] = {}
    rows_asked = list(numbers)
    for start in range(0, len(rows_asked), 500):
        part = rows_asked[start : start + 500]
        marks = ",".join("?" * len(part))
        rows = index.rows(f"SELECT seq, facts FROM candidates WHERE seq IN ({marks})", part)
        nodes = _nodes([(facts,) for _, facts in rows])
        found |= dict(zip((seq for seq, _ in rows), nodes, strict=True))
    return found


def _direction(
    tag: str, by: dict[str, list[Any]], nodes: dict[int, Node], definition: str
) -> Direction:
    tried = sum(count for count, _ in by.values())
    listed = [
        f"{by[o][0]} {o}"
        for o in [*_COUNTED, CandidateStatus.UNTIMED, CandidateStatus.UNDECIDED]
        if o in by
    ]
    newest = [nodes[n] for _, n in sorted(by.values(), key=lambda pair: -pair[1])]
    deciding = next((by[o][1] for o in _COUNTED if o in by), None)
    node = nodes[deciding] if deciding is not None else newest[0]
    words = f"tried {tried}: {', '.join(listed)}; {node.candidate_id} {node.outcome_words}"
    if not definition:
        words += f" on {node.definition}"
    if node.lesson:
        words += f"; lesson: {node.lesson}"
    elif node.failure:
        words += f"; {node.failure}"
    return Direction(
        technique=tag.removeprefix("! "),
        definition=definition or node.definition,
        words=words,
        evidence=tuple(dict.fromkeys(n.candidate_id for n in newest)),
        tried=tried,
    )
