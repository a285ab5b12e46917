"""Runs one workload under one of compute-sanitizer's tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..runs.run_files import Subject, WorkloadInputs
from ..runs.tool_run import ProfileRunner
from .findings import (
    ERROR_EXIT,
    SanitizerTool,
    ToolRun,
    read_findings,
    sanitizer_command,
    unread_words,
)

VARIABLES = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
"""Every tensor its own allocation, or an access out of one tensor lands in its neighbour unseen."""


async def run_tool(
    runner: ProfileRunner,
    program: str,
    tool: SanitizerTool,
    subject: Subject,
    workload: WorkloadInputs,
    *,
    timeout_s: float,
) -> ToolRun:
    """Runs one call under one tool.

    Raises:
        InfrastructureError: when the run could not be started.
    """

    def wrap(folder: Path, target: Sequence[str]) -> list[str]:
        return sanitizer_command(program, tool, target)

    async with runner.run(
        subject,
        workload,
        "sanitizer",
        wrap,
        timeout_s=timeout_s,
        warm_calls=0,
        variables=VARIABLES,
    ) as result:
        finished = result.finished
        findings = read_findings(finished.output, tool, result.folder / "src")
        reason = result.failure
    if findings or finished.status == ERROR_EXIT:
        status = "findings"
        reason = reason if findings else unread_words(finished.output)
    elif finished.timed_out:
        status, reason = "timeout", f"It did not finish in {finished.seconds:.0f} s."
    elif reason is not None or finished.status != 0:
        status = "failed"
        reason = reason or " ".join(finished.output.split())[-300:] or "It printed nothing."
    else:
        status = "clean"
    return ToolRun(
        tool=tool,
        workload_uuid=workload.uuid,
        status=status,
        findings=findings,
        reason=reason,
        seconds=round(finished.seconds, 3),
    )
