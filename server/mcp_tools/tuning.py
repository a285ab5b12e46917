"""The MCP tool evaluate_variants; docstrings are for agents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ...tools.progress import OnProgress
from ..answers.tuning import VariantsAnswer, variants_answer
from ..requests.authorship import caller
from ..requests.context import Call, background_of, harness_of, in_thread, made_by_of, progress_to
from .fields import DeviceModel, InputFamily, WaitSeconds

if TYPE_CHECKING:
    from ...tools.tuning.results import Tuned


async def evaluate_variants(
    ctx: Call,
    workspace: Annotated[str | None, Field(description="Whose constants vary.")] = None,
    variants: Annotated[
        dict[str, dict[str, Any]] | None,
        Field(
            description="Named grids, {'tile': {'BLOCK': [8, 16]}}; [tune] of candidate.toml if "
            "absent. A constant is a module's, 'table.key', a launch's keyword (num_warps), or in "
            "CUDA a #define or constexpr."
        ),
    ] = None,
    workspaces: Annotated[
        list[str] | None, Field(description="Further programs, each as it is.")
    ] = None,
    scope: Annotated[
        Literal["static", "smoke", "sample", "full"],
        Field(description="How far winners are judged; static: none run."),
    ] = "sample",
    compare_to: Annotated[
        str | None, Field(description="As in evaluate_kernel, for winners.")
    ] = None,
    targets: Annotated[list[str] | None, Field(description="As in evaluate_kernel.")] = None,
    input_family: InputFamily = None,
    device: DeviceModel = None,
    interpret: Annotated[
        bool, Field(description="Without a GPU, judge each in the interpreter.")
    ] = False,
    wait_s: WaitSeconds = None,
) -> VariantsAnswer:
    """Tries many variants of one kernel in a call: compiles, prunes, races them, judges winners.

    Use it for tiles, warps and stages of a correct kernel; at most 256 at a time. Without a GPU the
    table has registers, spills, shared memory. RUNNING: the same call again waits. Example:
    evaluate_variants(workspace='gdn-1', variants={'tile': {'BLOCK_V': [8, 16, 32]}}). Next: the
    winner's evaluation, or open_workspace with `start_from`, which chooses between them by size.
    """
    harness = harness_of(ctx)
    request = await in_thread(
        harness.lookup.tuning_request,
        workspace,
        workspaces or (),
        variants,
        interpret=interpret,
        scope=scope,
        compare_to=compare_to,
        targets=targets,
        input_family=input_family,
        device=device,
        made_by=made_by_of(ctx, None),
    )
    request = replace(request, base=replace(request.base, caller=caller(ctx, workspace)))

    async def tune(report: OnProgress) -> Tuned:
        return await harness.tuning.tune(request, report)

    patience = harness.settings.wait_s if wait_s is None else wait_s
    async with progress_to(ctx) as progress:
        key = ("tune", *request.key)
        tuned = await background_of(ctx).wait(key, tune, patience, progress)
    return variants_answer(request.base.operator.name, len(request.variants), tuned)
