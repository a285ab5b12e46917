"""The manifest of an archived candidate, and the tree, message and notes of its commit.

Knows neither git nor the index. Every number in a message or a note comes from the evaluation; what
the agent says is quoted, never counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from pydantic import Field

from ...errors import ArchiveError
from ...schema.evaluation import Evaluation, Status
from ...schema.measurement import UNSEALABLE
from ...schema.record_model import RecordModel
from ...text import one_line, printable
from .entry import CandidateFacts, Node, number, profile_bottlenecks, undecided_words
from .prose import prose, technique_tags

if TYPE_CHECKING:
    from ...schema.flashinfer_trace import Definition, Solution, Trace

MANIFEST_VERSION = 1
MANIFEST = "candidate.toml"
SOURCES = "sources"
EVALUATION = "evaluation.json"
TRACE = "trace.jsonl"
NOTES = "NOTES.md"
PROFILE = "profile"
MOST_MESSAGE_BYTES = 1 << 20
"""Of a commit, and of a manifest."""
MOST_PROFILE_BYTES = 1 << 20
"""Of one file under profile/."""

_STRUCTURE = re.compile(r"^([^\S\n]*)(?=#|```|~~~|<|[=-]+[^\S\n]*$)", re.MULTILINE)
"""What begins a line that Markdown takes for a heading, a code fence, HTML or a ruler."""
_UNSAFE_IN_REF = re.compile(r"[^A-Za-z0-9_.+-]")


@cache
def harness_version() -> str:
    """The version of the installed harness."""
    try:
        return version("kernel-harness")
    except PackageNotFoundError:
        return "unknown"


class CandidateManifest(RecordModel):
    """Contents of `candidate.toml` in an archived commit; parents are the commit's parents."""

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

    @classmethod
    def describe(
        cls,
        solution: Solution,
        evaluation: Evaluation,
        definition: Definition,
        *,
        hypothesis: str,
        lesson: str,
        tags: Sequence[str],
        workload_count: int,
    ) -> CandidateManifest:
        """The manifest of a solution that was judged."""
        from ...schema.flashinfer_trace import definition_hash
        from .normalise import normalised_hash

        spec = solution.spec
        return cls(
            name=one_line(solution.name),
            definition=definition.name,
            op_type=definition.op_type,
            author=one_line(solution.author),
            language=str(spec.language),
            entry_point=spec.entry_point,
            destination_passing_style=spec.destination_passing_style,
            binding=str(spec.binding or ""),
            dependencies=list(spec.dependencies),
            target_hardware=list(spec.target_hardware),
            description=prose(solution.description or ""),
            technique=technique_tags(tags),
            hypothesis=prose(hypothesis),
            lesson=prose(lesson),
            evaluation_id=evaluation.evaluation_id,
            content_hash=evaluation.content_hash,
            normalised_hash=normalised_hash(solution),
            definition_digest=definition_hash(definition),
            workload_count=workload_count,
            harness_version=harness_version(),
        )

    def node(
        self,
        facts: CandidateFacts,
        ref: str,
        commit: str,
        parents: Sequence[str],
        profiles: Mapping[str, bytes],
        notes: Sequence[str] = (),
    ) -> Node:
        """The candidate's line of the index, once it has a commit."""
        return Node(
            **vars(facts),
            candidate_id=commit[:12],
            commit=commit,
            ref=ref,
            parents=tuple(parents),
            definition=self.definition,
            op_type=self.op_type,
            name=self.name,
            language=self.language,
            normalised_hash=self.normalised_hash,
            technique=tuple(self.technique),
            bottlenecks=profile_bottlenecks(profiles),
            hypothesis=one_line(self.hypothesis, 300),
            lesson=one_line(self.lesson, 400),
            notes=tuple(notes),
        )

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
        notes: what was said of it later, each in a line with its author.
    """

    candidate_id: str
    commit: str
    ref: str
    parents: tuple[str, ...]
    candidate: CandidateManifest
    evaluation: Evaluation
    sources: Mapping[str, str]
    profiles: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())

    def solution(self) -> Solution:
        """The FlashInfer-Trace Solution that was judged, rebuilt from the manifest and sources."""
        from ...schema.flashinfer_trace import Solution

        manifest = self.candidate
        values = {
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
        try:
            return Solution.model_validate(values)
        except ValueError as error:
            raise ArchiveError(
                f"The sources of a candidate are no solution: {one_line(str(error), 300)}",
                where=self.ref,
                remedy="It was not written by the harness; start from another candidate.",
            ) from error


def ref_part(name: str) -> str:
    """A name as one component of a ref; what git forbids is percent-encoded."""
    text = _UNSAFE_IN_REF.sub(lambda m: "".join(f"%{b:02X}" for b in m[0].encode()), name)
    text = text.replace("..", ".%2E")
    if text.startswith((".", "-")):
        text = f"%{ord(text[0]):02X}{text[1:]}"
    if text.endswith(".lock"):
        text = text.removesuffix(".lock") + "%2Elock"
    return text.removesuffix(".") + ("%2E" if text.endswith(".") else "")


def commit_message(
    manifest: CandidateManifest,
    facts: CandidateFacts,
    evaluation: Evaluation,
    parents: Sequence[str],
) -> str:
    """Subject, the agent's hypothesis and lesson, and the trailers as the last paragraph."""
    paragraphs = [_subject(manifest, facts, evaluation)]
    if manifest.hypothesis:
        paragraphs.append(f"Hypothesis: {one_line(manifest.hypothesis, 1_000)}")
    if manifest.lesson:
        paragraphs.append(f"Lesson: {one_line(manifest.lesson, 1_000)}")
    block = _trailers(manifest, facts, evaluation, parents)
    paragraphs.append("\n".join(f"{key}: {one_line(value) or 'none'}" for key, value in block))
    return "\n\n".join(paragraphs) + "\n"


def _subject(manifest: CandidateManifest, facts: CandidateFacts, evaluation: Evaluation) -> str:
    if not facts.verified:
        outcome = "unverified"
    elif facts.latency_us is not None:
        baseline = evaluation.baseline or "baseline"
        versus = f", {number(facts.speedup)}x {baseline}" if facts.speedup else ""
        clock = f" {said}" if (said := _clock_said(facts)) else ""
        outcome = f"{number(facts.latency_us)} us{clock}{versus}"
    elif evaluation.failure is None and (words := undecided_words(evaluation)) is not None:
        outcome = words
    elif evaluation.status is Status.PASSED:
        outcome = "passed untimed"
    else:
        kind = evaluation.failure.kind if evaluation.failure else facts.stage
        outcome = f"{facts.status} ({kind})"
    return one_line(f"{manifest.name}: {outcome} on {facts.hardware}", 120)


def _clock_said(facts: CandidateFacts) -> str:
    """The clock as commits name it; empty for claims of records that say nothing of clocks.

    Those are archived again as they were: a commit that names no clock means a claim.
    """
    return "" if facts.clock_reason == UNSEALABLE else facts.clock


def _trailers(
    manifest: CandidateManifest,
    facts: CandidateFacts,
    evaluation: Evaluation,
    parents: Sequence[str],
) -> list[tuple[str, str]]:
    device, interval = evaluation.evidence.device, evaluation.totals.ratio_interval
    lines = [
        ("Definition", manifest.definition),
        ("Language", manifest.language),
        ("Hardware", device.name if device else "none"),
        ("Status", facts.status),
        ("Scope", facts.scope),
    ]
    if facts.latency_us is not None:
        lines.append(("Latency-us", number(facts.latency_us)))
        if said := _clock_said(facts):
            lines.append(("Clock", said))
        if said and facts.clock_reason:
            lines.append(("Clock-Reason", facts.clock_reason))
    if facts.speedup is not None:
        lines.append(("Speedup", number(facts.speedup)))
        if interval is not None:
            lines.append(("Speedup-Interval", f"{number(interval[0])}..{number(interval[1])}"))
        lines.append(("Baseline", evaluation.baseline or "none"))
    if evaluation.failure is not None and facts.verified:
        lines.append(("Failure", f"{evaluation.failure.stage}/{evaluation.failure.kind}"))
    lines += [("Technique", tag) for tag in manifest.technique]
    lines += [
        ("Evaluation", facts.evaluation_id),
        ("Content-Hash", facts.content_hash),
        ("Workload-Digest", evaluation.workload_digest),
    ]
    lines += [("Parent-Candidate", parent) for parent in parents]
    lines.append(("Harness", manifest.harness_version or "unknown"))
    return lines


def _notes(manifest: CandidateManifest, facts: CandidateFacts, evaluation: Evaluation) -> str:
    """NOTES.md: what the agent said, then what was measured."""
    totals = evaluation.totals
    latency = f"{number(facts.latency_us)} us" if facts.latency_us is not None else "none"
    if said := _clock_said(facts):
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
        lines.append(f"- speedup over {evaluation.baseline}: {number(facts.speedup)}")
    if evaluation.failure is not None:
        lines.append(f"- failure: {one_line(evaluation.failure.message, 500)}")
    return "\n".join(lines) + "\n"


def _plain(prose: str) -> str:
    """An author's words in Markdown, none of which is a heading, a fence or HTML of the notes."""
    return _STRUCTURE.sub(r"\1\\", prose) or "None given."


def read_trailers(message: str) -> dict[str, list[str]]:
    """The trailers of a commit message written by `commit_message`."""
    found: dict[str, list[str]] = {}
    for line in message.rstrip("\n").rsplit("\n\n", 1)[-1].splitlines():
        key, separator, value = line.partition(": ")
        if separator:
            found.setdefault(key, []).append(value)
    return found


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
    files = {
        MANIFEST: manifest.to_toml().encode(),
        EVALUATION: (evaluation.model_dump_json(indent=1) + "\n").encode(),
        TRACE: "".join(f"{trace.model_dump_json()}\n" for trace in traces).encode(),
        NOTES: _notes(manifest, facts, evaluation).encode(),
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
    if bad or printable(path) != path or "\n" in path or any(f in files for f in folders):
        raise ArchiveError(
            f"The path {path!r} cannot be stored",
            where="sources and profiles",
            remedy="Use plain relative paths, without './', '..' or a '.git…' part.",
        )
