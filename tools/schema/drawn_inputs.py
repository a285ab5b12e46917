"""What a record says of drawn inputs: by what, and of held-out sizes how many, never which."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from .record_model import FiniteFloat, RecordModel


class RandomGenerator(StrEnum):
    """What seeds are given to; a seed means nothing without it."""

    TORCH = "torch"
    PHILOX = "philox4x32-10"


class InputSource(RecordModel):
    """What inputs were drawn by; records from before Philox say nothing of it."""

    generator: RandomGenerator = RandomGenerator.TORCH
    note: str = Field(default="", description="Why it was not Philox, where it could have been.")


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
