"""The MCP tools that profile and look into things, none of which is a verdict.

One function per tool, named as the tool, and nothing behind it but a call on the Harness.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ...tools.devices.measurements import Microbenchmark
from ...tools.profiling.code.excerpts import excerpt
from ...tools.profiling.code.kernels import chosen
from ...tools.progress import OnProgress
from ..answers.profiling.compiled_code import CodeAnswer, overview, slice_answer
from ..answers.profiling.device_figures import DevicesAnswer, devices_answer
from ..answers.profiling.inspection import InspectionAnswer, inspection_answer
from ..answers.profiling.profiles import (
    ProfileAnswer,
    SanitizerAnswer,
    TimelineAnswer,
    profile_answer,
    sanitizer_answer,
    timeline_answer,
)
from ..answers.rankings import RankingAnswer, ranking_answer
from ..requests.context import Call, background_of, harness_of, in_thread, progress_to
from .fields import DetailLevel, DeviceModel, SolutionJson, WaitSeconds, WorkspacePath

SLICE_LINES = 80
CandidateName = Annotated[
    str | None,
    Field(description="Or an archived id."),
]
Workloads = Annotated[
    list[str] | None,
    Field(description="uuids or beginnings; the costliest if absent."),
]


async def profile_ncu(
    ctx: Call,
    workspace: WorkspacePath = None,
    candidate: CandidateName = None,
    solution: SolutionJson = None,
    workloads: Workloads = None,
    set: Annotated[
        Literal["basic", "detailed", "full"],
        Field(description="How many counters; 'full' is slow."),
    ] = "detailed",
    compare_to: Annotated[
        str | None,
        Field(description="A peer, solution or candidate id."),
    ] = None,
    device: DeviceModel = None,
    detail: DetailLevel = "concise",
) -> ProfileAnswer:
    """Says why a correct candidate is as slow as it is, by Nsight Compute's counters.

    Use it on a candidate that passed, before a hypothesis: it names the bottleneck, the figures
    that show it and ranked changes. Its times are not latencies. Example:
    profile_ncu(workspace='gdn-1', workloads=['3daa0974'], compare_to='triton_baseline'). Next: one
    hint, one workspace.
    """
    harness = harness_of(ctx)
    found = await in_thread(
        harness.lookup.candidate, workspace=workspace, solution=solution, candidate=candidate
    )
    other = harness.lookup.solution(found.operator, compare_to) if compare_to else None
    async with progress_to(ctx) as progress:
        profile = await harness.profiling_on(device).profile_ncu(
            found.operator,
            found.solution,
            workloads=workloads or (),
            profile_set=set,
            compare_to=other,
            progress=progress,
        )
    return profile_answer(profile, detail)


async def profile_timeline(
    ctx: Call,
    workspace: WorkspacePath = None,
    candidate: CandidateName = None,
    solution: SolutionJson = None,
    workloads: Workloads = None,
    device: DeviceModel = None,
    detail: DetailLevel = "concise",
) -> TimelineAnswer:
    """Shows what one call does over time: kernels, copies, gaps, host time, launch-bound or not.

    Use it when a candidate launches several kernels, or when its latency does not fall with less
    work. Example: profile_timeline(candidate='4f2a9c01d3be'). Next: gaps call for fusing or a
    graph; one busy kernel calls for profile_ncu.
    """
    harness = harness_of(ctx)
    found = await in_thread(
        harness.lookup.candidate, workspace=workspace, solution=solution, candidate=candidate
    )
    async with progress_to(ctx) as progress:
        timeline = await harness.profiling_on(device).profile_timeline(
            found.operator, found.solution, workloads=workloads or (), progress=progress
        )
    return timeline_answer(timeline, detail)


async def sanitize(
    ctx: Call,
    workspace: WorkspacePath = None,
    candidate: CandidateName = None,
    solution: SolutionJson = None,
) -> SanitizerAnswer:
    """Runs a candidate under compute-sanitizer: bad addresses, races, uninitialised reads.

    Use it when results are flaky, on a crash, or before promotion of CUDA code. Example:
    sanitize(workspace='gdn-1'). Next: fix the first finding, then evaluate_kernel.
    """
    harness = harness_of(ctx)
    found = await in_thread(
        harness.lookup.candidate, workspace=workspace, solution=solution, candidate=candidate
    )
    async with progress_to(ctx) as progress:
        report = await harness.profiling.sanitize(found.operator, found.solution, progress)
    return sanitizer_answer(report)


async def inspect_call(
    ctx: Call,
    workspace: WorkspacePath = None,
    candidate: CandidateName = None,
    solution: SolutionJson = None,
    workload: Annotated[str | None, Field(description="A uuid; the smallest if absent.")] = None,
    axes: Annotated[
        dict[str, int] | None,
        Field(description="Sizes of your own."),
    ] = None,
    family: Annotated[str | None, Field(description="Of inputs; the typical if absent.")] = None,
    pairs: Annotated[
        dict[str, str] | None,
        Field(description="Your names to the reference's."),
    ] = None,
) -> InspectionAnswer:
    """Calls a candidate once and shows its tensors beside the reference's; never a verdict.

    Use it when values are wrong: tensors that variables of your host code hold are compared with
    the reference's of the same name. Also for sizes that no workload has. Example:
    inspect_call(workspace='gdn-1', axes={'batch_size': 3}). Next: correct the first tensor that
    differs, then evaluate_kernel.
    """
    harness = harness_of(ctx)
    found = await in_thread(
        harness.lookup.candidate, workspace=workspace, solution=solution, candidate=candidate
    )
    async with progress_to(ctx) as progress:
        inspected = await harness.inspections.inspect(
            found.operator,
            found.solution,
            progress,
            workload=workload,
            axes=axes,
            family=family or "",
            pairs=pairs,
        )
    return inspection_answer(found.operator.name, inspected)


async def show_code(
    ctx: Call,
    workspace: WorkspacePath = None,
    candidate: CandidateName = None,
    solution: SolutionJson = None,
    kernel: Annotated[str | None, Field(description="Part of its name.")] = None,
    form: Annotated[
        Literal["ttir", "ttgir", "ptx", "sass"] | None,
        Field(description="Text to show; figures if absent."),
    ] = None,
    target: Annotated[
        str | None,
        Field(description="GPU or architecture; else the GPU here or 'B200'."),
    ] = None,
    around: Annotated[
        str | None,
        Field(description="Pattern ('LDG'), source line ('kernel.py:12') or '0x490'."),
    ] = None,
    offset: Annotated[int, Field(ge=0, description="`next_offset`.")] = 0,
    workload: Annotated[
        str | None, Field(description="uuid to compile for; the smallest if absent.")
    ] = None,
    compare_to: Annotated[
        str | None, Field(description="A peer, solution or candidate id.")
    ] = None,
) -> CodeAnswer:
    """Shows what a candidate's kernels compile to, down to SASS, for any target; no GPU needed.

    Use it to see what the compiler made of a change: registers, spills, warnings, loops, source
    lines with narrow loads or waits; then slices of the text. Example: show_code(workspace='gdn-1',
    form='sass', around='LDG', target='B200'). Next: profile_ncu for what a line costs.
    """
    harness = harness_of(ctx)
    found = await in_thread(
        harness.lookup.candidate, workspace=workspace, solution=solution, candidate=candidate
    )
    named = harness.lookup.solution(found.operator, compare_to) if compare_to else None
    async with progress_to(ctx) as progress:
        compiled = functools.partial(
            harness.code.compiled, found.operator, target=target, workload=workload
        )
        code = await compiled(found.solution, progress)
        other = await compiled(named, progress) if named is not None else None
    kernels = chosen(code.kernels, kernel)
    if form is None and around is None:
        return await in_thread(overview, code, kernels, other)
    shown = await in_thread(kernels[0].lines, form or "sass")
    part = excerpt(shown, around or "", offset, SLICE_LINES)
    return slice_answer(code, kernels[0], form or "sass", part)


async def measure_device(
    ctx: Call,
    what: Annotated[
        list[Literal["copy", "launch", "latency", "barrier", "tensor"]] | None,
        Field(description="All if absent."),
    ] = None,
    gpu: Annotated[str | None, Field(description="GPU; else the one here, or all targets.")] = None,
) -> DevicesAnswer:
    """Says how fast a device moves data, launches, waits and multiplies in the simplest code.

    Use it before you design. Measured once (seconds), then kept; without the GPU known figures are
    cited. Example: measure_device(what=['latency']). Next: record_plan, citing figures.
    """
    async with progress_to(ctx) as progress:
        known = await harness_of(ctx).device_figures.figures(
            progress, what=[Microbenchmark(name) for name in what or ()], gpu=gpu
        )
    return devices_answer(known)


async def rank_model(
    ctx: Call,
    program: Annotated[list[str], Field(description="Python, a file, arguments.")],
    folder: Annotated[str | None, Field(description="Where it runs.")] = None,
    step: Annotated[
        str | None,
        Field(description="Function whose calls are steps; else the outermost module."),
    ] = None,
    steps: Annotated[int, Field(ge=1, le=1_000, description="Timed, and as many profiled.")] = 5,
    wait_s: WaitSeconds = None,
) -> RankingAnswer:
    """Runs a model's program and ranks its operators by what can be won of a step.

    Use it when a model is slow and no definition is known. The program is not confined. RUNNING:
    the same call again waits. Example: rank_model(program=['python', 'bench.py']). Next: its
    command, which makes a definition of a row.
    """
    from pydantic import TypeAdapter

    from ...tools.devices.calibration import calibration_folder
    from ...tools.model_level.ranking.program_ranking import rank_in_group
    from ...tools.model_level.ranking.ranking import ModelRanking

    harness = harness_of(ctx)
    place = await in_thread(Path(folder or ".").absolute)

    async def rank(report: OnProgress) -> tuple[ModelRanking, Path]:
        async with harness.pool.reserved(harness.device, report):
            await report(0, 1, "running the program")
            ranking = await rank_in_group(
                program,
                place,
                step=step,
                steps=steps,
                calibration=calibration_folder(harness.settings),
            )
        written = TypeAdapter(ModelRanking).dump_json(ranking, indent=1)
        digest = hashlib.sha256(written).hexdigest()[:12]
        path = harness.settings.profiles_dir / "rankings" / f"{digest}.json"
        await in_thread(_write, path, written)
        return ranking, path

    patience = harness.settings.wait_s if wait_s is None else wait_s
    async with progress_to(ctx) as progress:
        key = ("rank", *program, str(place), step, steps)
        ranked = await background_of(ctx).wait(key, rank, patience, progress)
    ranking, path = ranked or (None, None)
    return ranking_answer(ranking, path, program, step)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
