"""The manifest of an archived candidate, and the words generated from its record.

Knows the form of a commit's tree, message and notes; knows neither git nor the index. Every number
in a message or a note comes from the evaluation; what the agent says is quoted, never counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from ...errors import ArchiveError
from ...schema.evaluation import Evaluation, Scope, Status

if TYPE_CHECKING:
    from ...schema.flashinfer_trace import Solution

MANIFEST_VERSION = 1
MANIFEST = "candidate.toml"
SOURCES = "sources"
EVALUATION = "evaluation.json"
TRACE = "trace.jsonl"
NOTES = "NOTES.md"
PROFILE = "profile"

_UNSAFE_IN_REF = re.compile(r"[^A-Za-z0-9_.+-]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class CandidateManifest(BaseModel):
    """What `candidate.toml` of an archived commit says; parents are the commit's parents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = MANIFEST_VERSION
    name: str
    definition: str
    op_type: str = ""
    author: str = ""
    language: str
    entry_point: str
    destination_passing_style: bool = True
    binding: str = Field(default="", description="Empty: the language's default.")
    dependencies: list[str] = Field(default_factory=list)
    target_hardware: list[str] = Field(default_factory=list)
    description: str = ""
    technique: list[str] = Field(default_factory=list)
    hypothesis: str
    lesson: str = ""
    evaluation_id: str
    content_hash: str
    normalised_hash: str = Field(description="Of the sources without comments and formatting.")
    definition_digest: str = Field(description="sha256 of the definition it was judged against.")
    workload_count: int = Field(default=0, description="Workloads of the operator; 0: unknown.")
    harness_version: str = ""

    def to_toml(self) -> str:
        """Writes the manifest, fields in the order of the model."""
        import tomli_w

        return tomli_w.dumps(self.model_dump())

    @classmethod
    def from_toml(cls, text: str) -> CandidateManifest:
        """Reads a manifest.

        Raises:
            ArchiveError: when it is not one, naming the first field at fault.
        """
        import tomllib

        try:
            return cls(**tomllib.loads(text))
        except ValueError as error:
            raise ArchiveError(
                f"A candidate's manifest cannot be read: {str(error).splitlines()[0]}",
                where=MANIFEST,
                remedy="Run git fsck on the archive's repository; it may come from another tool.",
            ) from error


@dataclass(frozen=True)
class CandidateRecord:
    """One archived candidate, as read from git.

    Attributes:
        candidate_id: first twelve hex digits of the commit.
        sources: path to text, paths relative to the solution.
        profiles: names of the files under profile/, readable with `Archive.read_profile`.
    """

    candidate_id: str
    commit: str
    ref: str
    parents: tuple[str, ...]
    candidate: CandidateManifest
    evaluation: Evaluation
    sources: Mapping[str, str]
    profiles: tuple[str, ...] = field(default=())

    def solution(self) -> Solution:
        """The FlashInfer-Trace Solution that was judged, rebuilt from the manifest and sources."""
        from ...schema.flashinfer_trace import Solution

        manifest = self.candidate
        return Solution.model_validate(
            {
                "name": manifest.name,
                "definition": manifest.definition,
                "author": manifest.author or "archive",
                "description": manifest.description or None,
                "spec": {
                    "language": manifest.language,
                    "target_hardware": manifest.target_hardware,
                    "entry_point": manifest.entry_point,
                    "dependencies": manifest.dependencies,
                    "destination_passing_style": manifest.destination_passing_style,
                    "binding": manifest.binding or None,
                },
                "sources": [{"path": p, "content": text} for p, text in self.sources.items()],
            }
        )


def plain(text: str, limit: int = 20_000) -> str:
    """Removes what a terminal or a reviewer could be misled by, and cuts to `limit` characters."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))[:limit].strip()


def one_line(text: str, limit: int = 200) -> str:
    """The text on one line, cut with an ellipsis."""
    words = " ".join(plain(text).split())
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"


def ref_part(name: str) -> str:
    """A name as one component of a ref; what git forbids is percent-encoded."""
    text = _UNSAFE_IN_REF.sub(lambda m: "".join(f"%{b:02X}" for b in m[0].encode()), name)
    text = text.replace("..", ".%2E")
    if text.startswith((".", "-")):
        text = f"%{ord(text[0]):02X}{text[1:]}"
    if text.endswith(".lock"):
        text = text.removesuffix(".lock") + "%2Elock"
    return text.removesuffix(".") + ("%2E" if text.endswith(".") else "")


def gpu_name(evaluation: Evaluation) -> str:
    """The device as the archive's refs and leaderboards name it, e.g. "H200"; "cpu" without one."""
    device = evaluation.evidence.device
    if device is None or device.executor != "cuda":
        return "cpu"
    return gpu_label(device.name)


def gpu_label(device_name: str) -> str:
    """A driver's name of a device as refs carry it, e.g. "H200" for "NVIDIA H200"."""
    return "-".join(device_name.replace("NVIDIA", " ").split()) or "gpu"


def technique_tags(tags: Sequence[str]) -> list[str]:
    """Techniques as they are stored: lower case, words joined by hyphens, first use kept."""
    joined = (re.sub(r"[\s_]+", "-", one_line(tag, 80).lower()) for tag in tags)
    return list(dict.fromkeys(tag for tag in joined if tag))


def ranked_latency_us(evaluation: Evaluation, workload_count: int = 0) -> float | None:
    """The latency a candidate is ranked by: the mean over all workloads, or its estimate.

    None when the record speaks only of some: a smoke test, or workloads left out by the budget.

    Args:
        workload_count: how many workloads the operator has; 0 when unknown.
    """
    totals = evaluation.totals
    if totals.not_run or evaluation.scope in (Scope.STATIC, Scope.SMOKE):
        return None
    if totals.estimated_full_mean_us is not None:
        return totals.estimated_full_mean_us
    return totals.mean_latency_us if len(evaluation.workloads) >= workload_count else None


def started_at(evaluation: Evaluation) -> int:
    """Seconds since the epoch at which the trial began.

    Raises:
        ArchiveError: when the record's time cannot be read.
    """
    try:
        moment = datetime.fromisoformat(evaluation.evidence.started_at)
    except ValueError as error:
        raise ArchiveError(
            f"The evaluation's start {evaluation.evidence.started_at!r} is no ISO 8601 time",
            where=f"evaluation {evaluation.evaluation_id}",
            remedy="Evaluate again; a record without a time is no evidence.",
        ) from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp())


def number(value: float) -> str:
    """A measured figure with four significant digits and no exponent."""
    return f"{value:.4g}" if 1e-3 <= abs(value) < 1e4 else f"{value:.0f}" if value else "0"


def subject(candidate: CandidateManifest, evaluation: Evaluation) -> str:
    """The first line of the commit message."""
    device = gpu_name(evaluation)
    latency = ranked_latency_us(evaluation, candidate.workload_count)
    if latency is not None:
        ratio = evaluation.totals.geometric_mean_ratio
        versus = f", {number(ratio)}x {evaluation.baseline or 'baseline'}" if ratio else ""
        outcome = f"{number(latency)} us{versus} on {device}"
    elif evaluation.status is Status.PASSED:
        outcome = f"passed untimed on {device}"
    else:
        kind = evaluation.failure.kind if evaluation.failure else evaluation.stage
        outcome = f"{evaluation.status} ({kind}) on {device}"
    return one_line(f"{candidate.name}: {outcome}", 120)


def trailers(
    candidate: CandidateManifest, evaluation: Evaluation, parents: Sequence[str]
) -> list[tuple[str, str]]:
    """The trailers of the commit message, every figure from the record.

    Args:
        parents: candidate ids, in the order of the commit's parents.
    """
    device = evaluation.evidence.device
    totals = evaluation.totals
    lines: list[tuple[str, str]] = [
        ("Definition", candidate.definition),
        ("Language", candidate.language),
        ("Hardware", device.name if device else "none"),
        ("Status", str(evaluation.status)),
        ("Scope", str(evaluation.scope)),
    ]
    latency = ranked_latency_us(evaluation, candidate.workload_count)
    if latency is not None:
        lines.append(("Latency-us", number(latency)))
    if totals.geometric_mean_ratio is not None:
        lines.append(("Speedup", number(totals.geometric_mean_ratio)))
        if totals.ratio_interval is not None:
            low, high = totals.ratio_interval
            lines.append(("Speedup-Interval", f"{number(low)}..{number(high)}"))
        lines.append(("Baseline", evaluation.baseline or "none"))
    if evaluation.failure is not None:
        lines.append(("Failure", f"{evaluation.failure.stage}/{evaluation.failure.kind}"))
    lines += [("Technique", tag) for tag in candidate.technique]
    lines += [
        ("Evaluation", evaluation.evaluation_id),
        ("Content-Hash", candidate.content_hash),
        ("Workload-Digest", evaluation.workload_digest),
    ]
    lines += [("Parent-Candidate", parent) for parent in parents]
    lines.append(("Harness", candidate.harness_version or "unknown"))
    return [(key, one_line(value) or "none") for key, value in lines]


def commit_message(
    candidate: CandidateManifest, evaluation: Evaluation, parents: Sequence[str]
) -> str:
    """Subject, the agent's hypothesis and lesson, and the trailers as the last paragraph."""
    paragraphs = [subject(candidate, evaluation)]
    if candidate.hypothesis:
        paragraphs.append(f"Hypothesis: {one_line(candidate.hypothesis, 1_000)}")
    if candidate.lesson:
        paragraphs.append(f"Lesson: {one_line(candidate.lesson, 1_000)}")
    block = trailers(candidate, evaluation, parents)
    paragraphs.append("\n".join(f"{key}: {value}" for key, value in block))
    return "\n\n".join(paragraphs) + "\n"


def notes(candidate: CandidateManifest, evaluation: Evaluation) -> str:
    """NOTES.md: what the agent said, then what was measured."""
    totals = evaluation.totals
    lines = [f"# {candidate.name}", "", "## Hypothesis", "", candidate.hypothesis or "None given."]
    lines += ["", "## Lesson", "", candidate.lesson or "None given.", ""]
    lines += ["## Measured", "", "Generated from evaluation.json.", ""]
    lines.append(f"- status: {evaluation.status} at {evaluation.stage}, scope {evaluation.scope}")
    lines.append(
        f"- workloads: {totals.passed} passed, {totals.failed} failed, {totals.not_run} not run"
    )
    latency = ranked_latency_us(evaluation, candidate.workload_count)
    lines.append(f"- latency: {number(latency)} us" if latency is not None else "- latency: none")
    if evaluation.not_timed_reason:
        lines.append(f"- not timed: {one_line(evaluation.not_timed_reason)}")
    if totals.geometric_mean_ratio is not None:
        lines.append(f"- speedup over {evaluation.baseline}: {number(totals.geometric_mean_ratio)}")
    if evaluation.failure is not None:
        lines.append(f"- failure: {one_line(evaluation.failure.message, 500)}")
    return "\n".join(lines) + "\n"


def read_trailers(message: str) -> dict[str, list[str]]:
    """The trailers of a commit message written by `commit_message`."""
    found: dict[str, list[str]] = {}
    for line in message.rstrip("\n").rsplit("\n\n", 1)[-1].splitlines():
        key, separator, value = line.partition(": ")
        if separator:
            found.setdefault(key, []).append(value)
    return found


def tree_files(
    candidate: CandidateManifest,
    evaluation: Evaluation,
    sources: Mapping[str, str],
    traces: Sequence[Any],
    profiles: Mapping[str, bytes],
) -> dict[str, bytes]:
    """Every file of the commit's tree, by path.

    Raises:
        ArchiveError: when a path would leave its folder.
    """
    files = {
        MANIFEST: candidate.to_toml().encode(),
        EVALUATION: (evaluation.model_dump_json(indent=1) + "\n").encode(),
        TRACE: "".join(f"{trace.model_dump_json()}\n" for trace in traces).encode(),
        NOTES: notes(candidate, evaluation).encode(),
    }
    for path, text in sources.items():
        files[f"{SOURCES}/{path}"] = text.encode()
    for path, content in profiles.items():
        files[f"{PROFILE}/{path}"] = content
    for path in files:
        _check_path(path, files)
    return files


def _check_path(path: str, files: Mapping[str, bytes]) -> None:
    parts = path.split("/")
    bad = any(p in ("", ".", "..") or p.lower().startswith(".git") or "\\" in p for p in parts)
    folders = ("/".join(parts[:count]) for count in range(1, len(parts)))
    if bad or _CONTROL.search(path) or "\n" in path or any(f in files for f in folders):
        raise ArchiveError(
            f"The path {path!r} cannot be stored",
            where="sources and profiles",
            remedy="Use plain relative paths, without './', '..' or a '.git…' part.",
        )
