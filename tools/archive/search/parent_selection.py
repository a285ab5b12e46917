"""Selects the candidate to expand next: four seeded policies that explain their choice.

Pure once the tree is read. After STARK (arXiv 2510.16996): epsilon-greedy with root throttling,
dead-branch pruning and leaf-biased exploration; beside it best-first, a tournament over a
quality-diversity grid (technique × regime, as MAP-Elites) and UCB1. Candidates rank by latency on
one device, sealed latencies before claimed ones, never by speedup; infrastructure faults count
neither for nor against.
"""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import RequestError, unknown_name
from ...schema.measurement import TimeSource
from ..store.archive import Archive
from ..store.entry import CandidateStatus
from ..store.index import Index

EPSILON = 0.35
ROOT_CHILDREN = 5
FAILING_CHILDREN = 3
LEAF_WEIGHT = 3.0
FAILED_WEIGHT = 0.5
TOURNAMENT_CELLS = 4
EXPLORATION = 0.7
ALTERNATIVES = 3


@dataclass(frozen=True)
class TreeNode:
    """Facts of one candidate for a policy.

    Attributes:
        latency_us: on the device whose latencies rank.
        claimed: the latency was told by the candidate's own process.
        elite: regime to latency in microseconds.
    """

    candidate_id: str
    outcome: CandidateStatus
    latency_us: float | None
    at: int
    parents: tuple[str, ...] = ()
    technique: tuple[str, ...] = ()
    elite: Mapping[str, float] = field(default_factory=dict)
    claimed: bool = False


@dataclass(frozen=True)
class Alternative:
    """A candidate that was not chosen, and the argument for it."""

    candidate_id: str
    why: str


@dataclass(frozen=True)
class Selection:
    """The candidate to expand next.

    Attributes:
        role: "plan" to improve it, "debug" when it failed and is to be fixed.
        seed: give it again with the same archive and get the same choice.
        pruned: how many candidates were out of the question, and throttled or dead.
    """

    candidate_id: str
    why: str
    alternatives: tuple[Alternative, ...]
    policy: str
    seed: int
    role: str = "plan"
    pruned: int = 0


@dataclass(frozen=True)
class Tree:
    """The candidates that may be expanded, best first, and their children's outcomes."""

    nodes: Sequence[TreeNode]
    open: Sequence[TreeNode]
    children: Mapping[str, Sequence[TreeNode]]

    def describe(self, node: TreeNode) -> str:
        """A candidate in a few words: latency, outcome, children."""
        born = self.children.get(node.candidate_id, ())
        time = str(node.outcome)
        if node.latency_us is not None:
            time = f"{node.latency_us:.4g} us" + (" claimed" if node.claimed else "")
        failed = sum(child.outcome is CandidateStatus.FAILED for child in born)
        return f"{time}, {len(born)} children" + (f", {failed} failed" if failed else "")


Chooser = Callable[[Tree, random.Random], tuple[TreeNode, str]]


def grow(nodes: Sequence[TreeNode]) -> Tree:
    """Sorts the candidates and leaves out those that must not be expanded."""
    known = {node.candidate_id for node in nodes}
    children: dict[str, list[TreeNode]] = {}
    for node in nodes:
        for parent in node.parents:
            children.setdefault(parent, []).append(node)
    allowed = [n for n in nodes if _expandable(n, children.get(n.candidate_id, ()), known)]
    if not allowed:
        allowed = [n for n in nodes if n.outcome is not CandidateStatus.FAILED] or list(nodes)
    return Tree(nodes, sorted(allowed, key=_rank), children)


def _rank(node: TreeNode) -> tuple[bool, bool, bool, float, int, str]:
    untimed = node.latency_us is None
    failed = node.outcome in (CandidateStatus.FAILED, CandidateStatus.UNDECIDED)
    return failed, untimed, node.claimed, node.latency_us or 0.0, -node.at, node.candidate_id


def _expandable(node: TreeNode, children: Sequence[TreeNode], known: set[str]) -> bool:
    if node.outcome is CandidateStatus.UNDECIDED:
        return False
    is_root = not any(parent in known for parent in node.parents)
    if is_root and len(children) >= ROOT_CHILDREN:
        return False
    decided = [c for c in children if c.outcome is not CandidateStatus.UNDECIDED]
    failing = sum(child.outcome is CandidateStatus.FAILED for child in decided)
    return failing < FAILING_CHILDREN or failing < len(decided)


def _epsilon_greedy(tree: Tree, rng: random.Random) -> tuple[TreeNode, str]:
    roll = rng.random()
    if roll >= EPSILON:
        best = tree.open[0]
        return best, f"exploits (drew {roll:.2f} ≥ ε {EPSILON}): the best, {tree.describe(best)}"
    weights = []
    for node in tree.open:
        leaf = LEAF_WEIGHT if node.candidate_id not in tree.children else 1.0
        weights.append(leaf * (FAILED_WEIGHT if node.outcome is CandidateStatus.FAILED else 1.0))
    found = rng.choices(tree.open, weights)[0]
    kind = "leaf" if found.candidate_id not in tree.children else "inner node"
    return found, f"explores (drew {roll:.2f} < ε {EPSILON}): a {kind}, {tree.describe(found)}"


def _best_first(tree: Tree, rng: random.Random) -> tuple[TreeNode, str]:
    best = tree.open[0]
    return best, (
        f"the least latency of all that may be expanded, sealed before claimed:"
        f" {tree.describe(best)}"
    )


def _tournament(tree: Tree, rng: random.Random) -> tuple[TreeNode, str]:
    cells: dict[tuple[str, str], TreeNode] = {}
    records: dict[str, float] = {}
    for regime in {regime for node in tree.open for regime in node.elite}:
        timed = [node for node in tree.open if regime in node.elite]
        timed.sort(key=lambda node: (node.claimed, node.elite[regime]))
        records[regime] = timed[0].elite[regime]
        for node in timed:
            for tag in node.technique or ("untagged",):
                cells.setdefault((tag, regime), node)
    if not cells:
        best, why = _best_first(tree, rng)
        return best, f"no cell is filled, so {why}"
    drawn = rng.sample(sorted(cells), min(TOURNAMENT_CELLS, (len(cells) + 1) // 2))

    def share(cell: tuple[str, str]) -> float:
        return records[cell[1]] / cells[cell].elite[cell[1]]

    def strength(cell: tuple[str, str]) -> tuple[bool, float, int, tuple[str, str]]:
        node = cells[cell]
        return node.claimed, -share(cell), len(tree.children.get(node.candidate_id, ())), cell

    won = min(drawn, key=strength)
    node = cells[won]
    return node, (
        f"won {len(drawn)} of {len(cells)} cells: best {won[0]!r} in regime {won[1]!r} at"
        f" {node.elite[won[1]]:.4g} us{' claimed' if node.claimed else ''},"
        f" {share(won):.0%} of that regime's record"
    )


def _ucb(tree: Tree, rng: random.Random) -> tuple[TreeNode, str]:
    timed = [node for node in tree.open if node.latency_us is not None]
    sealed = [node for node in timed if not node.claimed]
    latencies = [node.latency_us for node in sealed or timed if node.latency_us is not None]
    best, worst = min(latencies, default=None), max(latencies, default=None)
    total = max(1, len(tree.nodes))

    def bound(node: TreeNode) -> float:
        tries = 1 + len(tree.children.get(node.candidate_id, ()))
        failed = node.outcome is CandidateStatus.FAILED
        value = 0.0 if failed else 0.5
        if best is not None and worst is not None and node.latency_us is not None:
            # Beside sealed latencies a claimed one counts as the slowest of them at most.
            held = worst if sealed and node.claimed else 0.0
            value = best / max(node.latency_us, held)
        return value + EXPLORATION * math.sqrt(math.log(total) / tries)

    bounds = [bound(node) for node in tree.open]
    top = max(bounds)
    ties = [n for n, b in zip(tree.open, bounds, strict=True) if b >= top - 1e-12]
    found = rng.choice(ties)
    return found, f"highest upper bound {top:.3f} (share of the best + exploration): " + (
        tree.describe(found)
    )


POLICIES: Mapping[str, Chooser] = {
    "epsilon_greedy": _epsilon_greedy,
    "best_first": _best_first,
    "tournament": _tournament,
    "ucb": _ucb,
}


def choose(nodes: Sequence[TreeNode], policy: str, seed: int) -> Selection:
    """Chooses one of the candidates; the same nodes, policy and seed give the same choice.

    Raises:
        RequestError: when the policy is unknown or there is nothing to choose from.
    """
    if policy not in POLICIES:
        raise unknown_name("policy", policy, POLICIES)
    if not nodes:
        raise RequestError(
            "There is no candidate to expand",
            where="select_parent",
            remedy="Evaluate and archive a baseline (a peer or the template) first.",
        )
    tree = grow(nodes)
    found, why = POLICIES[policy](tree, random.Random(f"{policy}:{seed}"))
    others = [node for node in tree.open if node is not found][:ALTERNATIVES]
    return Selection(
        candidate_id=found.candidate_id,
        why=why,
        alternatives=tuple(Alternative(n.candidate_id, tree.describe(n)) for n in others),
        policy=policy,
        seed=seed,
        role="debug" if found.outcome is CandidateStatus.FAILED else "plan",
        pruned=len(nodes) - len(tree.open),
    )


def select_parent(
    archive: Archive,
    definition: str,
    policy: str = "epsilon_greedy",
    seed: int | None = None,
    hardware: str | None = None,
) -> Selection:
    """Chooses the candidate of an operator to expand next.

    Latencies of one device rank, by default the one timed most recently; a seed that is drawn is
    named in the answer.
    """
    chosen = secrets.randbelow(2**31) if seed is None else seed
    nodes = read_tree(archive, definition, hardware, grid=policy == "tournament")
    return choose(nodes, policy, chosen)


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
