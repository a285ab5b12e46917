"""Gathers the draws of all outputs of an operator that are drawn at random, and judges them."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

import torch

from ..numerics.mismatch import Mismatch
from ..numerics.sampling import FALSE_ALARM, SampledOutput, same_draws
from .generic_operator import Value
from .operator_adapter import OperatorAdapter

DISTRIBUTION = "distribution"
"""The check that outputs are drawn by their probabilities."""


class SampledDraws:
    """The draws of one program over its calls; false where no output of the operator is drawn."""

    def __init__(self, operator: OperatorAdapter, rng: random.Random) -> None:
        self._operator = operator
        self._outputs = [
            SampledOutput(name, sampled.draws, rng.getrandbits(62))
            for name, sampled in operator.sampled.items()
        ]

    def __bool__(self) -> bool:
        return bool(self._outputs)

    def note(self, inputs: Mapping[str, Value], outputs: Mapping[str, torch.Tensor]) -> None:
        """Adds the draws of a call on inputs of its own, all of which can occur."""
        for drawn in self._outputs:
            got = outputs[drawn.name]
            drawn.note(got, self._operator.probabilities(drawn.name, inputs, got))

    def repeated(
        self, inputs: Mapping[str, Value], outputs: Mapping[str, torch.Tensor]
    ) -> tuple[str, Mismatch] | None:
        """Name and mismatch of an output that two calls drew alike, though they had no seed.

        Args:
            outputs: of the calls, which were the same in every element.
        """
        for name, sampled in self._operator.sampled.items():
            if sampled.seeds:
                continue
            rows = self._operator.probabilities(name, inputs, outputs[name])
            if float((rows * rows).sum(-1).log().sum()) < math.log(FALSE_ALARM):
                return name, same_draws(name, len(rows))
        return None

    @property
    def missing(self) -> str:
        """Of which output draws are missing, in words; empty when there are enough."""
        left = [drawn for drawn in self._outputs if drawn.draws < drawn.due]
        said = (f"{drawn.draws} of {drawn.due} draws of {drawn.name!r}" for drawn in left)
        return f"{' and '.join(said)} fitted into the budget" if left else ""

    def wrong(self) -> tuple[str, Mismatch] | None:
        """Name and mismatch of the first output that is not drawn by its probabilities."""
        for drawn in self._outputs:
            if (mismatch := drawn.mismatch()) is not None:
                return drawn.name, mismatch
        return None
