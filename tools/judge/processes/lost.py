"""How a candidate process ended, in words."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from ...messages.frames import printable

EXCERPT_CHARACTERS = 3_000


@dataclass(frozen=True)
class ProcessLost:
    """A candidate process that is of no further use, and how that came.

    Args:
        kind: 'crash', 'timeout' or 'protocol'.
        detail: what was seen, as a sentence.
        exit_status: its exit code, or minus the signal; None when unknown.
    """

    kind: str
    detail: str
    exit_status: int | None = None


def clean(text: str, limit: int = EXCERPT_CHARACTERS) -> str:
    """Untrusted text without control characters, its middle cut where it is too long."""
    plain = printable(text)
    if len(plain) <= limit:
        return plain
    half = (limit - 40) // 2
    return f"{plain[:half]}\n… {len(plain) - 2 * half} characters cut …\n{plain[-half:]}"


def exit_words(exit_status: int | None) -> str:
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
