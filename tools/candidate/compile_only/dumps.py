"""Prints resources and instructions of cubins by NVIDIA's own tool."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from ..compilation import toolchain

_SIDE_BY_SIDE = 8
_MOST_BYTES = 64 << 20
"""An instruction is printed in some 240 bytes: a cut dump would count too few, and no spills."""


def dump(files: Sequence[Path]) -> list[tuple[str, str]]:
    """Prints resources and instructions of cubins; empty texts where no tool is found."""
    tool = _cuobjdump()
    if not tool:
        return [("", "")] * len(files)
    commands = [[tool, how, str(file)] for file in files for how in ("-res-usage", "-sass")]
    outputs: list[str] = []
    for start in range(0, len(commands), _SIDE_BY_SIDE):
        part = commands[start : start + _SIDE_BY_SIDE]
        outputs += [ran.output for ran in toolchain.run(part, most_bytes=_MOST_BYTES)]
    return list(zip(outputs[::2], outputs[1::2], strict=True))


def _cuobjdump() -> str:
    tools: list[Callable[[], str | None]] = [
        lambda: __import__("triton").knobs.nvidia.cuobjdump.path,
        lambda: shutil.which("cuobjdump"),
    ]
    for find in tools:
        with contextlib.suppress(Exception):
            found = find()
            if found:
                return found
    return ""
