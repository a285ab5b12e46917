"""Runs a Python program under `trace`, in the interpreter that it names.

    python -m kernel_harness.tools.collecting.run_program OUT SHARE TARGETS PROGRAM [ARGUMENTS]

SHARE is that of the calls that are recorded. TARGETS are joined by commas; none are all parts that
take their share of the time. PROGRAM is a file, or `-m` and a module. Started by name.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from ..errors import HarnessError
from ..text import counted
from .drafting.dataset_files import COUNTS, WrittenDefinition
from .tracing import trace
from .user_program import run_to_end, stand_in

FAILED = 2
"""Exit status when nothing was run, for an argument cannot be honoured."""


def main(arguments: list[str]) -> int:
    """Runs the program and says what was written; returns the exit status."""
    out, share, targets, *program = arguments
    written: list[WrittenDefinition] = []
    status = 0
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # As services are ended: what was recorded until then is written. A program that has a way
        # of its own to end puts it in this one's place.
        signal.signal(signal.SIGTERM, _ended)
    try:
        stand_in(program)
        with trace(out, targets.split(",") if targets else None, share=float(share)) as written:
            status = run_to_end(program)
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    except BaseException:
        if written:
            _say(out, written)
        raise
    _say(out, written)
    return status


def _say(out: str, written: Sequence[WrittenDefinition]) -> None:
    """Says what was written, and why there is nothing of a target."""
    sys.stdout.flush()
    for definition in written:
        words = f"{definition.name}: {counted(definition.workloads, 'workload')} of "
        words += counted(definition.calls, "call")
        if definition.unfinished:
            words += f"; its reference is to be written: {definition.unfinished}"
        sys.stderr.write(f"{words}.\n")
    counts = json.loads(Path(out, COUNTS).read_text("utf-8"))
    for name, said in counts.items():
        if not said["definitions"]:
            calls = counted(said["calls"], "call")
            sys.stderr.write(f"{name}: {calls}, none written: {_why(said)}.\n")
    if not counts:
        sys.stderr.write(
            "Nothing was recorded: name a function with --target, of a file that the program "
            "imports.\n"
        )


def _ended(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _why(said: Mapping[str, Any]) -> str:
    """Why there is no workload of a target's calls."""
    if reasons := said["not_recorded"]:
        return ", ".join(f"{why} ({count})" for why, count in reasons.items())
    return (
        "it was not called by that name, or only within what torch compiles, which is left alone"
        if not said["calls"]
        else "none was chosen: --share is too small"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
