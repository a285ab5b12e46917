"""Which lines of lessons the record contradicts. Pure.

A line has to name candidates that are in the archive. One that says they are faster, slower or
wrong where none of them is, that they are not where all of them are, or that names a gain which
none of them has, is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from ...archive.store.entry import CandidateStatus, Node
from ...text import one_line

LONGEST_LINE = 400
OFF = math.log(1.1)
"""By how much a gain may differ from the record's."""
_ID = re.compile(r"\b[0-9a-f]{12}\b")
SMALL = 0.35
"""By what share of itself a small gain may differ: 5 % is not 15 %."""
LEAST_OFF = 0.02
_NUMBER = r"(\d+(?:\.\d+)?)"
_GAIN = re.compile(
    rf"(?:\bx|×)\s?{_NUMBER}\b"
    rf"|\b{_NUMBER}\s?(?:x\b|×|times (?=faster|slower|as fast|the))(?P<slower>\s*slower\b)?"
)
_PERCENT = re.compile(
    rf"\b{_NUMBER}\s?(?:%|percent)\s+(?P<way>faster|slower|less time|more time)\b"
    rf"|\b(?P<verb>gain(?:s|ed)?|faster by|slower by)\s+(?:of\s+|by\s+)?{_NUMBER}\s?(?:%|percent)",
    re.IGNORECASE,
)
_NEGATED = re.compile(r"\b(?:not|never|no|nor|without|hardly|n't)\s+(?:\w+\s+)?$", re.IGNORECASE)
_CLAIMS: Mapping[str, tuple[CandidateStatus, ...]] = {
    r"\b(faster|gains?|gained|won|wins|improve[ds]?)\b": (CandidateStatus.FASTER,),
    r"\b(slower|loses|lost|regress\w*)\b": (CandidateStatus.SLOWER,),
    r"\b(failed|fails|wrong|incorrect|crash\w*)\b": (CandidateStatus.FAILED,),
}


def checked_lessons(text: str, nodes: Sequence[Node]) -> tuple[list[str], list[str]]:
    """The lines that stand, and those that do not, each with the reason."""
    known = {node.candidate_id: node for node in nodes}
    kept: list[str] = []
    refused: list[str] = []
    for line in text.splitlines():
        said = one_line(line, LONGEST_LINE)
        if not said.startswith(("- ", "* ")):
            continue
        said = f"- {said[2:]}"
        cited = [known[name] for name in _ID.findall(said) if name in known]
        why = _why_not(said, cited, nodes)
        if why:
            refused.append(f"{said} ({why})")
        else:
            kept.append(said)
    return kept, refused


def _why_not(line: str, cited: Sequence[Node], nodes: Sequence[Node]) -> str:
    if not cited:
        return "it names no candidate of the archive"
    for pattern, states in _CLAIMS.items():
        for claim in re.finditer(pattern, line, re.IGNORECASE):
            negated = _NEGATED.search(line[: claim.start()]) is not None
            if not any((node.outcome in states) is not negated for node in cited):
                return f"the record says {', '.join(sorted({str(n.outcome) for n in cited}))}"
    ratios = [ratio for node in cited for ratio in _ratios(node, nodes)]
    for said, gain in _gains(line):
        if gain > 0 and not any(_is_about(gain, ratio) for ratio in ratios):
            return f"no candidate that it names gained {said}"
    return ""


def _gains(line: str) -> list[tuple[str, float]]:
    """Times before over times after that a line tells of, each with its words."""
    found = []
    for match in _GAIN.finditer(line):
        number = match[1] or match[2]
        gain = float(number)
        found.append((number, 1 / gain if match["slower"] and gain else gain))
    for match in _PERCENT.finditer(line):
        number = match[1] or match[4]
        share, way = float(number) / 100, (match["way"] or match["verb"]).lower()
        gain = 1 + share
        if way == "less time":
            gain = 1 / (1 - share) if share < 1 else 0.0
        elif way.startswith(("slower", "more")):
            gain = 1 / (1 + share)
        found.append((f"{number} %", gain))
    return found


def _is_about(gain: float, ratio: float) -> bool:
    """Whether the record's ratio is what a line says, as far as people round."""
    off = min(OFF, max(LEAST_OFF, SMALL * abs(math.log(gain))))
    return abs(math.log(gain / ratio)) <= off


def _ratios(node: Node, nodes: Sequence[Node]) -> list[float]:
    """What a candidate gained, by its record: over its baseline, its parents, in each regime."""
    before = {other.candidate_id: other.latency_us for other in nodes}
    found = [node.speedup, *(fact.ratio for fact in node.regimes)]
    if node.latency_us:
        found += [us / node.latency_us for name in node.parents if (us := before.get(name))]
    return [ratio for ratio in found if ratio and ratio > 0]
