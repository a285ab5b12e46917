"""Reads a disassembly with source lines, as nvdisasm prints it.

A line of the source stands before the first of its instructions; of an inlined function that of
the outermost caller counts. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..diagnosis.stall_samples import SampledKernel, main_reason, opcode_of

_SECTION = re.compile(r'^\s*\.section\s+"?\.text\.([^,"]+)')
_SOURCE = re.compile(r'^\s*//## File "([^"]+)", line (\d+)')
_LABEL = re.compile(r"^(\.L_x_\d+):")
_INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;?\s*(?:/\*.*)?$")
_BRANCH = re.compile(r"\bBRA\S*\s.*`\((\.L_x_\d+)\)")
_PACKAGE = re.compile(r"^.*/(?:candidate_[0-9a-z]+|inline_\d+)/")


@dataclass(frozen=True)
class SassInstruction:
    """One instruction: its address, as it is written, and where the source has it."""

    address: int
    text: str
    file: str = ""
    line: int = 0

    @property
    def opcode(self) -> str:
        """With its modifiers, e.g. 'LDG.E.128'."""
        return opcode_of(self.text)

    @property
    def place(self) -> str:
        """The source line, e.g. 'kernel.py:12'; empty where none is known."""
        return f"{self.file}:{self.line}" if self.line else ""


@dataclass
class SassFunction:
    """The instructions of one kernel, and the addresses that its labels stand for."""

    instructions: list[SassInstruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)

    def loops(self) -> list[tuple[int, int]]:
        """First and last address of each backward branch's loop, innermost and shortest first."""
        found: set[tuple[int, int]] = set()
        for one in self.instructions:
            branch = _BRANCH.search(one.text)
            target = self.labels.get(branch.group(1)) if branch else None
            if target is not None and target < one.address:
                found.add((target, one.address))
        return sorted(found, key=lambda loop: (loop[1] - loop[0], loop))


def read_sass(text: str) -> dict[str, SassFunction]:
    """The kernels of a disassembly by symbol."""
    found: dict[str, SassFunction] = {}
    current: SassFunction | None = None
    waiting: list[str] = []
    file, line = "", 0
    for row in text.splitlines():
        if section := _SECTION.match(row):
            current = found.setdefault(section.group(1), SassFunction())
            waiting, file, line = [], "", 0
        elif source := _SOURCE.match(row):
            # Of a chain of inlined calls the last is the outermost.
            file, line = _PACKAGE.sub("", source.group(1)), int(source.group(2))
        elif label := _LABEL.match(row):
            waiting.append(label.group(1))
        elif current is not None and (instruction := _INSTRUCTION.match(row)):
            address = int(instruction.group(1), 16)
            current.labels |= dict.fromkeys(waiting, address)
            current.instructions.append(SassInstruction(address, instruction.group(2), file, line))
            waiting = []
    return found


def written(function: SassFunction, samples: SampledKernel | None = None) -> Iterator[str]:
    """The lines of a kernel: labels, and code with its source place and what was sampled of it."""
    by_address: dict[int, list[str]] = {}
    for name, address in function.labels.items():
        by_address.setdefault(address, []).append(name)
    waits = _waits(samples) if samples else {}
    for one in function.instructions:
        yield from (f"{name}:" for name in by_address.get(one.address, ()))
        notes = [note for note in (one.place, waits.get(one.address)) if note]
        yield f"{one.address:05x}  {one.text}" + (f"   // {', '.join(notes)}" if notes else "")


def _waits(samples: SampledKernel) -> dict[int, str]:
    """The share of a kernel's samples at each address that has any, and the main reason there."""
    total = samples.samples or 1
    return {
        one.address: f"{100 * one.samples / total:.1f} % {main_reason(one.reasons.items())}".strip()
        for one in samples.instructions
        if one.samples
    }
