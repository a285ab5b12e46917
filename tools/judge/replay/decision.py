"""Whether a latency is sealed or only claimed, with the reason in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ...schema.measurement import TimeSource
from .witness import SecondLook, Witness, contradicts

CLOCKS_RATIO = 1.25
CLOCKS_SLACK_NS = 6_000.0
"""By which events may differ from activity records: they take in what lies around the kernels."""
ONE_INTERRUPTED_IN = 20
"""One replay in so many may have events far apart: the device was interrupted between them. Times
are ranked by medians, which so few cannot move."""


DIFFERS = "replay differs"
"""How the reason of a claim begins where a replay's outputs were wrong."""


class ClaimReason(StrEnum):
    """Why a latency is only claimed."""

    REPLAY_DIFFERS = "replay_differs"
    NO_RECORDS = "no_records"
    CLOCKS_DISAGREE = "clocks_disagree"
    BELOW_WITNESS = "below_witness"
    RUNNERS_DIFFER = "runners_differ"
    MEMORY_KEPT = "memory_kept"


class NotSealedError(Exception):
    """Raised where a workload's times cannot be sealed; its text is the reason."""


@dataclass(frozen=True)
class ReplayEvidence:
    """What is known of a program's replays, none of whose compared outputs was wrong.

    Args:
        outputs_checked: replays whose outputs were compared.
        spans_ns: by activity records; None where a replay had none.
        events_ns: by events, of the same replays.
        witness: the bound by the judge's own clock.
        again: a second look, where the mean span lies below the bound.
        runners_differ: how the yardstick differs between the runners of candidate and baseline.
        memory_kept: what the kernels can keep from one replay to the next.
    """

    outputs_checked: int = 0
    spans_ns: tuple[int | None, ...] = ()
    events_ns: tuple[int | None, ...] = ()
    witness: Witness | None = None
    again: SecondLook | None = None
    runners_differ: str = ""
    memory_kept: str = ""


@dataclass(frozen=True)
class ClockDecision:
    """Sealed, or claimed for a reason."""

    clock: TimeSource
    reason: ClaimReason | None = None
    words: str = ""


def decide(evidence: ReplayEvidence) -> ClockDecision:
    """Sealed if nothing speaks against it; the first thing that does is the reason."""
    for reason, words in (
        (ClaimReason.REPLAY_DIFFERS, _outputs(evidence)),
        (ClaimReason.NO_RECORDS, _records(evidence)),
        (ClaimReason.CLOCKS_DISAGREE, _clocks(evidence)),
        (ClaimReason.BELOW_WITNESS, _bound(evidence)),
        (ClaimReason.RUNNERS_DIFFER, evidence.runners_differ),
        (ClaimReason.MEMORY_KEPT, evidence.memory_kept),
    ):
        if words:
            return ClockDecision(TimeSource.CLAIMED, reason, words)
    return ClockDecision(TimeSource.SEALED)


def _outputs(evidence: ReplayEvidence) -> str | None:
    if evidence.outputs_checked < len(evidence.spans_ns):
        return "Not every timed output was checked"
    return None


def _records(evidence: ReplayEvidence) -> str | None:
    if not evidence.spans_ns:
        return "Nothing was timed"
    if any(span is None or span <= 0 for span in evidence.spans_ns):
        return "A replay left no activity records"
    return None


def _clocks(evidence: ReplayEvidence) -> str | None:
    """Events surround the launches: a span much longer or shorter than theirs is not believed."""
    both = [
        (span, events)
        for span, events in zip(evidence.spans_ns, evidence.events_ns, strict=False)
        if span is not None and events is not None
    ]
    outside = [(s, e) for s, e in both if s > e + CLOCKS_SLACK_NS]
    differing = [(s, e) for s, e in both if e > CLOCKS_RATIO * s + CLOCKS_SLACK_NS]
    if not outside and len(differing) <= len(both) // ONE_INTERRUPTED_IN:
        return None
    span, events = (outside or differing)[0]
    return f"Activity records say {span} ns of a replay, events {events} ns"


def _bound(evidence: ReplayEvidence) -> str | None:
    spans = [span for span in evidence.spans_ns if span is not None]
    if evidence.witness is None or not spans:
        return None
    mean = sum(spans) / len(spans)
    if not contradicts(evidence.witness, mean) or (evidence.again and evidence.again.agrees):
        return None
    found = evidence.witness
    return (
        f"The runner tells {mean:.0f} ns; by the judge's own clock a call takes at least "
        f"{found.least_ns:.0f} ns: {found.mean_ns:.0f} in {found.batches} batches of {found.calls} "
        f"with a standard error of {found.standard_error_ns:.0f}, {found.surplus_ns:.0f} of it "
        f"outside the call{found.note and '. ' + found.note}"
    )
