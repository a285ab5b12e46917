"""The machine, the definitions, their workloads and regimes, workspaces and slices in words.

Pure; what is measured or estimated was decided by others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...tools.documents import definition_uri
from ...tools.schema.evaluation import Executor
from ...tools.text import printable, shorten
from .models import (
    AxisPart,
    DefinitionPart,
    DevicePart,
    EnvironmentAnswer,
    RegimePart,
    ShapesAnswer,
    SliceAnswer,
    TensorPart,
    ToolPart,
    WorkloadPart,
    WorkloadsAnswer,
    WorkspaceAnswer,
)
from .text import (
    BUDGET_CHARACTERS,
    Detail,
    axes_words,
    counted,
    cut,
    fitted,
    isolation_part,
    lines,
    number,
    table,
)

if TYPE_CHECKING:
    from ...tools.devices.environment import EnvironmentReport
    from ...tools.documents import ReportSlice
    from ...tools.workloads.listing import DefinitionListing, TensorEntry, WorkloadListing
    from ...tools.workloads.regimes import ShapeSample
    from ...tools.workloads.workspace import Workspace

GIB = 1 << 30
MEMBERS_SHOWN = {"concise": 3, "detailed": 30}
DESCRIPTION_CHARACTERS = {"concise": 160, "detailed": 600}
NOTES_CHARACTERS = 8_000
ROWS_SHOWN = 10


def environment_answer(report: EnvironmentReport) -> EnvironmentAnswer:
    """What this machine can do, what is missing, and what each missing thing costs."""
    later = ", ".join(report.needed_with_a_gpu())
    names = ", ".join(device.name for device in report.devices) or "no device"
    if report.executor is Executor.CUDA:
        first = f"Candidates run and are timed on {report.device} ({names})."
    else:
        first = "No usable NVIDIA GPU: candidates are judged here, but latencies are null."
    return EnvironmentAnswer(
        summary=lines(
            first,
            *(
                f"Missing {tool.name}: {tool.costs}. {tool.remedy or ''}".strip()
                for tool in report.missing()
            ),
            f"On a machine with a GPU also wanted: {later} (`toolchain`)." if later else None,
            *(f"Dataset: {problem}" for problem in report.dataset_problems[:5]),
            "Next: list_workloads shows what there is to optimise.",
        ),
        executor=report.executor.value,
        device=report.device,
        devices=[
            DevicePart(
                name=device.name,
                compute_capability=device.compute_capability,
                sm_count=device.sm_count,
                memory_gib=device.memory_bytes / GIB if device.memory_bytes else None,
            )
            for device in report.devices
        ],
        toolchain=[
            ToolPart(
                name=tool.name,
                found=tool.found,
                version=tool.version,
                costs=None if tool.found else tool.costs,
                remedy=None if tool.found else tool.remedy,
            )
            for tool in report.toolchain
        ],
        isolation=isolation_part(report.isolation, report.isolation_note),
        libraries=report.libraries,
        archive_path=report.archive_path,
        workspaces_path=report.workspaces_path,
        dataset_paths=report.dataset_paths,
        dataset_problems=[shorten(problem, 400) for problem in report.dataset_problems[:20]],
        notes=report.notes,
    )


def definitions_answer(listing: DefinitionListing, cursor: int, limit: int) -> WorkloadsAnswer:
    """The definitions, a page of them.

    Args:
        listing: all of them.
        cursor: position of the first one shown.
        limit: most on a page.
    """
    total = len(listing.definitions)

    def build(rows: int) -> WorkloadsAnswer:
        page = listing.definitions[cursor : cursor + rows]
        end = cursor + len(page)
        more = f"Showing {cursor + 1} to {end} of {total}."
        more += f" cursor='{end}' gives the next." if end < total else ""
        return WorkloadsAnswer(
            summary=lines(
                f"{counted(total, 'definition')}{_unreadable(listing.problems)}.",
                table(
                    ("definition", "workloads", "varying axes"),
                    [
                        (
                            entry.name,
                            str(entry.workloads),
                            " ".join(
                                f"{a.name} {a.least}..{a.most}"
                                for a in entry.axes
                                if a.distinct > 1
                            ),
                        )
                        for entry in page[:20]
                    ],
                ),
                more if end < total or cursor else None,
                "Next: list_workloads(definition=…) for its inputs, outputs and workloads, or "
                "sample_shapes(definition=…) for the few to measure. Short names work.",
            ),
            definitions=[
                DefinitionPart(
                    definition=entry.name,
                    op_type=entry.op_type or None,
                    description=cut(entry.description, DESCRIPTION_CHARACTERS["concise"]),
                    workloads=entry.workloads,
                    varying_axes=[
                        AxisPart(name=a.name, least=a.least, most=a.most, distinct=a.distinct)
                        for a in entry.axes
                    ],
                    baseline=entry.baseline,
                    peers=entry.peers[:10],
                )
                for entry in page
            ],
            dataset_problems=[shorten(problem, 300) for problem in listing.problems[:5]],
            total=total,
            next_cursor=str(end) if end < total else None,
        )

    return fitted(build, limit)


def _unreadable(problems: Sequence[str]) -> str:
    if not problems:
        return ""
    return f"; {counted(len(problems), 'problem')} in dataset files (`dataset_problems`)"


def workloads_answer(listing: WorkloadListing, cursor: int, detail: Detail) -> WorkloadsAnswer:
    """One definition: its contract, and a page of its workloads.

    Args:
        listing: the contract and the page.
        cursor: position of the page's first workload.
        detail: 'detailed' adds the descriptions of tensors and the kinds of inputs.
    """
    detailed = detail == "detailed"

    def build(rows: int) -> WorkloadsAnswer:
        page = listing.workloads[:rows]
        end = cursor + len(page)
        return WorkloadsAnswer(
            summary=_workloads_words(listing, cursor, end),
            definition=listing.definition,
            description=cut(listing.description, DESCRIPTION_CHARACTERS[detail]),
            constants=listing.constants,
            constraints=listing.constraints,
            inputs=[_tensor(t, detailed) for t in listing.inputs],
            outputs=[_tensor(t, detailed) for t in listing.outputs],
            tolerance=listing.tolerance,
            workloads=[
                WorkloadPart(
                    uuid=w.uuid,
                    axes=w.axes,
                    inputs=w.input_kinds if detailed else {},
                    last_latency_us=w.last_latency_us,
                    share=w.share,
                    regime=w.regime,
                )
                for w in page
            ],
            regimes=[
                RegimePart(
                    name=r.name,
                    count=r.members,
                    latency_share=r.latency_share,
                    representative=r.representative,
                    why=r.why,
                )
                for r in listing.regimes[:20]
            ],
            latency_basis=listing.latency_basis,
            workload_digest=listing.workload_digest,
            total=listing.total,
            next_cursor=str(end) if end < listing.total else None,
            definition_uri=definition_uri(listing.definition),
        )

    return fitted(build, len(listing.workloads))


def _tensor(entry: TensorEntry, detailed: bool) -> TensorPart:
    return TensorPart(
        name=entry.name,
        shape=entry.shape,
        dtype=entry.dtype,
        description=cut(entry.description, 300) if detailed else None,
    )


def _workloads_words(listing: WorkloadListing, cursor: int, end: int) -> str:
    tolerance = listing.tolerance
    share = tolerance.get("required_matched_ratio", 1.0)
    return lines(
        f"{listing.definition}: {counted(listing.total, 'workload')} in "
        f"{counted(len(listing.regimes), 'regime')}.",
        f"Inputs in call order: {', '.join(t.name for t in listing.inputs)}. "
        f"Outputs: {', '.join(t.name for t in listing.outputs)}.",
        f"FlashInfer-Trace tolerance: atol {tolerance.get('atol')}, rtol {tolerance.get('rtol')}, "
        f"{share:.0%} of elements; the verdict is stricter.",
        f"Latencies: {listing.latency_basis or 'unknown'}.",
        _page_words(listing, end - cursor)
        if cursor or listing.total <= ROWS_SHOWN
        else _regimes_words(listing),
        f"`workloads` holds {cursor + 1} to {end} of {listing.total}"
        + (f"; cursor='{end}' gives the next." if end < listing.total else "."),
        "Next: sample_shapes gives the few workloads that stand for all; open_workspace starts a "
        "candidate; it puts the reference beside your sources.",
    )


def _regimes_words(listing: WorkloadListing) -> str:
    """The first page of many workloads tells where the time goes; `workloads` has the rows."""
    return table(
        ("regime", "workloads", "share of the time", "representative"),
        [
            (
                r.name,
                str(r.members),
                "–" if r.latency_share is None else f"{r.latency_share:.0%}",
                r.representative[:8],
            )
            for r in listing.regimes[:15]
        ],
    )


def _page_words(listing: WorkloadListing, rows: int) -> str:
    return table(
        ("workload", "axes", "last µs", "regime"),
        [
            (w.uuid[:8], axes_words(w.axes), number(w.last_latency_us), w.regime or "–")
            for w in listing.workloads[: min(rows, ROWS_SHOWN)]
        ],
    )


def shapes_answer(definition: str, sample: ShapeSample, detail: Detail) -> ShapesAnswer:
    """The regimes, what stands for each, and with what error the sample tells the whole."""

    def build(rows: int) -> ShapesAnswer:
        return ShapesAnswer(
            summary=lines(
                f"{definition}: {len(sample.regimes)} regimes, {len(sample.weights)} workloads to "
                f"measure; latencies {sample.basis}."
                + (
                    f" Expected error of the weighted mean: {sample.expected_error:.1%}."
                    if sample.expected_error is not None
                    else ""
                ),
                table(
                    ("regime", "members", "share", "representative", "why"),
                    [
                        (
                            r.name,
                            str(len(r.members)),
                            "–" if r.latency_share is None else f"{r.latency_share:.0%}",
                            r.representative[:8],
                            shorten(r.why, 90),
                        )
                        for r in sample.regimes[:15]
                    ],
                ),
                "Next: evaluate_kernel(scope='sample') measures exactly these; specialise a kernel "
                "by regime only where the share pays for it.",
            ),
            definition=definition,
            regimes=[
                RegimePart(
                    name=r.name,
                    axes={axis: list(span) for axis, span in r.axes.items()},
                    count=len(r.members),
                    latency_share=r.latency_share,
                    representative=r.representative,
                    kind=str(r.kind),
                    why=shorten(r.why, 300),
                    members=list(r.members)[: MEMBERS_SHOWN[detail]],
                )
                for r in sample.regimes[:rows]
            ],
            weights=dict(sample.weights),
            workload_digest=sample.workload_digest,
            basis=str(sample.basis),
            expected_error=sample.expected_error,
            why=shorten(sample.why, 800),
        )

    return fitted(build, len(sample.regimes))


def workspace_answer(workspace: Workspace) -> WorkspaceAnswer:
    """Where to write, what is there already, and what to know first."""
    return WorkspaceAnswer(
        summary=lines(
            f"Workspace {workspace.name} for {workspace.definition}, begun from "
            f"{workspace.started_from}: {workspace.path}",
            f"Edit {workspace.entry_point.split('::')[0]} (language {workspace.language}, entry "
            f"point {workspace.entry_point}); candidate.toml says how it is built and called. "
            "reference.py is for reading: it is not part of the candidate.",
            f"Next: write the kernel, then evaluate_kernel(workspace='{workspace.name}', "
            "scope='smoke').",
        ),
        workspace=workspace.path,
        definition=workspace.definition,
        name=workspace.name,
        language=workspace.language,
        entry_point=workspace.entry_point,
        files=workspace.files,
        started_from=workspace.started_from,
        notes=shorten(workspace.notes, NOTES_CHARACTERS),
    )


def slice_answer(piece: ReportSlice, section: str | None, offset: int) -> SliceAnswer:
    """A part of a long text, and how to get the next one."""
    text = _within_budget(piece.text)
    end = offset + len(text)
    following = end if end < piece.total_characters else None
    more = f" Next: offset={following}." if following is not None else ""
    return SliceAnswer(
        summary=f"Characters {offset} to {end} of {piece.total_characters}.{more}",
        uri=piece.uri,
        section=section,
        text=printable(text),
        offset=offset,
        next_offset=following,
        total_characters=piece.total_characters,
        sections=list(piece.sections),
    )


def _within_budget(text: str) -> str:
    """As much of a text as a client can hold: quotes are escaped, a letter may be four bytes."""
    while len(json.dumps(text, ensure_ascii=False).encode()) > BUDGET_CHARACTERS:
        text = text[: len(text) * 4 // 5]
    return text
