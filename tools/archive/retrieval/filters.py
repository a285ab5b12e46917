"""A question to the archive, and its conditions as SQL on the index."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import RequestError, unknown_name
from ...schema.evaluation import Status
from ..store.commit.prose import technique_tags
from ..store.entry import CandidateStatus
from ..store.index import Reader
from .words import all_of, terms

MOST_NAMED = 12
_LABELS = "SELECT DISTINCT label FROM labels WHERE kind = ?"
_COLUMN = "SELECT DISTINCT {0} FROM candidates WHERE {0} <> ''"
_RANGE = re.compile(r"(?P<axis>\S+) (?P<low>\d+)(?:-(?P<high>\d+))?")
AFTER = "\U0010ffff"
"""Sorts after every label that begins alike."""


@dataclass(frozen=True)
class SearchRequest:
    """A question about all candidates, failed ones too; answered in pages of `limit`.

    Attributes:
        definition: one operator; None: all of them.
        query: free text over names, techniques, hypotheses, lessons and failures; any word counts.
        status: a status ("TIMEOUT") or an outcome ("failed", "slower", "equal", "faster", …).
        hardware: device, e.g. "H200".
        technique: the beginning of the name.
        regime: the beginning of the name, or a range of an axis: "batch_size 48-64".
        bottleneck: the beginning of a bottleneck of the parent: what was tried on those so bound.
        error: words of the failure, all of them.
        client, model: who made it, the beginning of the name.
        op_type: operator family; beside a definition, the family whose wins are recommended,
            which needs saying only while the definition has no candidate of its own.
        parent: a candidate to go on from: what it has is not recommended, and what helped
            parents that were bound as it is comes first.
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
    parent: str | None = None
    limit: int = 20
    cursor: str | None = None

    @property
    def start(self) -> int:
        """How many candidates the pages before had.

        Raises:
            RequestError: when the cursor is not one of ours.
        """
        if not self.cursor:
            return 0
        if not re.fullmatch(r"o\d{1,9}", self.cursor):
            raise RequestError(
                f"Cursor {self.cursor!r} is not one of ours",
                remedy="Use next_cursor of the answer before, or leave it out.",
            )
        return int(self.cursor[1:])


class Filters:
    """SQL conditions on `candidates c`, with their values."""

    def __init__(self) -> None:
        self.conditions: list[str] = []
        self.values: list[Any] = []

    @property
    def where(self) -> str:
        """All conditions as one."""
        return " AND ".join(self.conditions) or "1"

    def also(self, condition: str, *values: Any) -> Filters:
        """These conditions and one more."""
        other = Filters()
        other.conditions, other.values = [*self.conditions], [*self.values]
        other.add(condition, *values)
        return other

    def add(self, condition: str, *values: Any) -> None:
        """Adds a condition."""
        self.conditions.append(condition)
        self.values.extend(values)


def regimes_meant(known: Iterable[str], asked: str) -> tuple[str, ...]:
    """The regimes that a name means: those that begin with it, and those that are much the same.

    Each sample draws the borders of its regimes anew, so "m 48-64" also means "m 64": of two on one
    axis the middle of one lies in the other.
    """
    own, names = _RANGE.fullmatch(asked), list(known)
    begins = asked not in names  # "m 1" means no "m 16" where there is an "m 1"
    return tuple(
        name
        for name in names
        if (name.startswith(asked) if begins else name == asked)
        or (own and (other := _RANGE.fullmatch(name)) and _much_the_same(own, other))
    )


def _much_the_same(one: re.Match[str], other: re.Match[str]) -> bool:
    (low, high), (first, last) = (
        (int(found["low"]), int(found["high"] or found["low"])) for found in (one, other)
    )
    within = first <= math.sqrt(low * high) <= last or low <= math.sqrt(first * last) <= high
    return one["axis"] == other["axis"] and within


def filters_of(request: SearchRequest, regimes: Sequence[str] = ()) -> Filters:
    """All conditions of a question but its words and its operator.

    Args:
        regimes: those that the question means.

    Raises:
        RequestError: when the status is unknown.
    """
    found = Filters()
    if request.status:
        _status(found, request.status)
    if request.hardware:
        device = device_label(request.hardware)
        found.add("(upper(c.hardware) = ? OR upper(c.hardware) GLOB ?)", device, f"{device}-*")
    technique = technique_tags([request.technique]) if request.technique else []
    labels = {
        "technique": technique[0] if technique else None,
        "client": request.client,
        "model": request.model,
    }
    for kind, label in labels.items():
        if label:
            begins = label.lower()
            found.add(
                "c.seq IN (SELECT seq FROM labels WHERE kind = ? AND label >= ? AND label < ?)",
                *(kind, begins, begins + AFTER),
            )
    if request.regime:
        marks = ",".join("?" * len(regimes))
        found.add(f"c.seq IN (SELECT seq FROM regimes WHERE name IN ({marks}))", *regimes)
    if request.bottleneck:
        named = bottleneck_label(request.bottleneck)
        found.add(
            "c.id IN (SELECT e.child FROM labels l JOIN candidates p ON p.seq = l.seq"
            " JOIN edges e ON e.parent = p.id"
            " WHERE l.kind = 'bottleneck' AND l.label >= ? AND l.label < ?)",
            *(named, named + AFTER),
        )
    if request.error and (words := all_of(terms(request.error))):
        found.add("c.seq IN (SELECT rowid FROM words WHERE words MATCH ?)", f"failure : ({words})")
    return found


def unknown_names(reader: Reader, request: SearchRequest) -> tuple[str, ...]:
    """Sentences on filters that name what no candidate has, each with what is known instead."""
    asked = {
        "technique": (technique_tags([request.technique or ""]), _LABELS, ["technique"]),
        "bottleneck": ([bottleneck_label(request.bottleneck or "")], _LABELS, ["bottleneck"]),
        "regime": ([request.regime or ""], "SELECT DISTINCT name FROM regimes", []),
        "client": ([(request.client or "").lower()], _LABELS, ["client"]),
        "model": ([(request.model or "").lower()], _LABELS, ["model"]),
        "hardware": ([device_label(request.hardware or "")], _COLUMN.format("hardware"), []),
        "op_type": ([request.op_type or ""], _COLUMN.format("op_type"), []),
    }
    said: list[str] = []
    for kind, (begins, query, values) in asked.items():
        if kind == "op_type" and request.definition:  # whose family it is, said for it
            continue
        if getattr(request, kind):
            known = sorted(row[0] for row in reader.rows(query, values))
            whole = kind in ("hardware", "op_type")
            if whole:
                asks = f"{begins[0].upper()}-"
                meant = any(f"{name.upper()}-".startswith(asks) for name in known)
            else:
                meant = any(name.startswith(tuple(begins)) for name in known)
            if not meant:
                listed = ", ".join(known[:MOST_NAMED]) or "none"
                more = ", …" if len(known) > MOST_NAMED else ""
                verb = "is" if whole else "begins with"
                said.append(f"No {kind} {verb} {getattr(request, kind)!r}: {listed}{more}.")
    return tuple(said)


def _status(found: Filters, value: str) -> None:
    if value.upper() in Status.__members__:
        found.add("c.status = ?", value.upper())
    elif value.lower() in list(CandidateStatus):
        found.add("c.outcome = ?", value.lower())
    else:
        raise unknown_name("status", value, [*Status, *CandidateStatus])


def device_label(name: str) -> str:
    """A device as it is compared: in capitals, without its maker."""
    return "-".join(name.upper().replace("NVIDIA", " ").replace("-", " ").split())


def bottleneck_label(name: str) -> str:
    """A bottleneck as labels have it, whether a profile's name or words are given."""
    return " ".join(name.lower().replace("_", " ").split())
