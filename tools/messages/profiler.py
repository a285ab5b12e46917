"""The messages around a profiled run: files, for a profiler stands between the two processes.

    server → launcher   `ProfileLaunch`: enter the sandbox, become the profiler's command
    server → run        `ProfileRun`: build, load inputs, warm up, one call inside the range
    run → server        `ProfileReply`: believed in nothing but that it was said
    judge → runner      `ReplayRun`: a recorded call and its inputs, replayed inside the range
    runner → server     `ReplayReply`
    candidate → server  `CompiledModules`: the code of one call, as compiled for a target

The profiler is the parent of the run, so neither a socket nor an inherited descriptor reaches it;
each message is one JSON file in the run's private folder. The same rules hold as in `candidate`:
plain data, capped before it is parsed, nothing that executes when it is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from ..errors import InfrastructureError
from .candidate import BuildRequest, CandidateFault
from .frames import EXCERPT_CHARACTERS, Message
from .launch_plan import Address, LaunchPlan, Size
from .launches import Words

FILE_BYTES = 64 << 20
ANSWER_BYTES = 1 << 20
TRACE_BYTES = 64 << 20
CODE_BYTES = 48 << 20
TENSOR_BYTES = 48 << 20
"""Of the tensors of one call that is looked into."""
MOST_TENSORS = 64
OUTPUT_NAME = "output "
"""Begins the name of an output among those tensors; its position follows."""
CALL_MARK = "kernel_harness_call"
"""Name of the annotation around the one profiled call, in a timeline."""


class OutputSpec(Message):
    """One output to allocate."""

    name: str
    shape: list[int]
    dtype: str = Field(description="FlashInfer-Trace's name, e.g. 'bfloat16'.")


class ProfileRun(Message):
    """What the profiled process does."""

    mode: Literal["counters", "timeline", "sanitizer"]
    build: BuildRequest
    private_dir: str
    inputs_file: str = Field(description="safetensors; scalars in its metadata as JSON.")
    input_order: list[str]
    outputs: list[OutputSpec]
    device: str = Field(description="'cuda:N' or 'cpu'.")
    warm_calls: int = Field(default=3, ge=0)
    timed_calls: int = Field(default=10, ge=0, description="Unprofiled calls for the host's time.")
    answer_file: str
    trace_file: str | None = Field(default=None, description="Chrome trace, for a timeline.")


class ProfileLaunch(Message):
    """How the launcher becomes the profiler."""

    command: list[str] = Field(min_length=1)
    private_dir: str
    environment: dict[str, str]
    outcome_file: str
    keep_counters: bool = Field(
        default=False,
        description="Keep CAP_SYS_ADMIN, alone, under the other account: the driver gives "
        "counters to administrators only.",
    )


class CompiledModule(Message):
    """What one compilation made: its texts by form, and the kernels in it."""

    target: str
    kernels: dict[str, str] = Field(description="Symbol to the name that answers know it by.")
    texts: dict[str, str] = Field(description="'ttir', 'ttgir', 'ptx', 'sass' with source lines.")
    log: str = Field(default="", description="As the assembler printed.")


class CompiledModules(Message):
    """All that a call's kernels were compiled to, as the candidate's process says."""

    modules: list[CompiledModule] = Field(default_factory=list, max_length=400)


class LaunchOutcome(Message):
    """What the sandbox granted before the profiler started."""

    granted: list[str]
    missing: list[str]


class ProfileReply(Message):
    """What the profiled process said of itself; untrusted."""

    stage: str = Field(max_length=40, description="'build', 'inputs', 'warm_up', 'call', 'done'.")
    fault: CandidateFault | None = None
    device_name: str | None = Field(default=None, max_length=200)
    compute_capability: str | None = Field(default=None, max_length=20)
    sm_count: int | None = None
    host_us: list[float] = Field(
        default_factory=list, max_length=1000, description="Call to return, unprofiled."
    )
    finished_us: list[float] = Field(
        default_factory=list, max_length=1000, description="Call to end of the device's work."
    )
    seconds: dict[str, float] = Field(default_factory=dict)


class PlacedBytes(Message):
    """Where a tensor of a recorded call lies."""

    address: Address
    nbytes: Size


class ReplayRun(Message):
    """One recorded call for a runner under a profiler; files lie beside this one.

    The judge checks the plan before it writes this.
    """

    device_index: int = Field(ge=0)
    plan: LaunchPlan
    blobs_file: str = Field(description="The plan's blobs, one after another.")
    arena_bytes: Size
    inputs: list[PlacedBytes]
    inputs_file: str = Field(description="The bytes of `inputs`, one after another.")
    outputs: list[PlacedBytes] = Field(description="Poisoned before each replay.")
    answer_file: str


class ReplayReply(Message):
    """What became of a `ReplayRun`; device code of a candidate ran in the process that says it."""

    fault: Words | None = Field(default=None, max_length=EXCERPT_CHARACTERS)
    seconds: dict[str, float] = Field(default_factory=dict, max_length=16)


M = TypeVar("M", bound=Message)

SCALARS: TypeAdapter[dict[str, bool | int | float]] = TypeAdapter(
    dict[str, bool | int | float],
    config=ConfigDict(ser_json_inf_nan="strings", defer_build=True),
)
"""The scalar inputs in the metadata of an inputs file, by name."""


def write_message(message: Message, path: Path) -> None:
    """Writes a message as one JSON file that everyone may read."""
    path.write_text(message.model_dump_json(), encoding="utf-8")
    path.chmod(0o644)


def read_message(kind: type[M], path: Path, limit: int = FILE_BYTES) -> M:
    """Reads one message.

    Raises:
        InfrastructureError: when the file is missing, too long or not such a message.
    """
    try:
        if path.is_symlink() or path.stat().st_size > limit:
            raise InfrastructureError(f"{path.name} is a link or longer than {limit} bytes")
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError, ValueError, RecursionError) as error:
        words = " ".join(str(error).split())[:300]
        raise InfrastructureError(f"{path.name} could not be read: {words}") from error
