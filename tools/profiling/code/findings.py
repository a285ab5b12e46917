"""Where in the code of a kernel its time may go: loops, source lines, what its notes refer to.

Counts are of instructions in the code, each once however often a loop runs it. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ...evaluation.static_resources import classify_opcodes
from ..diagnosis.stall_samples import SampledKernel, main_reason
from .sass import SassFunction, SassInstruction

MOST_PLACES = 4


@dataclass(frozen=True)
class CodeLoop:
    """One loop of the code, and what it is made of."""

    first: int
    last: int
    classes: dict[str, int]
    place: str
    """The source line that most of it comes from."""


@dataclass(frozen=True)
class CodeMark:
    """Instructions that a note or a hint may be about, and where they are."""

    what: str
    count: int
    in_loops: int
    places: dict[str, int] = field(default_factory=dict)
    """Source lines with the most of them."""


def loops_of(function: SassFunction) -> list[CodeLoop]:
    """The loops of a kernel, the longest without another loop in it first."""
    found: list[CodeLoop] = []
    spans = function.loops()
    for first, last in spans:
        inner = any(a >= first and b <= last and (a, b) != (first, last) for a, b in spans)
        if inner:
            continue
        body = [one for one in function.instructions if first <= one.address <= last]
        places = Counter(one.place for one in body if one.place)
        place = places.most_common(1)[0][0] if places else ""
        found.append(CodeLoop(first, last, classes_of(body), place))
    return sorted(found, key=lambda loop: -loop.classes.get("total", 0))


def classes_of(instructions: Sequence[SassInstruction]) -> dict[str, int]:
    """What instructions do, by class, as evaluations count them."""
    return classify_opcodes(Counter(one.opcode for one in instructions if one.opcode))


def lines_of(function: SassFunction, most: int) -> list[tuple[str, dict[str, int]]]:
    """The source lines with the most instructions, and what these do."""
    by_place: dict[str, list[SassInstruction]] = {}
    for one in function.instructions:
        if one.place and one.opcode != "NOP":
            by_place.setdefault(one.place, []).append(one)
    longest = sorted(by_place.items(), key=lambda item: -len(item[1]))[:most]
    return [(place, classes_of(body)) for place, body in longest]


@dataclass(frozen=True)
class LineWaits:
    """A source line, the share of a kernel's samples on it, and the main reason to wait there."""

    place: str
    share: float
    reason: str


def waits_of(function: SassFunction, samples: SampledKernel, most: int) -> list[LineWaits]:
    """The source lines on which most warps were found; addresses where no line is known."""
    places = {one.address: one.place for one in function.instructions}
    counts: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    for one in samples.instructions:
        place = places.get(one.address) or f"0x{one.address:x}"
        counts[place] += one.samples
        reasons.setdefault(place, Counter()).update(one.reasons)
    total = samples.samples or 1
    return [
        LineWaits(place, count / total, main_reason(reasons[place].items()))
        for place, count in counts.most_common(most)
        if count
    ]


def marks_of(function: SassFunction, target: str) -> list[CodeMark]:
    """What notes on this code refer to: narrow loads, spills, older tensor instructions, …"""
    marks = [_mark(function, what, chosen) for what, chosen in _CHOICES if _applies(what, target)]
    return [mark for mark in marks if mark.count]


def _mark(
    function: SassFunction, what: str, chosen: Callable[[str, Sequence[str]], bool]
) -> CodeMark:
    hits = [one for one in function.instructions if _chosen(one, chosen)]
    loops = function.loops()
    inside = sum(any(a <= one.address <= b for a, b in loops) for one in hits)
    places = Counter(one.place for one in hits if one.place)
    return CodeMark(what, len(hits), inside, dict(places.most_common(MOST_PLACES)))


def _chosen(one: SassInstruction, chosen: Callable[[str, Sequence[str]], bool]) -> bool:
    base, *modifiers = one.opcode.split(".")
    return bool(base) and chosen(base, modifiers)


def _applies(what: str, target: str) -> bool:
    return what != OLDER or target.startswith(("sm_9", "sm_10"))


OLDER = "mma.sync (HMMA), where this target has faster ones"
_WIDE = frozenset({"128", "256"})
_CHOICES: tuple[tuple[str, Callable[[str, Sequence[str]], bool]], ...] = (
    (
        "global loads narrower than 16 bytes",
        lambda base, with_: base in ("LDG", "LDGSTS") and not _WIDE & set(with_),
    ),
    (
        "global stores narrower than 16 bytes",
        lambda base, with_: base == "STG" and not _WIDE & set(with_),
    ),
    ("local memory (spills, arrays indexed at run time)", lambda base, _: base in ("LDL", "STL")),
    (OLDER, lambda base, _: base in ("HMMA", "QMMA", "IMMA")),
    ("block barriers", lambda base, _: base == "BAR"),
    ("waits on mbarriers", lambda base, with_: base == "SYNCS" and "TRYWAIT" in with_),
    ("waits for wgmma", lambda base, with_: base == "WARPGROUP" and "DEPBAR" in with_),
    ("special functions (exp, rsqrt, …)", lambda base, _: base == "MUFU"),
    ("atomics", lambda base, _: base in ("ATOM", "ATOMG", "ATOMS", "RED", "REDG")),
    ("shuffles between threads", lambda base, _: base == "SHFL"),
)
