"""Launches and times of calls as a candidate's process describes them.

Untrusted like all that comes from there: the judge compares the descriptions of two processes.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ..text import printable
from .frames import Message

MOST_LAUNCHES = 300
"""Of one call; a call with more is not compared."""
Words = Annotated[str, AfterValidator(printable)]
"""A candidate's own words: shown to people and agents, believed by nobody."""
Count = Annotated[int, Field(ge=0, le=1 << 53)]
Nanoseconds = Annotated[int, Field(ge=-(1 << 62), le=1 << 62)]
"""Bounded, so that no number of a candidate's overflows in the judge's statistics."""
Word = Annotated[str, Field(max_length=400), AfterValidator(printable)]
Small = Annotated[int, Field(ge=0, le=1 << 53)]


class Launch(Message):
    """One launch: what is run, on how many programs, with which constants and arguments.

    A launch of an autotuned kernel that was compiled is told once for each configuration, all with
    the same `place`.
    """

    kernel: Word
    code: str = Field(pattern=r"^[0-9a-f]{0,64}$", description="Digest of the kernel's code.")
    place: Small = Field(description="Number of the launch within its call.")
    choice: Small | None = Field(
        default=None, description="Which of an autotuner's configurations, after pruning."
    )
    grid: list[Small] = Field(max_length=3)
    constants: dict[Word, Word] = Field(default_factory=dict, max_length=100)
    arguments: dict[Word, Word] = Field(default_factory=dict, max_length=200)
    options: dict[Word, Word] = Field(default_factory=dict, max_length=60)
    compiles: bool = Field(default=True, description="False: refused by the compiler.")
    binary: Word = Field(default="", description="Which compiled kernel it launches.")
    before: Word = Field(
        default="", description="What host code did by torch since the launch before."
    )

    @property
    def variant(self) -> tuple[object, ...]:
        """What is run, without how often and on which arguments."""
        constants, options = sorted(self.constants.items()), sorted(self.options.items())
        return self.kernel, self.code, tuple(constants), tuple(options)


class PassedParameters(Message):
    """A kernel of a candidate's that an ordinary call launched, and what it was launched with."""

    kernel: Word = Field(description="Mangled name.")
    grid: list[Small] = Field(min_length=3, max_length=3)
    block: list[Small] = Field(min_length=3, max_length=3)
    parameters: str = Field(max_length=65_528, pattern=r"^([0-9a-f]{2})*$")
    layout: list[tuple[Small, Small]] = Field(
        max_length=4_096, description="Offset and size of each parameter in the packed buffer."
    )


class WatchedLaunches(Message):
    """The launches of one ordinary call in order, but for those of libraries."""

    launches: list[PassedParameters] = Field(default_factory=list, max_length=4_000)
    dropped_for: Word = Field(
        default="", description="Why not all of them are told; empty where they are."
    )


class CallLaunches(Message):
    """The launches of one call in order."""

    launches: list[Launch] = Field(default_factory=list, max_length=4 * MOST_LAUNCHES)
    dropped_for: Word = Field(
        default="", description="Why not all of them are told; empty where they are."
    )
    after: Word = Field(
        default="", description="What host code did by torch after the last launch."
    )
    signs: list[Word] = Field(
        default_factory=list,
        max_length=16,
        description="What host code has looked at that is not the same on a machine with a GPU, in "
        "words that follow 'host code'.",
    )


class Activity(Message):
    """One kernel, copy or memset that CUPTI saw during a call."""

    name: Words = Field(max_length=400)
    start_ns: Nanoseconds
    end_ns: Nanoseconds
    stream: Count = 0
    origin: Words = Field(default="unknown", max_length=80)
    grid: list[Count] = Field(default_factory=list, max_length=3)
    block: list[Count] = Field(default_factory=list, max_length=3)


class CallTimes(Message):
    """What a clock in the candidate's process saw of one call: claims, cross-checked elsewhere."""

    timer: Words | None = Field(default=None, max_length=40)
    timer_note: Words | None = Field(default=None, max_length=400)
    span_ns: Nanoseconds | None = None
    host_ns: Nanoseconds | None = None
    activities: list[Activity] = Field(default_factory=list, max_length=2000)
    dropped_activities: Count = 0


class DeferredTimes(CallTimes):
    """Times of a call that was answered before they were read."""

    number: Count


Way = Literal["called", "watched", "captured", "replayed", "compiled"]
"""How a call is made: as any function; seen for waits of the host and for memory; while a graph is
captured, which is then launched; by that graph again; as an operator that `torch.compile` calls."""


class CallOnHost(Message):
    """What one watched call made the host and torch's memory do: a claim."""

    waits: list[Word] | None = Field(
        default=None, max_length=20, description="Calls in which the host waited; null: unseen."
    )
    peak_bytes: Small | None = Field(
        default=None, description="Of torch's memory, beyond what was held before the call."
    )
