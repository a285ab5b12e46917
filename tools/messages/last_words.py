"""What a judge's log and the way it ended say of whose fault its end was."""

from __future__ import annotations

import contextlib
import re
import signal
from pathlib import Path

from ..errors import DatasetError, HarnessError, InfrastructureError

MOST_BYTES = 1 << 16
_OWN_CODE = re.compile(
    r'File "(<reference of [^"]{1,200}>|[^"\n]{1,4000}/(?:inputs|oracle|compare|cost)\.py)", '
    r"line (\d+)"
)
"""A frame of the operator's own code, as Python's fault handler writes it."""


def death_of_judge(device: str, log: Path, since: int, status: int | None) -> HarnessError:
    """The error that says why a judge ended.

    Args:
        since: the length that its log had when it was last asked for something.
        status: its exit status, or minus the signal; None when unknown.
    """
    said, how = said_since(log, since), ended_words(status)
    fatal = said.rfind("Fatal Python error")
    own = _OWN_CODE.search(said, fatal) if fatal >= 0 else None
    if own is not None:
        return DatasetError(
            f"Code of the operator's own ended the judge, which {how}",
            where=f"{own[1]}, line {own[2]}",
            remedy="Correct that code; no change to the candidate helps.",
        )
    last = last_line(said)
    return InfrastructureError(
        f"The judge for {device} {how}: {last or 'it left no word'}",
        where=str(log),
        remedy="Evaluate again: a new judge is started.",
    )


def said_since(log: Path, since: int) -> str:
    """What a log has been told since it had that length; the end of it, where that is much."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(since, size - MOST_BYTES))
        return file.read().decode("utf-8", "replace")
    return ""


def last_line(said: str) -> str:
    """The last line that says something, shortened."""
    lines = said.strip().splitlines()
    return lines[-1][:400] if lines else ""


def ended_words(status: int | None) -> str:
    """How a process ended, e.g. 'was killed by SIGSEGV'."""
    if status is None:
        return "left without a word"
    if status >= 0:
        return f"ended with exit status {status}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-status).name}"
    return f"was killed by signal {-status}"
