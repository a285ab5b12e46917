"""Answers of a search of the archive: techniques by verdict, and a page of candidates.

Pure: decisions and rankings come from the archive as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ....tools.archive.retrieval.directions import gain_words
from ....tools.schema.record_model import FiniteFloat
from ....tools.text import counted, shorten
from ...resources.skills import SCHEME as SKILL_SCHEME
from ..result import Answer, Result, first, short
from ..text import Detail, cut, fitted, lines, number, showing, table

if TYPE_CHECKING:
    from ....tools.archive.retrieval.directions import Direction
    from ....tools.archive.retrieval.query import SearchResult as Found
    from ....tools.archive.retrieval.transitions import Gain
    from ....tools.archive.store.entry import Node

TECHNIQUES_WIDTH = 42
"""With the columns before it a table of 80."""
WORDS = {"concise": 240, "detailed": 700}
DIRECTIONS = {"concise": 5, "detailed": 12}


class DirectionPart(Result):
    """One technique and what trying it gave."""

    technique: Annotated[str, short(120)]
    definition: str
    words: str = Field(description="Counts, the newest outcome, and its lesson.")
    tried: int = Field(description="Candidates that introduced it.")
    ratio: FiniteFloat = Field(
        default=None,
        description="Geometric mean against what it was tried on, above 1 faster; null: never "
        "measured.",
    )
    interval: list[float] | None = Field(
        default=None,
        description="Of `ratio`: 95 %; of fewer than five measurements the least and greatest.",
    )
    measured: int | None = Field(default=None, description="Candidates that `ratio` rests on.")
    why: Annotated[str | None, short(200)] = Field(
        default=None, description="What blocks it, or how its operator is similar."
    )
    evidence: Annotated[list[str], first(4)] = Field(
        default_factory=list, description="Candidate ids."
    )


class CandidatePart(Result):
    """One archived candidate in a line."""

    candidate_id: str
    definition: str
    name: str
    language: str
    hardware: str
    status: str
    outcome: str
    outcome_words: Annotated[str, short(160)]
    latency_us: FiniteFloat = None
    clock: str | None = Field(
        default=None, description="'sealed' or 'claimed', of the latency; claimed ones rank last."
    )
    clock_reason: Annotated[str | None, short(200)] = None
    speedup: FiniteFloat = None
    technique: Annotated[list[str], first(6)] = Field(default_factory=list)
    parents: list[str] = Field(default_factory=list)
    failure: str | None = None
    hypothesis: str | None = None
    lesson: str | None = None
    evaluation_id: str
    client: str | None = Field(default=None, description="Who made it, as far as it was said.")
    model: str | None = None


class NotePart(Result):
    """A passage of a skill that has the words of the query."""

    skill_uri: str
    heading: str
    excerpt: str


class SearchAnswer(Answer):
    """What the archive knows about a question."""

    blocked: list[DirectionPart] = Field(
        default_factory=list,
        description="Measured slower, or failed three times independently (`why`), and never "
        "faster: do not repeat unchanged.",
    )
    recommended: list[DirectionPart] = Field(
        default_factory=list,
        description="Made something faster, here or on a similar operator; best guess first.",
    )
    open: list[DirectionPart] = Field(
        default_factory=list, description="Not decided; a failure or two may be of the code."
    )
    candidates: list[CandidatePart] = Field(default_factory=list)
    elsewhere: list[CandidatePart] = Field(
        default_factory=list, description="Of similar operators, with words of the query."
    )
    total: int
    open_trials: int = Field(default=0, description="Judged and not archived, beside the total.")
    next_cursor: str | None = Field(default=None, description="Pass as `cursor` for the rest.")
    skill_notes: list[NotePart] = Field(default_factory=list)


def search_answer(found: Found, definition: str | None, detail: Detail) -> SearchAnswer:
    """Blocked, recommended and open techniques, then a page of candidates.

    Args:
        definition: the one asked for.
        detail: 'detailed' shows longer lessons and more techniques.
    """

    def build(rows: int) -> SearchAnswer:
        page, beside = found.candidates[:rows], found.elsewhere[:rows]
        return SearchAnswer.of(
            found,
            summary=_search_words(found, definition, page),
            blocked=_directions(found.blocked, detail),
            recommended=_directions(found.recommended, detail),
            open=_directions(found.open, detail),
            candidates=[_candidate(node, detail) for node in page],
            elsewhere=[_candidate(node, "concise") for node in beside],
            next_cursor=found.next_cursor if len(page) == len(found.candidates) else None,
            skill_notes=[
                NotePart.of(
                    note,
                    skill_uri=SKILL_SCHEME + note.path,
                    excerpt=shorten(note.excerpt, WORDS[detail]),
                )
                for note in found.notes
            ],
        )

    return fitted(build, len(found.candidates))


def _search_words(found: Found, definition: str | None, page: Sequence[Node]) -> str:
    where = f" for {definition}" if definition else ""
    known = len(found.recommended) + len(found.blocked) + len(found.open)
    if not found.total and not known:
        return lines(
            f"Nothing in the archive{where} answers this.",
            *found.unknown,
            _open_words(found),
            *_notes_words(found),
            "Next: leave filters out, one by one. If the archive is empty, evaluate the baseline "
            "with scope 'sample' and archive it as the root.",
        )
    left = showing(len(page), found.total, "pass next_cursor, a smaller limit, or a filter.")
    return lines(
        f"{counted(found.total, 'candidate')}{where}; "
        f"{counted(len(found.recommended), 'technique')} recommended, "
        f"{len(found.blocked)} blocked, {len(found.open)} open.",
        _open_words(found),
        *(f"Recommended: {_direction_words(d, definition)}" for d in found.recommended[:3]),
        *(f"Blocked: {_direction_words(d, definition)}" for d in found.blocked[:3]),
        _page_table(page[:8]),
        left,
        "Of similar operators:" if found.elsewhere else None,
        _page_table(found.elsewhere[:3]),
        *_notes_words(found),
        "Next: select_parent chooses what to expand; get_context shows one candidate's family.",
    )


def _open_words(found: Found) -> str | None:
    if not found.open_trials:
        return None
    return f"{counted(found.open_trials, 'trial')} not archived: their lessons are in no search."


def _direction_words(direction: Direction, definition: str | None) -> str:
    """A technique in a line: what blocks it or where it helped, and what was measured."""
    place = f", on {direction.definition}" if direction.elsewhere or not definition else ""
    why = f", {direction.why}" if direction.why and not direction.elsewhere else ""
    gain = f", {gain_words(direction.gain)}" if direction.gain else ""
    return f"{direction.technique}{place}{why}{gain}; e.g. {direction.evidence[0]}"


def _page_table(page: Sequence[Node]) -> str | None:
    if not page:
        return None
    return table(
        ("candidate", "outcome", "µs", "technique"),
        [
            (
                node.candidate_id,
                str(node.outcome),
                f"{number(node.latency_us)} {node.clock}".rstrip(),
                _tags(node.technique),
            )
            for node in page
        ],
    )


def _tags(technique: Sequence[str]) -> str:
    """As many tags as fit the last column, each whole."""
    shown = ""
    for number_of_tag, tag in enumerate(technique):
        longer = f"{shown}, {tag}" if shown else tag
        if len(longer) > TECHNIQUES_WIDTH - 3:
            return f"{shown}, …" if number_of_tag else cut(tag, TECHNIQUES_WIDTH) or ""
        shown = longer
    return shown


def _notes_words(found: Found) -> list[str]:
    return [f"Skill: {SKILL_SCHEME}{note.path}, {note.heading!r}" for note in found.notes[:3]]


def _directions(directions: Sequence[Direction], detail: Detail) -> list[DirectionPart]:
    return [
        DirectionPart.of(
            direction,
            words=shorten(direction.words, WORDS[detail]),
            why=direction.why or None,
            **_gain(direction.gain),
        )
        for direction in directions[: DIRECTIONS[detail]]
    ]


def _gain(gain: Gain | None) -> dict[str, object]:
    """What was measured, as fields; none without a measurement."""
    if gain is None:
        return {}
    interval = [round(end, 3) for end in gain.interval]
    return {"ratio": round(gain.ratio, 3), "interval": interval, "measured": gain.measured}


def _candidate(node: Node, detail: Detail) -> CandidatePart:
    texts = {name: getattr(node, name) for name in ("failure", "hypothesis", "lesson")}
    return CandidatePart.of(node, **{k: shorten(text, WORDS[detail]) for k, text in texts.items()})
