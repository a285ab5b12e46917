"""Timing within a trial: its processes start while outputs are checked, and end with the trial."""

from __future__ import annotations

from collections.abc import Sequence

from ..messages.judge import Checks
from .calls.judged_call import JudgedCall
from .checks.time_budget import StageTimes
from .checks.workload_checks import Checking
from .evaluation_record import Verdict
from .operators.operator_adapter import Case
from .processes.candidate_process import CandidateSession
from .timing.held_out_timing import HeldOutTiming, as_claimed
from .timing.paired_timing import PairedTiming, Timed
from .timing.process_pairs import ProcessPairs, copy_compiled
from .timing.programs.kept_baseline import KeptBaseline, give_back, take_kept
from .timing.programs.turns import replayed_sets
from .timing.recorders import ORDINARY_CALLS, Recorders, sealing_fault
from .timing.samples import CLAIM
from .trial_parts import TrialParts
from .trial_processes import TrialProcesses

FIRST_CALL_BYTES = 128 << 20
"""Inputs of workloads that are larger are not drawn before they are needed."""


class TrialTiming:
    """Times the candidate of one plan.

    Args:
        times: of the trial's stages.
    """

    def __init__(self, parts: TrialParts, processes: TrialProcesses, times: StageTimes) -> None:
        self._context, self._operator = parts.context, parts.operator
        self._processes, self._times = processes, times
        self._recorders: Recorders | None = None
        self._kept: KeptBaseline | None = None
        self._claim: str | None = None
        self.pairs = ProcessPairs(
            parts.plan, parts.context, parts.operator, parts.rng, processes.spawn_for_timing
        )
        self.measured: PairedTiming | None = None
        """What was measured of the workloads of the plan, once that has begun."""
        self.timed: dict[str, Timed] = {}

    def timed_any(self) -> bool:
        """Whether a workload has a time."""
        return any(one.measurement is not None for one in self.timed.values())

    def start(self, parts: TrialParts, cases: Sequence[Case], checked: CandidateSession) -> None:
        """Starts the processes of the timing, so that they build while outputs are checked.

        Args:
            checked: the candidate's process, which has compiled and was right.
        """
        self._claim = sealing_fault(self._context, parts.plan)
        self._context.sealed_lately = parts.plan.sealed_clock
        if self._claim is not None:
            self.pairs.start(cases)
            return

        def restore(session: CandidateSession, baseline: bool) -> None:
            if baseline:
                self.pairs.restore_kernels(session)
            else:
                copy_compiled(checked, session)

        recorders = self._recorders = Recorders(parts, self._processes.spawn_to_record, restore)
        self._processes.end_with(lambda: self._end_recorders(recorders))
        kept = self._kept = take_kept(self._context, parts.plan)
        if kept is not None:
            self._processes.end_with(lambda: give_back(self._context, kept))
        self._recorders.start(cases, baseline=kept is None or not kept.holds(cases))
        programs = 2 if parts.plan.baseline is not None else 1
        arena_bytes = self._recorders.arena_bytes(baseline=True)
        waiting = kept.large_enough(arena_bytes) if kept else 0
        self._context.begin_runners(programs * parts.plan.checks.blocks - waiting)
        cheap = [c for c in cases if self._operator.input_bytes(c) <= FIRST_CALL_BYTES]
        unrecorded = parts.generator.unrecorded
        self._recorders.record_early([(unrecorded(case), unrecorded(case)) for case in cheap])

    def _end_recorders(self, recorders: Recorders) -> None:
        self.pairs.save_kernels()  # of a process whose folder goes with it
        recorders.close()

    def run(
        self, parts: TrialParts, cases: Sequence[Case], judged_call: JudgedCall, checking: Checking
    ) -> Verdict | None:
        """Times the cases and held-out sizes; what failed meanwhile, if anything did."""
        timing = self.measured = PairedTiming(
            parts, self._recorders, self._claim or CLAIM, self._kept
        )
        self._processes.end_with(timing.close)
        with self._times.measured("timing"):
            judged_call.collect(rest=True)
            self._context.drain()  # of held-out cases: a context that ends disturbs as a new one
            if self._recorders is not None:
                self._recorders.only(cases)
            self.timed = timing.results
            self.timed = timing.run(cases, judged_call, self.pairs)
        recording = self._recorders.times.seconds if self._recorders else {}
        self._times.seconds |= timing.seconds | recording
        failed = next((t for t in self.timed.values() if t.failure is not None), None)
        if failed is None:
            held_out = HeldOutTiming(parts, self._processes, self._claim)
            with self._times.measured("timing_held_out"):
                failed = held_out.run(checking, timing.close)
            if held_out.replay_differs:
                self.timed = {uuid: as_claimed(timed) for uuid, timed in self.timed.items()}
        if failed is None:
            return None
        assert failed.status is not None and failed.failure is not None
        return failed.status, failed.failure


def inputs_of_a_timing(checks: Checks) -> int:
    """How many inputs of a workload the timing draws."""
    first = recorded = 1
    return first + recorded + ORDINARY_CALLS + replayed_sets(checks)
