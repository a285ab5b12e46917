"""Judging a record again from its recorded seeds, and recomputing its summaries from its samples.

A repetition draws the same inputs by seed, family and the generator that the record names, on a
like device. Latencies are not taken again, nor what depends on streams, times or chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import CapabilityError, RequestError
from ..progress import OnProgress, ignore_progress
from ..schema.evaluation import Evaluation, Executor, Stage, Status
from ..schema.flashinfer_trace import Solution
from ..text import short_uuid
from ..workloads.operators import Operator
from .plan import EvaluationRequest, replay_checks
from .service import EvaluationService

PATIENCE_S = 3_600.0
NOT_REPEATED = (Stage.INTEGRITY, Stage.TIMING)


@dataclass(frozen=True)
class Rejudged:
    """A record and its repetition.

    Attributes:
        draws: checked draws of the record.
        repeated: those that were made again with the same seed and family.
        notes: what else differs between the two, in words.
    """

    recorded: Evaluation
    again: Evaluation
    draws: int
    repeated: int
    notes: tuple[str, ...]

    @property
    def same_verdict(self) -> bool:
        """Whether the repetition found the candidate as right or as wrong as the record did.

        PASSED and PARTIAL are the same: they differ in what fitted into the budget of time.
        """
        unfaulted = {Status.PASSED, Status.PARTIAL}
        both = {self.again.status, self.recorded.status}
        return len(both) == 1 or both <= unfaulted


async def rejudge(
    evaluations: EvaluationService,
    operator: Operator,
    record: Evaluation,
    sources: Iterable[Solution],
    progress: OnProgress = ignore_progress,
) -> Rejudged:
    """Judges the sources of a record again with its seeds, without timing.
    `sources` is read until a solution has the record's content.

    Raises:
        RequestError: when the sources are not among them, or the record holds no seed.
        CapabilityError: when the record was made by another executor than this machine's.
    """
    _check_repeatable(record, evaluations.executor)
    solution = next((s for s in sources if s.content_hash() == record.content_hash), None)
    if solution is None:
        raise RequestError(
            f"The sources that {record.evaluation_id} judged are gone: nothing that was looked at "
            f"has content {record.content_hash[:12]}",
            remedy="Name a workspace that has them as they were; archive_candidate keeps sources.",
        )
    known = {w.uuid for w in operator.workloads}
    request = EvaluationRequest(
        operator=operator,
        solution=solution,
        scope=record.scope,
        force=True,
        checks=replay_checks(record),
        input_family=record.input_family,
        only=tuple(uuid for uuid in record.evidence.seeds if uuid in known),
        replay=record,
    )
    again = (await evaluations.evaluate(request, PATIENCE_S, progress)).evaluation
    draws, repeated = draws_repeated(record, again)
    return Rejudged(record, again, draws, repeated, differing_facts(record, again))


def _check_repeatable(record: Evaluation, executor: Executor) -> None:
    if not record.evidence.seeds:
        raise RequestError(
            f"{record.evaluation_id} holds no seed: it ended before anything was run",
            remedy="Evaluate its sources again.",
        )
    ran_on = record.evidence.device
    if ran_on is not None and ran_on.executor is not executor:
        raise CapabilityError(
            f"{record.evaluation_id} was judged by {ran_on.executor} on {ran_on.name}; the "
            f"same seeds give other inputs with {executor}",
            remedy="Judge it again on a machine like the one that the record names.",
        )


def draws_repeated(record: Evaluation, again: Evaluation) -> tuple[int, int]:
    """How many draws a record has, and how many the other made with the same seed and family."""
    draws = repeated = 0
    for uuid in record.evidence.seeds:
        theirs = _draws(record, uuid)
        draws += len(theirs)
        pairs = zip(theirs, _draws(again, uuid), strict=False)
        repeated += sum(before == after for before, after in pairs)
    return draws, repeated


def _draws(evaluation: Evaluation, uuid: str) -> list[tuple[int, str]]:
    seeds = evaluation.evidence.seeds.get(uuid, [])
    families = evaluation.evidence.families.get(uuid, [])
    # What decides the held-out cases is a seed without a family.
    padded = [*families, *[""] * (len(seeds) - len(families))]
    return list(zip(seeds, padded, strict=False))


def differing_facts(record: Evaluation, again: Evaluation) -> tuple[str, ...]:
    """What makes two trials of the same sources comparable or not, where it differs."""
    notes = []
    if record.workload_digest != again.workload_digest:
        notes.append("the workloads of the operator have changed since")
    before, after = record.evidence.device, again.evidence.device
    if before and after and before.name != after.name:
        notes.append(f"the device is {after.name}, it was {before.name}")
    old, new = record.evidence.versions, again.evidence.versions
    notes += [
        f"{name} is {new[name]}, it was {old[name]}"
        for name in sorted(old.keys() & new.keys())
        if old[name] != new[name]
    ]
    if record.failure is not None and record.failure.stage in NOT_REPEATED:
        notes.append(f"the record failed in stage {record.failure.stage}, which is not repeated")
    if record.integrity.determinism == "flaky":
        notes.append("the record found the candidate flaky")
    return tuple(notes)


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
    """Derives every summary of a finished record again, with the noise floor of that record."""
    noted = record.evidence.noise_floor or {}
    floor = {name: float(v) for name, v in noted.items() if isinstance(v, int | float)}
    from .comparison import summarised  # scipy: too heavy for the start of a server

    again = summarised(record, floor)
    found = list(_differing("totals", record.totals.model_dump(), again.totals.model_dump()))
    for before, after in zip(record.workloads, again.workloads, strict=True):
        found += _differing(
            f"workload {short_uuid(before.uuid)}",
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
