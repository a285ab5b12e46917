"""Calls every held-out case once, in the process that is given no others.

Cases of chosen kinds are required, without a GPU one of them. Uniformly drawn ones are called while
their share of time lasts, in the order in which they were drawn, and one of them at any rate; how
many were left out is counted, and the chance of meeting a fault is stated.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from ...schema.drawn_inputs import HeldOutResult
from ...schema.evaluation import Stage, Status
from ...workloads.held_out import TIMED, UNIFORM, chance_of_meeting
from ..operators.held_out_cases import HeldOutCases
from ..operators.input_sets import InputSet
from ..operators.operator_adapter import Case
from ..trial_parts import TrialParts
from .call_verdict import CallVerdict, CaseRecord
from .time_budget import Estimate, TimeBudget

logger = logging.getLogger(__name__)

TIME_SHARE = 0.4
"""Of the time that public workloads took, for held-out ones, where that is more than stated."""
LARGEST_SHARE = 0.25
"""Of the budget that is left, for one held-out workload without a GPU, after the first."""

Call = Callable[[CaseRecord, InputSet], CallVerdict]


class HeldOutChecks:
    """The calls of the held-out cases of one trial.

    Args:
        call: makes one call in the process for held-out cases and records its verdict.
        began: when the checks of public workloads began, on the monotonic clock.
    """

    def __init__(
        self,
        drawn: HeldOutCases,
        call: Call,
        parts: TrialParts,
        time_budget: TimeBudget,
        estimate: Estimate,
        began: float,
    ) -> None:
        self._drawn = drawn
        self._call = call
        self._operator = parts.operator
        self._generator = parts.generator
        self._checks = parts.plan.checks
        self._time_budget = time_budget
        self._estimate = estimate
        self._reporter = parts.reporter
        self._called: list[Case] = []
        self._left_out: list[Case] = []
        self._refused: list[Case] = []
        self._began = began
        self._ends_at = 0.0

    def run(self) -> CaseRecord | None:
        """Calls the cases in order and returns the record of the first that fails."""
        began = time.monotonic()
        share = TIME_SHARE * (began - self._began)
        self._ends_at = began + max(self._checks.size_seconds, share)
        cases = self._replayed()
        for position, case in enumerate(cases):
            if not self._fits(case):
                self._left_out.append(case)
                continue
            self._reporter.step(
                Stage.CORRECTNESS, f"checking held-out workload {position + 1} of {len(cases)}"
            )
            input_set = self._inputs(case)
            if input_set is None:
                self._refused.append(case)
                continue
            record = CaseRecord(case)
            if not self._call(record, input_set).passed:
                self._explain(record)
                return record
            self._called.append(case)
        return None

    @property
    def not_run(self) -> str | None:
        """Why required cases were not called, in words; None when they were."""
        cases = [c for c in self._replayed() if c not in self._refused]
        required = [c for c in cases if c.draw != UNIFORM]
        called = [c for c in self._called if c.draw != UNIFORM]
        due = min(len(required), 1) if self._time_budget.interpreted else len(required)
        if len(called) >= due:
            return None
        missing = len(required) - len(called)
        slow = self._time_budget.reference_left_s <= 0
        whose = "the reference's" if slow else "the"
        return f"{missing} of {len(required)} held-out workloads did not fit into {whose} budget"

    @property
    def result(self) -> HeldOutResult:
        """The counts, which name no case."""
        sizes = {_size(case) for case in self._called}
        uniform = {_size(case) for case in self._called if case.draw == UNIFORM}
        chance = chance_of_meeting(len(uniform), len(sizes) - len(uniform), self._drawn.legal)
        return HeldOutResult(
            called=len(sizes),
            uniform=len(uniform),
            left_out=sum(case.draw == UNIFORM for case in self._left_out),
            legal=self._drawn.legal,
            chance=round(chance, 4),
        )

    @property
    def to_time(self) -> list[Case]:
        """The cases that were right and on which speed is to be compared."""
        drawn = [c for c in self._called if c.draw == TIMED]
        others = [c for c in self._called if c.draw not in (TIMED, UNIFORM)]
        return (drawn or others)[: self._checks.timed_held_out]

    def _replayed(self) -> list[Case]:
        """The drawn cases; when a record is replayed, those that it called."""
        recorded = self._generator.book.replay
        return [c for c in self._drawn.cases if not recorded or c.uuid in recorded]

    def _inputs(self, case: Case) -> InputSet | None:
        """The case's inputs; None where they cannot be made and nobody called the size legal."""
        try:
            return self._generator.generate(case)
        # Whatever the operator's or the dataset's code raises on a size that it may not admit.
        except Exception as error:
            operator = self._generator.operator
            if operator.policy.axes or operator.draws_held_out:
                raise
            # The size stays hidden: agents can read the judge's log.
            logger.info("Inputs of a held-out size were refused: %s", type(error).__name__)
            return None

    def _fits(self, case: Case) -> bool:
        now = time.monotonic()
        needed = self._estimate.seconds(self._operator.cost(case).work)
        left = self._time_budget.left_s
        if self._time_budget.reference_left_s <= 0:
            return False
        if left <= (needed if self._time_budget.interpreted else 0.0):
            return False
        if case.draw != UNIFORM and not (self._time_budget.interpreted and self._called):
            return True
        # A busy machine must not leave all the sizes unmet that chosen ones are not like.
        is_next = case.draw == UNIFORM and any(called.draw == UNIFORM for called in self._called)
        ends_at = self._ends_at if is_next else now + LARGEST_SHARE * left
        return now + needed <= ends_at

    def _explain(self, record: CaseRecord) -> None:
        """Says of a wrong result whether the size is right with a public workload's scalars."""
        case, failure = record.case, record.failure
        public = dict(self._drawn.public_scalars.get(case.uuid, {}))
        changed = sorted(n for n, v in case.scalars.items() if n in public and public[n] != v)
        if record.status is not Status.INCORRECT_NUMERICAL or not changed or failure is None:
            return
        again = CaseRecord(replace(case, uuid=f"{case.uuid}-public-scalars", scalars=public))
        if self._call(again, self._generator.generate(again.case)).passed:
            names = ", ".join(repr(name) for name in changed)
            record.failure = failure.model_copy(
                update={
                    "message": f"{failure.message} It is right with the scalars of a public "
                    f"workload, and wrong with other values of {names}.",
                    "remedy": f"Use {names} as given, for every value that the definition allows, "
                    "one that stands for a default included, instead of a constant.",
                }
            )


def _size(case: Case) -> str:
    return f"{sorted(case.axes.items())} {case.structure}"
