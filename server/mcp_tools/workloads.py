"""The MCP tools check_environment, list_workloads, sample_shapes and open_workspace."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ...tools.workloads import listing, regimes
from ...tools.workloads.workspace import make_workspace
from ..answers.models import EnvironmentAnswer, ShapesAnswer, WorkloadsAnswer
from ..answers.workloads import (
    WorkspaceAnswer,
    definitions_answer,
    environment_answer,
    shapes_answer,
    workloads_answer,
    workspace_answer,
)
from ..requests.context import Call, background_of, harness_of, in_thread, progress_to
from .fields import DefinitionName, DetailLevel


async def check_environment(
    ctx: Call,
    definition: Annotated[
        str | None,
        Field(description="An operator to try."),
    ] = None,
) -> EnvironmentAnswer:
    """Says what this machine can do: GPU or interpreter, toolchain, isolation, folders.

    Call it first: each missing tool has its cost and the command that fixes it. With `definition`
    its code is run: `fit`, or `dataset_problems` say why not. Example:
    check_environment(definition='silu_mul'). Next: list_workloads.
    """
    harness, found, fit = harness_of(ctx), list[str](), None
    if definition is not None:
        async with progress_to(ctx) as progress:
            found = await harness.operator_problems(definition, progress)
        fit = harness.dataset.operator(definition) if not found else None
    report = await in_thread(harness.check_environment, found)
    return environment_answer(report, len(found), fit, harness.settings.cluster)


async def list_workloads(
    ctx: Call,
    definition: Annotated[
        str | None,
        Field(description="Name or short form; all if absent."),
    ] = None,
    cursor: Annotated[str | None, Field(description="`next_cursor` of the previous page.")] = None,
    limit: Annotated[int, Field(ge=1, le=200, description="Rows on a page.")] = 10,
    detail: DetailLevel = "concise",
) -> WorkloadsAnswer:
    """Lists the definitions (operators), or one definition's contract and its workloads.

    With `definition`: inputs and outputs in call order, tolerance, workloads with axes, last
    latency and share. Example: list_workloads(definition='gdn_decode'). Next: sample_shapes, or
    open_workspace to begin a candidate.
    """
    harness = harness_of(ctx)
    if definition is not None:
        operator = harness.dataset.operator(definition)
        last = harness.evaluations.latencies
        known, whole = last.get(operator.name), last.of_one_program(operator.name)
        more = (harness.settings.skills_dirs, harness.dataset.problems)
        page = await in_thread(listing.list_workloads, operator, known, whole, cursor, limit, *more)
        return workloads_answer(page, int(cursor or 0), detail)
    known = listing.list_definitions(harness.dataset)
    start = listing.page_start(cursor, len(known.definitions))
    return definitions_answer(known, start, limit)


async def sample_shapes(
    ctx: Call,
    definition: DefinitionName,
    max_samples: Annotated[int | None, Field(ge=1, le=64, description="Most to choose.")] = None,
    detail: DetailLevel = "concise",
) -> ShapesAnswer:
    """Groups a definition's workloads into regimes and picks one representative of each.

    Use it before deciding what to optimise: `latency_share` says where the time goes, `weights`
    turn the few into an estimate of all. Example: sample_shapes(definition='gdn_prefill'). Next:
    evaluate_kernel(scope='sample') measures exactly these.
    """
    harness = harness_of(ctx)
    operator = harness.dataset.operator(definition)
    latencies = harness.evaluations.latencies.of_one_program(operator.name) or None
    most = max_samples or regimes.MOST_SAMPLES
    sample = await in_thread(regimes.sample_shapes, operator, latencies, most)
    return shapes_answer(operator.name, sample, detail)


async def open_workspace(
    ctx: Call,
    definition: DefinitionName,
    name: Annotated[str | None, Field(description="Of a-z 0-9 . _ -; made up if absent.")] = None,
    start_from: Annotated[
        str,
        Field(
            description="'template', a solution, peer, candidate or evaluation, or 'dispatch': a "
            "child that chooses by size between the fastest ('dispatch:id,id' between these)."
        ),
    ] = "template",
    template: Annotated[
        Literal["triton", "torch", "tvm_ffi", "nvrtc"] | None,
        Field(description="Kind of template; triton if absent."),
    ] = None,
    plan: Annotated[str | None, Field(description="Id of a plan, instead of start_from.")] = None,
) -> WorkspaceAnswer:
    """Makes a new folder for one candidate: candidate.toml, sources, the reference, notes.

    Use one for each idea, from the best known candidate once there is one. Example:
    open_workspace(definition='gdn_decode', start_from='triton_baseline'). Next: edit the sources,
    then evaluate_kernel(scope='smoke').
    """
    harness = harness_of(ctx)
    operator = harness.dataset.operator(definition)
    start = await in_thread(harness.lookup.workspace_start, operator, start_from, plan, template)
    folder = harness.settings.workspaces_dir
    workspace = await in_thread(
        make_workspace,
        folder,
        operator,
        name,
        start,
        listing.starts_of(operator, harness.settings.skills_dirs),
    )
    if harness.settings.warm_ahead:
        background_of(ctx).start(harness.warm)
    return workspace_answer(workspace)
