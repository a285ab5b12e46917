"""compute-sanitizer: its four tools, their commands, and their findings by source line.

    memcheck    accesses out of bounds or misaligned, leaks left aside
    racecheck   hazards on shared memory
    initcheck   reads of device memory that nothing wrote
    synccheck   barriers that not every thread reaches

Pure: building commands and reading texts. What a tool prints of a candidate is untrusted words.
A tool that finds nothing on one workload proves nothing of another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from pydantic import Field

from ...schema.record_model import RecordModel

ERROR_EXIT = 86
"""Exit status that a tool gives when it found something, apart from any of the program's own."""
MOST_FINDINGS = 20
_MARK = "========="
_PLACES = (
    re.compile(
        r"(?:\bat|Device Frame:)\s*0x[0-9a-f]+ in (?P<file>\S+?):(?P<line>\d+):(?P<kernel>[^\n\[]+)"
    ),
    re.compile(
        r"(?:\bat|Device Frame:)\s*(?P<kernel>[^\n]+?)(?:\+0x[0-9a-f]+)?\s+in (?P<file>\S+?):"
        r"(?P<line>\d+)"
    ),
)
_KERNEL_ONLY = (
    re.compile(r"\bat 0x[0-9a-f]+ in (?P<kernel>[^\n]+?)(?= and |\n|$)"),
    re.compile(r"\bat (?P<kernel>[^\n]+?)\+0x[0-9a-f]+"),
)
_THREAD = re.compile(r"by thread \((\d+,\d+,\d+)\) in block \((\d+,\d+,\d+)\)")
_HAZARDS = re.compile(r"\[(\d{1,9}) hazards?\]")
_MISALIGNED = re.compile(r"\bis misaligned\b")
_KINDS = (
    (re.compile(r"Invalid __(\w+)__ (\w+) of size (\d+)"), "out_of_bounds"),
    (re.compile(r"Uninitialized __(\w+)__ memory"), "uninitialised_read"),
    (re.compile(r"(?:Error|Warning): (?:Race reported|Potential \w+ hazard)"), "race"),
    (re.compile(r"Barrier error detected"), "barrier"),
    (re.compile(r"(?:Program hit|CUDA error|an illegal memory access)"), "cuda_error"),
    (re.compile(r"Malloc/Free [Ee]rror|Invalid (?:free|address)"), "allocation"),
    (re.compile(r"Misaligned"), "misaligned"),
)


class SanitizerTool(StrEnum):
    """compute-sanitizer's tools."""

    MEMCHECK = "memcheck"
    RACECHECK = "racecheck"
    INITCHECK = "initcheck"
    SYNCCHECK = "synccheck"


class SanitizerFinding(RecordModel):
    """One fault, merged over the threads that showed it."""

    tool: SanitizerTool
    kind: str = Field(description="'out_of_bounds', 'race', 'uninitialised_read', 'barrier'…")
    message: str
    kernel: str | None = None
    file: str | None = Field(default=None, description="Relative to the candidate's sources.")
    line: int | None = None
    thread: str | None = Field(default=None, description="First thread and block that showed it.")
    details: list[str] = Field(default_factory=list)
    count: int = Field(default=1, description="Reports, or hazards that a race stands for.")


class ToolRun(RecordModel):
    """One tool on one workload."""

    tool: SanitizerTool
    workload_uuid: str
    status: str = Field(description="'clean', 'findings', 'failed' or 'timeout'.")
    findings: list[SanitizerFinding] = Field(default_factory=list)
    reason: str | None = None
    seconds: float = 0.0


class SanitizerReport(RecordModel):
    """What compute-sanitizer found of one solution."""

    solution_name: str
    content_hash: str
    definition: str
    tool: str = Field(description="'compute-sanitizer' or 'unavailable'.")
    tool_version: str | None = None
    reason: str | None = None
    runs: list[ToolRun] = Field(default_factory=list)
    report_paths: list[str] = Field(default_factory=list)
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether every tool ran and found nothing."""
        return bool(self.runs) and all(run.status == "clean" for run in self.runs)


def sanitizer_command(program: str, tool: SanitizerTool, target: Sequence[str]) -> list[str]:
    """Builds the command that runs `target` under one tool."""
    command = [
        program,
        "--tool",
        tool.value,
        "--error-exitcode",
        str(ERROR_EXIT),
        "--target-processes",
        "application-only",
        "--print-limit",
        "40",
        "--show-backtrace",
        "no",
    ]
    if tool is SanitizerTool.RACECHECK:
        command += ["--racecheck-report", "analysis"]
    if tool is SanitizerTool.MEMCHECK:
        command += ["--padding", "64"]
    return [*command, *target]


def read_findings(text: str, tool: SanitizerTool, source_root: Path) -> list[SanitizerFinding]:
    """Reads a tool's output; equal faults at one place are one finding with a count.

    Args:
        source_root: folder under which the candidate's sources were written; cut from file names.
    """
    merged: dict[tuple[str, str | None, str | None, int | None], SanitizerFinding] = {}
    for block in _blocks(text):
        finding = _finding(block, tool, source_root)
        key = (finding.kind, finding.kernel, finding.file, finding.line)
        known = merged.get(key)
        if known is None:
            merged[key] = finding
        else:
            merged[key] = known.model_copy(update={"count": known.count + finding.count})
    ranked = sorted(merged.values(), key=lambda finding: finding.count, reverse=True)
    return ranked[:MOST_FINDINGS]


def _blocks(text: str) -> Iterator[list[str]]:
    """The lines of each fault: from one that names it to the next fault, gap or summary."""
    block: list[str] = []
    for line in text.splitlines():
        if not line.startswith(_MARK):
            continue
        words = line.removeprefix(_MARK).strip()
        starts = _kind_of(words) is not None
        if block and (starts or not words or "SUMMARY" in words):
            yield block
            block = []
        if starts or (block and words):
            block.append(words)
    if block:
        yield block


def _finding(block: Sequence[str], tool: SanitizerTool, source_root: Path) -> SanitizerFinding:
    kernel, file, line = _place("\n".join(block), source_root)
    head, *rest = (row.replace(f"{source_root}/", "") for row in block)
    hazards = _HAZARDS.search(" ".join(block))
    thread = next((match for row in rest if (match := _THREAD.search(row))), None)
    return SanitizerFinding(
        tool=tool,
        kind="misaligned" if _MISALIGNED.search(" ".join(rest)) else _kind_of(head) or "fault",
        message=head[:300],
        kernel=kernel,
        file=file,
        line=line,
        thread=f"thread ({thread[1]}) of block ({thread[2]})" if thread else None,
        details=[row[:200] for row in rest if not row.startswith(("Host Frame", "Saved host"))][:6],
        count=max(1, int(hazards[1])) if hazards else 1,
    )


def unread_words(text: str) -> str | None:
    """The text of a fault that no finding was read from; None when there is none."""
    rows = [line.removeprefix(_MARK).strip() for line in text.splitlines() if _MARK in line[:9]]
    said = [row for row in rows if row and "COMPUTE-SANITIZER" not in row]
    return " ".join(said)[-600:] or None


def _kind_of(line: str) -> str | None:
    return next((kind for pattern, kind in _KINDS if pattern.search(line)), None)


def _place(text: str, source_root: Path) -> tuple[str | None, str | None, int | None]:
    """The kernel and source line of a fault, in the candidate's own files where it names one."""
    found = [match for pattern in _PLACES for match in pattern.finditer(text)]
    found.sort(key=lambda match: not match["file"].startswith(str(source_root)))
    if found:
        best = found[0]
        return best["kernel"].strip()[:200], _relative(best["file"], source_root), int(best["line"])
    for pattern in _KERNEL_ONLY:
        match = pattern.search(text)
        if match is not None:
            return match["kernel"].strip()[:200], None, None
    return None, None, None


def _relative(file: str, source_root: Path) -> str:
    root = str(source_root)
    if not file.startswith(root):
        return Path(file).name if file.startswith("/") else file
    inside = Path(file[len(root) :].lstrip("/"))
    return str(Path(*inside.parts[1:])) if len(inside.parts) > 1 else str(inside)
