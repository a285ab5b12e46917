"""Contents of the site's pages as plain values: boards, tree, diff lines. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...schema.measurement import TimeSource
from ..store.entry import CandidateStatus, Node
from ..store.promotion_tags import PromotionEvent, promotion_stacks

TREE_ROWS = 3_000
TO_VERIFY = "on claimed times: promote_candidate verifies it again"
"""What is said of a best that was promoted before its times were sealed."""


@dataclass(frozen=True)
class Board:
    """An operator's candidates on one device, sealed latencies before claimed, the least first.

    `best` is the promoted candidate, or the first while none is.
    """

    definition: str
    device: str
    rows: Sequence[Node]
    timed: int
    best: str | None
    promoted: bool


@dataclass(frozen=True)
class TreeRow:
    """One line of the search tree; `depth` counts the branchings above it.

    Attributes:
        parent: named when it is not on the line before.
        others: further parents of a crossover.
    """

    node: Node
    depth: int
    parent: str | None = None
    others: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Tally:
    """Counts of candidates by outcome."""

    total: int
    outcomes: Mapping[str, int]

    def count(self, *names: str) -> int:
        """How many candidates had one of these outcomes."""
        return sum(self.outcomes.get(name, 0) for name in names)


def tally(nodes: Sequence[Node]) -> Tally:
    """Counts outcomes."""
    return Tally(len(nodes), Counter(str(node.outcome) for node in nodes))


def boards(nodes: Sequence[Node], current_promotions: Mapping[tuple[str, str], str]) -> list[Board]:
    """One board for each operator and device on which something was timed."""
    groups: dict[tuple[str, str], list[Node]] = {}
    for node in nodes:
        if node.latency_us is not None:
            groups.setdefault((node.definition, node.hardware), []).append(node)
    found = []
    for (definition, device), group in sorted(groups.items()):
        rows = sorted(group, key=lambda n: (n.rank, n.at))
        promoted = current_promotions.get((definition, device))
        found.append(
            Board(
                definition,
                device,
                rows,
                len(group),
                promoted or rows[0].candidate_id,
                promoted is not None,
            )
        )
    return found


def current_promotions(events: Sequence[PromotionEvent]) -> dict[tuple[str, str], str]:
    """Ids of the candidates promoted now, by definition and device, from the tags alone."""
    return {key: stack[-1].candidate_id for key, stack in promotion_stacks(events).items()}


def claimed_promotions(events: Sequence[PromotionEvent]) -> set[str]:
    """Ids of the bests that were promoted on claimed times and not verified again since."""
    now = (stack[-1] for stack in promotion_stacks(events).values())
    return {e.candidate_id for e in now if e.kind == "promoted" and e.clock != TimeSource.SEALED}


def tree_rows(nodes: Sequence[Node], limit: int = TREE_ROWS) -> list[TreeRow]:
    """The search tree line by line: side branches indented, the best line kept straight.

    A crossover stands under its first parent. With more than `limit` candidates the newest are
    shown, their oldest ancestors cut off.
    """
    shown = sorted(nodes, key=lambda n: (n.at, n.candidate_id))[-limit:]
    known = {node.candidate_id for node in shown}
    children: dict[str, list[Node]] = {}
    roots: list[Node] = []
    for node in shown:
        above = [parent for parent in node.parents if parent in known]
        if above:
            children.setdefault(above[0], []).append(node)
        else:
            roots.append(node)
    value = _subtree_best(shown, children)
    rows: list[TreeRow] = []
    stack = [(root, 0) for root in reversed(roots)]
    while stack:
        node, depth = stack.pop()
        born = sorted(children.get(node.candidate_id, ()), key=lambda n: value[n.candidate_id])
        above = [parent for parent in node.parents if parent in known]
        before = rows[-1].node.candidate_id if rows else None
        rows.append(
            TreeRow(
                node, depth, above[0] if above and above[0] != before else None, node.parents[1:]
            )
        )
        if born:
            main, *side = born
            stack.append((main, depth))
            stack += [(n, depth + 1) for n in sorted(side, key=lambda n: n.at, reverse=True)]
    return rows


def _subtree_best(
    shown: Sequence[Node], children: Mapping[str, Sequence[Node]]
) -> dict[str, tuple[tuple[bool, bool, float], int]]:
    """Per candidate, the best `rank` in its subtree and minus the subtree's size."""
    value: dict[str, tuple[tuple[bool, bool, float], int]] = {}
    order: list[str] = []
    rank = {n.candidate_id: n.rank for n in shown}
    born = {child.candidate_id for group in children.values() for child in group}
    stack = [n.candidate_id for n in shown if n.candidate_id not in born]
    while stack:
        name = stack.pop()
        order.append(name)
        stack += [child.candidate_id for child in children.get(name, ())]
    for name in reversed(order):
        below = [value[child.candidate_id] for child in children.get(name, ())]
        least = min([rank[name], *(b[0] for b in below)])
        value[name] = (least, -1 + sum(b[1] for b in below))
    return value


def diff_lines(diff: str, limit: int = 1_500) -> list[tuple[str, str]]:
    """Kind ("add", "del", "hunk", "file" or "") and text of each line of a unified diff."""
    found = []
    for line in diff.splitlines()[:limit]:
        if line.startswith(("index ", "diff --git", "similarity", "rename", "new file", "deleted")):
            continue
        if line.startswith(("+++", "---")):
            kind = "file"
        elif line.startswith("@@"):
            kind = "hunk"
        else:
            kind = {"+": "add", "-": "del"}.get(line[:1], "")
        found.append((kind, line))
    return found


def failures(nodes: Sequence[Node]) -> list[Node]:
    """Candidates that failed or were left undecided by an infrastructure fault, newest first.

    One that was right as far as it ran is undecided, too, and failed nowhere.
    """
    failed, undecided = CandidateStatus.FAILED, CandidateStatus.UNDECIDED
    bad = [n for n in nodes if n.outcome is failed or (n.outcome is undecided and n.failure)]
    return sorted(bad, key=lambda n: -n.at)
