"""The search tree as STARK (arXiv 2510.16996) has it: one root, and who may be expanded.

Pure. The root is the operator's reference; a candidate that was derived from none hangs under it.
Infrastructure faults count neither for nor against, and are not expanded.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from ..store.entry import CandidateStatus

ROOT = "reference"
"""Stands for the id of the root, which is no candidate: the definition's PyTorch program."""


@dataclass(frozen=True)
class SearchRules:
    """The numbers of the search; as the paper has them unless set otherwise.

    Attributes:
        epsilon: share of choices that explore.
        root_children: with so many children the root is expanded no more.
        dead_children: with more children than these, all failing, a candidate is not, either.
        leaders: fastest distinct programs outside a candidate's subtree that its planner may see.
        window: how many children and leaders it does see.
        plan_rest_s: seconds after which a plan that nobody tried is offered; None: none ever is.
    """

    epsilon: float = 0.3
    root_children: int = 5
    dead_children: int = 3
    leaders: int = 2
    window: int = 5
    plan_rest_s: float | None = 1_800.0


class TreeNode(NamedTuple):
    """Facts of one candidate for a policy; a tuple, for a large tree has a hundred thousand.

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
    elite: Mapping[str, float] = MappingProxyType({})
    claimed: bool = False

    @property
    def failed(self) -> bool:
        """Whether it was judged and found wrong."""
        return self.outcome is CandidateStatus.FAILED

    @property
    def decided(self) -> bool:
        """Whether it was judged at all."""
        return self.outcome is not CandidateStatus.UNDECIDED


_FAILED_OR_UNDECIDED = (CandidateStatus.FAILED, CandidateStatus.UNDECIDED)
THE_ROOT = TreeNode(ROOT, CandidateStatus.UNTIMED, None, at=0)


@dataclass(frozen=True)
class Tree:
    """The root and all candidates, those of them that may be expanded, and the children of each."""

    nodes: Sequence[TreeNode]
    open: Sequence[TreeNode]
    children: Mapping[str, Sequence[TreeNode]]
    rules: SearchRules = SearchRules()

    def born(self, node: TreeNode) -> Sequence[TreeNode]:
        """The children of a node."""
        return self.children.get(node.candidate_id, ())

    def best(self, count: int) -> list[TreeNode]:
        """The best of those that may be expanded, the very best first."""
        return heapq.nsmallest(count, self.open, key=rank)

    @property
    def open_leaves(self) -> list[TreeNode]:
        """Those that may be expanded and were not yet."""
        return [node for node in self.open if not self.born(node)]

    def describe(self, node: TreeNode) -> str:
        """A node in a few words: latency, outcome, children."""
        born = self.born(node)
        time = "the reference" if node is THE_ROOT else str(node.outcome)
        if node.latency_us is not None:
            time = f"{node.latency_us:.4g} us" + (" claimed" if node.claimed else "")
        failed = sum(child.failed for child in born)
        children = f"{len(born)} child{'' if len(born) == 1 else 'ren'}"
        return f"{time}, {children}" + (f", {failed} of them failed" if failed else "")


def grow(nodes: Sequence[TreeNode], rules: SearchRules | None = None) -> Tree:
    """Hangs the candidates under the root and leaves out those that must not be expanded.

    Where that is all of them, every one that has not failed may be.
    """
    kept = rules or SearchRules()
    few = min(kept.root_children - 1, kept.dead_children)
    known = {node.candidate_id for node in nodes}
    children: dict[str, list[TreeNode]] = {}
    for node in nodes:
        hung = False
        for parent in node.parents:
            if parent in known:
                children.setdefault(parent, []).append(node)
                hung = True
        if not hung:
            children.setdefault(ROOT, []).append(node)
    every = [THE_ROOT, *nodes]
    undecided, none = CandidateStatus.UNDECIDED, ()
    # Most have few children, and need no look at them.
    allowed = [
        n
        for n in every
        if n.outcome is not undecided
        and (len(born := children.get(n.candidate_id, none)) <= few or _expandable(n, born, kept))
    ]
    if not allowed:
        allowed = [node for node in every if node.decided and not node.failed]
    return Tree(every, allowed, children, kept)


def rank(node: TreeNode) -> tuple[bool, bool, bool, float, int, str]:
    """Orders candidates: the best, by latency, first; the root after all that are timed."""
    name, outcome, latency, at, *_, claimed = node
    failed = outcome in _FAILED_OR_UNDECIDED
    return failed, latency is None, claimed, latency or 0.0, -at, name


def _expandable(node: TreeNode, children: Sequence[TreeNode], rules: SearchRules) -> bool:
    """Whether a node that was judged may have more children than these."""
    decided = [child for child in children if child.decided]
    if node is THE_ROOT:
        return len(decided) < rules.root_children
    return len(decided) <= rules.dead_children or not all(child.failed for child in decided)
