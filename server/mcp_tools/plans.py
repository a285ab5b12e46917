"""The MCP tool record_plan; its docstring is for agents."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..answers.plans import PlanAnswer, plan_answer
from ..requests.context import Call, harness_of, in_thread, made_by_of
from .fields import MadeByWords, SolutionJson, WorkspacePath


async def record_plan(
    ctx: Call,
    hypothesis: Annotated[
        str,
        Field(min_length=1, max_length=4_000, description="The change and why it is faster."),
    ],
    expected_gain: Annotated[
        float, Field(gt=0, le=1_000, description="Parent's latency over the new one, e.g. 1.3.")
    ],
    confidence: Annotated[
        float, Field(ge=0, le=1, description="Probability that it gains at least that.")
    ],
    workspace: WorkspacePath = None,
    solution: SolutionJson = None,
    regimes: Annotated[
        list[str] | None, Field(description="Where it gains that; everywhere if absent.")
    ] = None,
    tags: Annotated[list[str] | None, Field(description="Techniques, a few words each.")] = None,
    made_by: MadeByWords = None,
) -> PlanAnswer:
    """Records one idea before it is written: anchored sources, and a forecast that is held to.

    Use it once the anchors are in the sources of a workspace. Evaluations say whether a change left
    the anchors, and how the forecast held. Example: record_plan(workspace='gdn-2',
    hypothesis='16-byte loads', expected_gain=1.3, confidence=0.6). Next: write it there, or
    open_workspace(definition=…, plan=…) elsewhere.
    """
    harness = harness_of(ctx)
    plan = await in_thread(
        harness.lookup.record_plan,
        hypothesis,
        workspace=workspace,
        solution=solution,
        expected_gain=expected_gain,
        confidence=confidence,
        regimes=regimes or (),
        tags=tags or (),
        made_by=made_by_of(ctx, made_by),
    )
    return plan_answer(plan, workspace)
