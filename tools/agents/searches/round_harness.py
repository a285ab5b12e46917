"""The services of one round: the harness's own, with the round's workspaces, label and limit.

Judge, records and archive are those of the search: one judge serves all rounds in turn. What the
round evaluates is counted here, and refused when the search's seconds of the device are used up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...archive.store.entry import started_at
from ...errors import RequestError
from ...evaluation.plan import EvaluationRequest
from ...evaluation.records.under_way import CarryOut
from ...evaluation.service import Evaluated, EvaluationService
from ...harness import Harness, made_once
from ...progress import OnProgress, ignore_progress
from ...schema.evaluation import Evaluation
from ...settings import Settings
from ..records.spending import device_seconds

if TYPE_CHECKING:
    from ...tuning.results import Tuned
    from ...tuning.service import TuningRequest, TuningService

SHARED = ("pool", "records", "archive", "archiving", "profiling", "promotions")
OWN = ("lookup", "evaluations", "tuning")
"""Services that a round shares with its search, and those that it makes anew."""


class RoundSettings(Settings):
    """The settings of a search, with workspaces of the round's own."""

    round_dir: Path

    @property
    def workspaces_dir(self) -> Path:
        """The only folder that the round's agent can write candidates to."""
        return self.round_dir


@dataclass
class DeviceBudget:
    """Seconds of the device that a search may use, counted over all its rounds.

    Attributes:
        since: evaluations that began before were not carried out for this run of the search.
    """

    limit: float | None
    since: float
    used: float = 0.0
    counted: set[str] = field(default_factory=set)

    @property
    def used_up(self) -> bool:
        """Whether nothing is left of it."""
        return self.limit is not None and self.used >= self.limit

    def count(self, evaluation: Evaluation) -> bool:
        """Counts an evaluation; False for one that was counted, or was there before."""
        known = evaluation.evaluation_id in self.counted
        if known or started_at(evaluation) < int(self.since):
            return False
        self.counted.add(evaluation.evaluation_id)
        self.used += device_seconds(evaluation)
        return True


@dataclass
class RoundMeter:
    """What one round evaluated.

    Attributes:
        refused: how many evaluations were asked for and not begun.
    """

    budget: DeviceBudget
    evaluations: list[Evaluation] = field(default_factory=list)
    refused: int = 0

    def admit(self) -> None:
        """Refuses an evaluation when the budget is used up.

        Raises:
            RequestError: telling the agent to end.
        """
        if self.budget.used_up:
            self.refused += 1
            raise RequestError(
                f"The search's {self.budget.limit:g} s of the device are used up",
                remedy="End here: what was evaluated is kept.",
            )

    def note(self, evaluation: Evaluation) -> None:
        """Takes note of an evaluation that ended, if it was carried out for this round."""
        if self.budget.count(evaluation):
            self.evaluations.append(evaluation)


class MeteredEvaluations(EvaluationService):
    """Evaluations that one round asks for.

    Args:
        admit: raises where no further one may begin.
        given: what the service takes.
    """

    def __init__(self, admit: Callable[[], None], *given: Any) -> None:
        super().__init__(*given)
        self._admit = admit

    async def evaluate(
        self,
        request: EvaluationRequest,
        wait_s: float | None = None,
        progress: OnProgress = ignore_progress,
        carry_out: CarryOut | None = None,
    ) -> Evaluated:
        """Evaluates as the service does, within the budget.

        Raises:
            RequestError: when the budget is used up.
        """
        self._admit()
        return await super().evaluate(request, wait_s, progress, carry_out)


class RoundHarness(Harness):
    """The services of one round; those that name no workspace are the search's own.

    Args:
        folder: the round's workspaces.
        session: label that its trials and candidates carry.
    """

    def __init__(self, harness: Harness, folder: Path, session: str, meter: RoundMeter) -> None:
        shared = {name: getattr(harness, name) for name in SHARED}
        vars(self).update({**vars(harness), **shared})
        for name in OWN:
            vars(self).pop(name, None)
        changes = {"session": session, "round_dir": folder, "warm_ahead": False}
        self.settings = RoundSettings.model_validate({**dict(harness.settings), **changes})
        self._meter = meter
        self.evaluations.executor = harness.evaluations.executor

    def evaluations_on(self, device: str, *more: str) -> EvaluationService:
        """Evaluations for this round, counted and within the search's budget."""
        return self._counted(self._meter.admit, device, *more)

    @made_once
    def tuning(self) -> TuningService:
        """Evaluates variants: all of a call or none, so that what was raced is not lost."""
        from ...tuning.service import TuningService

        meter = self._meter

        class MeteredTuning(TuningService):
            async def tune(
                self, request: TuningRequest, progress: OnProgress = ignore_progress
            ) -> Tuned:
                meter.admit()
                return await super().tune(request, progress)

        counted = self._counted(lambda: None, *self.devices)
        counted.executor = self.evaluations.executor
        return MeteredTuning(counted, self.pool, self.archive)

    def _counted(self, admit: Callable[[], None], device: str, *more: str) -> EvaluationService:
        def keep_trial(request: EvaluationRequest, evaluation: Evaluation) -> str:
            self._meter.note(evaluation)
            return self.archiving.keep_trial(request, evaluation)

        return MeteredEvaluations(
            admit,
            self.settings,
            self.pool,
            self.records,
            device,
            self.keys,
            self.archiving.recognise,
            keep_trial,
            more,
        )
