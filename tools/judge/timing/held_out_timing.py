"""Compares the speed of candidate and baseline on held-out sizes; only the aggregate is told.

The processes are those of held-out cases: the one that checked them, and others of this timing's
own, which see no public case and whose output is discarded. No latency of a single size is kept,
since it would tell the size.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Protocol

from ...messages.candidate import BuildRequest
from ...schema.evaluation import Severity
from ...schema.measurement import TimeSource
from ..checks.failures import shielded_finding
from ..checks.workload_checks import Checking
from ..operators.operator_adapter import Case
from ..processes.candidate_process import CandidateSession
from ..replay.decision import DIFFERS
from ..trial_parts import TrialParts
from .paired_timing import PairedTiming
from .process_pairs import ProcessPairs
from .recorders import Recorders
from .samples import CLAIM
from .timed_calls import Timed

PAIRS = 16
HELD_OUT_DIFFERS = f"{DIFFERS} on a held-out size, where the candidate's own call is right"
HALF_WIDTH = 0.03
"""Of a single size's interval: the aggregate of several is narrower."""


class Processes(Protocol):
    """Starts and ends processes of the trial."""

    def spawn_for_timing(self, baseline: bool) -> tuple[CandidateSession, BuildRequest]:
        """A process to time calls in, and what it is to build."""
        ...

    def spawn_to_record(self, baseline: bool) -> tuple[CandidateSession, BuildRequest]:
        """A process that records calls, and what it is to build."""
        ...

    def end_with(self, *endings: Callable[[], None]) -> None:
        """Has functions called at the trial's end."""
        ...


@dataclass(frozen=True)
class HeldOutSpeed:
    """The speed on several held-out sizes.

    Args:
        ratio: geometric mean of baseline over candidate.
        claimed_because: why a candidate's process told some of the times; empty where none did.
    """

    timed: int
    ratio: float
    claimed_because: str = ""


class HeldOutTiming:
    """The timing of held-out sizes of one trial.

    Args:
        claim: why times cannot be sealed; None where they can.
    """

    def __init__(self, parts: TrialParts, processes: Processes, claim: str | None) -> None:
        numbers = {"blocks": 1, "max_pairs": PAIRS, "half_width": HALF_WIDTH, "warm_calls": 0}
        checks = parts.plan.checks.model_copy(update=numbers)
        plan = parts.plan.model_copy(update={"checks": checks})
        self._parts = replace(parts, plan=plan)
        self._processes = processes
        self._claim = claim
        self.replay_differs = False
        """Whether a size that is right when called is wrong when replayed."""

    def run(self, checking: Checking, end_others: Callable[[], None]) -> Timed | None:
        """Adds the speed to the result of the held-out checks; returns what failed meanwhile.

        Args:
            end_others: ends the runners of the public workloads, whose memory is needed here.
        """
        cases, checked = checking.held_out_to_time, checking.held_out_call
        parts, spawn = self._parts, self._processes.spawn_for_timing
        if not cases or checked is None or parts.plan.baseline is None:
            return None
        end_others()
        pairs = ProcessPairs(
            parts.plan, parts.context, parts.operator, parts.rng, spawn, saves_kernels=False
        )
        timing = PairedTiming(parts, self._recorders(cases), self._claim or CLAIM)
        self._processes.end_with(timing.close, pairs.close)
        results = list(timing.run(cases, checked, pairs).values())
        checking.findings += [
            shielded_finding(finding, cases[0])
            for finding in timing.findings
            if finding.severity is Severity.VIOLATION
        ]
        speed = aggregate(results)
        if speed is not None and checking.held_out is not None:
            fields = {
                "timed": speed.timed,
                "ratio": speed.ratio,
                "sealed": not speed.claimed_because,
                "claimed_because": speed.claimed_because,
            }
            checking.held_out = checking.held_out.model_copy(update=fields)
        self.replay_differs = any(map(_differs, results))
        return next((timed for timed in results if timed.failure is not None), None)

    def _recorders(self, cases: Sequence[Case]) -> Recorders | None:
        if self._claim is not None:
            return None
        recorders = Recorders(
            self._parts, self._processes.spawn_to_record, lambda session, baseline: None
        )
        self._processes.end_with(recorders.close)
        recorders.start(cases)
        return recorders


def _differs(timed: Timed) -> bool:
    reason = timed.measurement and timed.measurement.clock_reason
    return bool(reason and reason.startswith(DIFFERS))


def as_claimed(timed: Timed) -> Timed:
    """The same times, only claimed: plans of other sizes of the candidate are wrong."""
    changed = {"clock": TimeSource.CLAIMED, "clock_reason": HELD_OUT_DIFFERS}
    ours, base = timed.measurement, timed.baseline
    return replace(
        timed,
        measurement=ours and ours.model_copy(update=changed),
        baseline=base and base.model_copy(update=changed),
    )


def aggregate(results: Sequence[Timed]) -> HeldOutSpeed | None:
    """The speed on all sizes that were timed with both; None when one failed or none was."""
    logs: list[float] = []
    claims: list[str] = []
    for timed in results:
        if timed.failure is not None:
            return None
        ours, base = timed.measurement, timed.baseline
        if ours is None or base is None or not ours.ranked_ns or not base.ranked_ns:
            continue
        logs.append(math.log(max(median(base.ranked_ns), 1) / max(median(ours.ranked_ns), 1)))
        if TimeSource.CLAIMED in (ours.clock, base.clock):
            claims.append(_shielded(ours.clock_reason or base.clock_reason or CLAIM))
    if not logs:
        return None
    ratio = round(math.exp(sum(logs) / len(logs)), 4)
    return HeldOutSpeed(len(logs), ratio, next(iter(claims), ""))


def _shielded(reason: str) -> str:
    """How a reason begins: what follows can hold times, shapes or the candidate's own words."""
    who, _, rest = reason.partition(": ")
    begins = f"{who}: {rest.partition(': ')[0]}" if who == "baseline" else who
    return re.sub(r"[0-9]+", "#", begins)[:120]
