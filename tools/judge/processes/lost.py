"""How a candidate process was lost, and cleaning of its text."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from ...messages.frames import printable

EXCERPT_CHARACTERS = 3_000


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


def clean(text: str, limit: int = EXCERPT_CHARACTERS) -> str:
    """Untrusted text without control characters, and without its middle when it is too long."""
    plain = printable(text)
    if len(plain) <= limit:
        return plain
    half = (limit - 40) // 2
    return f"{plain[:half]}\n… {len(plain) - 2 * half} characters cut …\n{plain[-half:]}"


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
