"""What a candidate's code leaves in its process that is no part of computing outputs.

Clocks that it replaced, and threads of its own that go on after a call. Neither changes what the
judge measures or reads; both are done to mislead one that measures in the same process. Code that
wants to can hide them: what is found is said, and nothing is proven by finding nothing.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import torch

CLOCKS = (
    *((time, name) for name in ("perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns")),
    *((time, name) for name in ("time", "time_ns")),
    *((torch.cuda, name) for name in ("Event", "synchronize")),
)


class ProcessSigns:
    """Compares the process with what it was before any code of a candidate ran."""

    def __init__(self) -> None:
        self._clocks = _clocks()

    def found(self, source_dir: Path) -> list[str]:
        """What there is now, in words.

        Args:
            source_dir: where the candidate's sources lie.
        """
        now = _clocks()
        replaced = [name for name, value in self._clocks.items() if now.get(name) != value]
        signs = [f"{name} was replaced" for name in replaced]
        own = threading.get_ident()
        frames = [f for ident, f in sys._current_frames().items() if ident != own]
        running = {where for frame in frames if (where := _place_in(frame, source_dir))}
        return signs + [f"a thread of its own is left running, in {where}" for where in running]


def _clocks() -> dict[str, Any]:
    found = {f"{module.__name__}.{name}": getattr(module, name, None) for module, name in CLOCKS}
    event = found["torch.cuda.Event"]
    return {**found, "torch.cuda.Event.elapsed_time": getattr(event, "elapsed_time", None)}


def _place_in(frame: FrameType | None, source_dir: Path) -> str:
    """File and line of the innermost frame that is of the candidate's sources; empty without."""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(source_dir):
            return f"{path.relative_to(source_dir)}, line {frame.f_lineno}"
        frame = frame.f_back
    return ""
