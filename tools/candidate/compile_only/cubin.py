"""Reads resources and instructions of compiled kernels as NVIDIA's tools print them.

Pure text in, figures out. Spills are not in a cubin as such: a stack frame that instructions load
from or store to is counted as spilled, which also counts arrays indexed at run time.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

_FUNCTION = re.compile(r"^\s*Function\s+(?:: )?([^\s:]+)\s*:?\s*$")
_RESOURCE = re.compile(r"\b(REG|STACK|SHARED|LOCAL):(\d+)")
_INSTRUCTION = re.compile(
    r"^\s*(?:/\*[0-9a-f]+\*/\s*)?(?:@!?U?P[T\d]+\s+)?([A-Z][A-Z0-9_]*(?:\.[\w.]+)?)"
)
_ADDRESS = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/")
_ENTRY = re.compile(r"Compiling entry function '([^']+)' for '([^']+)'")
_SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_STATIC = re.compile(r"(\d+) bytes smem")


@dataclass(frozen=True)
class Resources:
    """Resources of one kernel, in bytes and registers per thread."""

    registers: int | None = None
    stack_bytes: int | None = None
    shared_bytes: int | None = None
    spill_bytes: int | None = None


def read_resources(text: str) -> dict[str, Resources]:
    """Reads `cuobjdump -res-usage`: kernel name to its resources."""
    found: dict[str, Resources] = {}
    name = None
    for line in text.splitlines():
        function = _FUNCTION.match(line)
        if function:
            name = function.group(1)
            continue
        numbers = {key: int(value) for key, value in _RESOURCE.findall(line)}
        if name and "REG" in numbers:
            found[name] = Resources(
                registers=numbers["REG"],
                stack_bytes=numbers.get("STACK"),
                shared_bytes=numbers.get("SHARED"),
            )
            name = None
    return found


def read_opcodes(text: str) -> dict[str, dict[str, int]]:
    """Reads `cuobjdump -sass`: kernel name to its opcodes and how often each occurs."""
    found: dict[str, Counter[str]] = {}
    current: Counter[str] | None = None
    for line in text.splitlines():
        function = _FUNCTION.match(line)
        if function:
            current = found.setdefault(function.group(1), Counter())
        elif current is not None and _ADDRESS.match(line):
            instruction = _INSTRUCTION.match(line)
            if instruction:
                current[instruction.group(1)] += 1
    return {name: dict(counts.most_common()) for name, counts in found.items()}


def read_assembler_log(text: str) -> dict[tuple[str, str], Resources]:
    """Reads `-Xptxas -v`: kernel name and target to its resources."""
    found: dict[tuple[str, str], Resources] = {}
    key: tuple[str, str] | None = None
    stack: int | None = None
    spill: int | None = None
    for line in text.splitlines():
        entry, spills, used = _ENTRY.search(line), _SPILLS.search(line), _USED.search(line)
        if entry:
            key, stack, spill = (entry.group(1), entry.group(2)), None, None
        elif spills:
            stack, spill = int(spills.group(1)), int(spills.group(2)) + int(spills.group(3))
        elif used and key:
            static = _STATIC.search(line)
            found[key] = Resources(
                registers=int(used.group(1)),
                stack_bytes=stack,
                shared_bytes=int(static.group(1)) if static else 0,
                spill_bytes=spill,
            )
            key = None
    return found


def spilled_bytes(resources: Resources, opcodes: dict[str, int]) -> int | None:
    """Bytes of stack that the instructions use, or what the assembler said of spills."""
    if resources.spill_bytes is not None:
        return resources.spill_bytes
    if resources.stack_bytes is None:
        return None
    touched = any(opcode.split(".")[0] in ("LDL", "STL") for opcode in opcodes)
    return resources.stack_bytes if touched else 0


def of_kernel(named: dict[str, Any], name: str, otherwise: Any) -> Any:
    """A kernel's entry by name; the only entry where a cubin holds one kernel."""
    if name in named:
        return named[name]
    return next(iter(named.values())) if len(named) == 1 else otherwise
