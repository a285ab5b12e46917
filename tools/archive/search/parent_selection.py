"""Selects the node of a search tree to expand next, by one of the policies, and says why."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import unknown_name
from ...schema.measurement import TimeSource
from ..store.archive import Archive
from ..store.entry import CandidateStatus
from ..store.index import Index
from .policies import POLICIES
from .tree import SearchRules, TreeNode, grow

ALTERNATIVES = 3
PLAN, DEBUG, SINGLE = "plan", "debug", "single"


@dataclass(frozen=True)
class Alternative:
    """A node that was not chosen, and the argument for it."""

    candidate_id: str
    why: str


@dataclass(frozen=True)
class Selection:
    """The node to expand next.

    Attributes:
        candidate_id: "reference" for the root: begin from the definition itself.
        role: "plan" to improve it, "debug" when it failed and is to be fixed, "single" where the
            policy has one agent do all.
        seed: give it again with the same archive and get the same choice.
        pruned: how many candidates were out of the question, and throttled or dead.
    """

    candidate_id: str
    why: str
    alternatives: tuple[Alternative, ...]
    policy: str
    seed: int
    role: str = PLAN
    pruned: int = 0


def choose(
    nodes: Sequence[TreeNode], policy: str, seed: int, rules: SearchRules | None = None
) -> Selection:
    """Chooses the root or a candidate; the same nodes, policy, seed and rules give the same choice.

    Raises:
        RequestError: when the policy is unknown.
    """
    if policy not in POLICIES:
        raise unknown_name("policy", policy, POLICIES)
    tree, chosen = grow(nodes, rules), POLICIES[policy]
    found, why = chosen.choose(tree, random.Random(f"{policy}:{seed}"))
    others = [node for node in tree.open if node is not found][:ALTERNATIVES]
    return Selection(
        candidate_id=found.candidate_id,
        why=why,
        alternatives=tuple(Alternative(n.candidate_id, tree.describe(n)) for n in others),
        policy=policy,
        seed=seed,
        role=SINGLE if chosen.single else DEBUG if found.failed else PLAN,
        pruned=len(tree.nodes) - len(tree.open),
    )


def select_parent(
    archive: Archive,
    definition: str,
    policy: str = "epsilon_greedy",
    seed: int | None = None,
    hardware: str | None = None,
    rules: SearchRules | None = None,
) -> Selection:
    """Chooses the node of an operator's search tree to expand next.

    Latencies of one device rank, by default the one timed most recently; a seed that is drawn is
    named in the answer.
    """
    chosen = secrets.randbelow(2**31) if seed is None else seed
    nodes = read_tree(archive, definition, hardware, grid=policy == "tournament")
    return choose(nodes, policy, chosen, rules)


def read_tree(
    archive: Archive, definition: str, hardware: str | None = None, *, grid: bool = True
) -> list[TreeNode]:
    """Reads an operator's candidates from the index: no commit is read.

    A latency of another device is left out, so that it can neither win nor lose. `grid` adds
    techniques and regimes, which only the tournament needs.
    """
    index = archive.synced.current()
    rows = index.rows(
        "SELECT seq, id, outcome, latency_us, at, hardware, clock FROM candidates"
        " WHERE definition = ? ORDER BY at, id",
        [definition],
    )
    device = hardware or next((row[5] for row in reversed(rows) if row[3] is not None), "")
    parents: dict[str, list[str]] = {}
    for child, parent in index.rows(
        "SELECT child, parent FROM edges WHERE definition = ?", [definition]
    ):
        parents.setdefault(child, []).append(parent)
    tags, elites = _grid(index, definition, device) if grid else ({}, {})
    return [
        TreeNode(
            candidate_id=name,
            outcome=CandidateStatus(outcome),
            latency_us=latency if on == device else None,
            at=at,
            parents=tuple(parents.get(name, ())),
            technique=tuple(tags.get(seq, ())),
            elite=elites.get(seq, {}),
            claimed=clock == TimeSource.CLAIMED,
        )
        for seq, name, outcome, latency, at, on, clock in rows
    ]


def _grid(
    index: Index, definition: str, device: str
) -> tuple[dict[int, list[str]], dict[int, dict[str, float]]]:
    """Techniques, and latency by regime on the device, by row of the index."""
    tags: dict[int, list[str]] = {}
    for seq, label in index.rows(
        "SELECT l.seq, l.label FROM labels l JOIN candidates c ON c.seq = l.seq"
        " WHERE l.kind = 'technique' AND c.definition = ?",
        [definition],
    ):
        tags.setdefault(seq, []).append(label)
    elites: dict[int, dict[str, float]] = {}
    for seq, name, latency in index.rows(
        "SELECT r.seq, r.name, r.latency_us FROM regimes r JOIN candidates c ON c.seq = r.seq"
        " WHERE c.definition = ? AND c.hardware = ? AND r.latency_us IS NOT NULL",
        [definition, device],
    ):
        elites.setdefault(seq, {})[name] = latency
    return tags, elites
