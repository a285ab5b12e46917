"""Drawn inputs: what a workload says of their values, and a record of how they were drawn.

Of held-out sizes a record says how many, never which.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import ConfigDict, Field, model_validator

from .definition import TraceModel
from .record_model import FiniteFloat, RecordModel


class RandomGenerator(StrEnum):
    """What seeds are given to; a seed means nothing without it."""

    TORCH = "torch"
    PHILOX = "philox4x32-10"


class InputSource(RecordModel):
    """What inputs were drawn by; records from before Philox say nothing of it."""

    generator: RandomGenerator = RandomGenerator.TORCH
    note: str = Field(default="", description="Why it was not Philox, where it could have been.")


class ValueKind(StrEnum):
    """How the values of a tensor are spread, those that are zero left out."""

    CONSTANT = "constant"
    NORMAL = "normal"
    UNIFORM = "uniform"
    HEAVY_TAILED = "heavy_tailed"
    """On both sides, as activations with outliers are."""
    LOG_NORMAL = "log_normal"
    """Of one sign, most of them small."""
    PROBABILITIES = "probabilities"
    """Those of a row are a distribution."""
    INTEGERS = "integers"
    """Any from the least to the greatest; of bools, as many are true as the mean says."""


class ValueStatistics(TraceModel):
    """What was recorded of a tensor's values, by which the like of them are drawn.

    Attributes:
        mean: of the values that are not zero; so are deviation, least and greatest.
        zeros: share of the values that are zero.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    kind: ValueKind
    mean: float
    deviation: float = Field(ge=0)
    least: float
    greatest: float
    zeros: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> ValueStatistics:
        if not self.least <= self.greatest:
            raise ValueError(f"least is {self.least}, above greatest, {self.greatest}")
        return self


class HeldOutResult(RecordModel):
    """Counts of the held-out sizes that were called, and speed on those that were timed."""

    LATER_FIELDS: ClassVar[tuple[str, ...]] = ("claimed_because",)

    called: int = Field(default=0, description="Distinct held-out sizes, each called once.")
    uniform: int = Field(default=0, description="Of these, drawn uniformly from the legal sizes.")
    left_out: int = Field(
        default=0, description="Drawn uniformly and not called: too slow for what time was left."
    )
    legal: int | None = Field(
        default=None, description="Legal sizes beside the public ones, where they were counted."
    )
    chance: FiniteFloat = Field(
        default=None,
        description="Chance that the calls meet a fault on 5 % of the legal sizes; where some were "
        "left out, of those like the ones called.",
    )
    timed: int = Field(default=0, description="Held-out sizes on which speed was compared.")
    ratio: FiniteFloat = Field(
        default=None, description="Geometric mean over them of the baseline's latency over ours."
    )
    sealed: bool = Field(
        default=False, description="Whether no host code of the candidate told these times."
    )
    claimed_because: str = Field(
        default="", description="Why they are only claimed, without the sizes and figures of it."
    )
