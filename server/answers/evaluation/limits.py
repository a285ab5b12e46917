"""How much of a record an answer tells: rows, and characters of each kind of text."""

from __future__ import annotations

from dataclasses import dataclass

from ..text import Detail

ROWS: dict[str, int] = {"concise": 8, "detailed": 60}
"""Of workloads, at most."""
TEXTS_FIRST = 4
"""Steps in which the texts of a short answer are cut and no row is left out."""
MOST_KERNELS = 12
"""Rows of what was compiled, at `concise`."""


@dataclass(frozen=True)
class Limits:
    """Rows and characters of each part of an answer; the record has whole what is longer.

    Attributes:
        rows: of workloads.
        kernels: rows of what was compiled.
        message, finding, excerpt, log, reason, clock: characters of what failed, of each finding,
            of what compiler or Python said, of what the candidate printed, of what compiling could
            not show, and of why times are only claimed.
    """

    rows: int
    kernels: int
    message: int
    finding: int
    excerpt: int
    log: int
    reason: int
    clock: int


def limits_of(detail: Detail, steps: int, most: int) -> Limits:
    """The limits of an answer that is so many steps from none: texts are cut before rows go.

    Args:
        most: rows to begin with; a short answer begins `TEXTS_FIRST` steps above them.
    """
    if detail == "detailed":
        return Limits(steps, 2 * steps, 1_000, 600, 6_000, 4_000, 4_000, 400)
    rows = min(steps, most)
    return Limits(
        rows=rows,
        kernels=max(1, rows),
        message=300 + 60 * steps,
        finding=80 + 8 * steps,
        excerpt=300 + 90 * steps,
        log=150 + 60 * steps,
        reason=60 + 15 * steps,
        clock=60 + 8 * steps,
    )
