"""Directions: the techniques that candidates introduced, and what trying each of them gave.

A direction is *recommended* when it made something faster, here or on a similar operator; *blocked*
when it never did and was measured slower, or failed in three independent attempts; *open*
otherwise. A failure of compilation or numbers is evidence about the code that failed, not about the
idea, so attempts count once however often one was repaired, and the direction says what blocks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..store.entry import CandidateStatus, Node, number
from ..store.index import Reader, node_from_json
from .transitions import FAILURE_MARK, Gain, Sums

INDEPENDENT_FAILURES = 3
"""Failed attempts, none of them a repair of another, that block what was never measured."""
ASKED = "asked"
"""The table of the candidates that a question's filters leave."""
GROUP_LIMIT = 12
_MOST_FAILURES = 30
_DECIDING = (
    CandidateStatus.FASTER,
    CandidateStatus.SLOWER,
    CandidateStatus.FAILED,
    CandidateStatus.EQUAL,
)
_OPEN = (CandidateStatus.EQUAL, CandidateStatus.UNCOMPARED, CandidateStatus.UNTIMED)
_LISTED = (
    *_DECIDING,
    CandidateStatus.UNCOMPARED,
    CandidateStatus.UNTIMED,
    CandidateStatus.UNDECIDED,
)


class Verdict(StrEnum):
    """What the evidence says of a direction."""

    BLOCKED = "blocked"
    RECOMMENDED = "recommended"
    OPEN = "open"


@dataclass(frozen=True)
class Direction:
    """One technique (or a failure's signature) and the outcomes of trying it.

    Attributes:
        definition: the operator where the evidence is from; a similar one's name for its wins.
        words: the counts, and the newest lesson or failure.
        evidence: ids of candidates that show it, the most telling first.
        gain: what was measured where it was introduced; None when nothing was.
        why: what blocks it, or makes its operator similar; empty otherwise.
        elsewhere: its evidence is of a similar operator.
    """

    technique: str
    definition: str
    words: str
    evidence: tuple[str, ...]
    tried: int
    gain: Gain | None = None
    why: str = ""
    elsewhere: bool = False


@dataclass(frozen=True)
class Directions:
    """All directions of a question by verdict, the most telling first."""

    blocked: tuple[Direction, ...] = ()
    recommended: tuple[Direction, ...] = ()
    open: tuple[Direction, ...] = ()


@dataclass
class Outcomes:
    """Outcomes of one direction on one operator: by outcome how often and the newest row."""

    outcomes: dict[str, tuple[int, int]] = field(default_factory=dict)
    sums: Sums = Sums()

    def of(self, *outcomes: CandidateStatus) -> int:
        """How often any of some outcomes was seen."""
        return sum(self.outcomes.get(outcome, (0, 0))[0] for outcome in outcomes)

    @property
    def deciding(self) -> int:
        """The row that its words are taken from: the newest of the outcome that says most."""
        best = next((o for o in _DECIDING if o in self.outcomes), None)
        return self.outcomes[best][1] if best else max(n for _, n in self.outcomes.values())

    @property
    def tried(self) -> int:
        """How many candidates introduced it."""
        return sum(count for count, _ in self.outcomes.values())


def verdict(tally: Outcomes, attempts: Callable[[], int]) -> tuple[Verdict, str]:
    """Blocked, recommended or open, and for blocked what blocks it.

    Args:
        attempts: counts independent failures; asked where they decide.
    """
    if tally.of(CandidateStatus.FASTER):
        return Verdict.RECOMMENDED, ""
    if tally.of(*_OPEN):
        return Verdict.OPEN, ""
    if slower := tally.of(CandidateStatus.SLOWER):
        times = "once" if slower == 1 else f"{slower} times"
        return Verdict.BLOCKED, f"measured slower {times}"
    if tally.of(CandidateStatus.FAILED) >= INDEPENDENT_FAILURES:
        failed = attempts()
        if failed >= INDEPENDENT_FAILURES:
            more = " or more" if failed >= _MOST_FAILURES else ""
            return Verdict.BLOCKED, f"{failed}{more} independent failures, never measured"
    return Verdict.OPEN, ""


@dataclass(frozen=True)
class Place:
    """Operators whose candidates are evidence; the first place of several is the one at hand.

    Attributes:
        definitions: one operator, or several that are told apart by each direction.
        asked: only candidates that were kept as `ASKED`.
        why: why it is evidence; empty for the operator at hand.
    """

    definitions: tuple[str, ...]
    asked: bool = False
    regimes: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class _Found:
    """A direction before its words are read."""

    tag: str
    place: Place
    tally: Outcomes
    why: str
    order: tuple[float, ...]


def directions(
    reader: Reader,
    places: Sequence[Place],
    expected: Mapping[str, float],
    *,
    among: Sequence[str] | None = None,
    has: Sequence[str] = (),
) -> Directions:
    """Sorts what candidates introduced, at hand and on similar operators.

    Args:
        expected: what each technique is expected to gain here; orders what is recommended.
        among: the techniques that are meant, most relevant first; None: all.
        has: techniques of the parent at hand, which are not recommended to it.
    """
    relevance = {tag: n for n, tag in enumerate(among)} if among is not None else None
    groups: dict[Verdict, list[_Found]] = {v: [] for v in Verdict}
    met: set[str] = set()
    for number_of_place, place in enumerate(places):
        tallies = _tallies(reader, place)
        for tag, tally in tallies.items():
            named = tag.removeprefix(FAILURE_MARK)
            if tag in met or (relevance is not None and named not in relevance):
                continue
            if number_of_place:
                if tag.startswith(FAILURE_MARK):
                    continue
                won = tally.of(CandidateStatus.FASTER) > 0
                group, why = Verdict.RECOMMENDED if won else Verdict.OPEN, place.why
            else:
                group, why = verdict(tally, lambda p=place, t=tag: _attempts(reader, p, t))
            if group is Verdict.RECOMMENDED and tag in has:
                continue
            first = relevance[named] if relevance is not None else 0
            gained = -expected.get(tag, 0.0) if group is Verdict.RECOMMENDED else number_of_place
            order = (first, gained, -tally.tried)
            groups[group].append(_Found(tag, place, tally, why, order))
        met |= set(tallies)
    kept = {
        group: sorted(found, key=lambda f: f.order)[:GROUP_LIMIT] for group, found in groups.items()
    }
    shown = [found for group in kept.values() for found in group]
    nodes, ids = _deciding(reader, shown), _newest_ids(reader, shown)
    return Directions(
        **{str(g): tuple(_direction(f, nodes, ids) for f in found) for g, found in kept.items()}
    )


def _tallies(reader: Reader, place: Place) -> dict[str, Outcomes]:
    """What came of each technique where it was introduced, and of failures that introduced none."""
    source, values = _source(place)
    outcome, ratio, noise, tried = "a.outcome", "a.log_ratio", "a.noise", "count(*)"
    if place.regimes:
        marks = ",".join("?" * len(place.regimes))
        source = source.replace(
            "attempts a",
            "attempts a LEFT JOIN transitions t ON t.definition = a.definition"
            f" AND t.regime IN ({marks}) AND t.technique = a.technique AND t.seq = a.seq",
        )
        values = [*place.regimes, *values]
        outcome = (
            "CASE WHEN t.log_ratio IS NULL THEN a.outcome WHEN t.log_ratio > t.noise"
            " THEN 'faster' WHEN t.log_ratio < -t.noise THEN 'slower' ELSE 'equal' END"
        )
        ratio, noise, tried = "t.log_ratio", "t.noise", "count(DISTINCT a.seq)"
    found: dict[str, Outcomes] = {}
    for tag, said, count, newest, *sums in reader.rows(
        f"SELECT a.technique, {outcome}, {tried}, max(a.seq), count({ratio}), sum({ratio}),"
        f" sum({ratio} * {ratio}), sum({noise}), min({ratio}), max({ratio}) {source} GROUP BY 1, 2",
        values,
    ):
        tally = found.setdefault(tag, Outcomes())
        tally.outcomes[said] = (count, newest)
        if sums[0]:
            tally.sums += Sums(*sums)
    return found


def _source(place: Place) -> tuple[str, list[Any]]:
    """FROM and WHERE of a place's attempts, `a`, with the values."""
    asked = f" AND a.seq IN (SELECT seq FROM {ASKED})" if place.asked else ""
    marks = ",".join("?" * len(place.definitions))
    return f"FROM attempts a WHERE a.definition IN ({marks}){asked}", [*place.definitions]


def _attempts(reader: Reader, place: Place, tag: str) -> int:
    """Independent failures of a direction, among the newest of them."""
    source, values = _source(place)
    rows = reader.rows(
        f"SELECT f.id, f.normalised_hash FROM (SELECT a.seq {source} AND a.technique = ?"
        " AND a.outcome = 'failed' ORDER BY a.seq DESC LIMIT ?) n"
        " JOIN candidates f ON f.seq = n.seq",
        [*values, tag, _MOST_FAILURES],
    )
    programs = dict(rows)
    marks = ",".join("?" * len(programs))
    repairs = reader.rows(f"SELECT child, parent FROM edges WHERE child IN ({marks})", [*programs])
    return independent(programs, repairs)


def independent(programs: Mapping[str, str], repairs: Iterable[tuple[str, str]]) -> int:
    """How many attempts some failures are: repairs of one another and equal programs are one.

    Args:
        programs: hash of each failed candidate's program, by its id.
        repairs: pairs of a candidate and its parent.
    """
    group = {name: name for name in programs}

    def first(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    by_program: dict[str, str] = {}
    same = [(name, by_program.setdefault(program, name)) for name, program in programs.items()]
    for one, other in [*repairs, *same]:
        if one in group and other in group:
            group[first(one)] = first(other)
    return len({first(name) for name in group})


def _deciding(reader: Reader, directions: Sequence[_Found]) -> dict[int, Node]:
    """The candidates that the words of some directions are of, by their rows."""
    numbers = list({found.tally.deciding for found in directions})
    marks = ",".join("?" * len(numbers))
    rows = reader.rows(f"SELECT seq, facts FROM candidates WHERE seq IN ({marks})", numbers)
    return {seq: node_from_json(facts) for seq, facts in rows}


def _newest_ids(reader: Reader, directions: Sequence[_Found]) -> dict[int, str]:
    """The ids of the newest candidate of each outcome of some directions, by row."""
    numbers = list({n for found in directions for _, n in found.tally.outcomes.values()})
    marks = ",".join("?" * len(numbers))
    return dict(reader.rows(f"SELECT seq, id FROM candidates WHERE seq IN ({marks})", numbers))


def _direction(found: _Found, nodes: Mapping[int, Node], ids: Mapping[int, str]) -> Direction:
    tally, definitions = found.tally, found.place.definitions
    newest = sorted((n for _, n in tally.outcomes.values()), reverse=True)
    rows = dict.fromkeys([tally.deciding, *newest])
    listed = [f"{tally.outcomes[o][0]} {o}" for o in _LISTED if o in tally.outcomes]
    node = nodes[tally.deciding]
    gain = tally.sums.gain()
    words = f"tried {tally.tried}: {', '.join(listed)}"
    words += f"; {node.candidate_id} {node.outcome_words}"
    if found.place.why or len(definitions) > 1:
        words += f" on {node.definition}"
    if node.lesson:
        words += f"; lesson: {node.lesson}"
    elif node.failure:
        words += f"; {node.failure}"
    return Direction(
        technique=found.tag.removeprefix(FAILURE_MARK),
        definition=node.definition,
        words=words,
        evidence=tuple(ids[n] for n in rows),
        tried=tally.tried,
        gain=gain,
        why=found.why,
        elsewhere=bool(found.place.why),
    )


def gain_words(gain: Gain) -> str:
    """A gain with its interval, e.g. "1.21x (1.1x to 1.33x), 4 measured"."""
    low, high = gain.interval
    return f"{number(gain.ratio)}x ({number(low)}x to {number(high)}x), {gain.measured} measured"
