"""The files of a candidate's commit, and its notes for a reader."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ....errors import ArchiveError
from ....schema.evaluation import Evaluation
from ....text import one_line, printable
from ..entry import CandidateFacts, number
from ..manifest import EVALUATION, MANIFEST, NOTES, PROFILE, SOURCES, TRACE, CandidateManifest
from .message import clock_said

if TYPE_CHECKING:
    from ....schema.flashinfer_trace import Trace

_STRUCTURE = re.compile(r"^([^\S\n]*)(?=#|```|~~~|<|[=-]+[^\S\n]*$)", re.MULTILINE)
"""What begins a line that Markdown takes for a heading, a code fence, HTML or a ruler."""


def tree_files(
    manifest: CandidateManifest,
    facts: CandidateFacts,
    evaluation: Evaluation,
    sources: Mapping[str, str],
    traces: Sequence[Trace],
    profiles: Mapping[str, bytes],
) -> dict[str, bytes]:
    """Every file of the commit's tree, by path.

    Raises:
        ArchiveError: when a path would leave its folder.
    """
    files = judged_files(manifest, evaluation, sources) | {
        TRACE: "".join(f"{trace.model_dump_json()}\n" for trace in traces).encode(),
        NOTES: _notes(manifest, facts, evaluation).encode(),
    }
    for path, content in profiles.items():
        files[f"{PROFILE}/{path}"] = content
    for path in files:
        _check_path(path, files)
    return files


def judged_files(
    manifest: CandidateManifest, evaluation: Evaluation, sources: Mapping[str, str]
) -> dict[str, bytes]:
    """The sources that were judged, the record of it and the manifest, by path.

    Raises:
        ArchiveError: when a path would leave its folder.
    """
    files = {
        MANIFEST: manifest.to_toml().encode(),
        EVALUATION: (evaluation.model_dump_json(indent=1) + "\n").encode(),
    }
    for path, text in sources.items():
        files[f"{SOURCES}/{path}"] = text.encode()
    for path in files:
        _check_path(path, files)
    return files


def _check_path(path: str, files: Mapping[str, bytes]) -> None:
    parts = path.split("/")
    bad = any(p in ("", ".", "..") or p.lower().startswith(".git") or "\\" in p for p in parts)
    folders = ("/".join(parts[:count]) for count in range(1, len(parts)))
    if bad or printable(path) != path or "\n" in path or any(f in files for f in folders):
        raise ArchiveError(
            f"The path {path!r} cannot be stored",
            where="sources and profiles",
            remedy="Use plain relative paths, without './', '..' or a '.git…' part.",
        )


def _notes(manifest: CandidateManifest, facts: CandidateFacts, evaluation: Evaluation) -> str:
    """NOTES.md: what the agent said, then what was measured."""
    totals = evaluation.totals
    latency = f"{number(facts.latency_us)} us" if facts.latency_us is not None else "none"
    if said := clock_said(facts):
        reason = f": {one_line(facts.clock_reason, 500)}" if facts.clock_reason else ""
        latency += f", {said}{reason}"
    lines = [f"# {one_line(manifest.name)}", "", "## Hypothesis", "", _plain(manifest.hypothesis)]
    lines += ["", "## Lesson", "", _plain(manifest.lesson), ""]
    lines += ["## Measured", "", "Generated from evaluation.json.", ""]
    lines += [
        f"- status: {facts.status} at {facts.stage}, scope {facts.scope}",
        f"- workloads: {totals.passed} passed, {totals.failed} failed, {totals.not_run} not run",
        f"- latency: {latency}",
    ]
    if evaluation.not_timed_reason:
        lines.append(f"- not timed: {one_line(evaluation.not_timed_reason)}")
    if facts.speedup is not None:
        lines.append(
            f"- speedup over {one_line(evaluation.baseline or '')}: {number(facts.speedup)}"
        )
    if evaluation.failure is not None:
        lines.append(f"- failure: {one_line(evaluation.failure.message, 500)}")
    return "\n".join(lines) + "\n"


def _plain(prose: str) -> str:
    """An author's words in Markdown, none of which is a heading, a fence or HTML of the notes."""
    return _STRUCTURE.sub(r"\1\\", prose) or "None given."
