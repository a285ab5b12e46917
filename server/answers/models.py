"""Models of the answers on the machine, workloads and workspaces."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ...tools.schema.record_model import FiniteFloat
from .result import Answer, Result, first, short


class DevicePart(Result):
    """A device of this machine."""

    name: str
    compute_capability: str | None = None
    sm_count: int | None = None
    memory_gib: FiniteFloat = None


class ToolPart(Result):
    """One tool of the toolchain."""

    name: str
    found: bool
    version: str | None = None
    costs: str | None = Field(default=None, description="What cannot be done without it.")
    remedy: str | None = None


class IsolationPart(Result):
    """What keeps a candidate away from the verdict."""

    level: str = Field(description="'strong', 'weaker' or 'unknown' (no judge has run yet).")
    granted: list[str] = Field(default_factory=list)
    missing: list[str] = Field(default_factory=list)
    note: str | None = None


class EnvironmentAnswer(Answer):
    """What this machine can and cannot do."""

    executor: str = Field(description="'cuda', or 'interpreter': judged, but never timed.")
    device: str = Field(description="'cuda:N' or 'cpu'.")
    devices: list[DevicePart] = Field(default_factory=list)
    toolchain: list[ToolPart] = Field(default_factory=list)
    isolation: IsolationPart
    libraries: dict[str, str] = Field(default_factory=dict)
    archive_path: str
    workspaces_path: str
    dataset_paths: list[str]
    fit: bool | None = Field(default=None, description="Of the definition asked of: to judge by.")
    dataset_problems: Annotated[list[Annotated[str, short(400)]], first(20)] = Field(
        default_factory=list
    )
    notes: list[str] = Field(default_factory=list)


class AxisPart(Result):
    """A varying axis and the values its workloads take."""

    name: str
    least: int
    most: int
    distinct: int


class DefinitionPart(Result):
    """One definition in a listing."""

    definition: str
    op_type: str | None = None
    description: Annotated[str | None, short(160)] = None
    workloads: int = Field(description="How many workloads it has.")
    varying_axes: list[AxisPart] = Field(default_factory=list)
    baseline: str | None = Field(default=None, description="What evaluate_kernel compares to.")
    peers: Annotated[list[str], first(10)] = Field(
        default_factory=list, description="Solutions by others to start from."
    )


class TensorPart(Result):
    """One input or output, in call order."""

    name: str
    shape: list[str] | None = Field(default=None, description="Axis names; absent for a scalar.")
    dtype: str
    description: Annotated[str | None, short(300)] = None


class WorkloadPart(Result):
    """One workload of a definition."""

    uuid: str
    axes: dict[str, int]
    inputs: dict[str, str] = Field(
        default_factory=dict, description="Input to its kind: random, safetensors, scalar."
    )
    last_latency_us: FiniteFloat = None
    share: FiniteFloat = Field(default=None, description="Share of the whole time, 0 to 1.")
    regime: str | None = None


class RegimePart(Result):
    """A band of workloads that behave alike."""

    name: str
    axes: dict[str, list[int]] = Field(
        default_factory=dict, description="Axis to [smallest, largest]."
    )
    count: int = Field(description="How many workloads are in it.")
    latency_share: FiniteFloat = None
    representative: str = Field(description="uuid of the workload that stands for it.")
    kind: str | None = Field(default=None, description="'band', 'outlier' and the like.")
    why: Annotated[str | None, short(300)] = None
    members: list[str] = Field(default_factory=list, description="uuids, the first few.")


class WorkloadsAnswer(Answer):
    """The definitions, or one definition with its workloads."""

    definitions: list[DefinitionPart] = Field(default_factory=list)
    dataset_problems: Annotated[list[Annotated[str, short(300)]], first(5)] = Field(
        default_factory=list
    )
    definition: str | None = None
    description: str | None = None
    constants: dict[str, int] = Field(default_factory=dict, description="Axes that never vary.")
    constraints: list[str] = Field(default_factory=list)
    inputs: list[TensorPart] = Field(default_factory=list, description="In call order.")
    outputs: list[TensorPart] = Field(default_factory=list)
    tolerance: dict[str, float] = Field(default_factory=dict)
    input_families: dict[str, str] = Field(default_factory=dict, description="The first ranks.")
    workloads: list[WorkloadPart] = Field(default_factory=list)
    regimes: list[RegimePart] = Field(default_factory=list)
    latency_basis: str | None = Field(
        default=None, description="What shares rest on: 'measured', 'published' or 'estimated'."
    )
    workload_digest: str | None = None
    total: int = 0
    next_cursor: str | None = Field(default=None, description="Pass as `cursor` for the rest.")
    definition_uri: str | None = Field(default=None, description="The reference and the policy.")


class ShapesAnswer(Answer):
    """The workloads to measure while iterating, and what each stands for."""

    definition: str
    regimes: list[RegimePart]
    weights: dict[str, float] = Field(
        description="uuid to weight; the weighted sum estimates the mean over all workloads."
    )
    workload_digest: str
    basis: str = Field(description="'measured', 'published' or 'estimated' latencies.")
    expected_error: FiniteFloat = Field(
        default=None,
        description="Relative error of that estimate on latencies it was not made from.",
    )
    why: Annotated[str, short(800)]
