"""The MCP tools plot_floors, plot_roofline and plot_progress; docstrings are for agents.

A picture has a tool of its own, without structured output: beside structured content some clients
drop it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from mcp.server.mcpserver import Image
from pydantic import Field

from ..requests.context import Call, harness_of, in_thread
from .fields import DefinitionName


async def plot_floors(
    ctx: Call,
    evaluation_id: Annotated[str, Field(description="A timed evaluation, 'ev-…'.")],
    device: Annotated[
        str | None,
        Field(description="GPU of the floors; else that measured on."),
    ] = None,
) -> Image:
    """Draws one evaluation's latencies against their floors, a point for each workload.

    Use it to see which workloads are far from the speed of light. Needs a GPU's latencies. Example:
    plot_floors(evaluation_id='ev-…'). Next: profile_ncu on the workload farthest from the line.
    """
    evaluation = (await harness_of(ctx).evaluations.get(evaluation_id, 0.0)).evaluation

    def draw() -> bytes:
        # Drawing needs a large library that nothing else here does.
        from ...tools.archive.report.charts import floor_chart

        return floor_chart(evaluation, device)

    return Image(data=await in_thread(draw), format="png")


async def plot_roofline(
    ctx: Call,
    definition: DefinitionName,
    gpu: Annotated[
        str | None,
        Field(description="GPU model; else the one timed last."),
    ] = None,
) -> Image:
    """Draws a definition's archived candidates under the device's roofline, the best in colour.

    Use it before planning: on the slope memory binds, under the flat part arithmetic, far below
    latency. Example: plot_roofline(definition='gdn_decode'). Next: plot_floors for one evaluation,
    or profile_ncu.
    """
    harness = harness_of(ctx)
    operator = harness.dataset.operator(definition)

    def draw() -> bytes:
        from ...tools.archive.report.charts import roofline_chart

        return roofline_chart(harness.archive, operator, gpu)

    return Image(data=await in_thread(draw), format="png")


async def plot_progress(
    ctx: Call,
    definition: DefinitionName,
    over: Annotated[
        Literal["candidates", "gpu_seconds", "wall_time"],
        Field(description="What the candidates are drawn over."),
    ] = "candidates",
    scale: Annotated[
        Literal["latency", "speedup"],
        Field(description="Speed-ups are over the reference, else the baseline."),
    ] = "latency",
    gpu: Annotated[
        str | None,
        Field(description="GPU model; else the one timed last."),
    ] = None,
) -> Image:
    """Draws the course of a definition's search: every archived candidate and the best so far.

    Use it to see whether a search still gains. Example: plot_progress(definition='gdn_decode',
    over='gpu_seconds'). Next: select_parent, or search_archive for what was tried.
    """
    harness = harness_of(ctx)
    operator = harness.dataset.operator(definition)

    def draw() -> bytes:
        from ...tools.archive.report.trajectory import Over, Scale, trajectory_chart

        return trajectory_chart(
            harness.archive, operator.name, gpu, Over(over), Scale(scale), operator
        )

    return Image(data=await in_thread(draw), format="png")
