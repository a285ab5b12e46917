"""Messages between server and judge, both trusted: plans in, progress and records out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from .candidate import CompiledKernel
from .frames import Message

# --- server → judge ---------------------------------------------------------------------------


class Checks(Message):
    """Numbers and kinds of checks; a scope is a choice of these."""

    trials: int = Field(default=3, ge=1, description="Input sets checked before timing.")
    families: int = Field(default=1, ge=0, description="Further input families, by chance.")
    held_out: int = Field(default=0, ge=0, description="Held-out workloads of chosen kinds.")
    sizes: int = Field(default=0, ge=0, description="Further ones, of uniformly drawn sizes.")
    size_seconds: float = Field(
        default=10.0, ge=0, description="Time for held-out workloads; those left then are not run."
    )
    timed_held_out: int = Field(default=0, ge=0, description="Of held-out ones, in all.")
    determinism_runs: int = Field(default=0, ge=0)
    ghost_replay: bool = Field(default=False, description="Call once with its kernels disabled.")
    timed: bool = True
    blocks: int = Field(default=1, ge=1, description="Process pairs for timing.")
    pairs_per_block: int = Field(default=10, ge=1)
    max_pairs: int = Field(default=60, ge=1)
    half_width: float = Field(default=0.015, description="Stop when the interval is this narrow.")
    warm_calls: int = Field(default=5, ge=0)
    correctness_budget: int = Field(default=0, ge=0, description="Checked calls before promotion.")
    sanitizer: bool = False
    static_targets: list[str] = Field(default_factory=list)
    objective: Literal["cold", "clean", "sustained", "warm"] = Field(
        default="cold", description="The times that rank."
    )
    input_family: str = Field(default="", description="Of timed inputs; empty: the first one.")
    sustained_passes: int = Field(
        default=0, ge=0, description="Passes of calls back to back, beside what ranks."
    )
    deployment: bool = Field(default=False, description="Call it as frameworks do, at the end.")
    execute: bool = Field(default=True, description="False for scope static: build, never run.")


class OfOperator(Message):
    """What a request says of its operator."""

    definition: dict[str, Any]
    operator_dir: str | None = Field(description="With inputs.py, oracle.py…; null: generic.")
    dataset_root: str | None = None

    @property
    def places(self) -> tuple[Path | None, Path | None]:
        """The operator's folder, and what paths of stored tensors are relative to."""
        folder, root = self.operator_dir, self.dataset_root
        return Path(folder) if folder else None, Path(root) if root else None


class PlannedWorkload(Message):
    """One workload of a plan; regime and weight go into its record."""

    uuid: str
    workload: dict[str, Any] = Field(description="The Workload as FlashInfer-Trace dumps it.")
    regime: str | None = None
    weight: float | None = None


class EvaluatePlan(OfOperator):
    """One trial for the judge to carry out."""

    kind: Literal["evaluate"] = "evaluate"
    evaluation_id: str
    policy: dict[str, Any] | None = Field(
        default=None, description="A Policy dump, in place of the folder's; null: that counts."
    )
    solution: dict[str, Any]
    content_hash: str
    baseline: dict[str, Any] | None = None
    baseline_hash: str | None = None
    own_baseline_hash: str | None = Field(
        default=None, description="Of the operator's own, whose compiled kernels are kept."
    )
    scope: str
    checks: Checks
    workloads: list[PlannedWorkload]
    public_workloads: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Axes and scalars of all the operator's workloads, as Workload dumps: "
        "held-out ones are drawn beside them.",
    )
    left_out: list[str] = Field(default_factory=list, description="Of the scope, not asked for.")
    unusable: list[str] = Field(
        default_factory=list, description="Lines of the set that are no workloads, and why."
    )
    workload_digest: str
    targets: list[str] = Field(default_factory=list, description="Devices for floors, e.g. 'B200'.")
    hardware_file: str = ""
    budget_s: float = Field(default=600.0, description="After the build; then the rest is NOT_RUN.")
    timing_s: float = Field(default=0.0, description="Of the budget, what checks leave.")
    ends_after_s: float | None = Field(default=None, description="Then it is a timeout.")
    build_timeout_s: float = 180.0
    call_timeout_s: float = 60.0
    sealed_clock: bool = Field(default=True, description="Replay recorded calls where it can be.")
    replay_seeds: dict[str, list[int]] = Field(
        default_factory=dict, description="Recorded seeds to use again, for a second verdict."
    )
    replay_families: dict[str, list[str]] = Field(
        default_factory=dict, description="The family made with each of `replay_seeds`."
    )
    replay_generator: str = Field(
        default="", description="What `replay_seeds` were given to; empty where none are."
    )
    race: str = Field(
        default="", description="Of which it is a run; compiled kernels are kept within one."
    )
    command: str = ""
    side_by_side: bool = Field(
        default=False, description="It only compiles, and may be carried out beside others."
    )


class MaterialiseInputs(OfOperator):
    """Write one workload's inputs to a file, for a profiler outside the judge."""

    kind: Literal["materialise"] = "materialise"
    request_id: str
    workload: dict[str, Any]
    seed: int
    path: str = Field(description="A safetensors file; scalars travel in its metadata as JSON.")


class CheckOperator(OfOperator):
    """Run an operator's reference, and say what makes it unfit to judge candidates by."""

    kind: Literal["check_operator"] = "check_operator"
    request_id: str
    workloads: list[dict[str, Any]] = Field(description="Smallest first.")
    limit_s: float = Field(gt=0, description="Of one call of the reference.")


class SeededWorkload(Message):
    """A workload, and the seed that its inputs are drawn with."""

    workload: dict[str, Any] = Field(description="The Workload as FlashInfer-Trace dumps it.")
    seed: int


class ProfiledSolution(OfOperator):
    """A solution to call on workloads for a profile; files go into `folder`, which is empty."""

    request_id: str
    solution: dict[str, Any]
    content_hash: str
    workloads: list[SeededWorkload] = Field(min_length=1)
    folder: str
    build_timeout_s: float = 180.0
    call_timeout_s: float = 60.0


class RecordCalls(ProfiledSolution):
    """Record one call on each workload, for a profiler that replays it.

    For each workload a `ReplayRun` lies in the folder afterwards, and the files that it names.
    """

    kind: Literal["record_calls"] = "record_calls"


class TraceCalls(ProfiledSolution):
    """Trace one call on each workload with the torch profiler, each into a Chrome trace."""

    kind: Literal["trace_calls"] = "trace_calls"


class InspectCall(ProfiledSolution):
    """Call a solution and the reference once on the same inputs, and compare what they name.

    It is of one workload; files of both go into the folder.
    """

    kind: Literal["inspect_call"] = "inspect_call"
    reference: dict[str, Any] = Field(description="The definition's own code, as a Solution.")
    reference_hash: str
    family: str = Field(default="", description="Of the inputs; empty: the typical one.")
    pairs: dict[str, str] = Field(
        default_factory=dict, description="The solution's name to the reference's, if they differ."
    )


class Hurry(Message):
    """Something waits for the device: wait for nothing that is made ready after this trial."""

    kind: Literal["hurry"] = "hurry"
    evaluation_id: str


class CompileCode(ProfiledSolution):
    """Compile what one call launches for a target, and leave the code in a file in the folder."""

    kind: Literal["compile_code"] = "compile_code"
    target: str = Field(description="e.g. 'sm_90'.")


class Cancel(Message):
    """Stop the named trial and kill its processes."""

    kind: Literal["cancel"] = "cancel"
    evaluation_id: str


class Shutdown(Message):
    """End the judge."""

    kind: Literal["shutdown"] = "shutdown"


JudgeRequest = (
    EvaluatePlan
    | MaterialiseInputs
    | CheckOperator
    | RecordCalls
    | TraceCalls
    | InspectCall
    | Hurry
    | CompileCode
    | Cancel
    | Shutdown
)
ToJudge = Annotated[JudgeRequest, Field(discriminator="kind")]


# --- judge → server ---------------------------------------------------------------------------


class Ready(Message):
    """The judge has started; sent once, first."""

    kind: Literal["ready"] = "ready"
    device: dict[str, Any] = Field(description="A DeviceInfo dump.")
    versions: dict[str, str]
    isolation: dict[str, Any] = Field(description="An Isolation dump, from a probe fork.")
    seconds: float


class Progress(Message):
    """The progress of a trial."""

    kind: Literal["progress"] = "progress"
    evaluation_id: str
    done: float
    total: float
    stage: str
    message: str


class JudgeReport(Message):
    """A trial has ended; `evaluation` is an Evaluation dump."""

    kind: Literal["report"] = "report"
    evaluation_id: str
    evaluation: dict[str, Any]
    draining: bool = Field(default=False, description="`Drained` follows; the device is in use.")


class Drained(Message):
    """The device is free; the trial's processes have ended, or are ending after a `Hurry`."""

    kind: Literal["drained"] = "drained"
    evaluation_id: str


class Materialised(Message):
    """Inputs were written, or could not be."""

    kind: Literal["materialised"] = "materialised"
    request_id: str
    error: str | None = None


class OperatorChecked(Message):
    """What is wrong with an operator, in sentences; nothing when it is fit."""

    kind: Literal["operator_checked"] = "operator_checked"
    request_id: str
    problems: list[str] = Field(default_factory=list)
    draws_held_out: bool = Field(default=False, description="By a function of its own.")


class RecordedFile(Message):
    """The file of one recorded call, or why there is none."""

    path: str | None = Field(default=None, description="A `ReplayRun`.")
    reason: str | None = None


class CallsRecorded(Message):
    """What became of each workload of a `RecordCalls`, in its order."""

    kind: Literal["calls_recorded"] = "calls_recorded"
    request_id: str
    calls: list[RecordedFile]
    seconds: dict[str, float] = Field(default_factory=dict)


class TracedCall(Message):
    """The trace of one call, or why there is none."""

    path: str | None = Field(default=None, description="A Chrome trace; untrusted.")
    reason: str | None = None
    host_us: list[float] = Field(default_factory=list, description="Of unprofiled calls.")


class CallsTraced(Message):
    """What became of each workload of a `TraceCalls`, in its order."""

    kind: Literal["calls_traced"] = "calls_traced"
    request_id: str
    calls: list[TracedCall]
    granted: list[str] = Field(default_factory=list, description="Steps of the sandbox.")
    missing: list[str] = Field(default_factory=list)
    seconds: dict[str, float] = Field(default_factory=dict)


class ComparedTensor(Message):
    """A tensor of a call, and that of the reference which is called so; one of them may be none."""

    name: str = ""
    shape: list[int] = Field(default_factory=list)
    dtype: str = ""
    not_finite: int = 0
    rms: float | None = None
    reference: str = ""
    reference_shape: list[int] = Field(default_factory=list)
    reference_dtype: str = ""
    equal: bool | None = Field(default=None, description="In every value; null: not compared.")
    max_absolute: float | None = None
    rms_relative: float | None = None
    worst_index: list[int] = Field(default_factory=list)
    got: str = ""
    expected: str = ""


class CallInspected(Message):
    """What one call showed; no verdict."""

    kind: Literal["call_inspected"] = "call_inspected"
    request_id: str
    not_made: str | None = Field(default=None, description="No fault of the candidate's.")
    fault: str | None = None
    reference_fault: str | None = None
    compared: list[ComparedTensor] = Field(default_factory=list)
    left_out: list[str] = Field(default_factory=list, description="For want of place.")
    unpaired: list[str] = Field(default_factory=list, description="Pairs of what is not there.")


class CodeCompiled(Message):
    """What compiling one call's kernels gave; without a file there is no code, and a reason."""

    kind: Literal["code_compiled"] = "code_compiled"
    request_id: str
    fault: str | None = None
    kernels: list[CompiledKernel] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    path: str | None = Field(default=None, description="`CompiledModules` as JSON; untrusted.")


class JudgeFault(Message):
    """The harness or the operator failed during a trial; never for a candidate's fault."""

    kind: Literal["fault"] = "fault"
    evaluation_id: str
    of_dataset: bool = Field(default=False, description="The operator or its data is at fault.")
    what: str
    where: str = ""
    remedy: str = ""


JudgeAnswer = (
    Ready
    | Progress
    | JudgeReport
    | Drained
    | Materialised
    | OperatorChecked
    | CallsRecorded
    | CallsTraced
    | CallInspected
    | CodeCompiled
    | JudgeFault
)
FromJudge = Annotated[JudgeAnswer, Field(discriminator="kind")]


_LATER = ConfigDict(defer_build=True)
to_judge: TypeAdapter[JudgeRequest] = TypeAdapter(ToJudge, config=_LATER)
from_judge: TypeAdapter[JudgeAnswer] = TypeAdapter(FromJudge, config=_LATER)
