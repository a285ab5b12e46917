"""Selects the node of a search tree to expand next, by one of the policies, and says why."""

from __future__ import annotations

import gc
import math
import random
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType

from ...errors import unknown_name
from ...schema.measurement import TimeSource
from ..store.archive import Archive
from ..store.entry import CandidateStatus
from ..store.index import Index
from ..store.plans.commits import StoredPlan
from ..store.trials.commits import TRIAL_NAME
from .policies import POLICIES
from .tree import ROOT, SearchRules, TreeNode, grow

ALTERNATIVES = 3
NO_LATENCIES: Mapping[str, float] = MappingProxyType({})
PLAN, CODE, DEBUG, SINGLE = "plan", "code", "debug", "single"
_CANDIDATE_ID = re.compile(r"[0-9a-f]{12}")


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
        role: "plan" to improve it, "code" to write an idea for it that is there, "debug" when it
            failed and is to be fixed, "single" where the policy has one agent do all.
        seed: give it again with the same archive and get the same choice.
        pruned: how many candidates were out of the question, and throttled or dead.
        plan: id of an idea for it that was told and nobody tried; the role is "code" then.
    """

    candidate_id: str
    why: str
    alternatives: tuple[Alternative, ...]
    policy: str
    seed: int
    role: str = PLAN
    pruned: int = 0
    plan: str = ""


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
    others = [node for node in tree.best(ALTERNATIVES + 1) if node is not found][:ALTERNATIVES]
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
    named in the answer. An idea for the node that was told and not tried comes with it.
    """
    chosen = secrets.randbelow(2**31) if seed is None else seed
    with _uncollected():
        nodes = read_tree(archive, definition, hardware, grid=policy == "tournament")
        selection = choose(nodes, policy, chosen, rules)
    if selection.role != PLAN or not (plans := archive.plans.untried(definition)):
        return selection
    known = {node.candidate_id for node in nodes}
    of_node = [plan for plan in plans if _place(plan, known) == selection.candidate_id]
    return with_open_idea(selection, of_node, time.time(), rules or SearchRules())


def with_open_idea(
    selection: Selection, plans: Sequence[StoredPlan], now: float, rules: SearchRules
) -> Selection:
    """The selection with the best of its node's untried plans, if any has rested long enough.

    The policy alone chooses the node: an idea that is there already spares planning another. The
    best is the one that gains most, weighted by its confidence; a younger one than the rules' rest
    is left to whoever told it, who is likely to be writing it.
    """
    if rules.plan_rest_s is None:
        return selection
    rested = [plan for plan in plans if now - plan.at >= rules.plan_rest_s]
    if not rested:
        return selection

    def promise(plan: StoredPlan) -> float:
        return plan.record.confidence * math.log(plan.record.expected_gain)

    best = max(rested, key=lambda plan: (promise(plan), -plan.at, plan.plan_id))
    words = f"plan {best.plan_id} for it was told and nobody tried it ({best.record.forecast})"
    return replace(selection, why=f"{selection.why}; {words}", role=CODE, plan=best.plan_id)


def _place(plan: StoredPlan, known: Set[str]) -> str | None:
    """The node that a plan is for: the root, unless it was begun from a candidate or a trial."""
    parent = plan.record.parent
    if parent in known:
        return parent
    return None if parent.startswith(TRIAL_NAME) or _CANDIDATE_ID.fullmatch(parent) else ROOT


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keeps Python's collector of cycles off what is made here: a large tree holds none.

    It would go through all of a hundred thousand nodes again and again while they are made.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def read_tree(
    archive: Archive, definition: str, hardware: str | None = None, *, grid: bool = True
) -> list[TreeNode]:
    """Reads an operator's candidates from the index: no commit is read.

    A latency of another device is left out, so that it can neither win nor lose. `grid` adds
    techniques and regimes, which only the tournament needs.
    """
    index = archive.synced.current()
    device = hardware or next(
        (
            row[0]
            for row in index.rows(
                "SELECT hardware FROM candidates WHERE definition = ? AND latency_us IS NOT NULL"
                " ORDER BY at DESC, id DESC LIMIT 1",
                [definition],
            )
        ),
        "",
    )
    rows = index.rows(
        "SELECT seq, id, outcome, CASE WHEN hardware = ? THEN latency_us END, at, parents,"
        " clock = ? FROM candidates WHERE definition = ? ORDER BY at, id",
        [device, TimeSource.CLAIMED, definition],
    )
    tags, elites = _grid(index, definition, device) if grid else ({}, {})
    outcomes = {str(outcome): outcome for outcome in CandidateStatus}
    # By position: names would double the time of a tree of a hundred thousand.
    return [
        TreeNode(
            name,
            outcomes[outcome],
            latency,
            at,
            tuple(parents.split()),
            tuple(tags[seq]) if seq in tags else (),
            elites.get(seq, NO_LATENCIES),
            bool(claimed),
        )
        for seq, name, outcome, latency, at, parents, claimed in rows
    ]


def _grid(
    index: Index, definition: str, device: str
) -> tuple[dict[int, list[str]], dict[int, dict[str, float]]]:
    """Techniques, and latency by regime, of those that rank on the device, by row of the index."""
    ranked = "seq IN (SELECT seq FROM candidates WHERE definition = ? AND hardware = ?"
    ranked += " AND latency_us IS NOT NULL)"
    tags: dict[int, list[str]] = {}
    for seq, label in index.rows(
        f"SELECT seq, label FROM labels WHERE kind = 'technique' AND {ranked}",
        [definition, device],
    ):
        tags.setdefault(seq, []).append(label)
    elites: dict[int, dict[str, float]] = {}
    for seq, name, latency in index.rows(
        f"SELECT seq, name, latency_us FROM regimes WHERE latency_us IS NOT NULL AND {ranked}",
        [definition, device],
    ):
        elites.setdefault(seq, {})[name] = latency
    return tags, elites
