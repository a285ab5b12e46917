"""What a call costs in steady state: many of them back to back, over copies of their tensors.

The copies are together larger than the L2, so that no call finds its inputs there by itself. Of
each pass over all copies a few outputs, chosen by chance, are judged.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...messages.candidate import Called
from ..calls.judged_call import CallOutcome
from ..calls.shared_memory import Layout
from ..checks.call_verdict import judge_call
from ..operators.input_sets import InputSet
from ..replay.output_checks import poison_bytes
from ..replay.program_runner import ProgramRunner, ReplayedCall
from ..replay.rotation import NotRotatedError
from ..replay.wall_clock import sustained_doubt
from ..trial_parts import TrialParts

L2_BYTES = 64 << 20
"""Of devices that do not say it."""
MEMORY_SHARE = 0.03
"""Of the device's memory, for the copies in one runner: two runners keep theirs to the end."""
CHECKED = 2
"""Outputs of each pass that are judged."""


class NotSustainedError(Exception):
    """Raised where calls cannot be timed back to back; its text is the reason."""


class SustainedTiming:
    """Passes of calls back to back in the runners of one trial."""

    def __init__(self, parts: TrialParts) -> None:
        self._operator, self._rng = parts.operator, parts.rng
        self._l2_bytes = parts.context.info.l2_bytes or L2_BYTES
        self._memory_bytes = int(MEMORY_SHARE * (parts.context.info.memory_bytes or 0))

    def passes(
        self, runner: ProgramRunner, layout: Layout, input_sets: Sequence[InputSet], count: int
    ) -> list[int]:
        """The time of a call in each of several passes, in ns.

        Args:
            runner: the plan is loaded.
            layout: of the recorded call.
            input_sets: which the copies take in turn.

        Raises:
            NotSustainedError: when an output is wrong, or the judge's clock contradicts the times.
            RunnerLostError: when the runner fails.
        """
        try:
            rotated = runner.rotate(self._l2_bytes, self._memory_bytes)
            sets = input_sets[: min(runner.most_calls, rotated.copies)]
            times = [self._pass(runner, layout, sets, rotated.copies) for _ in range(count)]
            doubt = sustained_doubt(min(times), rotated.bound())
        except NotRotatedError as error:
            raise NotSustainedError(str(error)) from error
        if doubt:
            raise NotSustainedError(doubt)
        return [round(time) for time in times]

    def _pass(
        self, runner: ProgramRunner, layout: Layout, sets: Sequence[InputSet], copies: int
    ) -> float:
        kept = self._rng.sample(range(copies), len(sets))
        poison = poison_bytes(len(sets), self._rng.randrange(256))
        call_ns, calls = runner.sustain(sets, kept, poison)
        for number in self._rng.sample(range(len(sets)), min(CHECKED, len(sets))):
            self._check(layout, sets[number], calls[number])
        return call_ns

    def _check(self, layout: Layout, input_set: InputSet, call: ReplayedCall) -> None:
        outcome = CallOutcome(
            called=Called(span_ns=call.times.span_ns),
            outputs=call.outputs,
            poisons=call.poisons,
            layout=layout,
        )
        verdict = judge_call(self._operator, input_set, outcome)
        if verdict.failure is not None:
            raise NotSustainedError(f"a call on a copy differs: {verdict.failure.message[:200]}")
