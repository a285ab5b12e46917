"""Which edits of a program to try next: drawn by what edits of the kind and at the place gained.

Each kind and each place has a share of trials that gained, with a start of its own; draws from what
that share may be (Thompson sampling) choose first the kind, then the place, so that what gained
comes again soon and what is unknown comes sometimes, however many places a kind has. Pairs change
two places at once, for tiles and warps that only gain together, and what gained on other programs
is tried together on this one. Pure; the same program, memory and
seed give the same proposals.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...text import python_tree
from .edits import EditKind, ProgramEdit, with_edits
from .memory import EditOutcome, place_of
from .native_sources import native_edits
from .python_numbers import number_edits
from .triton_accesses import access_edits

START = {
    EditKind.TILE: (2.0, 2.0),
    EditKind.WARPS: (2.0, 2.0),
    EditKind.STAGES: (1.0, 2.0),
    EditKind.LOOP: (1.0, 2.0),
    EditKind.ORDER: (1.0, 2.0),
    EditKind.EVICTION: (1.0, 3.0),
    EditKind.BOUNDS: (1.0, 3.0),
    EditKind.UNROLL: (1.0, 4.0),
    EditKind.CACHE: (1.0, 5.0),
}
"""By kind, gains and losses that are supposed before the first trial, of whatever program."""
PAIRED = (EditKind.TILE, EditKind.WARPS, EditKind.STAGES, EditKind.LOOP)
PAIRS = 3 / 16
"""Share of proposals that change two places."""
MOST_PAIRS = 256
SAME_WORK = 2.0
"""So many times the weight has a pair after which a thread has about as much to do as before: a
tile and its warps both grow or both shrink, or one tile grows and another shrinks."""
ONE_PLACE, SEVERAL_PLACES = (1.0, 1.0), (12.0, 1.0)
"""Gains and losses that are supposed of a place, and of many accesses changed at once: that tells
of all of them, so that it comes before any one of a dozen."""
CARRIED = 1.01
"""What gained so much on another program of the operator is tried on this one."""
MOST_CHARACTERS = 64 << 10
NATIVE = (".cu", ".cuh", ".h", ".hpp", ".cpp", ".cc")


@dataclass(frozen=True)
class Proposal:
    """A program to try: the edits, and the sources with them."""

    edits: tuple[ProgramEdit, ...]
    sources: Mapping[str, str]

    @property
    def label(self) -> str:
        """Its edits in a line."""
        return ", ".join(edit.label for edit in self.edits)


def edits_of(sources: Mapping[str, str]) -> list[ProgramEdit]:
    """Every edit of a program that is known to keep its syntax.

    Places of one name in several sources, as the parts of a dispatch have, are told apart by path.
    """
    by_path = {path: _edits_in(path, text) for path, text in sources.items()}
    seen: dict[str, set[str]] = {}
    for path, edits in by_path.items():
        for edit in edits:
            seen.setdefault(edit.site, set()).add(path)
    return [
        replace(edit, site=f"{path}::{edit.site}") if len(seen[edit.site]) > 1 else edit
        for path, edits in by_path.items()
        for edit in edits
    ]


def _edits_in(path: str, text: str) -> list[ProgramEdit]:
    if len(text) > MOST_CHARACTERS:
        return []
    if path.endswith(".py"):
        try:
            tree = python_tree(text)
        except (SyntaxError, ValueError, RecursionError):
            return []
        return [*number_edits(path, text, tree), *access_edits(path, text, tree)]
    return native_edits(path, text) if path.endswith(NATIVE) else []


def proposals(
    sources: Mapping[str, str],
    known: Sequence[EditOutcome],
    here: Sequence[EditOutcome],
    count: int,
    seed: int,
    named: Sequence[ProgramEdit] = (),
) -> list[Proposal]:
    """At most so many programs to try.

    Args:
        named: edits that somebody asked for, beside those that the syntax shows.
        known: outcomes of edits on any program of the operator.
        here: those on this very program; they are not tried again alone.
    """
    draws = _Draws(known, random.Random(f"tuner:{seed}"))
    edits = [*named, *edits_of(sources)]
    done = {outcome.label for outcome in here}
    alone = draws.order([edit for edit in edits if edit.label not in done])
    pairs = draws.pairs([edit for edit in edits if edit.kind in PAIRED])
    carried = _carried(edits, known)
    found: dict[tuple[str, ...], Proposal] = {}
    while len(found) < count and (alone or pairs or carried):
        if carried:
            chosen = carried.pop(0)
        elif pairs and (not alone or draws.rng.random() < PAIRS):
            chosen = pairs.pop(0)
        else:
            chosen = (alone.pop(0),)
        changed = with_edits(sources, chosen)
        if changed is not None and changed != dict(sources):
            key = tuple(changed[path] for path in sorted(changed))
            found.setdefault(key, Proposal(chosen, changed))
    return list(found.values())


def _carried(
    edits: Sequence[ProgramEdit], known: Sequence[EditOutcome]
) -> list[tuple[ProgramEdit, ...]]:
    """What gained on other programs and is not in this one, together: all of it, and the best."""
    gains: dict[tuple[str, str], float] = {}
    for outcome in known:
        key = outcome.place, outcome.value
        gains[key] = max(gains.get(key, 0.0), outcome.gain or 0.0)
    best: dict[str, tuple[float, ProgramEdit]] = {}
    for edit in edits:
        gain = gains.get((place_of(edit.label), edit.label.partition("=")[2]), 0.0)
        if gain >= CARRIED and gain > best.get(edit.site, (0.0, edit))[0]:
            best[edit.site] = gain, edit
    ordered = [edit for _, edit in sorted(best.values(), key=lambda found: -found[0])]
    sizes = dict.fromkeys(min(size, len(ordered)) for size in (len(ordered), 4, 3, 2))
    return [tuple(ordered[:size]) for size in sizes if size >= 2]


class _Draws:
    """Draws by what is known of kinds and places."""

    def __init__(self, known: Sequence[EditOutcome], rng: random.Random) -> None:
        self.rng = rng
        self._kinds = {kind: list(START[kind]) for kind in EditKind}
        self._places: dict[str, list[float]] = {}
        for outcome in known:
            lost = int(not outcome.gained())
            self._kinds[outcome.kind][lost] += 1.0
            self._places.setdefault(outcome.place, [0.0, 0.0])[lost] += 1.0

    def order(self, edits: Sequence[ProgramEdit]) -> list[ProgramEdit]:
        """All edits: each time the kind that draws best, and of it the place that does."""
        left: dict[EditKind, list[ProgramEdit]] = {}
        for edit in self.rng.sample(list(edits), len(edits)):
            left.setdefault(edit.kind, []).append(edit)
        found: list[ProgramEdit] = []
        while left:
            kind = max(left, key=lambda kind: self.rng.betavariate(*self._kinds[kind]))
            edit = max(left[kind], key=lambda edit: self.rng.betavariate(*self._site(edit)))
            left[kind].remove(edit)
            if not left[kind]:
                del left[kind]
            found.append(edit)
        return found

    def pairs(self, edits: Sequence[ProgramEdit]) -> list[tuple[ProgramEdit, ...]]:
        """Pairs of edits at two places, one of those places that gained more often first."""
        drawn = [(self.rng.betavariate(*self._site(edit)), edit) for edit in edits]
        both = [
            (first * second * _weight(one, other), (one, other))
            for number, (first, one) in enumerate(drawn)
            for second, other in drawn[number + 1 :]
            if one.site != other.site
        ]
        both.sort(key=lambda found: -found[0])
        return [pair for _, pair in both[:MOST_PAIRS]]

    def _site(self, edit: ProgramEdit) -> tuple[float, float]:
        gained, lost = self._places.get(place_of(edit.label), (0.0, 0.0))
        several = len(edit.replacements) > 1
        supposed = SEVERAL_PLACES if several else ONE_PLACE
        return supposed[0] + gained, supposed[1] + lost


def _weight(one: ProgramEdit, other: ProgramEdit) -> float:
    """How much more likely a pair is tried than another."""
    ways = {_grows(one), _grows(other)}
    kinds = {one.kind, other.kind}
    tiles = kinds == {EditKind.TILE}
    fits = len(ways) == (2 if tiles else 1) and None not in ways
    return SAME_WORK if fits and (tiles or kinds == {EditKind.TILE, EditKind.WARPS}) else 1.0


def _grows(edit: ProgramEdit) -> bool | None:
    """Whether an edit makes a number greater; None where one of the values is no number."""
    if not (edit.value.isdecimal() and edit.was.isdecimal()):
        return None
    return int(edit.value) > int(edit.was)
