"""The only way between the three processes, and all that a candidate can say; start here.

    server  ⇄ judge       JSON frames on the judge's stdin and stdout, both trusted: `judge`
    judge   ⇄ zygote      the same on a socket pair, descriptors beside `Spawn`: `zygote`
    judge   ⇄ candidate   JSON frames on a socket pair; what comes back is believed in nothing but
                          that it was said, and is capped before it is parsed

A frame is four bytes of big-endian length and that many bytes of UTF-8 JSON. No pickle, no object
of Python's, nothing that executes when it is read. What a candidate says can end its own trial or
fill its own log; the verdict is computed from memory that the judge reads itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from .frames import EXCERPT_CHARACTERS, Message
from .launches import (
    CallLaunches,
    CallOnHost,
    CallTimes,
    Count,
    DeferredTimes,
    Nanoseconds,
    WatchedLaunches,
    Way,
    Words,
)

COMPILE_S = 160.0
"""Seconds for compilers, where nothing else is said."""


class DeviceFacts(Message):
    """What a program can ask of a device; of one that is not here, in a process without a GPU."""

    name: str = Field(max_length=200, description="As the driver says it.")
    capability: int = Field(description="Compute capability times ten.")
    sm_count: int
    warp_size: int
    threads_per_sm: int
    registers_per_sm: int
    shared_bytes_per_sm: int
    shared_bytes_per_block: int
    l2_bytes: int
    memory_clock_khz: int


# --- judge → candidate ------------------------------------------------------------------------


class TensorRef(Message):
    """A tensor inside the exchange arena: contiguous, row-major."""

    offset: int = Field(ge=0, description="Bytes from the start of the arena.")
    shape: list[int]
    dtype: str = Field(description="FlashInfer-Trace's name, e.g. 'bfloat16', 'float8_e4m3fn'.")


class ScalarValue(Message):
    """A Python scalar argument."""

    value: bool | int | float


Argument = TensorRef | ScalarValue


class MapArena(Message):
    """Map the shared arena; its descriptor travels beside the message.

    `memory` is 'memfd' (CPU, mmap) or 'vmm' (a CUDA virtual-memory allocation's POSIX handle).
    `address` is where device memory is to lie; 0 leaves the choice to the driver.
    """

    kind: Literal["map"] = "map"
    memory: Literal["memfd", "vmm"]
    nbytes: int
    device_index: int = 0
    address: int = 0


class Prepare(Message):
    """Bring the device up, in a process that has seen nothing of any candidate yet."""

    kind: Literal["prepare"] = "prepare"
    device_index: int = 0
    scratch_library: str = Field(
        default="", description="Base64 of driver.scratch_library; a process that records has it."
    )


class BuildRequest(Message):
    """Build (or import) the candidate."""

    kind: Literal["build"] = "build"
    language: str
    binding: str | None
    entry_point: str
    destination_passing_style: bool
    sources: list[dict[str, str]] = Field(description="{'path', 'content'} each.")
    content_hash: str
    argument_count: int
    output_count: int
    output_names: list[str] = Field(
        default_factory=list, description="By which a dict that it returns is read."
    )
    cuda_arch: str | None = Field(default=None, description="e.g. '90a'; null without a GPU.")
    compile_s: float = Field(default=COMPILE_S, description="What its compilers may take.")
    dependencies: list[str] = Field(
        default_factory=list, description="Packages that it names; some bring headers."
    )

    @classmethod
    def of(
        cls,
        solution: Mapping[str, Any],
        *,
        content_hash: str,
        argument_count: int,
        output_count: int,
        output_names: Sequence[str] = (),
        cuda_arch: str | None = None,
        compile_s: float = COMPILE_S,
    ) -> BuildRequest:
        """The request that builds a solution.

        Args:
            solution: a FlashInfer-Trace Solution, dumped as JSON.
            content_hash: of everything in it that changes behaviour.
            argument_count: inputs of its definition.
            output_count: outputs of its definition.
            output_names: their names, where it is called.
            cuda_arch: what device code is built for; None without a GPU.
            compile_s: seconds that its compilers may take, all together.
        """
        spec = solution["spec"]
        return cls(
            language=spec["language"],
            binding=spec.get("binding"),
            entry_point=spec["entry_point"],
            destination_passing_style=spec["destination_passing_style"],
            sources=[{"path": s["path"], "content": s["content"]} for s in solution["sources"]],
            content_hash=content_hash,
            argument_count=argument_count,
            output_count=output_count,
            output_names=[*output_names],
            dependencies=[str(name) for name in spec.get("dependencies") or []],
            cuda_arch=cuda_arch,
            compile_s=compile_s,
        )

    @property
    def package(self) -> str:
        """The package name of the candidate's sources, made of their content hash."""
        digest = re.sub(r"[^0-9a-z]", "", self.content_hash.lower().removeprefix("sha256:"))
        return f"candidate_{digest[:16] or 'unnamed'}"


class CompileRequest(Message):
    """Compile every kernel that one call would launch, for targets, without launching any."""

    kind: Literal["compile"] = "compile"
    targets: dict[str, DeviceFacts] = Field(description="By name, e.g. 'sm_90', 'sm_100'.")
    arguments: list[Argument]
    outputs: list[TensorRef]
    compile_s: float = Field(default=COMPILE_S, description="What compilers may take.")
    code: bool = Field(default=False, description="With a `CompiledModules` beside the answer.")


class CallRequest(Message):
    """Call the candidate once.

    The result is copied on the caller's stream, before any synchronisation, to `snapshots`; after
    a device-wide synchronisation and a short delay a second time to `late` (empty: not wanted).
    """

    kind: Literal["call"] = "call"
    arguments: list[Argument]
    outputs: list[TensorRef] = Field(description="Poisoned; filled by destination passing.")
    snapshots: list[TensorRef]
    late: list[TensorRef] = Field(default_factory=list)
    returnable: list[int] = Field(
        default_factory=list, description="Positions of the arguments that may be returned."
    )
    time: Literal["none", "cold", "warm", "events"] = "none"
    stream: Literal["default", "side"] = "default"
    disable_own_kernels: bool = Field(
        default=False, description="Run with its own kernels disabled."
    )
    noise: bool = Field(default=False, description="Occupy some SMs beside the call.")
    configuration: int = Field(
        default=0, ge=0, description="Without a GPU, which configuration autotuned kernels have."
    )
    defer: int | None = Field(
        default=None, ge=0, description="Number under which the next `Collect` tells its times."
    )
    watched: bool = Field(default=False, description="Tell what its kernels were launched with.")
    way: Way = "called"


class RecordRequest(Message):
    """Call the candidate once and record what it launches as a plan; nothing of it runs."""

    kind: Literal["record"] = "record"
    arguments: list[Argument]
    outputs: list[TensorRef]
    returnable: list[int] = Field(default_factory=list, description="As in `CallRequest`.")


class TraceRequest(Message):
    """Call the candidate, warm, under the torch profiler, or once for its tensors; not judged."""

    kind: Literal["trace"] = "trace"
    arguments: list[Argument]
    outputs: list[TensorRef]
    warm_calls: int = Field(default=3, ge=0, le=100)
    timed_calls: int = Field(default=10, ge=0, le=100, description="For the host's time.")
    tensors: bool = Field(default=False, description="Named by host code, into a safetensors file.")


class Collect(Message):
    """Tell the times of the calls that were deferred, read from the clock's records all at once.

    Args:
        rest: whether no call is likely to follow: device memory that is kept unused is given back.
    """

    kind: Literal["collect"] = "collect"
    rest: bool = False


class Exit(Message):
    """End the candidate process."""

    kind: Literal["exit"] = "exit"


Preparation = Prepare | MapArena | BuildRequest
CandidateRequest = (
    Preparation | CompileRequest | CallRequest | RecordRequest | TraceRequest | Collect
)
ToCandidate = Annotated[CandidateRequest | Exit, Field(discriminator="kind")]


# --- candidate → judge (untrusted) ------------------------------------------------------------


class CandidateFault(Message):
    """What went wrong, in the candidate's own words."""

    kind: str = Field(
        pattern=r"^[a-z_]{1,40}$",
        description="e.g. 'syntax_error', 'import_error', 'compile_error', 'exception'.",
    )
    message: Words = Field(max_length=EXCERPT_CHARACTERS)
    excerpt: Words = Field(default="", max_length=EXCERPT_CHARACTERS)
    output_position: Count | None = None


class Prepared(Message):
    """The device is up, or nothing was to be brought up."""

    kind: Literal["prepared"] = "prepared"


class Mapped(Message):
    """The arena is mapped."""

    kind: Literal["mapped"] = "mapped"


class Built(Message):
    """The entry point is callable, or why not."""

    kind: Literal["built"] = "built"
    fault: CandidateFault | None = None
    seconds: float = Field(default=0.0, ge=0.0, le=1e9)
    cached: bool = False
    log: Words = Field(default="", max_length=EXCERPT_CHARACTERS)


class CompiledKernel(Message):
    """One kernel compiled for one target: text of the resource and instruction dumps, parsed."""

    name: Words = Field(max_length=500)
    target: Words = Field(max_length=40)
    config: dict[Words, bool | Nanoseconds | float | Words | None] = Field(
        default_factory=dict, max_length=100
    )
    registers: Count | None = None
    shared_bytes: Count | None = None
    stack_bytes: Count | None = None
    spill_bytes: Count | None = None
    threads: Count | None = None
    opcodes: dict[Words, Count] = Field(
        default_factory=dict, max_length=2000, description="SASS opcode to count."
    )
    binary: Words = Field(default="", max_length=400, description="As launches of it name it.")


class Compiled(Message):
    """What compile-only launches gave."""

    kind: Literal["compiled"] = "compiled"
    kernels: list[CompiledKernel] = Field(default_factory=list, max_length=400)
    failures: dict[Words, Words] = Field(default_factory=dict, max_length=40)
    launches: dict[Words, CallLaunches] = Field(
        default_factory=dict, max_length=40, description="By target; none where the call failed."
    )
    grids: dict[Words, list[list[Count]]] = Field(default_factory=dict, max_length=400)
    """Of the launches of a CUDA host function by the kernel's name, the same on every target."""
    notes: list[Words] = Field(default_factory=list, max_length=40)
    """What was left out: configurations refused, a call that ended early."""
    fault: CandidateFault | None = None


class Collected(Message):
    """The times of the calls that were deferred."""

    kind: Literal["collected"] = "collected"
    times: list[DeferredTimes] = Field(default_factory=list, max_length=200)
    kernels: list[Annotated[Words, Field(max_length=400)]] = Field(
        default_factory=list,
        max_length=1_000,
        description="Names of all kernels that the process has launched, in calls of every kind.",
    )


class Called(CallTimes):
    """One call has returned."""

    kind: Literal["called"] = "called"
    fault: CandidateFault | None = None
    returned: list[Words] = Field(default_factory=list, max_length=64)
    """For value-returning style: 'shape dtype device' of what came back, for error messages."""
    interpreted: CallLaunches = Field(
        default_factory=CallLaunches, description="Without a GPU: what Triton's interpreter ran."
    )
    watched: WatchedLaunches | None = None
    signs: list[Words] = Field(default_factory=list, max_length=16)
    """What its code left in the process: threads that go on, clocks that it replaced."""
    on_host: CallOnHost | None = None


class ReturnedTensor(Message):
    """Where a returned tensor lies: address of its first element, strides in elements."""

    address: Count
    strides: list[Count] = Field(max_length=16)


class Recorded(Message):
    """A call was recorded, or why not.

    The descriptor of a file travels beside it: `plan_bytes` of a `LaunchPlan` as JSON, then its
    blobs. Without a plan there is none.
    """

    kind: Literal["recorded"] = "recorded"
    reason: Words | None = Field(default=None, max_length=EXCERPT_CHARACTERS)
    broken: bool = Field(default=False, description="No further call can be recorded there.")
    plan_bytes: Count = 0
    returned: list[ReturnedTensor] = Field(
        default_factory=list, max_length=64, description="Of value-returning style, in order."
    )


class Traced(Message):
    """A call was traced; the descriptor of the file with what was asked for travels beside."""

    kind: Literal["traced"] = "traced"
    fault: CandidateFault | None = None
    host_us: list[Annotated[float, Field(ge=0, le=1e12)]] = Field(
        default_factory=list, max_length=100, description="Call to return, unprofiled."
    )


CandidateAnswer = Prepared | Mapped | Built | Compiled | Called | Recorded | Traced | Collected
FromCandidate = Annotated[CandidateAnswer, Field(discriminator="kind")]


_LATER = ConfigDict(defer_build=True)
to_candidate: TypeAdapter[CandidateRequest | Exit] = TypeAdapter(ToCandidate, config=_LATER)
from_candidate: TypeAdapter[CandidateAnswer] = TypeAdapter(FromCandidate, config=_LATER)
