"""Inputs: what a workload says of each, and a record of how those that are drawn were.

Of held-out sizes a record says how many, never which.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    field_serializer,
    model_serializer,
    model_validator,
)

from .definition import NonEmpty, TraceModel
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


class RandomInput(TraceModel):
    """An input to be drawn: by recorded statistics, else as the operator draws it.

    The format has no statistics; its own reader drops them, and draws as it always does.
    """

    type: Literal["random"] = "random"
    statistics: ValueStatistics | None = None

    @model_serializer(mode="wrap")
    def _without_none(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As the format has it where there are none: digests of workloads stay what they were."""
        return {key: value for key, value in written(self).items() if value is not None}


class SafetensorsInput(TraceModel):
    """An input stored in a file whose path is relative to the dataset's root."""

    type: Literal["safetensors"] = "safetensors"
    path: NonEmpty
    tensor_key: NonEmpty


class ScalarInput(TraceModel):
    """A Python number passed as it is."""

    type: Literal["scalar"] = "scalar"
    value: int | float | bool

    @field_serializer("value", when_used="json")
    def _value_as_json(self, value: int | float | bool) -> int | float | bool | str:
        if isinstance(value, float) and not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return value


def _input_type(given: Any) -> str | None:
    """What an input says that it is; where it says nothing, its fields tell."""
    if not isinstance(given, dict):
        return getattr(given, "type", None)
    untold = "scalar" if "value" in given else "random"
    return given.get("type", "safetensors" if "path" in given else untold)


InputSpec = Annotated[
    Annotated[SafetensorsInput, Tag("safetensors")]
    | Annotated[ScalarInput, Tag("scalar")]
    | Annotated[RandomInput, Tag("random")],
    Discriminator(
        _input_type,
        custom_error_type="input_type",
        custom_error_message="type should be 'random', 'scalar' (with a value) or 'safetensors' "
        "(with a path and a tensor_key)",
    ),
]
