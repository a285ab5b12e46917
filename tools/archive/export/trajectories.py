"""State, action and outcome of every trial, archived or not, one JSON line each, to train models.

A line needs no other: it holds the problem's reference, what the program was derived from, what its
author tried and why, and what was measured. Failures are lines as wins are; of what was judged and
not archived nobody said why. Records that count here are told, and no others. Numbers that are not
finite are null.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from ...schema.evaluation import Failure, WorkloadResult
from ...schema.search.made_by import MadeBy
from ..store.archive import Archive
from ..store.entry import Node
from ..store.manifest import CandidateRecord
from .names import new_file

if TYPE_CHECKING:
    from ...workloads.dataset import Dataset

PARENTS_KEPT = 256
"""Sources of as many parents are kept while an operator is written: siblings are often close."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True)


class RegimeOutcome(_Line):
    """One band of workloads of one candidate."""

    name: str
    latency_us: float | None
    ratio: float | None = Field(description="Baseline over candidate, geometric mean.")
    decision: str


class ParentState(_Line):
    """A candidate or trial that another one was derived from, as it was known then."""

    candidate_id: str
    outcome: str
    outcome_words: str
    latency_us: float | None
    regimes: list[RegimeOutcome]
    bottlenecks: list[str]
    lesson: str


class State(_Line):
    """What was known before the trial."""

    definition: str
    definition_digest: str
    reference: str | None = Field(description="The definition's code; null: not here any more.")
    hardware: str
    parents: list[ParentState]
    sources: dict[str, str] = Field(description="Of the first parent; empty for a root.")
    candidates_before: int = Field(description="Of the operator.")
    best_before_us: float | None = Field(description="Least latency of the operator so far, here.")


class Action(_Line):
    """What was tried, in its author's words and code."""

    author: str
    made_by: MadeBy = Field(description="Client, model and session, as far as they were said.")
    plan: str = Field(description="Id of the plan that it was written to; empty without one.")
    hypothesis: str
    technique: list[str]
    language: str
    entry_point: str
    destination_passing_style: bool
    binding: str
    dependencies: list[str]
    sources: dict[str, str]


class WorkloadOutcome(_Line):
    """One workload of a trial."""

    uuid: str
    axes: dict[str, int]
    regime: str | None
    status: str
    latency_us: float | None
    latency_interval_us: tuple[float, float] | None
    ratio: float | None = Field(description="Baseline over candidate, paired.")
    ratio_interval: tuple[float, float] | None
    sol_percent: float | None


class Outcome(_Line):
    """What the evaluation of a step found."""

    status: str
    stage: str
    scope: str
    outcome: str
    outcome_words: str
    failure: Failure | None
    latency_us: float | None = Field(description="Mean over the workloads, as candidates rank.")
    clock: str = Field(description="'sealed' or 'claimed'; empty without a latency.")
    baseline: str | None
    ratio: float | None = Field(description="Baseline over candidate, geometric mean.")
    ratio_interval: tuple[float, float] | None
    regimes: list[RegimeOutcome]
    workloads: list[WorkloadOutcome]
    bottlenecks: list[str]
    lesson: str
    notes: list[str]
    seconds: float


class Step(_Line):
    """One line: a candidate of the search tree, or a trial that was not archived."""

    candidate_id: str = Field(description="Of a trial that was not archived: its evaluation's.")
    archived: bool
    evaluation_id: str
    at: str = Field(description="When its evaluation began; UTC, ISO 8601.")
    state: State
    action: Action
    outcome: Outcome


def export_trajectories(
    archive: Archive, dataset: Dataset, out: Path, definitions: Sequence[str] = ()
) -> int:
    """Writes the steps of operators into a file and returns how many there are.

    Args:
        archive: whose candidates are written, in the order in which they were tried.
        dataset: knows the operators' references.
        out: a file that does not exist yet.
        definitions: names of operators; all that the archive has when empty.

    Raises:
        RequestError: when the file exists, or an operator is unknown.
    """
    names = [dataset.operator(name).name for name in definitions] or archive.definitions()
    count = 0
    with new_file(out) as file:
        for name in names:
            operator = dataset.operators.get(name)
            reference = operator.definition.reference if operator else None
            for step in steps(archive, name, reference):
                file.write(f"{step.model_dump_json()}\n")
                count += 1
    return count


def steps(archive: Archive, definition: str, reference: str | None) -> Iterator[Step]:
    """The trials of one operator as steps, oldest first."""
    nodes: dict[str, Node] = {}
    best: dict[str, float] = {}

    @lru_cache(maxsize=PARENTS_KEPT)
    def sources_of(candidate_id: str) -> Mapping[str, str]:
        return _read(archive, nodes[candidate_id]).sources

    for node in _trials(archive, definition):
        record = _read(archive, node)
        parents = [nodes[parent] for parent in node.parents if parent in nodes]
        yield Step(
            candidate_id=node.candidate_id,
            archived=node.candidate_id != node.evaluation_id,
            evaluation_id=node.evaluation_id,
            at=datetime.fromtimestamp(node.at, UTC).isoformat(),
            state=State(
                definition=definition,
                definition_digest=record.candidate.definition_digest,
                reference=reference,
                hardware=node.hardware,
                parents=[_parent(parent) for parent in parents],
                sources=dict(sources_of(parents[0].candidate_id)) if parents else {},
                candidates_before=len(nodes),
                best_before_us=best.get(node.hardware),
            ),
            action=_action(record),
            outcome=_outcome(node, record),
        )
        nodes[node.candidate_id] = node
        if node.latency_us is not None:
            best[node.hardware] = min(best.get(node.hardware, node.latency_us), node.latency_us)


def _trials(archive: Archive, definition: str) -> list[Node]:
    """Candidates and trials that were not archived, oldest first, of those that count here."""
    found = {node.evaluation_id: node for node in archive.iter(definition)}
    for _, node in archive.trials.counted(definition, set(found)):
        found.setdefault(node.evaluation_id, node)
    counted = [node for node in found.values() if node.verified]
    return sorted(counted, key=lambda node: (node.at, node.evaluation_id))


def _read(archive: Archive, node: Node) -> CandidateRecord:
    """The record of a candidate, or of a trial that was not archived."""
    if node.candidate_id == node.evaluation_id:
        return archive.trials.read_at(node.ref, node.commit)
    return archive.read(node)


def _parent(node: Node) -> ParentState:
    return ParentState(
        candidate_id=node.candidate_id,
        outcome=str(node.outcome),
        outcome_words=node.outcome_words,
        latency_us=node.latency_us,
        regimes=_regimes(node),
        bottlenecks=list(node.bottlenecks),
        lesson=node.lesson,
    )


def _regimes(node: Node) -> list[RegimeOutcome]:
    return [
        RegimeOutcome(name=r.name, latency_us=r.latency_us, ratio=r.ratio, decision=r.decision)
        for r in node.regimes
    ]


def _action(record: CandidateRecord) -> Action:
    said = record.candidate
    return Action(
        author=said.author,
        made_by=said.made_by,
        plan=said.plan,
        hypothesis=said.hypothesis,
        technique=said.technique,
        language=said.language,
        entry_point=said.entry_point,
        destination_passing_style=said.destination_passing_style,
        binding=said.binding,
        dependencies=said.dependencies,
        sources=dict(record.sources),
    )


def _outcome(node: Node, record: CandidateRecord) -> Outcome:
    evaluation = record.evaluation
    return Outcome(
        status=node.status,
        stage=node.stage,
        scope=node.scope,
        outcome=str(node.outcome),
        outcome_words=node.outcome_words,
        failure=evaluation.failure,
        latency_us=node.latency_us,
        clock=node.clock,
        baseline=evaluation.baseline,
        ratio=node.speedup,
        ratio_interval=evaluation.totals.ratio_interval,
        regimes=_regimes(node),
        workloads=[_workload(result) for result in evaluation.workloads],
        bottlenecks=list(node.bottlenecks),
        lesson=record.candidate.lesson,
        notes=list(record.notes),
        seconds=node.seconds,
    )


def _workload(result: WorkloadResult) -> WorkloadOutcome:
    comparison = result.comparison
    return WorkloadOutcome(
        uuid=result.uuid,
        axes=result.axes,
        regime=result.regime,
        status=str(result.status),
        latency_us=result.latency_us,
        latency_interval_us=result.latency_interval_us,
        ratio=comparison.ratio if comparison else None,
        ratio_interval=comparison.interval if comparison else None,
        sol_percent=result.sol_percent,
    )
