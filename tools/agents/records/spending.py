"""What evaluations used: of the device, of compilers and of time, from the server's own records."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from ...schema.evaluation import UNDECIDED, UNFAILED, Evaluation, Status
from ...schema.record_model import RecordModel
from ..clients.usage import Usage

TOTAL = "total"
BUILDS = ("candidate_build", "build", "compile")


class Spending(RecordModel):
    """What a round or a search used.

    Attributes:
        evaluations: how many, by scope.
        device_seconds: for which the device's judge was at work on them.
        build_seconds: of those, until the candidate was built.
        agent_seconds: wall time of agents, all of them together.
        wall_seconds: from the first beginning to the last end.
    """

    evaluations: dict[str, int] = Field(default_factory=dict)
    passed: int = 0
    failed: int = 0
    device_seconds: float = 0.0
    build_seconds: float = 0.0
    agent_seconds: float = 0.0
    wall_seconds: float = 0.0
    usage: Usage = Usage()

    def plus(self, other: Spending) -> Spending:
        """What both used together."""
        scopes = {*self.evaluations, *other.evaluations}
        return Spending(
            evaluations={
                scope: self.evaluations.get(scope, 0) + other.evaluations.get(scope, 0)
                for scope in sorted(scopes)
            },
            passed=self.passed + other.passed,
            failed=self.failed + other.failed,
            device_seconds=self.device_seconds + other.device_seconds,
            build_seconds=self.build_seconds + other.build_seconds,
            agent_seconds=self.agent_seconds + other.agent_seconds,
            wall_seconds=self.wall_seconds + other.wall_seconds,
            usage=self.usage.plus(other.usage),
        )

    @property
    def count(self) -> int:
        """How many evaluations it was, of all scopes."""
        return sum(self.evaluations.values())


def device_seconds(evaluation: Evaluation) -> float:
    """For how long an evaluation had the device."""
    seconds = evaluation.evidence.seconds
    return seconds[TOTAL] if TOTAL in seconds else sum(seconds.values())


def spent_on(evaluations: Iterable[Evaluation]) -> Spending:
    """What some evaluations used."""
    found = Spending()
    for evaluation in evaluations:
        seconds = evaluation.evidence.seconds
        found = found.plus(
            Spending(
                evaluations={str(evaluation.scope): 1},
                passed=int(evaluation.status is Status.PASSED),
                failed=int(evaluation.status not in UNFAILED | UNDECIDED),
                device_seconds=device_seconds(evaluation),
                build_seconds=sum(seconds.get(name, 0.0) for name in BUILDS),
            )
        )
    return found
