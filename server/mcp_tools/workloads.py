"""Tools that say what can be measured here, and open a workspace for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

from pydantic import Field

from ...tools.errors import RequestError
from ..answers import workloads as content_workloads
from ..answers.models import (
    EnvironmentAnswer,
    ShapesAnswer,
    WorkloadsAnswer,
    WorkspaceAnswer,
)
from ..requests.context import Call, background_of, harness_of, in_thread

if TYPE_CHECKING:
    from ...tools.workloads.listing import DefinitionListing, WorkloadListing
from .fields import DefinitionName, DetailLevel


async def check_environment(ctx: Call) -> EnvironmentAnswer:
    """Says what this machine can do: GPU or interpreter, toolchain, isolation, folders.

    Call it first in a session, and again when a tool answers that something is missing: each
    missing tool comes with what it costs and the command that mends it. Takes under a second, no
    GPU. Next: list_workloads.
    """
    return content_workloads.environment_answer(await in_thread(harness_of(ctx).check_environment))


async def list_workloads(
    ctx: Call,
    definition: Annotated[
        str | None,
        Field(description="Name or short form, e.g. 'gdn_decode'; without it, all definitions."),
    ] = None,
    cursor: Annotated[str | None, Field(description="`next_cursor` of the previous page.")] = None,
    limit: Annotated[int, Field(ge=1, le=200, description="Rows on a page.")] = 30,
    detail: DetailLevel = "concise",
) -> WorkloadsAnswer:
    """Lists the definitions (operators), or one definition's contract and its workloads.

    Without arguments: what there is to optimise. With `definition`: inputs and outputs in call
    order, tolerance, workloads with their axes, last latency and share of the time. Example:
    list_workloads(definition='gdn_decode'). Next: sample_shapes for the few workloads that stand
    for all, or open_workspace to begin a candidate.
    """
    listing = harness_of(ctx).list_workloads(definition, cursor, limit)
    start = int(cursor) if cursor and cursor.isdigit() else 0
    if definition is not None:
        return content_workloads.workloads_answer(cast("WorkloadListing", listing), start, detail)
    known = cast("DefinitionListing", listing)
    if cursor and (not cursor.isdigit() or start >= len(known.definitions)):
        raise RequestError(
            f"{cursor!r} is no cursor of this listing", remedy="Leave it out for the first page."
        )
    return content_workloads.definitions_answer(known, start, limit)


async def sample_shapes(
    ctx: Call,
    definition: DefinitionName,
    max_samples: Annotated[
        int | None, Field(ge=1, le=64, description="Most representatives to choose.")
    ] = None,
    detail: DetailLevel = "concise",
) -> ShapesAnswer:
    """Groups a definition's workloads into regimes and picks one representative of each.

    Use it before deciding what to optimise: `latency_share` says where the time goes, `why` says
    why a band is one regime, `weights` turn the few into an estimate of all. Milliseconds, no GPU.
    Example: sample_shapes(definition='gdn_prefill'). Next: evaluate_kernel(scope='sample')
    measures exactly these.
    """
    harness = harness_of(ctx)
    name = harness.dataset.operator(definition).definition.name
    sample = harness.sample_shapes(definition, max_samples)
    return content_workloads.shapes_answer(name, sample, detail)


async def open_workspace(
    ctx: Call,
    definition: DefinitionName,
    name: Annotated[
        str | None, Field(description="1-64 of a-z 0-9 . _ -; made up when left out.")
    ] = None,
    start_from: Annotated[
        str,
        Field(
            description="'template', a shipped solution or peer that list_workloads names, or a "
            "candidate id from search_archive or select_parent."
        ),
    ] = "template",
) -> WorkspaceAnswer:
    """Makes a new folder for one candidate: candidate.toml, sources, the reference, notes.

    Use one workspace per idea. Start from the best known candidate, not from the template, once
    there is one. Example: open_workspace(definition='gdn_decode', start_from='triton_baseline').
    Next: edit the sources with your own file tools, then evaluate_kernel(scope='smoke').
    """
    harness = harness_of(ctx)
    workspace = await in_thread(harness.open_workspace, definition, name, start_from)
    if harness.settings.warm_ahead:
        background_of(ctx).start(harness.warm)
    return content_workloads.workspace_answer(workspace)
