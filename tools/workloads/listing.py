"""What there is to optimise: operators, their workloads, what is known of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..errors import RequestError
from ..schema.flashinfer_trace import TensorSpec, Workload
from ..schema.record_model import FiniteFloat, RecordModel
from .dataset import Dataset
from .dataset_problem import DatasetProblem
from .operators import Operator
from .regimes import Regime, ShapeSample, sample_shapes

MOST = 200


class AxisRange(RecordModel):
    """One varying axis and the values its workloads take."""

    name: str
    least: int
    most: int
    distinct: int


class DefinitionEntry(RecordModel):
    """One operator in the listing."""

    definition: str
    op_type: str
    description: str
    workloads: int
    varying_axes: list[AxisRange]
    baseline: str | None
    peers: list[str]


class DefinitionListing(RecordModel):
    """All operators, and the files that could not be read."""

    definitions: list[DefinitionEntry]
    problems: list[str]


class WorkloadEntry(RecordModel):
    """One workload in the listing; `inputs` has the kind of each input."""

    uuid: str
    axes: dict[str, int]
    inputs: dict[str, str]
    last_latency_us: FiniteFloat = None
    share: FiniteFloat = None
    regime: str | None = None


class Starts(RecordModel):
    """What a candidate may start from or be compared with, by name, and where to read of it."""

    baseline: str | None
    solutions: list[str]
    peers: list[str]
    skill: str | None = None


class WorkloadListing(RecordModel):
    """One operator's contract and a page of its workloads."""

    definition: str
    description: str
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    constants: dict[str, int]
    constraints: list[str]
    tolerance: dict[str, float]
    input_families: dict[str, str]
    workloads: list[WorkloadEntry]
    regimes: list[Regime]
    latency_basis: str
    total: int
    next_cursor: str | None
    workload_digest: str
    starts: Starts
    problems: list[str] = []


def starts_of(operator: Operator, skills_dirs: Sequence[Path] = ()) -> Starts:
    """The baseline, solutions and peers of an operator, and its page among some skills."""
    return Starts(
        baseline=operator.policy.baseline,
        solutions=sorted(operator.solutions()),
        peers=sorted(operator.peers()),
        skill=skill_page(skills_dirs, operator.name),
    )


def skill_page(skills_dirs: Sequence[Path], definition: str) -> str | None:
    """The page whose first heading names a definition, below its folder; None without one."""
    for folder in reversed(skills_dirs):
        for path in sorted(folder.glob("*/references/*.md")):
            with path.open(encoding="utf-8", errors="replace") as file:
                if definition in file.readline().split():
                    return path.relative_to(folder).as_posix()
    return None


def list_definitions(dataset: Dataset) -> DefinitionListing:
    """Every operator of the dataset."""
    return DefinitionListing(
        definitions=[_entry(operator) for operator in dataset.operators.values()],
        problems=[str(problem) for problem in dataset.problems],
    )


def _entry(operator: Operator) -> DefinitionEntry:
    definition = operator.definition
    return DefinitionEntry(
        definition=definition.name,
        op_type=definition.op_type,
        description=definition.description or "",
        workloads=len(operator.workloads),
        varying_axes=_ranges(operator),
        baseline=operator.policy.baseline,
        peers=sorted(operator.peers()),
    )


def _ranges(operator: Operator) -> list[AxisRange]:
    ranges = []
    for name in operator.definition.var_axes:
        values = [w.axes[name] for w in operator.workloads if name in w.axes]
        if values:
            ranges.append(
                AxisRange(name=name, least=min(values), most=max(values), distinct=len(set(values)))
            )
    return ranges


def list_workloads(
    operator: Operator,
    latencies: Mapping[str, float],
    of_one_program: Mapping[str, float],
    cursor: str | None,
    limit: int,
    skills_dirs: Sequence[Path] = (),
    problems: Iterable[DatasetProblem] = (),
) -> WorkloadListing:
    """One operator's contract and a page of its workloads.

    Args:
        latencies: last measured cold latency in microseconds by uuid; may be empty.
        of_one_program: the same of one program on all workloads, by which regimes are found.
        skills_dirs: where the operator may have a page.
        problems: of the dataset.

    Raises:
        RequestError: for a cursor that no page gave.
    """
    start = page_start(cursor, len(operator.workloads))
    limit = max(1, min(limit, MOST))
    sample = sample_shapes(operator, of_one_program or None)
    page = operator.workloads[start : start + limit]
    definition = operator.definition
    end = start + len(page)
    tolerance = operator.policy.tolerance
    return WorkloadListing(
        definition=definition.name,
        description=definition.description or "",
        inputs=definition.inputs,
        outputs=definition.outputs,
        constants=dict(definition.const_axes),
        constraints=list(definition.constraints),
        tolerance={
            "atol": tolerance.atol,
            "rtol": tolerance.rtol,
            "required_matched_ratio": tolerance.required_matched_ratio,
        },
        input_families=dict(operator.policy.input_families),
        workloads=_workload_entries(page, sample, latencies),
        regimes=sample.regimes,
        latency_basis=sample.basis,
        total=len(operator.workloads),
        next_cursor=str(end) if end < len(operator.workloads) else None,
        workload_digest=operator.digest,
        starts=starts_of(operator, skills_dirs),
        problems=[str(problem) for problem in problems if problem.is_of(operator)],
    )


def _workload_entries(
    page: Sequence[Workload], sample: ShapeSample, latencies: Mapping[str, float]
) -> list[WorkloadEntry]:
    whole = sum(latencies.values())
    return [
        WorkloadEntry(
            uuid=w.uuid,
            axes=dict(w.axes),
            inputs={name: spec.type for name, spec in w.inputs.items()},
            last_latency_us=latencies.get(w.uuid),
            share=latencies[w.uuid] / whole if w.uuid in latencies and whole else None,
            regime=sample.regime_of(w.uuid),
        )
        for w in page
    ]


def page_start(cursor: str | None, total: int) -> int:
    """The position in a listing of `total` rows that a cursor means; 0 for none.

    Raises:
        RequestError: for a cursor that no page gave.
    """
    if cursor is None or cursor == "":
        return 0
    if not cursor.isdigit() or int(cursor) >= total:
        raise RequestError(
            f"{cursor!r} is no cursor of this listing",
            remedy="Pass next_cursor of the previous page, or leave it out for the first.",
        )
    return int(cursor)
