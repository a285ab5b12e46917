"""Advice after each candidate: plateaus, repeats, regressions and budgets.

`advise` is pure: newest candidates of one operator in, advice out; whoever asked decides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ...devices.noise_floor import LEAST_EFFECT_ACROSS_EVALUATIONS
from ..retrieval.directions import independent
from ..retrieval.transitions import introduced
from ..store.archive import Archive
from ..store.entry import CandidateStatus, Node

HISTORY = 60
"""Newest candidates that advice is drawn from."""
NEWEST_PLANS = 200
"""Newest plans that an agent's forecasts are judged by."""
PLATEAU_ROUNDS = 5
STREAK = 3
CYCLE_WINDOW = 8
CYCLE_REPEATS = 3


class AdviceKind(StrEnum):
    """Kinds of advice."""

    PLATEAU = "plateau"
    CYCLE = "cycle"
    REGRESSION = "regression_streak"
    FAILURES = "failure_streak"
    BUDGET = "budget"
    FORECAST = "forecast"


@dataclass(frozen=True)
class Advice:
    """One observation, what to do next, and ids of the candidates that it was seen in."""

    kind: AdviceKind
    words: str
    next_step: str
    evidence: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Budget:
    """Candidates and seconds of evaluation that one operator's search may use; None: no limit."""

    candidates: int | None = None
    seconds: float | None = None

    @classmethod
    def of_hours(cls, candidates: int | None, hours: float | None) -> Budget:
        """The budget as the settings have it."""
        return cls(candidates, None if hours is None else 3600 * hours)


@dataclass(frozen=True)
class Spent:
    """What the search of one operator has used."""

    candidates: int
    seconds: float


def advice_on(archive: Archive, definition: str, budget: Budget) -> tuple[Advice, ...]:
    """Advice on the search of one operator, from the index as it is."""
    index = archive.synced.index
    spent = Spent(*index.spent(definition)) if budget != Budget() else None
    return tuple(advise(index.newest(definition, HISTORY), budget, spent))


def advice_on_forecast(archive: Archive, node: Node) -> Advice | None:
    """What became of the forecast of a candidate's plan, and how its agent's are to be corrected.

    None for a candidate without a plan, and for one that did not decide it.
    """
    if not node.plan:
        return None
    # Most candidates have no plan: a server's start need not wait for the module.
    from .forecasts import agent_of, forecast_report

    report = forecast_report(archive, node.definition, NEWEST_PLANS)
    own = next((f for f in report.forecasts if f.plan.plan_id == node.plan), None)
    if own is None or not own.decided or own.candidate_id != node.candidate_id:
        return None
    agent = agent_of(own.plan)
    known = next((c for c in report.agents if c.label == agent), None)
    words = f"{own.plan.record.forecast} was forecast and {own.status}: {own.words}"
    correction = known.correction if known else ""
    if known and known.decided >= STREAK:
        words += f". Plans of {agent}: {known.words}"
    return Advice(
        AdviceKind.FORECAST,
        words,
        f"{correction or 'Record the next idea with record_plan before it is written'}.",
        (node.candidate_id,),
    )


def advise(
    history: Sequence[Node], budget: Budget | None = None, spent: Spent | None = None
) -> list[Advice]:
    """Draws advice from the newest candidates of one operator, oldest first.

    Infrastructure faults are ignored; `spent` is needed where `history` is not the whole search.
    """
    decided = [node for node in history if node.outcome is not CandidateStatus.UNDECIDED]
    found = [
        _plateau(decided),
        _cycle(decided),
        _failure_streak(decided),
        _regression_streak(decided),
        _budget(spent or _spent(history), budget or Budget()),
    ]
    return [advice for advice in found if advice is not None]


def rounds_without_gain(history: Sequence[Node]) -> tuple[int, float | None]:
    """Candidates since the running best last fell by more than the noise, and that best in µs.

    Only timed candidates of the newest timed one's device count as rounds; failures count too. The
    first sealed latency replaces a claimed best, however slow; a claimed one never a sealed best.
    """
    timed = [node for node in history if node.latency_us is not None]
    if not timed:
        return 0, None
    device = timed[-1].hardware
    best: float | None = None
    best_sealed = False
    since = 0
    for node in history:
        if node.hardware != device:
            continue
        latency, floor = node.latency_us, max(node.noise, LEAST_EFFECT_ACROSS_EVALUATIONS)
        if latency is not None and (
            best is None
            or (node.sealed and not best_sealed)
            or (node.sealed == best_sealed and math.log(best / latency) > floor)
        ):
            best, best_sealed, since = latency, node.sealed, 0
        else:
            since += 1
    return since, best


def _plateau(history: Sequence[Node]) -> Advice | None:
    rounds, best = rounds_without_gain(history)
    if best is None or rounds < PLATEAU_ROUNDS:
        return None
    steps = [
        "profile the best candidate again and change direction by its bottleneck",
        "widen: expand another branch with select_parent, or consult the peers",
        "change the language or the algorithm, or ask the human whether to go on",
    ]
    step = steps[min(rounds // PLATEAU_ROUNDS - 1, len(steps) - 1)]
    return Advice(
        AdviceKind.PLATEAU,
        f"{rounds} candidates since the best of {best:.4g} us fell by more than the noise",
        step[0].upper() + step[1:] + ".",
        tuple(node.candidate_id for node in history[-rounds:][-PLATEAU_ROUNDS:]),
    )


def _cycle(history: Sequence[Node]) -> Advice | None:
    if not history:
        return None
    newest = history[-1]
    same = [n for n in history[:-1] if n.normalised_hash == newest.normalised_hash]
    if same:
        return Advice(
            AdviceKind.CYCLE,
            f"The same program was archived before: {same[-1].outcome_words}",
            "Read that candidate's lesson; change something before evaluating again.",
            (same[-1].candidate_id, newest.candidate_id),
        )
    recent = history[-CYCLE_WINDOW:]
    by_id = {node.candidate_id: node for node in history}
    for tag in _introduced(newest, by_id):
        tried = [n for n in recent if tag in _introduced(n, by_id)]
        won = any(n.outcome is CandidateStatus.FASTER for n in tried)
        if not won and _attempts(tried) >= CYCLE_REPEATS:
            return Advice(
                AdviceKind.CYCLE,
                f"Technique {tag!r} was tried {len(tried)} times in the last {len(recent)}"
                " candidates and never made anything faster",
                "Search the archive for what is open, and try another technique.",
                tuple(n.candidate_id for n in tried),
            )
    return None


def _introduced(node: Node, by_id: Mapping[str, Node]) -> list[str]:
    """What a candidate tried that no parent of it had that was measured."""
    parents = [by_id[name] for name in node.parents if name in by_id]
    return introduced(node, [parent for parent in parents if parent.latency_us is not None])


def _attempts(tried: Sequence[Node]) -> int:
    """How often a technique was tried: repairs of one failure are one attempt."""
    failed = [node for node in tried if node.outcome is CandidateStatus.FAILED]
    repairs = [(node.candidate_id, parent) for node in failed for parent in node.parents]
    programs = {node.candidate_id: node.normalised_hash for node in failed}
    return len(tried) - len(failed) + independent(programs, repairs)


def _tail(history: Sequence[Node], outcome: CandidateStatus) -> list[Node]:
    tail: list[Node] = []
    for node in reversed(history):
        if node.outcome is not outcome:
            break
        tail.insert(0, node)
    return tail


def _failure_streak(history: Sequence[Node]) -> Advice | None:
    tail = _tail(history, CandidateStatus.FAILED)
    if len(tail) < STREAK:
        return None
    same = len({node.error_signature for node in tail}) == 1
    words = f"{len(tail)} candidates in a row failed" + (", all in the same way" if same else "")
    step = "Go back to the last candidate that passed (get_context with role debug)"
    return Advice(
        AdviceKind.FAILURES,
        words,
        f"{step} and change one thing; ask the human if the cause is unclear.",
        tuple(node.candidate_id for node in tail),
    )


def _regression_streak(history: Sequence[Node]) -> Advice | None:
    tail = _tail(history, CandidateStatus.SLOWER)
    if len(tail) < STREAK:
        return None
    return Advice(
        AdviceKind.REGRESSION,
        f"{len(tail)} candidates in a row were slower than their parents",
        "Profile the parent before writing again; the hypothesis may name the wrong bottleneck.",
        tuple(node.candidate_id for node in tail),
    )


def _spent(history: Sequence[Node]) -> Spent:
    return Spent(len(history), sum(node.seconds for node in history))


def _budget(spent: Spent, budget: Budget) -> Advice | None:
    shares = []
    if budget.candidates:
        share = spent.candidates / budget.candidates
        shares.append((share, f"{spent.candidates} of {budget.candidates} candidates"))
    if budget.seconds:
        share = spent.seconds / budget.seconds
        shares.append((share, f"{spent.seconds:.0f} of {budget.seconds:.0f} s of evaluations"))
    if not shares or max(shares)[0] < 0.8:
        return None
    share, words = max(shares)
    step = "Stop and report the best." if share >= 1 else "Spend the rest on the best branch."
    return Advice(AdviceKind.BUDGET, f"{share:.0%} of the budget is used: {words}", step)
