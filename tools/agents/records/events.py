"""What is written of a search, step by step; whatever is known of one follows from these."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from ...schema.record_model import RecordModel
from ..clients.usage import Usage
from .options import SearchOptions
from .spending import Spending


class RoundEnd(StrEnum):
    """How a round ended; every one of them costs a round."""

    KEPT = "kept"
    """A candidate was archived, whatever became of it."""
    NOTHING = "nothing"
    """The agent changed nothing, or nothing that could be judged."""
    AGENT_FAILED = "agent failed"
    OUT_OF_TIME = "out of time"
    OUT_OF_BUDGET = "out of budget"
    NOT_STARTED = "not started"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    """The search's own process died in it."""


class SearchBegan(RecordModel):
    """A search began."""

    kind: Literal["search began"] = "search began"
    at: float
    search_id: str
    options: SearchOptions
    agent: str
    version: str


class StartJudged(RecordModel):
    """The program that a search begins with was judged: what all else is measured by."""

    kind: Literal["start judged"] = "start judged"
    at: float
    candidate: str = ""
    start_us: float | None = None
    spent: Spending = Spending()
    words: str = ""


class RoundBegan(RecordModel):
    """A round began: what it goes on from, and why."""

    kind: Literal["round began"] = "round began"
    at: float
    number: int
    parent: str = ""
    role: str
    why: str
    plan: str = ""
    seed: int
    session: str


class StepEnded(RecordModel):
    """One start of an agent ended.

    Attributes:
        words: the end of what it wrote; never read as a result.
    """

    kind: Literal["step ended"] = "step ended"
    at: float
    number: int
    role: str
    end: str
    status: int | None = None
    seconds: float
    usage: Usage = Usage()
    words: str = ""


class RoundEnded(RecordModel):
    """A round ended; results are the server's records.

    Attributes:
        candidates: ids of what was archived in the round.
        best: id of the search's best candidate afterwards, with its time, how many times faster
            it is than the start, and its share of the floor.
    """

    kind: Literal["round ended"] = "round ended"
    at: float
    number: int
    end: RoundEnd
    candidates: list[str] = Field(default_factory=list)
    outcomes: list[str] = Field(default_factory=list)
    evaluations: list[str] = Field(default_factory=list)
    spent: Spending = Spending()
    words: str = ""
    best: str = ""
    best_us: float | None = None
    best_speedup: float | None = None
    best_floor_percent: float | None = None


class LessonsSummarised(RecordModel):
    """The lessons of some rounds were made one; lines that the record contradicts were left out."""

    kind: Literal["lessons summarised"] = "lessons summarised"
    at: float
    number: int
    lessons: list[str]
    refused: list[str] = Field(default_factory=list)
    usage: Usage = Usage()


class SearchResumed(RecordModel):
    """A search went on after its process had ended."""

    kind: Literal["search resumed"] = "search resumed"
    at: float
    options: SearchOptions
    lost: list[int] = Field(default_factory=list)


class SearchEnded(RecordModel):
    """A search ended, and why."""

    kind: Literal["search ended"] = "search ended"
    at: float
    reason: str


SearchEvent = Annotated[
    SearchBegan
    | StartJudged
    | RoundBegan
    | StepEnded
    | RoundEnded
    | LessonsSummarised
    | SearchResumed
    | SearchEnded,
    Field(discriminator="kind"),
]
EVENT: TypeAdapter[SearchEvent] = TypeAdapter(SearchEvent)
