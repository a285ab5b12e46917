"""The context of a role: the candidates around one that it should see, never all.

After STARK (arXiv 2510.16996), for an agent outside. Everyone sees the node and the root, which is
the operator's reference, with its source. A planner sees of the children and of the fastest
distinct programs outside the subtree as many as the window has, drawn at random when there are more
(our reading of the paper's appendix B); a writer the children and its siblings' children; a
debugger the siblings; an agent that does all alone no more. Entries carry a diff, the outcome, an
error excerpt and the lesson, never whole files. Caps are in entries and in estimated tokens.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ...errors import unknown_name
from ...text import one_line
from ..store.archive import Archive
from ..store.entry import Node
from ..store.index import SEALED_FIRST
from .tree import ROOT, SearchRules

CHARACTERS_PER_TOKEN = 3.5


class Role(StrEnum):
    """Roles that a context can be made for."""

    PLAN = "plan"
    CODE = "code"
    DEBUG = "debug"
    SINGLE = "single"


@dataclass(frozen=True)
class ContextLimits:
    """How much one window may hold."""

    nodes: int = 12
    tokens: int = 6_000
    diff_lines: int = 60
    source_lines: int = 200


@dataclass(frozen=True)
class ContextEntry:
    """One candidate in the window.

    Attributes:
        relation: "node", "root", "child", "sibling", "sibling's child" or "leader".
        diff: against its first parent, cut; empty for one without.
        error: excerpt of its failure.
        source: of the root, cut; empty for a candidate.
    """

    candidate_id: str
    relation: str
    outcome: str
    technique: tuple[str, ...]
    hypothesis: str
    lesson: str
    error: str
    diff: str
    source: str = ""


@dataclass(frozen=True)
class RoleContext:
    """A role's window; `omitted` counts what the caps left out."""

    role: Role
    candidate_id: str
    entries: tuple[ContextEntry, ...]
    omitted: int
    tokens: int


def get_context(
    archive: Archive,
    role: str,
    candidate_id: str,
    limits: ContextLimits | None = None,
    *,
    reference: str = "",
    seed: int = 0,
    rules: SearchRules | None = None,
) -> RoleContext:
    """Collects a role's window around one candidate; itself and the root are always in it.

    Args:
        reference: source of the operator's reference; empty where it is not known.
        seed: of what a planner's window draws; the same archive and seed give the same window.

    Raises:
        RequestError: when the role or the candidate is unknown.
    """
    if role not in list(Role):
        raise unknown_name("role", role, list(Role))
    caps = limits or ContextLimits()
    node = archive.node(candidate_id)
    entries = [_entry(archive, "node", node, caps), _root_entry(reference, caps)]
    used = sum(map(_tokens, entries))
    related = _related(archive, Role(role), node, seed, rules or SearchRules())
    for relation, found in related[: max(0, caps.nodes - len(entries))]:
        entry = _entry(archive, relation, found, caps)
        cost = _tokens(entry)
        if used + cost > caps.tokens:
            entry = replace(entry, diff="")
            cost = _tokens(entry)
        if used + cost > caps.tokens:
            break
        entries.append(entry)
        used += cost
    omitted = len(related) + 2 - len(entries)
    return RoleContext(Role(role), node.candidate_id, tuple(entries), omitted, used)


def _related(
    archive: Archive, role: Role, node: Node, seed: int, rules: SearchRules
) -> list[tuple[str, Node]]:
    """The role's candidates beside the node, most relevant first, none twice."""
    children = [("child", child) for child in archive.children(node.candidate_id)]
    if role is Role.SINGLE:
        return []
    if role is Role.PLAN:
        found = [*children, *(("leader", n) for n in _leaders(archive, node, rules.leaders))]
        if len(found) > rules.window:
            rng = random.Random(f"{node.candidate_id}:{seed}")
            drawn = sorted(rng.sample(range(len(found)), rules.window))
            found = [found[place] for place in drawn]
        return found
    siblings = _siblings(archive, node)
    if role is Role.DEBUG:
        return [("sibling", sibling) for sibling in _best_first(siblings)]
    nephews = [n for s in siblings for n in archive.children(s.candidate_id)]
    found = [*children, *(("sibling's child", nephew) for nephew in _best_first(nephews))]
    unique: dict[str, tuple[str, Node]] = {}
    for relation, other in found:
        unique.setdefault(other.candidate_id, (relation, other))
    return list(unique.values())


def _best_first(nodes: Sequence[Node]) -> list[Node]:
    return sorted(nodes, key=lambda n: (n.rank, -n.at))


def _siblings(archive: Archive, node: Node) -> list[Node]:
    """Other children of its parents; of one without, the others that began at the root."""
    if node.parents:
        here = [parent.candidate_id for parent in archive.nodes(*node.parents)]
        born = [child for parent in here for child in archive.children(parent)]
    else:
        rows = archive.synced.index.rows(
            "SELECT id FROM candidates WHERE definition = ? AND NOT EXISTS"
            " (SELECT 1 FROM edges e WHERE e.child = id) ORDER BY at, id",
            [node.definition],
        )
        born = archive.nodes(*(row[0] for row in rows))
    others = {child.candidate_id: child for child in born}
    return [child for name, child in others.items() if name != node.candidate_id]


def _leaders(archive: Archive, node: Node, count: int) -> list[Node]:
    """The fastest distinct programs of the operator and device that do not descend from the node.

    Those with a sealed latency come before those with a claimed one.
    """
    rows = archive.synced.index.rows(
        "WITH RECURSIVE down(id) AS (VALUES (?) UNION"
        " SELECT e.child FROM edges e JOIN down ON e.parent = down.id)"
        " SELECT id FROM candidates WHERE definition = ? AND hardware = ? AND status = 'PASSED'"
        " AND latency_us IS NOT NULL AND id NOT IN down"
        f" ORDER BY {SEALED_FIRST}, latency_us",
        [node.candidate_id, node.definition, node.hardware],
    )
    found: dict[str, Node] = {}
    for (name,) in rows:
        if len(found) == count:
            break
        for leader in archive.nodes(name):
            found.setdefault(leader.normalised_hash, leader)
    return list(found.values())


def _root_entry(reference: str, caps: ContextLimits) -> ContextEntry:
    lines = reference.strip().splitlines()
    source = "\n".join(lines[: caps.source_lines])
    if len(lines) > caps.source_lines:
        source += f"\n… {len(lines) - caps.source_lines} more lines"
    words = "the operator's reference, where every search begins"
    return ContextEntry(ROOT, "root", words, (), "", "", "", "", source)


def _entry(archive: Archive, relation: str, node: Node, caps: ContextLimits) -> ContextEntry:
    error = ""
    if node.failure:
        failure = archive.get(node.candidate_id).evaluation.failure
        excerpt = one_line(failure.excerpt or "", 400) if failure else ""
        error = f"{node.failure} {excerpt}".strip()
    diff = ""
    if node.parents and archive.nodes(node.parents[0]):
        lines = archive.diff(node.parents[0], node.candidate_id).splitlines()
        diff = "\n".join(lines[: caps.diff_lines])
        if len(lines) > caps.diff_lines:
            diff += f"\n… {len(lines) - caps.diff_lines} more lines"
    time = f"{node.latency_words}; " if node.latency_us is not None else ""
    return ContextEntry(
        candidate_id=node.candidate_id,
        relation=relation,
        outcome=f"{node.outcome}: {time}{node.outcome_words}",
        technique=node.technique,
        hypothesis=node.hypothesis,
        lesson=" ".join(filter(None, [node.lesson, *node.notes])),
        error=error,
        diff=diff,
    )


def _tokens(entry: ContextEntry) -> int:
    text = (entry.outcome, entry.hypothesis, entry.lesson, entry.error, entry.diff, entry.source)
    words = sum(map(len, text)) + sum(map(len, entry.technique)) + 60
    return round(words / CHARACTERS_PER_TOKEN)
