"""What the stages of a trial work with, around a candidate that is a function in this process."""

from __future__ import annotations

import math
import random
import time
from typing import Any

from kernel_harness.tools.judge.calls.judged_call import JudgedCall
from kernel_harness.tools.judge.checks.stages.checked_calls import CheckedCalls
from kernel_harness.tools.judge.checks.time_budget import TimeBudget
from kernel_harness.tools.judge.operators.input_sets import (
    InputGenerator,
    PrefetchedInputs,
    SeedBook,
)
from kernel_harness.tools.judge.operators.operator_adapter import Case
from kernel_harness.tools.judge.processes.progress import Cancellation, Reporter
from kernel_harness.tools.judge.trial_parts import TrialParts
from kernel_harness.tools.messages.judge import Checks

from .....judging import AFFINE, make_plan, make_solution, read_definition
from ...scripted import CPU, ScriptedSession, affine

CASES = [Case(f"affine-{m}", {"m": m}, scalars={"alpha": 0.5}) for m in (3, 17, 64)]


class Stage:
    """The calls of a trial, and its parts."""

    def __init__(
        self, session: ScriptedSession, *, interpreted: bool = True, **checks: Any
    ) -> None:
        self.session = session
        context: Any = None
        plan = make_plan(
            make_solution("def run(): pass", definition="affine_n64"),
            checks=Checks(**{"trials": 2, "families": 1, **checks}),
        )
        generator = InputGenerator(affine(), CPU, SeedBook(), PrefetchedInputs(1 << 20))
        self.parts = TrialParts(
            plan,
            context,
            generator,
            Reporter(lambda message: None, plan.evaluation_id),
            Cancellation(),
            random.Random(7),
            math.inf,
        )
        definition = read_definition(AFFINE)
        call = JudgedCall(session, definition, CPU, random.Random(1), by_destination=True)
        assert call.map(CASES) is None
        budget = TimeBudget(time.monotonic() + 3_600, 60.0, interpreted=interpreted, rate=1.0)
        self.calls = CheckedCalls(call, self.parts, budget)
