"""Answers questions to the archive: candidates, ranked where words are asked for, and directions.

Words are ranked by BM25 and any of them counts; a word that more than half of all candidates have
says nothing beside a rarer one. Candidates of similar operators are told apart from those of the
operator itself, and stand behind them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..store.archive import Archive
from ..store.entry import Node
from ..store.index import Index, Reader, node_from_json
from .directions import ASKED, Direction, Directions, Place, directions
from .filters import Filters, SearchRequest, filters_of, regimes_meant, unknown_names
from .operator_features import SimilarOperator, similar_operators
from .skill_notes import SkillNote, search_notes
from .transitions import FAILURE_MARK, expected_gains, refresh
from .words import any_of, terms

if TYPE_CHECKING:
    from ...schema.flashinfer_trace import Definition

MOST_ON_A_PAGE = 200
MOST_ELSEWHERE = 5
_RELEVANT = 100
"""Candidates that words find first: what they introduced is what the words are about."""
_FEW = 20
"""A word that no more candidates have than this is never too common."""
_OPERATORS = (
    "WITH RECURSIVE d(name) AS (SELECT min(definition) FROM candidates UNION ALL"
    " SELECT (SELECT min(definition) FROM candidates WHERE definition > d.name) FROM d"
    " WHERE d.name IS NOT NULL) SELECT name, (SELECT op_type FROM candidates"
    " WHERE definition = name LIMIT 1) FROM d WHERE name IS NOT NULL"
)
"""Each operator with its family, by its first entry in the index: DISTINCT would read them all."""
_ASKED = f"c.seq IN (SELECT seq FROM {ASKED})"
_WEIGHTS = "2.0, 5.0, 2.0, 3.0, 1.5, 1.0"
"""Of the columns of `words`: name, technique, hypothesis, lesson, failure, operator."""


@dataclass(frozen=True)
class SearchResult:
    """The answer to a question: directions, and one page of candidates.

    Attributes:
        elsewhere: candidates of similar operators that have the words.
        similar: the operators whose evidence is in the directions, too.
        unknown: where nothing was found, which filters name what no candidate has, and what is
            known instead.
        open_trials: of what was judged and never archived, how many; of the definition, if one.
    """

    blocked: tuple[Direction, ...]
    recommended: tuple[Direction, ...]
    open: tuple[Direction, ...]
    candidates: tuple[Node, ...]
    total: int
    next_cursor: str | None = None
    notes: tuple[SkillNote, ...] = field(default=())
    elsewhere: tuple[Node, ...] = field(default=())
    similar: tuple[SimilarOperator, ...] = field(default=())
    unknown: tuple[str, ...] = field(default=())
    open_trials: int = 0


def search(
    archive: Archive,
    request: SearchRequest,
    skills_dirs: Sequence[Path] = (),
    definitions: Mapping[str, Definition] | None = None,
) -> SearchResult:
    """Searches the candidates, and the notes in `skills_dirs` for the same free text.

    Args:
        definitions: of the operators that are known here, by name; they tell which are similar.

    Raises:
        RequestError: when a status, the cursor or the parent is unknown.
    """
    parent = archive.node(request.parent) if request.parent else None
    index = archive.synced.current()
    found = search_index(index, request, parent, definitions or {})
    if skills_dirs and request.query:
        return replace(found, notes=tuple(search_notes(index, skills_dirs, request.query)))
    return found


def search_index(
    index: Index,
    request: SearchRequest,
    parent: Node | None = None,
    definitions: Mapping[str, Definition] | None = None,
) -> SearchResult:
    """Searches the candidates of an index as it is.

    Args:
        parent: the candidate that the request names.
        definitions: as for `search`.
    """
    start = request.start
    limit = max(1, min(request.limit, MOST_ON_A_PAGE))
    refresh(index)
    with index.reading() as reader:
        regimes = _regimes(reader, request)
        filters = _kept(reader, filters_of(request, regimes))
        similar = _similar(reader, request, definitions or {})
        here = _here(filters, request)
        among, elsewhere = None, ()
        expression = _expression(reader, request.query)
        if expression:
            ranked, beside = _ranked(reader, expression, here, filters, similar)
            page, total = ranked[start : start + limit], len(ranked)
            among = _techniques(reader, [*ranked[:_RELEVANT], *beside])
            elsewhere = tuple(_nodes(reader, beside))
        else:
            page, total = _newest(reader, here, limit, start)
        places = _places(reader, request, similar, regimes, bool(filters.conditions))
        found = _directions(reader, places, similar, among, parent)
        candidates = tuple(_nodes(reader, page))
        unknown = () if total else unknown_names(reader, request)
    return SearchResult(
        blocked=found.blocked,
        recommended=found.recommended,
        open=found.open,
        candidates=candidates,
        total=total,
        next_cursor=f"o{start + limit}" if start + limit < total else None,
        elsewhere=elsewhere,
        similar=similar,
        unknown=unknown,
    )


def _kept(reader: Reader, filters: Filters) -> Filters:
    """The same conditions, asked once: those that fulfil them are kept as `ASKED`."""
    if not filters.conditions:
        return filters
    query = f"SELECT c.seq FROM candidates c WHERE {filters.where}"
    reader.keep(ASKED, query, filters.values)
    return Filters().also(_ASKED)


def _here(filters: Filters, request: SearchRequest) -> Filters:
    """The conditions on candidates of the operator, or of the family, that was asked for."""
    if request.definition:
        return filters.also("c.definition = ?", request.definition)
    return filters.also("c.op_type = ?", request.op_type) if request.op_type else filters


def _similar(
    reader: Reader, request: SearchRequest, definitions: Mapping[str, Definition]
) -> tuple[SimilarOperator, ...]:
    if not request.definition:
        return ()
    return similar_operators(
        request.definition, request.op_type, definitions, dict(reader.rows(_OPERATORS))
    )


def _places(
    reader: Reader,
    request: SearchRequest,
    similar: Sequence[SimilarOperator],
    regimes: tuple[str, ...],
    asked: bool,
) -> list[Place]:
    """The operators whose candidates are evidence: those asked for, then each similar one."""
    names = (request.definition or "",)
    if not request.definition:
        family = request.op_type
        names = tuple(n for n, op in reader.rows(_OPERATORS) if family in (None, "", op))
    return [
        Place(names, asked, regimes),
        *(
            Place((s.definition,), asked, (), f"similar operator ({s.similarity:g}: {s.shared})")
            for s in similar
        ),
    ]


def _directions(
    reader: Reader,
    places: Sequence[Place],
    similar: Sequence[SimilarOperator],
    among: Sequence[str] | None,
    parent: Node | None,
) -> Directions:
    """The directions of a question; what the parent at hand has already is not recommended."""
    here = places[0]
    expected: Mapping[str, float] = {}
    if among is None and len(here.definitions) == 1:  # else the words decide
        weights = {here.definitions[0]: 1.0} | {s.definition: s.similarity for s in similar}
        bound = parent.bottlenecks if parent else ()
        expected = expected_gains(reader, weights, regimes=here.regimes, bottlenecks=bound)
    has = parent.technique if parent else ()
    return directions(reader, places, expected, among=among, has=has)


def _regimes(reader: Reader, request: SearchRequest) -> tuple[str, ...]:
    """The names of the regimes that the question means."""
    if not request.regime:
        return ()
    known = (row[0] for row in reader.rows("SELECT DISTINCT name FROM regimes"))
    return regimes_meant(known, request.regime)


def _expression(reader: Reader, query: str | None) -> str:
    """Words as an expression; those that most candidates have only where all are such."""
    found = terms(query or "")
    if len(found) > 1:
        half = max((reader.rows("SELECT max(seq) FROM candidates")[0][0] or 0) // 2, _FEW)
        counted = "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)"
        rare = [term for term in found if reader.rows(counted, [term, half + 1])[0][0] <= half]
        found = tuple(rare) or found
    return any_of(found)


def _ranked(
    reader: Reader,
    expression: str,
    here: Filters,
    filters: Filters,
    similar: Sequence[SimilarOperator],
) -> tuple[list[int], list[int]]:
    """Rows of all candidates that have any of the words, best first, and the best elsewhere.

    FTS5 is asked once and joined here: in SQL it would be asked anew for every candidate.
    """
    scores = reader.rows(
        f"SELECT rowid, bm25(words, {_WEIGHTS}) FROM words WHERE words MATCH ?", [expression]
    )

    def best(meant: Filters, most: int | None) -> list[int]:
        if not meant.conditions:
            found = [(score, -seq) for seq, score in scores]
        else:
            query = f"SELECT c.seq FROM candidates c WHERE {meant.where}"
            if meant.conditions == [_ASKED]:
                query = f"SELECT seq FROM {ASKED}"
            rows = {row[0] for row in reader.rows(query, meant.values)}
            found = [(score, -seq) for seq, score in scores if seq in rows]
        return [-seq for _, seq in sorted(found)[:most]]

    if not scores:
        return [], []
    named = [other.definition for other in similar]
    beside = filters.also(f"c.definition IN ({','.join('?' * len(named))})", *named)
    return best(here, None), best(beside, MOST_ELSEWHERE) if named else []


def _newest(reader: Reader, filters: Filters, limit: int, start: int) -> tuple[list[int], int]:
    source, values = f"FROM candidates c WHERE {filters.where}", filters.values
    total = reader.rows(f"SELECT count(*) {source}", values)[0][0]
    order = f"ORDER BY c.at DESC, c.seq DESC LIMIT {limit} OFFSET {start}"
    return [row[0] for row in reader.rows(f"SELECT c.seq {source} {order}", values)], total


def _nodes(reader: Reader, numbers: Sequence[int]) -> list[Node]:
    """The candidates of some rows, in their order."""
    marks = ",".join("?" * len(numbers))
    rows = reader.rows(f"SELECT seq, facts FROM candidates WHERE seq IN ({marks})", numbers)
    found = {seq: node_from_json(facts) for seq, facts in rows}
    return [found[seq] for seq in numbers if seq in found]


def _techniques(reader: Reader, numbers: Sequence[int]) -> list[str]:
    """What the candidates of some rows tried, or how they failed, in their order."""
    marks = ",".join("?" * len(numbers))
    rows = reader.rows(f"SELECT seq, technique FROM attempts WHERE seq IN ({marks})", numbers)
    by_row: dict[int, list[str]] = {}
    for seq, technique in rows:
        by_row.setdefault(seq, []).append(technique.removeprefix(FAILURE_MARK))
    return list(dict.fromkeys(tag for seq in numbers for tag in by_row.get(seq, ())))
