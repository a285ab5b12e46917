"""The messages between judge and runner: memory and a launch plan in, spans out.

A runner holds a CUDA context in which device code of a candidate runs: what it says is bounded like
a candidate's words, and the judge checks every output in memory of its own.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, model_validator

from .frames import EXCERPT_CHARACTERS, Message
from .launch_plan import Address, LaunchPlan, Size
from .launches import Count, Nanoseconds, Words

MOST_CALLS = 1_000
MOST_MOVES = 256
Flush = Literal["fill", "read", "none"]
"""How the L2 is emptied before a call: by writing a buffer twice its size, whose lines are then
written back during the call; by reading one; or not at all."""
Program = Literal["plan", "yardstick", "copies"]
"""What is launched: the loaded plan, the runner's yardstick, or the plan on each copy in turn."""

# --- judge → runner ---------------------------------------------------------------------------


class MapMemory(Message):
    """Map an allocation whose descriptor travels beside the message; 0: wherever there is space."""

    kind: Literal["map"] = "map"
    address: Address
    nbytes: Size


class LoadPlan(Message):
    """Load a plan; the descriptor of a file with its blobs travels beside the message."""

    kind: Literal["load"] = "load"
    plan: LaunchPlan


class Move(Message):
    """Copy bytes within the mapped memory."""

    source: Address
    destination: Address
    nbytes: Size


class Poison(Message):
    """Fill bytes of the mapped memory."""

    address: Address
    nbytes: Size
    byte: int = Field(ge=0, le=255)


class ReplayCall(Message):
    """One replay: what is copied in and poisoned before it, and what is copied out after it.

    `flush` comes right before a call that is timed by itself.
    """

    before: list[Move] = Field(default_factory=list, max_length=MOST_MOVES)
    poison: list[Poison] = Field(default_factory=list, max_length=MOST_MOVES)
    after: list[Move] = Field(default_factory=list, max_length=MOST_MOVES)
    flush: Flush = "fill"


class Replay(Message):
    """Replay the loaded plan, or the yardstick, once for each call, each timed.

    Two frames answer it: that the device is at rest again, and the times. Between them the runner
    reads its clocks' records, and another runner may replay. `held` keeps the launches back until
    all are enqueued, so that the host's launch time leaves no gaps between kernels. `drained` waits
    for the flush before.
    """

    kind: Literal["replay"] = "replay"
    calls: list[ReplayCall] = Field(min_length=1, max_length=MOST_CALLS)
    program: Literal["plan", "yardstick"] = "plan"
    held: bool = True
    drained: bool = True
    scratch_byte: int = Field(default=0xFF, ge=0, le=255, description="Fills undefined scratch.")


class Batch(Message):
    """Enqueue `calls` times a flush and, if `with_call`, a replay; answer when all are done.

    With `in_graph`, so many of them are captured into a graph that is launched again and again: the
    host's launch time then bounds nothing. What cannot be captured is enqueued one by one.
    """

    kind: Literal["batch"] = "batch"
    calls: int = Field(ge=1, le=100_000)
    flush: bool = True
    with_call: bool
    program: Program = "plan"
    in_graph: int = Field(default=0, ge=0, le=MOST_CALLS)

    @model_validator(mode="after")
    def _whole_graphs(self) -> Batch:
        if self.in_graph and self.calls % self.in_graph:
            raise ValueError(f"{self.calls} calls are not whole graphs of {self.in_graph}")
        return self


class Rotate(Message):
    """Map memory at `COPIES_BASE` and make the plan's launches anew for each copy of its tensors.

    In a copy, addresses from `begin` to `end` lie its offset further.
    """

    kind: Literal["rotate"] = "rotate"
    nbytes: Size
    begin: Address
    end: Address
    offsets: list[Size] = Field(min_length=1, max_length=MOST_CALLS)


class Sustain(Message):
    """Call the plan on each copy once, back to back, timed as a whole; a call for each copy."""

    kind: Literal["sustain"] = "sustain"
    calls: list[ReplayCall] = Field(min_length=1, max_length=MOST_CALLS)
    scratch_byte: int = Field(default=0xFF, ge=0, le=255)


ToRunner = Annotated[
    MapMemory | LoadPlan | Replay | Batch | Rotate | Sustain,
    Field(discriminator="kind"),
]

# --- runner → judge ---------------------------------------------------------------------------


class RunnerReady(Message):
    """The context is there; said once, first."""

    kind: Literal["ready"] = "ready"
    clock_note: Words = Field(
        default="", max_length=400, description="Why no activity is recorded in it."
    )


class MemoryMapped(Message):
    """Where the memory lies now."""

    kind: Literal["mapped"] = "mapped"
    address: Address


class PlanLoaded(Message):
    """The plan can be replayed."""

    kind: Literal["loaded"] = "loaded"
    kept: Words = Field(
        default="", max_length=400, description="What its kernels can keep between two replays."
    )


class ReplayTimes(Message):
    """What two clocks saw of one replay; `activities` are (start, end) of each, in order."""

    span_ns: Nanoseconds | None = None
    events_ns: Nanoseconds | None = None
    enqueue_ns: Count = 0
    activities: list[tuple[Nanoseconds, Nanoseconds]] = Field(
        default_factory=list, max_length=4_000
    )


class ReplaysMade(Message):
    """Every call of a `Replay` has been made, and the device is at rest; `Replayed` follows."""

    kind: Literal["replays_made"] = "replays_made"
    total_ns: Count


class Replayed(Message):
    """The times of the calls of a `Replay`."""

    kind: Literal["replayed"] = "replayed"
    times: list[ReplayTimes] = Field(max_length=MOST_CALLS)
    records: dict[str, Count] = Field(
        default_factory=dict,
        max_length=16,
        description="Buffers and records of CUPTI since the runner's start.",
    )


class BatchDone(Message):
    """Everything of a `Batch` has been done."""

    kind: Literal["batch_done"] = "batch_done"
    enqueue_ns: Count
    by_graph: bool = False
    note: Words = Field(default="", max_length=400, description="Why there is no graph.")


class Rotated(Message):
    """The copies can be called; `changed` addresses were found in the plan."""

    kind: Literal["rotated"] = "rotated"
    changed: Count


class Sustained(Message):
    """Every copy has been called; the time of all of them, by events."""

    kind: Literal["sustained"] = "sustained"
    events_ns: Nanoseconds | None = None
    note: Words = Field(default="", max_length=400, description="Why there is no time.")


class RunnerFault(Message):
    """Why the request failed; after a CUDA error the runner's process ends."""

    kind: Literal["fault"] = "fault"
    stage: Literal["start", "map", "load", "replay", "batch", "rotate", "sustain"]
    message: Words = Field(max_length=EXCERPT_CHARACTERS)


FromRunner = Annotated[
    RunnerReady
    | MemoryMapped
    | PlanLoaded
    | ReplaysMade
    | Replayed
    | BatchDone
    | Rotated
    | Sustained
    | RunnerFault,
    Field(discriminator="kind"),
]

_LATER = ConfigDict(defer_build=True)
to_runner: TypeAdapter[MapMemory | LoadPlan | Replay | Batch | Rotate | Sustain] = TypeAdapter(
    ToRunner, config=_LATER
)
from_runner: TypeAdapter[
    RunnerReady
    | MemoryMapped
    | PlanLoaded
    | ReplaysMade
    | Replayed
    | BatchDone
    | Rotated
    | Sustained
    | RunnerFault
] = TypeAdapter(FromRunner, config=_LATER)
