"""What every stage of a trial works with."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from ..messages.judge import EvaluatePlan
from .operators.input_sets import InputGenerator
from .operators.operator_adapter import OperatorAdapter
from .processes.context import JudgeContext
from .processes.progress import Cancellation, Reporter

Meanwhile = Callable[[Callable[[], bool]], None]
"""Work while something is awaited; it is given what says whether it still is."""


@dataclass(frozen=True)
class TrialParts:
    """The plan of a trial and what its stages share.

    Args:
        rng: draws what a candidate must not foresee.
        deadline: on the monotonic clock; what is left then is not run.
    """

    plan: EvaluatePlan
    context: JudgeContext
    generator: InputGenerator
    reporter: Reporter
    cancellation: Cancellation
    rng: random.Random
    deadline: float

    @property
    def operator(self) -> OperatorAdapter:
        """The operator whose inputs the generator makes."""
        return self.generator.operator
