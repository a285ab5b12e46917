"""Whether a record's summaries follow from its own raw samples.

Pure: it derives every summary again and says where the record says otherwise. It cannot tell
whether the samples themselves are true; judging again from the recorded seeds can say more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..schema.evaluation import Evaluation
from .comparison import summarised

SAME = 1e-9
"""Relative difference up to which numbers are the same: versions of numpy round differently."""
RAW = frozenset({"measurement", "baseline_measurement"})


@dataclass(frozen=True)
class SummaryDifference:
    """One summary that does not follow from the samples; `where` is its dotted path."""

    where: str
    recorded: Any
    recomputed: Any


@dataclass(frozen=True)
class Recomputation:
    """A record held against what its samples give.

    Attributes:
        samples: raw samples that the summaries were derived from; 0 for a trial without timing.
        differences: summaries that say something else; empty when all follow.
    """

    evaluation_id: str
    workloads: int
    samples: int
    differences: tuple[SummaryDifference, ...]


def recompute(record: Evaluation) -> Recomputation:
    """Derives every summary of a record again and compares it with what is recorded.

    Args:
        record: a finished evaluation; its noise floor is the one it was decided with.
    """
    noted = record.evidence.noise_floor or {}
    floor = {name: float(v) for name, v in noted.items() if isinstance(v, int | float)}
    again = summarised(record, floor)
    found = list(_differing("totals", record.totals.model_dump(), again.totals.model_dump()))
    for before, after in zip(record.workloads, again.workloads, strict=True):
        found += _differing(
            f"workload {before.uuid[:8]}",
            before.model_dump(exclude=set(RAW)),
            after.model_dump(exclude=set(RAW)),
        )
    samples = sum(len(w.measurement.cold_ns) for w in record.workloads if w.measurement)
    return Recomputation(record.evaluation_id, len(record.workloads), samples, tuple(found))


def _differing(where: str, recorded: Any, recomputed: Any) -> Iterator[SummaryDifference]:
    if isinstance(recorded, Mapping) and isinstance(recomputed, Mapping):
        for name in recorded:
            yield from _differing(f"{where}.{name}", recorded[name], recomputed[name])
    elif not _same(recorded, recomputed):
        yield SummaryDifference(where, recorded, recomputed)


def _same(recorded: Any, recomputed: Any) -> bool:
    if isinstance(recorded, list | tuple) and isinstance(recomputed, list | tuple):
        return len(recorded) == len(recomputed) and all(map(_same, recorded, recomputed))
    if isinstance(recorded, float) and isinstance(recomputed, float):
        return math.isclose(recorded, recomputed, rel_tol=SAME)
    return recorded == recomputed
