"""What a dataset's speed-ups are over: one latency for each workload, the same for all solutions.

FlashInfer-Bench ranks by `speedup_factor` alone. The harness times no reference in each trial, as
FlashInfer-Bench does; it has a baseline there, or nothing. With one numerator for all solutions of
a workload, their order by speed-up is their order by latency, whatever the numerator is. Pure.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ...schema.evaluation import Evaluation


class ReferenceKind(StrEnum):
    """What was timed, the most honest first."""

    DEFINITION = "definition"
    """The definition's own PyTorch code: what the format means."""
    BASELINE = "baseline"
    """The solution that the operator's results are compared to."""
    SLOWEST = "slowest"
    """The slowest solution of the dataset, where neither was timed."""


@dataclass(frozen=True)
class ReferenceTime:
    """The latency that speed-ups on one workload are over."""

    latency_us: float
    kind: ReferenceKind
    name: str


@dataclass
class ReferenceTimes:
    """Latencies of an operator's reference and baseline, gathered from records of one device.

    Args:
        hashes: content hash of each, with its name; those not given are never found.
        slowest: whether the slowest solution stands in where none of them was timed.
    """

    hashes: Mapping[ReferenceKind, tuple[str, str]]
    found: dict[tuple[ReferenceKind, str], list[float]] = field(default_factory=dict)
    slowest: bool = True

    def gather(self, evaluation: Evaluation) -> None:
        """Adds what a record holds of them: as its candidate, or as what it is compared to."""
        for kind, (content_hash, _) in self.hashes.items():
            for result in evaluation.workloads:
                times = (
                    result.latency_us if evaluation.content_hash == content_hash else None,
                    result.baseline_latency_us
                    if evaluation.baseline_hash == content_hash
                    else None,
                )
                known = [time for time in times if time]
                if known:
                    self.found.setdefault((kind, result.uuid), []).extend(known)

    def of(self, uuid: str, solutions_us: Iterable[tuple[float, str]]) -> ReferenceTime | None:
        """The latency to divide by on one workload.

        Args:
            uuid: of the workload.
            solutions_us: latency and name of every solution that was timed on it.

        Returns:
            The median of the best kind known; None when nothing was timed.
        """
        for kind in (ReferenceKind.DEFINITION, ReferenceKind.BASELINE):
            if times := self.found.get((kind, uuid)):
                return ReferenceTime(statistics.median(times), kind, self.hashes[kind][1])
        if not self.slowest or not (known := sorted(solutions_us)):
            return None
        latency_us, name = known[-1]
        return ReferenceTime(latency_us, ReferenceKind.SLOWEST, name)
