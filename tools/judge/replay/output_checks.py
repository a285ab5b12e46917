"""Every replayed output against what is expected of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch

from ..calls.compared_bytes import differing
from ..calls.judged_call import CallOutcome
from ..checks.call_verdict import CallVerdict, accepted_together, judge_call
from ..operators.input_sets import InputSet
from ..operators.operator_adapter import OperatorAdapter

POISON_BYTES = (0xFF, 0xA5, 0x7E, 0x5A)
"""The first is NaN in every float format; two of them in turn show what a call left unwritten."""


class ReplayDiffersError(Exception):
    """Raised when a replay's outputs or memory are wrong; its text says how."""


class RightOutputs:
    """Judges the replays of one program.

    Outputs with the same bits as ones that were right for the same inputs are right. Most programs
    give the same bits in every replay, so that one of them is compared with the reference and the
    others with it, all at once.
    """

    def __init__(self, operator: OperatorAdapter) -> None:
        self._operator = operator
        self._right: dict[int, tuple[InputSet, dict[str, torch.Tensor]]] = {}

    def forget(self) -> None:
        """Frees the outputs that are kept: other inputs follow."""
        self._right.clear()

    def require(self, input_sets: Sequence[InputSet], outcomes: Sequence[CallOutcome]) -> None:
        """Judges calls, one for each of the input sets.

        Raises:
            ReplayDiffersError: when one is wrong.
        """
        first: dict[int, tuple[InputSet, CallOutcome]] = {}
        others: list[tuple[InputSet, CallOutcome]] = []
        for call in zip(input_sets, outcomes, strict=True):
            key = id(call[0])
            if key in self._right or key in first:
                others.append(call)
            else:
                first[key] = call
        accepted = accepted_together(self._operator, list(first.values()))
        for (key, (input_set, outcome)), errors in zip(first.items(), accepted, strict=True):
            self._require(judge_call(self._operator, input_set, outcome, accepted=errors))
            self._right[key] = (input_set, outcome.outputs)
        for (input_set, outcome), same in zip(others, self._same(others), strict=True):
            self._require(judge_call(self._operator, input_set, outcome, outputs_are_right=same))

    def _require(self, verdict: CallVerdict) -> None:
        if verdict.failure is not None:
            raise ReplayDiffersError(verdict.failure.message)

    def _same(self, calls: Sequence[tuple[InputSet, CallOutcome]]) -> list[bool]:
        """Which calls have the outputs that are kept for their inputs."""
        names = [tuple(self._right[id(input_set)][1]) for input_set, _ in calls]
        pairs = [
            (outcome.outputs[name], self._right[id(input_set)][1][name])
            for (input_set, outcome), outputs in zip(calls, names, strict=True)
            for name in outputs
        ]
        differ, ends = differing(pairs), list(accumulate(len(outputs) for outputs in names))
        return [not any(differ[b:e]) for b, e in zip([0, *ends], ends, strict=False)]


def poison_bytes(calls: int, seed: int) -> list[int]:
    """A poison byte for each call: neighbours differ, and the order begins where `seed` says."""
    return [POISON_BYTES[(seed + number) % len(POISON_BYTES)] for number in range(calls)]
