"""A contest's score: of each team by definition, and its place in each track.

On a definition a team has the mean over the workloads of the baseline's time over its own; 0 when
any workload failed. In a track it has the mean over the track's definitions, where one without a
submission counts 0. What is not judged, or not timed, has no score, nor has its track.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...schema.evaluation import Evaluation
from ...workloads.operators import Operator
from ..contest import BETWEEN
from ..origin import TaskOrigin
from .intervals import Curve, Share, share_of
from .outcomes import EVERY, Counting, TaskOutcomes, imported_operators, outcomes_of


@dataclass(frozen=True)
class SubmissionScore:
    """A team's solution of one definition.

    Args:
        status: empty without a verdict.
        speedup: mean over the workloads; 0 of a wrong one, None of one that is not timed.
        workloads: the speed-up on each.
    """

    team: str
    track: str
    definition: str
    solution: str
    status: str
    speedup: float | None = None
    workloads: Mapping[str, float] | None = None


@dataclass(frozen=True)
class TrackPlace:
    """A team in one track.

    Args:
        score: mean over the track's definitions; None where one of its solutions has none.
        lacking: definitions that it submitted nothing for.
    """

    track: str
    team: str
    score: float | None
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True)
class ContestScore:
    """The submissions of all teams, and their places."""

    suite: str
    submissions: tuple[SubmissionScore, ...]
    places: tuple[TrackPlace, ...]
    correct: Share
    outcomes: TaskOutcomes

    def curves(self) -> list[Curve]:
        """The speed-ups on the workloads of each team's submissions."""
        found = []
        for team in sorted({s.team for s in self.submissions}):
            own = [s.workloads or {} for s in self.submissions if s.team == team and s.status]
            values = tuple(value for each in own for value in each.values())
            found.append(Curve(team, values, max(len(values), len(own))))
        return found

    def as_json(self) -> dict[str, Any]:
        """Everything of it as JSON has it."""
        return asdict(self)


def contest_score(
    suite: str,
    folder: Path,
    records: Iterable[Evaluation],
    counting: Counting = EVERY,
) -> ContestScore:
    """The score of the operators in a folder, by the evaluations of a machine.

    Raises:
        DatasetError: when the folder holds no operator that was imported from the suite.
    """
    operators = imported_operators(suite, folder)
    known = {record.evaluation_id: record for record in records}
    outcomes = outcomes_of(operators, known.values(), counting)
    submitted = [
        (operator, origin, name)
        for operator, origin in operators
        for name in operator.candidates()
        if BETWEEN in name and counting.solution in name
    ]
    of_one = replace(counting, solution="", device=outcomes.device or counting.device)
    submissions = []
    for operator, origin, name in submitted:
        # Wholly judged is what was judged on every workload; of several times, the picked one.
        own = [r for r in known.values() if r.solution_name == name]
        (found,) = outcomes_of([(operator, origin)], own, of_one).tasks
        record = known.get(found.evaluation_id) if found.judged else None
        submission = _scored(operator, origin, name, record, missing_fail=counting.missing_fail)
        submissions.append(submission)
    places = _places(submissions, operators)
    counted = [s for s in submissions if s.status or counting.missing_fail]
    correct = share_of(sum(s.status == "PASSED" for s in counted), len(counted))
    return ContestScore(suite, tuple(submissions), tuple(places), correct, outcomes)


def _scored(
    operator: Operator,
    origin: TaskOrigin,
    name: str,
    record: Evaluation | None,
    *,
    missing_fail: bool,
) -> SubmissionScore:
    team = name.partition(BETWEEN)[0]
    status = str(record.status) if record is not None else ""
    speedup: float | None = 0.0 if record is not None or missing_fail else None
    workloads: dict[str, float] | None = None
    if record is not None and status == "PASSED":
        workloads = _speedups(operator, record)
        whole = len(workloads) == len(operator.workloads)
        speedup = sum(workloads.values()) / len(workloads) if whole else None
    return SubmissionScore(team, origin.track, origin.task, name, status, speedup, workloads)


def _speedups(operator: Operator, record: Evaluation) -> dict[str, float]:
    """By workload, the time of the contest's baseline over the submission's."""
    if record.baseline != operator.policy.baseline:
        return {}
    return {
        result.uuid: result.baseline_latency_us / result.latency_us
        for result in record.workloads
        if result.latency_us and result.baseline_latency_us
    }


def _places(
    submissions: Sequence[SubmissionScore], operators: Sequence[tuple[Operator, TaskOrigin]]
) -> list[TrackPlace]:
    """The teams of each track, the best first; those without a score last."""
    places = []
    for track in sorted({origin.track for _, origin in operators}):
        definitions = [origin.task for _, origin in operators if origin.track == track]
        for team in sorted({s.team for s in submissions if s.track == track}):
            own = {
                s.definition: s.speedup for s in submissions if s.track == track and s.team == team
            }
            known = [value for value in own.values() if value is not None]
            score = sum(known) / len(definitions) if len(known) == len(own) else None
            lacking = tuple(name for name in definitions if name not in own)
            places.append(TrackPlace(track, team, score, lacking))
    return sorted(places, key=lambda p: (p.track, p.score is None, -(p.score or 0.0), p.team))


def contest_lines(score: ContestScore, title: str) -> list[str]:
    """The submissions and places as lines of text, and what a reader must know of them."""
    submissions = score.submissions
    judged = sum(bool(s.status) for s in submissions)
    on = f" on {score.outcomes.device}" if score.outcomes.device else ""
    said = [f"{title}: {judged} of {len(submissions)} submissions have a verdict{on}.", ""]
    for s in submissions:
        figure = "–" if s.speedup is None else f"{s.speedup:.2f}x"
        said.append(f"{s.definition}  {s.solution}  {figure}  {s.status or 'not judged yet'}")
    said.append("")
    if score.correct.share is not None and score.correct.interval is not None:
        low, high = score.correct.interval
        share = f"{100 * score.correct.share:.1f} % [{100 * low:.0f}, {100 * high:.0f}]"
        said.append(f"Correct: {score.correct.count} of {score.correct.of}, {share}.")
    if not any(s.speedup for s in submissions):
        return [*said, "No places: nothing was timed. Times need an NVIDIA GPU."]
    for track in dict.fromkeys(place.track for place in score.places):
        own = [place for place in score.places if place.track == track]
        ranked = [f"{place.team} {_placed(place)}" for place in own]
        said.append(f"{track}: {', '.join(ranked)}.")
    return said


def _placed(place: TrackPlace) -> str:
    figure = "not timed" if place.score is None else f"{place.score:.2f}x"
    return figure + (f" (nothing for {', '.join(place.lacking)})" if place.lacking else "")
