"""The recorded calls and the runners of candidate and baseline in one trial."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from ....messages.launch_plan import ARENA_BASE
from ...calls.device_memory import free_for
from ...checks.time_budget import StageTimes
from ...operators.input_sets import InputSet
from ...operators.operator_adapter import Case
from ...replay.output_checks import RightOutputs
from ...replay.program_runner import ProgramRunner
from ...replay.recorded_call import NotRecordedError
from ...trial_parts import Meanwhile, TrialParts
from ..recorders import RecordedProgram, Recorders
from ..replayed_program import ReplayedProgram
from .kept_baseline import KeptBaseline, end_all


class TrialRunners:
    """Starts and ends runners, each for one program.

    Args:
        recorders: started.
        kept: the trial's, what is kept of the baseline; None: nothing is.
        times: of the timing's stages.
    """

    def __init__(
        self,
        parts: TrialParts,
        recorders: Recorders,
        kept: KeptBaseline | None,
        times: StageTimes,
    ) -> None:
        self._context, self._operator = parts.context, parts.operator
        self._blocks = parts.plan.checks.blocks
        self._recorders, self._kept, self._times = recorders, kept, times
        self._runners: dict[bool, list[ProgramRunner]] = {}
        self.recorded_before = False
        """Whether the baseline's plan that was asked for last is of an earlier trial."""
        self.staging_bytes = 0
        """For the values of calls, in each runner."""

    def record(self, case: Case, sets: Callable[[], InputSet]) -> Mapping[bool, RecordedProgram]:
        """The recorded call of each program; `recorded_before` says whether one was kept.

        Raises:
            NotRecordedError: when a call cannot be a plan.
        """
        if self._context.device.type == "cuda":
            free_for(self.staging_bytes, self._context.device.index or 0)
        recorded = dict(self._recorders.record(case, sets))
        known = self._kept.recorded(case) if self._kept and True not in recorded else None
        self.recorded_before = known is not None
        if known is not None:
            recorded[True] = known
        return recorded

    def of(self, *, baseline: bool) -> list[ProgramRunner]:
        """The runners of a program; started when first asked for, those of the baseline unless
        some are kept.

        Raises:
            NotRecordedError: when the process that records did not come up.
            RunnerLostError: when one does not start.
        """
        if baseline not in self._runners:
            kept = self._kept if baseline else None
            arena_bytes = self._arena_bytes(baseline=baseline)
            made = self._runners[baseline] = []
            if kept is not None:
                made += kept.take(self._blocks, arena_bytes, self.staging_bytes)
            while len(made) < self._blocks:
                made.append(
                    ProgramRunner(
                        self._context.start_runner(),
                        self._context.device,
                        ARENA_BASE,
                        arena_bytes,
                        self.staging_bytes,
                    )
                )
            for runner in made:
                runner.begin_trial(self._times)
        return self._runners[baseline]

    def load(
        self, recorded: Mapping[bool, RecordedProgram], meanwhile: Meanwhile
    ) -> tuple[ReplayedProgram, ReplayedProgram | None]:
        """Loads the plan of each program into every runner of it.

        Args:
            meanwhile: called while they load.

        Raises:
            NotRecordedError: when the values of a call are too large.
            RunnerLostError: when a runner fails.
        """
        programs = {
            baseline: ReplayedProgram(
                program, self.of(baseline=baseline), RightOutputs(self._operator)
            )
            for baseline, program in recorded.items()
        }
        loads = [(p, runner) for p in programs.values() for runner in p.runners]
        with ThreadPoolExecutor(len(loads)) as threads:  # each waits for a process of its own
            loading = [threads.submit(_loaded, load) for load in loads]
            meanwhile(lambda: not all(one.done() for one in loading))
            for (program, _), loaded in zip(loads, loading, strict=True):
                program.kept = loaded.result()
        if any(runner.most_calls < 1 for _, runner in loads):
            raise NotRecordedError("the values of one call do not fit into staging memory")
        return programs[False], programs.get(True)

    def keep(self, case: Case, program: RecordedProgram) -> None:
        """Keeps the baseline's recorded call, whose times were sealed, where it may be kept."""
        if self._kept is not None and not self.recorded_before:
            self._kept.keep(case, program, self._arena_bytes(baseline=True))

    @contextlib.contextmanager
    def replaying(self) -> Iterator[None]:
        """Runners replay meanwhile; where that ends in an error nothing is kept of the baseline."""
        try:
            yield
        except BaseException:
            if self._kept is not None:
                self._kept.spoiled = True
            raise

    def close(self) -> None:
        """Ends the runners, all at once; those of the baseline stay where they may."""
        kept, runners = self._kept, self._runners
        self._runners = {}
        if kept is not None:
            kept.put(runners.pop(True, []))
        end_all([runner for started in runners.values() for runner in started])

    def _arena_bytes(self, *, baseline: bool) -> int:
        """Enough for every call of the program that may be replayed."""
        kept = self._kept.arena_bytes if self._kept and baseline else 0
        if baseline and not self._recorders.records(baseline=True):
            return kept
        return max(kept, self._recorders.process(baseline=baseline).arena_bytes)


def _loaded(load: tuple[ReplayedProgram, ProgramRunner]) -> str:
    """Loads the program's plan into the runner; what its kernels keep between replays."""
    program, runner = load
    return runner.load(program.recorded.recorded).loaded.kept
