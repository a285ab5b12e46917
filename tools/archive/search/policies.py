"""The policies that choose among the nodes of a search tree; seeded, and each says why.

epsilon_greedy is STARK's search (arXiv 2510.16996); best_of_k, reflexion, search_only and
multi_agent_only are what the paper compares it to, and what is left of it with one half taken away.
Beside them best-first, a tournament over a quality-diversity grid (technique × regime, as
MAP-Elites), UCB1 over candidates and MCTS over subtrees. Candidates rank by latency on one device,
sealed latencies before claimed ones, never by speedup.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .tree import ROOT, THE_ROOT, Tree, TreeNode

TOURNAMENT_CELLS = 4
EXPLORATION = 0.7
UNTIMED_VALUE = 0.5
"""What a candidate that passed untimed is worth, where the best is worth 1."""

Chooser = Callable[[Tree, random.Random], tuple[TreeNode, str]]


@dataclass(frozen=True)
class SearchPolicy:
    """How the next node is chosen.

    Attributes:
        single: one agent plans, writes and fixes, and sees no more than the node and the root.
    """

    choose: Chooser
    single: bool = False


def _epsilon_greedy(tree: Tree, rng: random.Random) -> tuple[TreeNode, str]:
    roll, epsilon = rng.random(), tree.rules.epsilon
    if roll >= epsilon:
        (best,) = tree.best(1)
        return best, f"the best ({_drawn(roll, epsilon)}): {tree.describe(best)}"
    leaves = tree.open_leaves
    found = rng.choice(leaves or tree.open)
    kind = "candidate without children" if leaves else "candidate, for all have children"
    why = f"explores: a {kind} ({_drawn(roll, epsilon)}): {tree.describe(found)}"
    return found, why


def _drawn(roll: float, epsilon: float) -> str:
    return f"drew {roll:.2f}, below {epsilon:g} it tries another"


def _best_first(tree: Tree, rng: random.Random) -> tuple[TreeNode, str]:
    (best,) = tree.best(1)
    return best, (
        f"the least latency of all that may be expanded, sealed before claimed:"
        f" {tree.describe(best)}"
    )


def _best_of_k(tree: Tree, rng: random.Random) -> tuple[TreeNode, str]:
    return THE_ROOT, f"every attempt begins anew: {tree.describe(THE_ROOT)}"


def _latest(tree: Tree, rng: random.Random) -> tuple[TreeNode, str]:
    decided = [node for node in tree.nodes if node.decided]
    newest = max(enumerate(decided), key=lambda pair: (pair[1].at, pair[0]))[1]
    return newest, f"goes on from the newest attempt: {tree.describe(newest)}"


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
        return node.claimed, -share(cell), len(tree.born(node)), cell

    won = min(drawn, key=strength)
    node = cells[won]
    return node, (
        f"won {len(drawn)} of {len(cells)} cells: best {won[0]!r} in regime {won[1]!r} at"
        f" {node.elite[won[1]]:.4g} us{' claimed' if node.claimed else ''},"
        f" {share(won):.0%} of that regime's record"
    )


def _values(tree: Tree) -> Callable[[TreeNode], float]:
    """What a node is worth: the best latency over its own; a failure nothing.

    Beside sealed latencies a claimed one counts as the slowest of them at most.
    """
    timed = [node for node in tree.nodes if node.latency_us is not None]
    sealed = [node for node in timed if not node.claimed]
    latencies = [node.latency_us for node in sealed or timed if node.latency_us is not None]
    best, worst = min(latencies, default=None), max(latencies, default=0.0)

    def value(node: TreeNode) -> float:
        if best is None or node.latency_us is None:
            return 0.0 if node.failed else UNTIMED_VALUE
        return best / max(node.latency_us, worst if sealed and node.claimed else 0.0)

    return value


def _ucb(tree: Tree, rng: random.Random) -> tuple[TreeNode, str]:
    value, total = _values(tree), max(1, len(tree.nodes))
    bounds = [
        value(node) + EXPLORATION * math.sqrt(math.log(total) / (1 + len(tree.born(node))))
        for node in tree.open
    ]
    top = max(bounds)
    ties = [n for n, b in zip(tree.open, bounds, strict=True) if b >= top - 1e-12]
    found = rng.choice(ties)
    return found, f"highest upper bound {top:.3f} (share of the best + exploration): " + (
        tree.describe(found)
    )


def _mcts(tree: Tree, rng: random.Random) -> tuple[TreeNode, str]:
    """Goes down from the root by UCT over subtrees, to one that has few children for its visits."""
    value, may = _values(tree), {node.candidate_id for node in tree.open}
    visits, sums = _subtrees(tree, value)
    node, depth = THE_ROOT, 0
    while True:
        seen = visits[node.candidate_id]
        born = [child for child in tree.born(node) if visits.get(child.candidate_id)]
        going = [child for child in born if child.candidate_id in may or tree.born(child)]
        if node.candidate_id in may and len(born) < math.ceil(math.sqrt(seen)):
            break
        if not going:
            break
        bounds = [
            sums[c.candidate_id] / visits[c.candidate_id]
            + EXPLORATION * math.sqrt(math.log(seen) / visits[c.candidate_id])
            for c in going
        ]
        top = max(bounds)
        ties = [c for c, bound in zip(going, bounds, strict=True) if bound >= top - 1e-12]
        node, depth = rng.choice(ties), depth + 1
    if node.candidate_id not in may:
        (node,) = tree.best(1)
        return node, f"the way down ends at a dead branch, so the best: {tree.describe(node)}"
    return node, (
        f"{depth} steps down by upper bounds of subtrees, {visits[node.candidate_id]} visits: "
        + tree.describe(node)
    )


def _subtrees(
    tree: Tree, value: Callable[[TreeNode], float]
) -> tuple[dict[str, int], dict[str, float]]:
    """Size and sum of values of each node's subtree; a crossover counts where it is met first.

    Of what hangs on no root, for two machines amended parents to a circle, nothing counts.
    """
    order, above = [THE_ROOT], {ROOT: ""}
    for node in order:  # grows while it is walked: parents first
        for child in tree.born(node):
            if child.candidate_id not in above:
                above[child.candidate_id] = node.candidate_id
                order.append(child)
    visits = {node.candidate_id: int(node.decided) for node in order}
    sums = {node.candidate_id: value(node) if node.decided else 0.0 for node in order}
    for node in reversed(order[1:]):
        name = node.candidate_id
        visits[above[name]] += visits[name]
        sums[above[name]] += sums[name]
    return visits, sums


POLICIES: Mapping[str, SearchPolicy] = {
    "epsilon_greedy": SearchPolicy(_epsilon_greedy),
    "best_first": SearchPolicy(_best_first),
    "tournament": SearchPolicy(_tournament),
    "ucb": SearchPolicy(_ucb),
    "mcts": SearchPolicy(_mcts),
    "best_of_k": SearchPolicy(_best_of_k, single=True),
    "reflexion": SearchPolicy(_latest, single=True),
    "search_only": SearchPolicy(_epsilon_greedy, single=True),
    "multi_agent_only": SearchPolicy(_latest),
}
