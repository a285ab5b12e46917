"""Which lines of lessons the record contradicts. Pure.

A line has to name candidates that are in the archive. One that says they are faster, slower or
wrong where none of them is, or names a gain that none of them has, is left out.
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
_GAIN = re.compile(r"(?:\bx|×)\s?(\d+(?:\.\d+)?)\b|\b(\d+(?:\.\d+)?)\s?(?:x\b|×|times\b)")
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
    claimed = [
        (pattern, states) for pattern, states in _CLAIMS.items() if re.search(pattern, line, re.I)
    ]
    if len(claimed) == 1:
        ((_, states),) = claimed
        if not any(node.outcome in states for node in cited):
            return f"the record says {', '.join(sorted({str(n.outcome) for n in cited}))}"
    gains = [float(a or b) for a, b in _GAIN.findall(line)]
    ratios = [ratio for node in cited for ratio in _ratios(node, nodes)]
    for gain in gains:
        if gain > 0 and not any(abs(math.log(gain / ratio)) <= OFF for ratio in ratios):
            return f"no candidate that it names gained {gain:g}"
    return ""


def _ratios(node: Node, nodes: Sequence[Node]) -> list[float]:
    """What a candidate gained, by its record: over its baseline, its parents, in each regime."""
    before = {other.candidate_id: other.latency_us for other in nodes}
    found = [node.speedup, *(fact.ratio for fact in node.regimes)]
    if node.latency_us:
        found += [us / node.latency_us for name in node.parents if (us := before.get(name))]
    return [ratio for ratio in found if ratio and ratio > 0]
