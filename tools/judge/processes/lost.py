"""How a candidate process was lost."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from ...messages.frames import WireError
from ...text import shorten

EXCERPT_CHARACTERS = 3_000
"""Most characters of untrusted text in a failure."""


@dataclass(frozen=True)
class ProcessLost:
    """The end of a candidate process that crashed, hung or broke the protocol.

    Args:
        kind: 'crash', 'timeout' or 'protocol'.
        detail: what was observed, as a sentence.
        exit_status: exit code, or minus the signal; None when unknown.
    """

    kind: str
    detail: str
    exit_status: int | None = None


def describe_exit(exit_status: int | None) -> str:
    """How a process ended, e.g. 'was killed by SIGSEGV'."""
    if exit_status is None:
        return "vanished"
    if exit_status >= 0:
        return f"exited with code {exit_status}"
    if exit_status == -signal.SIGKILL:
        return "closed its connection to the judge, or was killed by SIGKILL"
    try:
        return f"was killed by {signal.Signals(-exit_status).name}"
    except ValueError:
        return f"was killed by signal {-exit_status}"


def describe_frame(error: WireError) -> str:
    """What was wrong with a frame, cleaned: it may quote the candidate."""
    return shorten(f"It wrote what is no answer to the judge: {error}", EXCERPT_CHARACTERS)
