"""Launches of Triton kernels as a candidate's process describes them, compiled or interpreted.

Untrusted like all that comes from there: the judge compares the descriptions of two processes.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from ..text import printable
from .frames import Message

MOST_LAUNCHES = 300
"""Of one call; a call with more is not compared."""
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

    @property
    def variant(self) -> tuple[object, ...]:
        """What is run, without how often and on which arguments."""
        constants, options = sorted(self.constants.items()), sorted(self.options.items())
        return self.kernel, self.code, tuple(constants), tuple(options)


class CallLaunches(Message):
    """The launches of one call in order."""

    launches: list[Launch] = Field(default_factory=list, max_length=4 * MOST_LAUNCHES)
    dropped_for: Word = Field(
        default="", description="Why not all of them are told; empty where they are."
    )
