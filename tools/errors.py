"""The harness's own failures: a closed tree, raised, never returned.

A candidate that fails is a value (`schema.evaluation.Failure`); an exception of this tree means
that the harness, its data or the request was at fault. Every error says what was wrong, where,
and what to do next, for its text is all that an agent sees of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from .text import shorten

LONGEST_PART = 1_500
"""Characters of each part of an error: it may quote an argument, a file or a compiler."""


class HarnessError(Exception):
    """Base of every error that the harness raises on purpose.

    Args:
        what: a sentence without a full stop.
        where: the file, field, argument or process it concerns.
        remedy: what the reader should do next.

    Each may quote what somebody else wrote: it is made printable here, and cut.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = shorten(what, LONGEST_PART)
        self.where = shorten(where, LONGEST_PART)
        self.remedy = shorten(remedy, LONGEST_PART)
        place = f" ({self.where})" if where else ""
        advice = f" {self.remedy}" if remedy else ""
        super().__init__(f"{self.what}{place}.{advice}")


class RequestError(HarnessError):
    """Raised when an argument cannot be honoured; the caller can correct it."""


class DatasetError(HarnessError):
    """Raised when a definition, workload or solution file cannot be used."""


class CapabilityError(HarnessError):
    """Raised when this machine lacks a tool, a device or a permission."""


class InfrastructureError(HarnessError):
    """Raised when a process of ours died, hung, or the disk refused a write."""


class ArchiveError(HarnessError):
    """Raised when the archive refuses a write or finds itself inconsistent."""


def unknown_name(kind: str, name: str, known: Iterable[str], *, remedy: str = "") -> RequestError:
    """Builds the error for a name that nothing has, naming the nearest of the known ones."""
    names, begun = sorted(known), name[:200].casefold()
    longer = [one for one in names if begun and one.casefold().startswith(begun)]
    alike = difflib.get_close_matches(name[:200], names, n=3, cutoff=0.4)
    near = list(dict.fromkeys([*longer, *alike]))[:3] or names[:5]
    listing = ", ".join(near) if near else "none exist"
    return RequestError(
        f"Unknown {kind} {shorten(name, 200)!r}",
        remedy=f"Nearest: {listing}." + (f" {remedy}" if remedy else ""),
    )
