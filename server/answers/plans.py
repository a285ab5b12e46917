"""Plans, and whether a change kept to the regions that its plan marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ...tools.archive.search.plans import regions_of
from ...tools.text import counted
from .result import Answer, Result
from .text import lines

if TYPE_CHECKING:
    from ...tools.archive.store.plans.commits import StoredPlan
    from ...tools.schema.recognition import AnchorCheck

ANCHOR_PROBLEMS = 8


class AnchorsPart(Result):
    """Whether the change stayed inside the regions that its plan marks."""

    parent: str
    plan: str | None = None
    kept: bool
    regions: int
    outside: list[str] = Field(
        default_factory=list, description="What changed elsewhere, by line of the plan's file."
    )


class PlanAnswer(Answer):
    """A plan that was recorded."""

    plan_id: str
    definition: str
    parent: str | None = Field(default=None, description="What its sources were begun from.")
    forecast: str
    regions: int = Field(description="Marked places that may change; 0: everything may.")
    ref: str


def plan_answer(plan: StoredPlan, workspace: str | None) -> PlanAnswer:
    """A recorded plan, and how it is carried out."""
    record, regions = plan.record, regions_of(plan.sources)
    marked = counted(regions, "marked region")
    may = f"may change {marked}" if regions else "marks no region: all may change"
    here = f"The workspace {workspace} now names it: write it there, or " if workspace else "Next: "
    return PlanAnswer.of(
        record,
        summary=lines(
            f"Plan {plan.plan_id} for {record.definition}: {record.forecast}; it {may}.",
            f"{here}open_workspace(definition='{record.definition}', plan='{plan.plan_id}').",
            "The forecast is compared with what is measured of the plan's first timed candidate.",
        ),
        plan_id=plan.plan_id,
        regions=regions,
        ref=plan.ref,
    )


def anchors_part(check: AnchorCheck | None) -> AnchorsPart | None:
    """Whether a change stayed in the regions of its plan, by line of the plan's files."""
    if check is None:
        return None
    said = check.outside[:ANCHOR_PROBLEMS]
    left = len(check.outside) - len(said)
    return AnchorsPart.of(check, outside=[*said, f"… and {left} more"] if left else said)


def anchor_words(check: AnchorCheck | None) -> str | None:
    """A sentence on a change that left the regions marked for it; None where it did not."""
    if check is None or check.kept:
        return None
    return (
        f"The change left the regions that plan {check.plan} marks, at "
        f"{counted(len(check.outside), 'place')} (`anchors`): if it had to, say so in the next "
        "plan; if not, take it back."
    )
