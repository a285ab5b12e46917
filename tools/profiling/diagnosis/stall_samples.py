"""Where warps of a kernel were found waiting, by instruction, as a profiler sampled it.

A sample is a warp that was looked at: the instruction that it was to issue next, and why it had
not. So a wait for a load is at the first instruction that uses what was loaded. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from pydantic import Field

from ...schema.record_model import RecordModel
from .kernel_profile import NAME_CHARACTERS

ISSUED = "selected"
"""The reason of a sample in which the warp did issue."""
_OPCODE = re.compile(r"^(?:@!?U?P[T\d]+\s+)?([A-Z][A-Z0-9_]*(?:\.[\w.]+)?)")


class SampledInstruction(RecordModel):
    """One instruction of a kernel, and the samples taken of warps that stood at it."""

    address: int = Field(description="From the kernel's first instruction on.")
    opcode: str
    samples: int = 0
    reasons: dict[str, int] = Field(default_factory=dict)


class SampledKernel(RecordModel):
    """All instructions of one kernel in order; samples of its launches are summed up."""

    name: str
    launches: int = 1
    instructions: list[SampledInstruction] = Field(default_factory=list)

    @property
    def samples(self) -> int:
        """All samples of it."""
        return sum(one.samples for one in self.instructions)


class StallSamples(RecordModel):
    """The samples of one profiled call, kernel by kernel."""

    uuid: str
    kernels: list[SampledKernel] = Field(default_factory=list)


class StallSpot(RecordModel):
    """One instruction at which many warps of a call waited."""

    kernel: str
    address: int
    opcode: str
    share: float = Field(description="Of all samples of the call, 0 to 1.")
    reason: str = Field(description="The most frequent one to wait there.")


def stall_spots(kernels: Sequence[SampledKernel], most: int) -> list[StallSpot]:
    """The instructions of a call with the most samples of waiting warps."""
    total = sum(kernel.samples for kernel in kernels)
    waits = [
        (one.samples - one.reasons.get(ISSUED, 0), kernel, one)
        for kernel in kernels
        for one in kernel.instructions
        if main_reason(one.reasons.items())
    ]
    waits.sort(key=lambda found: -found[0])
    return [
        StallSpot(
            kernel=kernel.name,
            address=one.address,
            opcode=one.opcode,
            share=round(count / total, 4),
            reason=main_reason(one.reasons.items()),
        )
        for count, kernel, one in waits[:most]
    ]


def opcode_of(text: str) -> str:
    """The opcode of an instruction with its modifiers, e.g. 'LDG.E.128'; empty of other text."""
    found = _OPCODE.match(text.strip())
    return found.group(1) if found else ""


def same_code(opcodes: Sequence[str], others: Sequence[str]) -> bool:
    """Whether two kernels are the same instructions, but for modifiers and the NOPs that pad them.

    Two releases of a disassembler do not name all modifiers alike.
    """
    return bool(opcodes) and _bases(opcodes) == _bases(others)


def merged(launches: Iterable[SampledKernel]) -> list[SampledKernel]:
    """One entry for each kernel that was launched, with the samples of its launches summed up."""
    found: dict[tuple[str, tuple[str, ...]], list[SampledKernel]] = {}
    for launch in launches:
        code = tuple(one.opcode for one in launch.instructions)
        found.setdefault((launch.name[:NAME_CHARACTERS], code), []).append(launch)
    return [
        SampledKernel(
            name=name,
            launches=sum(one.launches for one in same),
            instructions=[
                _summed(parts) for parts in zip(*(one.instructions for one in same), strict=True)
            ],
        )
        for (name, _), same in found.items()
    ]


def main_reason(reasons: Iterable[tuple[str, int]]) -> str:
    """The most frequent reason to wait; empty where no warp waited."""
    waits = [(count, reason) for reason, count in reasons if reason != ISSUED and count]
    return max(waits)[1] if waits else ""


def _summed(parts: Sequence[SampledInstruction]) -> SampledInstruction:
    reasons: Counter[str] = Counter()
    for part in parts:
        reasons.update(part.reasons)
    samples = sum(part.samples for part in parts)
    return parts[0].model_copy(update={"samples": samples, "reasons": dict(reasons)})


def _bases(opcodes: Sequence[str]) -> list[str]:
    bases = [opcode.partition(".")[0] for opcode in opcodes]
    while bases and bases[-1] in ("NOP", ""):
        bases.pop()
    return bases
