"""The manifest of an archived candidate, and the candidate as read from git.

Knows neither git nor the index.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from ...errors import ArchiveError
from ...schema.evaluation import Evaluation
from ...schema.record_model import RecordModel
from ...schema.search.made_by import NOBODY, MadeBy
from ...text import one_line
from .commit.profiles import profile_bottlenecks
from .commit.prose import prose, technique_tags
from .entry import CandidateFacts, Node

if TYPE_CHECKING:
    from ...schema.flashinfer_trace import Definition, Solution

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

    LATER_FIELDS: ClassVar[tuple[str, ...]] = ("plan", "made_by")

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
    plan: str = Field(default="", description="Id of the plan that it was written to.")
    made_by: MadeBy = NOBODY

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
        plan: str = "",
        made_by: MadeBy = NOBODY,
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
            plan=one_line(plan, 40),
            made_by=made_by,
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
            plan=self.plan,
            client=f"{self.made_by.client} {self.made_by.client_version}".strip(),
            model=f"{self.made_by.model} {self.made_by.effort}".strip(),
            session=self.made_by.session,
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
