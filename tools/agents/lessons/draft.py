"""A draft for an operator's skill page: what won, what failed, with the candidates that show it.

For a person to curate: nothing here is read by an agent before somebody put it into a skill.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from ...archive.search.forecasts import forecast_report
from ...archive.store.archive import Archive
from ...archive.store.entry import CandidateStatus, Node, number
from ...text import one_line
from ..records.ledger import SEARCHES, SearchLedger
from ..records.state import SearchState, state_of
from ..tuner.memory import EditOutcome, outcome_lines

MOST_STEPS = 12
MOST_EDITS = 12
MOST_FAILURES = 10
WORDS = 240


def lesson_draft(archive: Archive, definition: str) -> str:
    """The draft as Markdown."""
    nodes = [node for node in archive.iter(definition) if node.verified]
    states = searches_of(archive, definition)
    parts = [
        f"# {definition}: what was found (draft)",
        f"Candidates: {len(nodes)}; unattended searches: {len(states)}. For a person to check, "
        "shorten and move into the operator's skill page; ids name the evidence "
        "(`kernel-harness show ID`).",
        _section("The way to the best", _lineage(archive, nodes)),
        _section("What gained, by technique", _techniques(nodes, faster=True)),
        _section("What did not", _techniques(nodes, faster=False)),
        _section("How programs failed", _failures(nodes)),
        _section("Single changes, over all programs", _edits(nodes)),
        _section("Told by agents, and borne out by the record", _borne_out(states)),
        _section("How far forecasts are to be believed", _forecasts(archive, definition)),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def searches_of(archive: Archive, definition: str) -> list[SearchState]:
    """The unattended searches of an operator, oldest first."""
    from ...archive.store.manifest import ref_part

    repository = archive.repository
    refs = repository.refs(f"{SEARCHES}/{ref_part(definition)}") if repository.exists else {}
    return [state_of(SearchLedger(repository, ref).events()) for ref in sorted(refs)]


def _section(title: str, lines: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(lines) if lines else ""


def _lineage(archive: Archive, nodes: Sequence[Node]) -> list[str]:
    """The steps from the root to the fastest candidate, each with what it gained."""
    timed = [node for node in nodes if node.latency_us is not None and not node.failed]
    if not timed:
        return []
    newest = max(timed, key=lambda node: node.at).hardware
    best = min((n for n in timed if n.hardware == newest), key=lambda n: n.rank)
    way, seen = [best], {best.candidate_id}
    while parents := [n for n in archive.nodes(*way[-1].parents) if n.candidate_id not in seen]:
        way.append(min(parents, key=lambda n: n.rank))
        seen.add(way[-1].candidate_id)
    lines = []
    for before, node in zip([None, *reversed(way[1:])], reversed(way), strict=False):
        gain = ""
        if before is not None and before.latency_us and node.latency_us:
            gain = f", {before.latency_us / node.latency_us:.3g}x"
        said = one_line(node.hypothesis, WORDS)
        lines.append(f"- {number(node.latency_us or 0)} us{gain}: {said} ({node.candidate_id})")
    return lines[-MOST_STEPS:]


def _techniques(nodes: Sequence[Node], *, faster: bool) -> list[str]:
    """Techniques with how often they won and lost; those that never won are told apart."""
    tags: dict[str, list[Node]] = {}
    for node in nodes:
        for tag in node.technique:
            tags.setdefault(tag, []).append(node)
    lines = []
    for tag, tried in sorted(tags.items(), key=lambda pair: -len(pair[1])):
        counts = Counter(node.outcome for node in tried)
        won = counts[CandidateStatus.FASTER]
        lost = counts[CandidateStatus.SLOWER] + counts[CandidateStatus.FAILED]
        if bool(won) is not faster or not won + lost:
            continue
        first = CandidateStatus.FASTER if faster else CandidateStatus.SLOWER
        shown = sorted(tried, key=lambda node: (node.outcome is not first, node.rank))[:3]
        words = ", ".join(f"{n} {outcome}" for outcome, n in counts.most_common())
        lines.append(f"- {tag}: {words} ({', '.join(n.candidate_id for n in shown)})")
    return lines


def _failures(nodes: Sequence[Node]) -> list[str]:
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        if node.failed:
            groups.setdefault(node.error_signature or node.status, []).append(node)
    ordered = sorted(groups.values(), key=lambda group: -len(group))[:MOST_FAILURES]
    return [
        f"- {len(group)} times: {one_line(group[-1].failure or group[-1].status, WORDS)} "
        f"({', '.join(n.candidate_id for n in group[-3:])})"
        for group in ordered
    ]


def _edits(nodes: Sequence[Node]) -> list[str]:
    """What the built-in agent saw of single changes, the most telling first."""
    lines: dict[tuple[EditOutcome, ...], str] = {}
    for node in nodes:
        for line in outcome_lines([node.lesson, *node.notes]):
            lines.setdefault(line, node.candidate_id)
    seen: dict[str, list[tuple[EditOutcome, str]]] = {}
    for line, candidate in lines.items():
        for outcome in line:
            seen.setdefault(outcome.label, []).append((outcome, candidate))
    rated = []
    for label, found in seen.items():
        gains = [math.log(o.gain) for o, _ in found if o.gain]
        if gains:
            rated.append((sum(gains) / len(gains), len(gains), label, found))
    rated.sort(key=lambda entry: -abs(entry[0]))
    return [
        f"- `{label}`: {math.exp(mean):.3g}x on average of {count} "
        f"({', '.join(dict.fromkeys(name for _, name in found[-3:]))})"
        for mean, count, label, found in rated[:MOST_EDITS]
    ]


def _borne_out(states: Sequence[SearchState]) -> list[str]:
    return list(dict.fromkeys(line for state in states for line in state.lessons))


def _forecasts(archive: Archive, definition: str) -> list[str]:
    report = forecast_report(archive, definition)
    return [f"- {found.label}: {found.words}" for found in (*report.agents, *report.techniques)]
