"""What trials weigh, and which of them go by rule; a candidate never does.

A trial whose evaluation is archived goes: its candidate holds the same bytes and the same record.
Of those older than some days the failed ones go, and those whose bytes another evaluation archived;
the others only while trials weigh too much, the oldest first. What a trial that stays, a
workspace or a plan began from stays, and so does the fastest of each operator and device. Where git
has lost something, no trial goes for its weight or because something else has its bytes, and
nothing leaves the disk.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ....schema.evaluation import UNFAILED
from ...git.commands import TRANSFER_DEADLINE_S
from ...git.damage import damaged_refs
from .table import ARCHIVED, OPEN, TRIALS, UNVERIFIED, TrialRow

if TYPE_CHECKING:
    from ..archive import Archive

DAY_S = 86_400
UNREACHABLE_SINCE = "2.days.ago"
"""Objects that nothing names are removed when they are older: a writer may be about to name one."""


@dataclass(frozen=True)
class TidyRules:
    """When trials go.

    Attributes:
        days: younger ones stay.
        megabytes: what trials may weigh beside the candidates.
    """

    days: float = 30.0
    megabytes: float = 1_024.0


class Reason(StrEnum):
    """Why a trial goes."""

    SAME = "evaluations that are archived"
    FAILED = "failures that are old"
    OTHER = "old, of bytes that another evaluation archived"
    WEIGHT = "the oldest, for trials weigh too much"


_IN_ANOTHER = (Reason.SAME, Reason.OTHER)
"""Reasons that are none where the other one may be damaged."""


@dataclass(frozen=True)
class Tidied:
    """What trials weighed, and what became of them.

    Attributes:
        counts: trials by state: open, archived, unverified.
        weight: bytes on disk that only trials need; None where git has lost something.
        dropped: how many went, by the reason; with a dry run, would.
        packed: whether refs and objects were packed; False for a dry run.
        damaged: refs that lead to an object that git has lost.
    """

    counts: Counter[str]
    weight: int | None
    dropped: dict[Reason, list[str]] = field(default_factory=dict)
    packed: bool = False
    weight_after: int | None = None
    damaged: Sequence[str] = ()


def tidy(
    archive: Archive, rules: TidyRules, in_use: Collection[str] = (), *, dry_run: bool = False
) -> Tidied:
    """Drops trials by the rules and packs the archive; a dry run only says what would go.

    Args:
        in_use: names of candidates and trials that workspaces were opened from.
    """
    if not archive.repository.exists:
        return Tidied(Counter(), 0)
    trials = archive.trials.table.rows(tail="ORDER BY at DESC, name DESC")
    counts = Counter(trial.state for trial in trials)
    damaged = damaged_refs(archive.repository)
    weight = None if damaged else weight_of(archive)
    archived = {
        row[0]
        for row in archive.synced.current().rows(
            "SELECT evaluation_id FROM candidates WHERE status <> 'UNVERIFIED'"
        )
    }
    begun = {plan.record.parent for plan in archive.plans.of()}
    needed = begun.union(in_use)
    dropped: dict[Reason, list[str]] = {}
    going: list[TrialRow] = []
    for trial, reason in trials_to_drop(trials, archived, needed, rules, weight or 0, time.time()):
        if damaged and reason in _IN_ANOTHER:
            continue
        dropped.setdefault(reason, []).append(trial.name)
        going.append(trial)
    if dry_run:
        return Tidied(counts, weight, dropped, damaged=damaged)
    archive.trials.drop(going)
    since = UNREACHABLE_SINCE if going else None
    packed = not damaged and archive.repository.packing.pack(since)
    after = weight_of(archive) if going and not damaged else weight
    return Tidied(counts, weight, dropped, packed, after, damaged)


def trials_to_drop(
    trials: Sequence[TrialRow],
    archived: Collection[str],
    in_use: Collection[str],
    rules: TidyRules,
    weight: int,
    now: float,
) -> Iterator[tuple[TrialRow, Reason]]:
    """The trials that go, with the reason.

    Args:
        trials: the newest first.
        archived: evaluations that are archived.
        in_use: names that workspaces were opened from.
        weight: bytes that trials need now.
    """
    known = [trial for trial in trials if trial.state != UNVERIFIED]
    protected = {trial.name for trial in fastest(known)}
    needed = set(in_use)
    kept: list[TrialRow] = []
    for trial in known:
        reason = _reason(trial, archived, trial.name in needed | protected, rules, now)
        if reason is None:
            kept.append(trial)
            needed.add(trial.started_from)
        else:
            yield trial, reason
    each = weight / len(trials) if trials else 0.0
    excess = len(kept) * each - rules.megabytes * (1 << 20)
    for trial in reversed(kept):
        old = trial.at < now - rules.days * DAY_S
        if excess > 0 and old and trial.name not in needed | protected:
            excess -= each
            yield trial, Reason.WEIGHT


def _reason(
    trial: TrialRow, archived: Collection[str], protected: bool, rules: TidyRules, now: float
) -> Reason | None:
    if trial.name in archived:
        return Reason.SAME
    if protected or trial.at >= now - rules.days * DAY_S:
        return None
    if trial.state == ARCHIVED:
        return Reason.OTHER
    return None if trial.status in UNFAILED else Reason.FAILED


def fastest(trials: Sequence[TrialRow]) -> list[TrialRow]:
    """The open trial of least latency of each operator and device."""
    best: dict[tuple[str, str], TrialRow] = {}
    for trial in trials:
        if trial.state != OPEN or trial.latency_us is None:
            continue
        key = trial.definition, trial.hardware
        if key not in best or trial.latency_us < (best[key].latency_us or 0.0):
            best[key] = trial
    return list(best.values())


def weight_of(archive: Archive) -> int:
    """Bytes on disk of the objects that trials alone need."""
    of_trials = (f"--glob={TRIALS}/*", "--not", f"--exclude={TRIALS}/*", "--all")
    listed = archive.repository.run(
        "rev-list", "--disk-usage", "--objects", *of_trials, deadline_s=TRANSFER_DEADLINE_S
    )
    return int(listed or 0)
