"""What the archive knew of a program when it was evaluated."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from .record_model import RecordModel


class PriorRun(RecordModel):
    """Archived candidates that are the same program, but for comments and formatting."""

    exact: bool = Field(description="Even comments and formatting are the same.")
    words: str
    candidates: list[str] = Field(description="Candidate ids, newest first.")


class AnchorCheck(RecordModel):
    """Whether a change stayed inside the regions that its plan marks."""

    LATER_FIELDS: ClassVar[tuple[str, ...]] = ("plan",)

    parent: str = Field(description="What the plan's scaffold was begun from.")
    plan: str = Field(default="", description="Plan id; empty in records that held to a parent.")
    kept: bool
    regions: int
    outside: list[str] = Field(
        description="Changes elsewhere and malformed marks, as 'path:line: words' of the plan."
    )


class Recognition(RecordModel):
    """The answer of the archive about one program; empty when it is new."""

    prior_run: PriorRun | None = None
    anchors: AnchorCheck | None = None
    program: str = Field(default="", description="Digest without comments and formatting.")
