"""The context of a role: the candidates around one that it should see, never all.

After STARK (arXiv 2510.16996), for an agent outside: a planner sees the node, its root, its
children and the leaders of other subtrees; a writer the node, root, children and its siblings'
children; a debugger the node, root and siblings. Entries carry a diff, the outcome, an error
excerpt and the lesson, never whole files. Caps are in entries and in estimated tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ...errors import unknown_name
from ...text import one_line
from ..store.archive import Archive
from ..store.entry import Node
from ..store.index import SEALED_FIRST

CHARACTERS_PER_TOKEN = 3.5
LEADERS = 3


class Role(StrEnum):
    """Roles that a context can be made for."""

    PLAN = "plan"
    CODE = "code"
    DEBUG = "debug"


@dataclass(frozen=True)
class ContextLimits:
    """How much one window may hold."""

    nodes: int = 12
    tokens: int = 6_000
    diff_lines: int = 60


@dataclass(frozen=True)
class ContextEntry:
    """One candidate in the window.

    Attributes:
        relation: "node", "root", "child", "sibling", "sibling's child" or "leader".
        diff: against its first parent, cut; empty for a root.
        error: excerpt of its failure.
    """

    candidate_id: str
    relation: str
    outcome: str
    technique: tuple[str, ...]
    hypothesis: str
    lesson: str
    error: str
    diff: str


@dataclass(frozen=True)
class RoleContext:
    """A role's window; `omitted` counts what the caps left out."""

    role: Role
    candidate_id: str
    entries: tuple[ContextEntry, ...]
    omitted: int
    tokens: int


def get_context(
    archive: Archive, role: str, candidate_id: str, limits: ContextLimits | None = None
) -> RoleContext:
    """Collects a role's window around one candidate, which itself is always in it.

    Raises:
        RequestError: when the role or the candidate is unknown.
    """
    if role not in list(Role):
        raise unknown_name("role", role, list(Role))
    caps = limits or ContextLimits()
    node = archive.node(candidate_id)
    related = _related(archive, Role(role), node)
    entries: list[ContextEntry] = []
    used = 0
    for relation, found in related[: caps.nodes]:
        entry = _entry(archive, relation, found, caps)
        cost = _tokens(entry)
        if entries and used + cost > caps.tokens:
            entry = replace(entry, diff="")
            cost = _tokens(entry)
        if entries and used + cost > caps.tokens:
            break
        entries.append(entry)
        used += cost
    return RoleContext(
        Role(role), node.candidate_id, tuple(entries), len(related) - len(entries), used
    )


def _related(archive: Archive, role: Role, node: Node) -> list[tuple[str, Node]]:
    """The role's candidates, most relevant first, none twice."""
    found: list[tuple[str, Node]] = [("node", node)]
    root = _root(archive, node)
    found += [("root", root)] if root is not None else []
    siblings = _siblings(archive, node) if role is not Role.PLAN else []
    if role is not Role.DEBUG:
        found += [("child", child) for child in archive.children(node.candidate_id)]
    if role is Role.PLAN:
        found += [("leader", leader) for leader in _leaders(archive, node)]
    elif role is Role.CODE:
        nephews = [n for s in siblings for n in archive.children(s.candidate_id)]
        found += [("sibling's child", nephew) for nephew in _best_first(nephews)]
    else:
        found += [("sibling", sibling) for sibling in _best_first(siblings)]
    unique: dict[str, tuple[str, Node]] = {}
    for relation, other in found:
        unique.setdefault(other.candidate_id, (relation, other))
    return list(unique.values())


def _best_first(nodes: Sequence[Node]) -> list[Node]:
    return sorted(nodes, key=lambda n: (n.rank, -n.at))


def _root(archive: Archive, node: Node) -> Node | None:
    rows = archive.synced.index.rows(
        "WITH RECURSIVE up(id) AS (VALUES (?) UNION"
        " SELECT e.parent FROM edges e JOIN up ON e.child = up.id)"
        " SELECT c.id FROM up JOIN candidates c ON c.id = up.id WHERE up.id <> ? AND NOT EXISTS"
        " (SELECT 1 FROM edges e WHERE e.child = up.id) ORDER BY c.at LIMIT 1",
        [node.candidate_id, node.candidate_id],
    )
    return archive.nodes(rows[0][0])[0] if rows else None


def _siblings(archive: Archive, node: Node) -> list[Node]:
    born = [child for parent in node.parents for child in archive.children(parent)]
    return [child for child in born if child.candidate_id != node.candidate_id]


def _leaders(archive: Archive, node: Node) -> list[Node]:
    """The fastest candidates of the operator and device that do not descend from the node.

    Those with a sealed latency come before those with a claimed one.
    """
    rows = archive.synced.index.rows(
        "WITH RECURSIVE down(id) AS (VALUES (?) UNION"
        " SELECT e.child FROM edges e JOIN down ON e.parent = down.id)"
        " SELECT id FROM candidates WHERE definition = ? AND hardware = ? AND status = 'PASSED'"
        " AND latency_us IS NOT NULL AND id NOT IN down"
        f" ORDER BY {SEALED_FIRST}, latency_us LIMIT ?",
        [node.candidate_id, node.definition, node.hardware, LEADERS],
    )
    return archive.nodes(*(row[0] for row in rows))


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
        lesson=node.lesson,
        error=error,
        diff=diff,
    )


def _tokens(entry: ContextEntry) -> int:
    text = (entry.outcome, entry.hypothesis, entry.lesson, entry.error, entry.diff)
    words = sum(map(len, text)) + sum(map(len, entry.technique)) + 60
    return round(words / CHARACTERS_PER_TOKEN)
