"""A plan: one idea for a kernel, told before it was written, with what it is expected to gain."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from ...text import one_line, printable
from ..record_model import RecordModel
from .made_by import NOBODY, MadeBy

PLAN_VERSION = 1
MOST_HYPOTHESIS = 4_000
MOST_NAMES = 32
"""Of regimes and of techniques."""


class SearchPlan(RecordModel):
    """One idea: what is changed of a scaffold, where, and the gain that is forecast.

    The scaffold's sources, with the regions that may change between anchors, lie beside it.
    """

    schema_version: int = PLAN_VERSION
    definition: str
    parent: str = Field(
        default="",
        description="What the scaffold was begun from: a candidate's id, or a solution's name.",
    )
    hypothesis: str
    technique: list[str] = Field(default_factory=list)
    expected_gain: float = Field(
        gt=0, le=1_000, description="Latency of the parent over that of the plan's candidate."
    )
    confidence: float = Field(
        ge=0, le=1, description="Probability that it gains at least that, as the planner sees it."
    )
    regimes: list[str] = Field(
        default_factory=list, description="Regimes that it is forecast for; empty: all workloads."
    )
    spec: dict[str, Any] = Field(
        description="How the scaffold is built and called, as in a FlashInfer-Trace Solution."
    )
    made_by: MadeBy = NOBODY

    @field_validator("hypothesis")
    @classmethod
    def _bounded(cls, said: str) -> str:
        return printable(said)[:MOST_HYPOTHESIS].strip()

    @field_validator("regimes", "technique")
    @classmethod
    def _few_in_lines(cls, names: list[str]) -> list[str]:
        lines = (one_line(name, 80) for name in names[:MOST_NAMES])
        return list(dict.fromkeys(line for line in lines if line))

    @property
    def forecast(self) -> str:
        """The forecast in words, e.g. "≥ 1.4x with 60 % in decode-small"."""
        where = f" in {', '.join(self.regimes)}" if self.regimes else ""
        return f"≥ {self.expected_gain:.4g}x with {100 * self.confidence:.0f} %{where}"
