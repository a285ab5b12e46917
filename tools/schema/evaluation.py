"""The immutable record of one trial, its parts and their statuses.

Everything a later reader needs is in the record: raw samples, seeds, versions, clocks. A summary
is recomputed from it (`tools/evaluation/comparison.py`), never typed. A workload that did not pass
cannot hold a latency: the validators refuse to build one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

from pydantic import Field, model_validator

from .drawn_inputs import HeldOutResult, InputSource
from .measurement import (
    NO_SAMPLES,
    ClockSample,
    Comparison,
    Measurement,
    Objective,
    Sealing,
    TimeSource,
    Totals,
    joint_sealing,
)
from .record_model import FiniteFloat, RecordModel

SCHEMA_VERSION = 2
"""1: no measurement said where its times come from; all of them are claimed."""


class Status(StrEnum):
    """How a trial ended: FlashInfer-Trace's seven, then ours."""

    PASSED = "PASSED"
    INCORRECT_SHAPE = "INCORRECT_SHAPE"
    INCORRECT_NUMERICAL = "INCORRECT_NUMERICAL"
    INCORRECT_DTYPE = "INCORRECT_DTYPE"
    RUNTIME_ERROR = "RUNTIME_ERROR"
    COMPILE_ERROR = "COMPILE_ERROR"
    TIMEOUT = "TIMEOUT"
    COMPILED = "COMPILED"
    """It was built and never run: all that scope static can show."""
    PARTIAL = "PARTIAL"
    """Nothing was wrong, but not everything that its scope asks for was run."""
    INVALID_CANDIDATE = "INVALID_CANDIDATE"
    INTEGRITY_VIOLATION = "INTEGRITY_VIOLATION"
    NOT_JUDGED = "NOT_JUDGED"
    """This machine cannot run it: no GPU, a missing compiler, header or package, or no time."""
    INVALID_REFERENCE = "INVALID_REFERENCE"
    """The definition or its data is at fault, so that no candidate can be judged on it."""
    INFRASTRUCTURE_ERROR = "INFRASTRUCTURE_ERROR"
    INTERRUPTED = "INTERRUPTED"
    RUNNING = "RUNNING"
    NOT_RUN = "NOT_RUN"
    """A workload that was not run, or not to its end; never the status of a whole evaluation."""


UNFAILED = frozenset({Status.PASSED, Status.COMPILED, Status.PARTIAL, Status.RUNNING})
"""Statuses of an evaluation in which nothing failed."""
UNDECIDED = (UNFAILED - {Status.PASSED}) | {
    Status.NOT_JUDGED,
    Status.INVALID_REFERENCE,
    Status.INFRASTRUCTURE_ERROR,
    Status.INTERRUPTED,
    Status.NOT_RUN,
}
"""Statuses that say neither that the candidate is right nor that it is wrong."""


class Scope(StrEnum):
    """How much of an evaluation is asked for."""

    STATIC = "static"
    SMOKE = "smoke"
    SAMPLE = "sample"
    FULL = "full"
    OFFICIAL = "official"


class Stage(StrEnum):
    """The step at which a trial stands or ended."""

    REQUEST = "request"
    COMPILE = "compile"
    CORRECTNESS = "correctness"
    INTEGRITY = "integrity"
    TIMING = "timing"
    DONE = "done"


class Executor(StrEnum):
    """What ran the candidate."""

    CUDA = "cuda"
    INTERPRETER = "interpreter"


class Severity(StrEnum):
    """What a finding does to the verdict."""

    NOTE = "note"
    WARNING = "warning"
    VIOLATION = "violation"


OUT_OF_BOUNDS = "out_of_bounds"
"""Kind of a failure of a candidate that reached outside its tensors: its answers are wrong."""


class Failure(RecordModel):
    """Why a candidate failed, in words an agent can act on.

    For a held-out case only `stage`, `kind`, `message` and `remedy` are filled: an agent learns
    that it failed and how, never on which case.
    """

    stage: Stage
    kind: str = Field(description="Short machine word, e.g. 'syntax_error', 'wrong_values'.")
    message: str = Field(description="What happened, as a sentence with its numbers.")
    remedy: str = Field(description="What to do next.")
    workload_uuid: str | None = None
    axes: dict[str, int] = Field(default_factory=dict)
    held_out: bool = False
    output: str | None = Field(default=None, description="Name of the output that differs.")
    index: list[int] | None = Field(default=None, description="Index of the worst element.")
    expected: FiniteFloat | str = None
    got: FiniteFloat | str = None
    mismatched: int | None = None
    total: int | None = None
    cluster: str | None = Field(default=None, description="Where the mismatches lie.")
    excerpt: str | None = Field(
        default=None, description="Untrusted words of the compiler, Python or the candidate, cut."
    )


class Finding(RecordModel):
    """What an integrity check saw."""

    claim: str = Field(description="Id of the integrity claim, as in tests/adversarial/claims.py.")
    severity: Severity
    message: str
    evidence: dict[str, Any] = Field(default_factory=dict)


class OutputError(RecordModel):
    """The error of one output over all checked calls of one workload."""

    output: str
    max_absolute: FiniteFloat = None
    max_relative: FiniteFloat = None
    matched_ratio: FiniteFloat = Field(
        default=None, description="Share of elements within the FlashInfer-Trace criterion."
    )
    rms_relative: FiniteFloat = Field(
        default=None, description="Norm of the error over the norm of the oracle's output."
    )
    worst_row_relative: FiniteFloat = Field(default=None, description="The same of the worst row.")
    max_scaled: FiniteFloat = Field(default=None, description="Largest error over the oracle's rms")
    trusted_rms_relative: FiniteFloat = Field(
        default=None, description="rms_relative of the trusted same-precision implementation."
    )
    limit_rms_relative: FiniteFloat = None
    limit_max_scaled: FiniteFloat = None
    compatible: bool = Field(default=True, description="Within the FlashInfer-Trace criterion.")
    strict: bool = Field(default=True, description="Within our limits; decides the verdict.")


class WorkloadResult(RecordModel):
    """The outcome on one workload."""

    LATER_FIELDS: ClassVar[tuple[str, ...]] = (
        *("called_us", "cold_us", "clean_us", "sustained_us", "baseline_called_us"),
        *("baseline_clean_us", "baseline_sustained_us", "baseline_warm_us"),
    )

    uuid: str
    axes: dict[str, int]
    status: Status
    reason: str | None = Field(default=None, description="Why it was not run or has no latency.")
    regime: str | None = None
    weight: float | None = None
    calls_checked: int = 0
    errors: list[OutputError] = Field(default_factory=list)
    failure: Failure | None = None
    latency_us: FiniteFloat = Field(
        default=None, description="The time that ranks: with objective 'cold', the cold span."
    )
    latency_interval_us: tuple[float, float] | None = None
    warm_latency_us: FiniteFloat = None
    host_latency_us: FiniteFloat = None
    baseline_latency_us: FiniteFloat = None
    called_us: FiniteFloat = Field(
        default=None,
        description="Beside a sealed latency: the call as the candidate's process makes it, with "
        "the gaps between its launches, told by that process.",
    )
    baseline_called_us: FiniteFloat = None
    cold_us: FiniteFloat = Field(default=None, description="The cold span, if another time ranks.")
    clean_us: FiniteFloat = Field(
        default=None, description="Span with a cold L2 that holds no line to be written back."
    )
    sustained_us: FiniteFloat = Field(
        default=None,
        description="A call of many back to back over copies of their tensors larger than the L2.",
    )
    baseline_clean_us: FiniteFloat = None
    baseline_sustained_us: FiniteFloat = None
    baseline_warm_us: FiniteFloat = None
    speedup: FiniteFloat = None
    comparison: Comparison | None = None
    floors_us: dict[str, float] = Field(
        default_factory=dict, description="Least time by device or target, e.g. 'B200': 1.05."
    )
    sol_percent: FiniteFloat = Field(
        default=None, description="Floor of the device measured on over the latency, in percent."
    )
    device_floors_us: dict[str, float] = Field(
        default_factory=dict,
        description="On the device measured on: 'nominal', by data-sheet rates; 'calibrated', by "
        "measured ones; 'latency', with launch and serial steps, an estimate that may be beaten.",
    )
    measurement: Measurement | None = None
    baseline_measurement: Measurement | None = None

    @property
    def sealing(self) -> Sealing | None:
        """Whether the times of candidate and baseline are sealed; None when it was not timed."""
        if self.measurement is None:
            untimed = self.latency_us is None
            return None if untimed else Sealing(TimeSource.CLAIMED, NO_SAMPLES)
        other = self.baseline_measurement
        return joint_sealing((self.measurement.sealing, other.sealing if other else None))

    @model_validator(mode="after")
    def _no_latency_without_a_pass(self) -> WorkloadResult:
        timed = self.latency_us is not None or self.measurement is not None
        if timed and self.status is not Status.PASSED:
            raise ValueError(f"a workload that is {self.status} cannot hold a latency")
        return self


class DeviceInfo(RecordModel):
    """The device a candidate ran on."""

    name: str
    executor: Executor
    compute_capability: str | None = None
    sm_count: int | None = None
    memory_bytes: int | None = None
    l2_bytes: int | None = None
    driver: str | None = None
    uuid: str | None = None


class Isolation(RecordModel):
    """What keeps the candidate away from the verdict, and what this machine did not grant."""

    level: str = Field(description="'strong' when nothing is missing, else 'weaker'.")
    granted: list[str] = Field(default_factory=list)
    missing: list[str] = Field(default_factory=list)


class Evidence(RecordModel):
    """Everything needed to repeat or doubt a result."""

    LATER_FIELDS: ClassVar[tuple[str, ...]] = ("budgets", "input_source")

    device: DeviceInfo | None = None
    timer: str | None = None
    timer_note: str | None = None
    seeds: dict[str, list[int]] = Field(
        default_factory=dict, description="Per workload, the seed of each checked call's inputs."
    )
    families: dict[str, list[str]] = Field(
        default_factory=dict, description="Per workload, what was drawn with each of its seeds."
    )
    input_source: InputSource = InputSource()
    checks: dict[str, Any] = Field(default_factory=dict, description="How hard the judge looked.")
    clocks: list[ClockSample] = Field(default_factory=list)
    versions: dict[str, str] = Field(default_factory=dict)
    noise_floor: dict[str, Any] | None = Field(
        default=None, description="Decade of µs to the device's floor of |ln ratio|, if calibrated."
    )
    isolation: Isolation | None = None
    started_at: str = Field(description="UTC, ISO 8601.")
    seconds: dict[str, float] = Field(default_factory=dict, description="Wall time by part.")
    budgets: dict[str, float] = Field(default_factory=dict, description="Seconds granted, by part.")
    command: str = ""
    fresh_values: str = Field(default="", description="How inputs changed between timed calls.")


class Integrity(RecordModel):
    """Which checks ran and what they saw."""

    checks: list[str] = Field(default_factory=list)
    not_run: dict[str, str] = Field(default_factory=dict, description="Check to the reason.")
    findings: list[Finding] = Field(default_factory=list)
    determinism: str | None = Field(
        default=None, description="'bitwise', 'within_tolerance' or 'flaky'."
    )


class StaticKernel(RecordModel):
    """One kernel of a candidate compiled for one target, without running it."""

    LATER_FIELDS: ClassVar[tuple[str, ...]] = ("grids",)

    name: str
    target: str = Field(description="'sm_90', 'sm_100a', …")
    config: dict[str, Any] = Field(default_factory=dict)
    registers: int | None = None
    shared_bytes: int | None = None
    stack_bytes: int | None = None
    spill_bytes: int | None = None
    threads: int | None = None
    occupancy: FiniteFloat = Field(default=None, description="Theoretical, 0 to 1.")
    occupancy_limit: str | None = None
    instructions: dict[str, int] = Field(
        default_factory=dict, description="SASS counts by class: tensor, load_128, local, …"
    )
    notes: list[str] = Field(default_factory=list)
    grids: dict[str, list[list[int]]] = Field(default_factory=dict, description="By workload.")


class StaticCheck(RecordModel):
    """What compiling for targets that need not be present showed."""

    LATER_FIELDS: ClassVar[tuple[str, ...]] = ("machine_code",)

    status: str = Field(description="'built', 'failed' or 'unavailable'.")
    reason: str | None = None
    kernels: list[StaticKernel] = Field(default_factory=list)
    failures: dict[str, str] = Field(default_factory=dict, description="Target to excerpt.")
    machine_code: str = Field(default="", description="A hash of what Triton compiled, if known.")


class Evaluation(RecordModel):
    """The immutable record of one trial."""

    LATER_FIELDS: ClassVar[tuple[str, ...]] = ("partial_reason", "held_out", "signature")

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, le=SCHEMA_VERSION)
    evaluation_id: str
    definition: str
    solution_name: str
    language: str
    content_hash: str = Field(description="Of everything in the solution that changes behaviour.")
    workload_digest: str
    scope: Scope
    status: Status
    stage: Stage
    failure: Failure | None = None
    workloads: list[WorkloadResult] = Field(default_factory=list)
    totals: Totals = Field(default_factory=Totals)
    baseline: str | None = Field(default=None, description="Name of what it was compared to.")
    baseline_hash: str | None = None
    evidence: Evidence
    integrity: Integrity = Field(default_factory=Integrity)
    static: StaticCheck | None = None
    log: str = Field(default="", description="Untrusted output of the candidate, cut.")
    not_timed_reason: str | None = None
    held_out: HeldOutResult | None = Field(
        default=None, description="How many held-out sizes were called, and speed on them."
    )
    partial_reason: str | None = Field(
        default=None, description="PARTIAL: what of its scope was not run."
    )
    signature: str | None = Field(
        default=None,
        description="Public key of the machine that judged, and its signature of everything else.",
    )

    @model_validator(mode="after")
    def _status_and_failure_agree(self) -> Evaluation:
        if self.status in UNFAILED and self.failure is not None:
            raise ValueError(f"a {self.status} evaluation cannot carry a failure")
        if self.status not in UNFAILED and self.failure is None:
            raise ValueError(f"an evaluation that is {self.status} must say why")
        if (self.status is Status.PARTIAL) is not (self.partial_reason is not None):
            raise ValueError("an evaluation that is PARTIAL, and no other, says what was not run")
        if self.status is not Status.PASSED and self.totals.mean_latency_us is not None:
            raise ValueError("a latency cannot be summarised without a pass")
        return self

    @property
    def objective(self) -> Objective:
        """Which times rank."""
        return Objective(self.evidence.checks.get("objective", Objective.COLD))

    @property
    def input_family(self) -> str:
        """Of the inputs that were timed; empty where it is the family that ranks."""
        return str(self.evidence.checks.get("input_family", ""))

    @property
    def sealing(self) -> Sealing | None:
        """Whether every timed workload is sealed, else the first that is not; None when untimed."""
        return joint_sealing(result.sealing for result in self.workloads)
