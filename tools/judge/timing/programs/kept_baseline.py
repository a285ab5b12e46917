"""What is kept of an operator's own baseline from one trial to the next: plans, and runners.

Its sources are the operator's, whose code the judge runs in any case. Its runners have seen no
module but its own and no process of a candidate, and no candidate's plan is ever loaded into them.
All of it is dropped when another operator is judged, or its folder was edited, or inputs of another
family are timed; when a replay beside it ended in anything but sealed times; and when the device's
memory is wanted.

Records by which candidates are promoted rest on runners of their own: where a process's memory lies
changes its times a little, and what is kept has one place for many trials.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ....messages.judge import EvaluatePlan
from ....schema.evaluation import Scope
from ...calls.device_memory import little_is_free
from ...calls.shared_memory import Layout
from ...operators.folder_code import stamp
from ...operators.operator_adapter import Case
from ...processes.context import JudgeContext
from ...processes.prewarmed import CONTEXT_BYTES
from ...replay.program_runner import ProgramRunner
from ..recorders import RecordedProgram

SCOPES = (Scope.SMOKE, Scope.SAMPLE)
KEPT_SHARE = 0.08
"""Of the device's memory, that kept runners may take."""
KEPT_PLAN_BYTES = 512 << 20
"""Of the modules and contents of all plans, in the judge's own memory."""
RECORDED_BEFORE = (
    "the baseline's launches were recorded, and its ordinary calls made, in an earlier evaluation "
    "by the same judge"
)


@dataclass(frozen=True)
class BaselineKey:
    """Which baseline something is kept of.

    Args:
        operator: its definition, the state of its folder, and the family of the inputs.
        content_hash: of the baseline's sources.
    """

    operator: str
    content_hash: str


class KeptBaseline:
    """The plans and the runners of one baseline.

    Args:
        key: whose they are.
        most_bytes: device memory that the runners may take between trials.
    """

    def __init__(self, key: BaselineKey, most_bytes: int) -> None:
        self.key, self._most_bytes = key, most_bytes
        self._recorded: dict[str, RecordedProgram] = {}
        self._runners: list[ProgramRunner] = []
        self.arena_bytes = 0
        """That the plans were recorded in, at most."""
        self.spoiled = False
        """Whether it is to be dropped at the end of the trial."""

    @property
    def runner_count(self) -> int:
        """How many runners wait."""
        return len(self._runners)

    def large_enough(self, arena_bytes: int) -> int:
        """How many of them have an arena of this size."""
        return sum(runner.is_large_enough(arena_bytes, 0) for runner in self._runners)

    @property
    def nbytes(self) -> int:
        """Device memory of the runners, their contexts included."""
        return sum(CONTEXT_BYTES + runner.nbytes for runner in self._runners)

    def holds(self, cases: Iterable[Case]) -> bool:
        """Whether a call of each case was recorded."""
        return all(call_key(case) in self._recorded for case in cases)

    def recorded(self, case: Case) -> RecordedProgram | None:
        """The recorded call of a case."""
        return self._recorded.get(call_key(case))

    def keep(self, case: Case, program: RecordedProgram, arena_bytes: int) -> None:
        """Keeps a recorded call whose times were sealed; what recorded it may go.

        Args:
            arena_bytes: of the arena that it was recorded in.
        """
        others = [one for key, one in self._recorded.items() if key != call_key(case)]
        if sum(map(_plan_bytes, [*others, program])) > KEPT_PLAN_BYTES:
            return
        self._recorded[call_key(case)] = _without_memory(program)
        self.arena_bytes = max(self.arena_bytes, arena_bytes)

    def take(self, most: int, arena_bytes: int, staging_bytes: int) -> list[ProgramRunner]:
        """Removes the runners, and returns up to `most` that live and have the memory.

        The others are ended.
        """
        kept, self._runners = self._runners, []
        fit = [r for r in kept if r.alive and r.is_large_enough(arena_bytes, staging_bytes)][:most]
        end_all([r for r in kept if r not in fit])
        return fit

    def put(self, runners: Collection[ProgramRunner]) -> None:
        """Takes the runners of a trial in, for the next one; ends them where they may not stay."""
        self._runners += runners
        if self.spoiled or self.nbytes > self._most_bytes:
            self.close()

    def close(self) -> None:
        """Ends the runners."""
        runners, self._runners = self._runners, []
        end_all(runners)


def take_kept(context: JudgeContext, plan: EvaluatePlan) -> KeptBaseline | None:
    """What is kept of the plan's baseline, and empty where that is nothing yet.

    It is the trial's until `give_back`. None where nothing of it may be kept.
    """
    key, kept = _key(plan), context.kept_baseline
    operator = _operator(plan)
    if isinstance(kept, KeptBaseline):
        if kept.key.operator != operator or little_is_free(context.device):
            context.kept_baseline = None
            kept.close()
        elif kept.key == key:
            context.kept_baseline = None
            return kept
    if key is None:
        return None
    return KeptBaseline(key, int(KEPT_SHARE * (context.info.memory_bytes or 0)))


def give_back(context: JudgeContext, kept: KeptBaseline) -> None:
    """Has the judge keep it for later trials, unless it is spoiled."""
    if kept.spoiled:
        kept.close()
        return
    before, context.kept_baseline = context.kept_baseline, kept
    if before is not None:
        before.close()


def end_all(runners: Collection[ProgramRunner]) -> None:
    """Ends runners side by side, and frees what they shared."""
    if runners:
        with ThreadPoolExecutor(len(runners)) as threads:
            list(threads.map(lambda runner: runner.end(), runners))
    for runner in runners:
        runner.free()


def call_key(case: Case) -> str:
    """What the launches of a call may depend on."""
    return json.dumps([case.uuid, case.axes, case.scalars, case.structure], default=str)


def _key(plan: EvaluatePlan) -> BaselineKey | None:
    """The plan's baseline, if it is the operator's own and nothing is promoted by the record."""
    own = plan.baseline_hash
    if (
        own is None
        or own != plan.own_baseline_hash
        or plan.scope not in SCOPES
        or not plan.sealed_clock
        or plan.replay_seeds
        or plan.race  # its process was given what a candidate's wrote
    ):
        return None
    return BaselineKey(_operator(plan), own)


def _operator(plan: EvaluatePlan) -> str:
    """What decides how the inputs lie that the launches were recorded for."""
    folder = Path(plan.operator_dir) if plan.operator_dir else None
    places = [plan.operator_dir, stamp(folder), plan.dataset_root, plan.checks.input_family]
    return json.dumps([plan.definition, *places], sort_keys=True)


def _plan_bytes(program: RecordedProgram) -> int:
    return sum(map(len, program.recorded.checked.blobs))


def _without_memory(program: RecordedProgram) -> RecordedProgram:
    """The same recording without a view of the memory of the process that made it."""
    recorded, nothing = program.recorded, torch.empty(0, dtype=torch.uint8)
    layout = Layout(nothing, recorded.layout.slots, recorded.layout.offsets, nothing, nothing)
    return replace(program, recorded=replace(recorded, layout=layout))
