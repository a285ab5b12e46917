"""What a search is asked for, and when it is to stop."""

from __future__ import annotations

import re
from enum import StrEnum

from pydantic import Field

from ...errors import RequestError, unknown_name
from ...schema.record_model import RecordModel

SINGLE = "single"
SEED_STEP = 100_003
PLAN = "plan"
"""Alone it evaluates nothing: its rounds leave plans."""
ROLES = (PLAN, "code", "debug")
_GOAL = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>x|%-of-floor)")


class GoalUnit(StrEnum):
    """What a goal is measured by."""

    SPEEDUP = "x"
    FLOOR = "%-of-floor"


class SearchGoal(RecordModel):
    """A result that ends a search: so many times the baseline, or a share of the floor."""

    number: float
    unit: GoalUnit

    def reached(self, speedup: float | None, floor_percent: float | None) -> bool:
        """Whether the best candidate is so good."""
        value = speedup if self.unit is GoalUnit.SPEEDUP else floor_percent
        return value is not None and value >= self.number

    def __str__(self) -> str:
        return f"{self.number:g}{self.unit}"


class SearchOptions(RecordModel):
    """What a search is asked for.

    Attributes:
        agent: the command line, as its user wrote it.
        folder: where that was written, for the files that it names.
        roles: who plays a part in a round: 'single', or some of plan, code and debug.
        start: what the first rounds begin from; 'baseline', 'template' or a name.
        device_seconds: seconds of the device's judge, all rounds together.
        summarise: after so many rounds their lessons are made one; 0: never.
    """

    definition: str
    agent: str
    folder: str = ""
    policy: str = "epsilon_greedy"
    roles: list[str] = Field(default_factory=lambda: [SINGLE])
    start: str = "baseline"
    scope: str = "sample"
    rounds: int | None = Field(default=None, gt=0)
    hours: float | None = Field(default=None, gt=0)
    device_seconds: float | None = Field(default=None, gt=0)
    cost_usd: float | None = Field(default=None, gt=0)
    goal: SearchGoal | None = None
    parallel: int = Field(default=1, gt=0, le=64)
    round_minutes: float = Field(default=30.0, gt=0)
    summarise: int = Field(default=8, ge=0)
    seed: int = 0
    confine: bool = True


def round_seed(options: SearchOptions, number: int) -> int:
    """The seed of a round."""
    return options.seed * SEED_STEP + number


def goal_of(text: str) -> SearchGoal:
    """The goal that a user wrote: '2.0x' or '90%-of-floor'.

    Raises:
        RequestError: when it is neither.
    """
    found = _GOAL.fullmatch(text.strip().lower().replace(" ", ""))
    if found is None:
        raise RequestError(
            f"{text!r} is no goal", remedy="Write --stop-at 2.0x or --stop-at 90%-of-floor."
        )
    return SearchGoal(number=float(found["number"]), unit=GoalUnit(found["unit"]))


def roles_of(text: str) -> list[str]:
    """The roles that a user wrote: 'single', or some of plan, code and debug.

    Raises:
        RequestError: for another role, or 'single' beside others.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in (SINGLE, *ROLES):
            raise unknown_name("role", name, (SINGLE, *ROLES))
    if not names or (SINGLE in names and len(names) > 1) or names == ["debug"]:
        raise RequestError(
            f"{text!r} leaves nobody to write programs, or too many",
            remedy="Write --roles plan,code,debug or --roles single.",
        )
    return names
