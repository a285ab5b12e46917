"""The processes of candidate and baseline in which calls are recorded, one of each.

Torch's memory lies at fixed addresses in them and loaded modules are announced, for which a process
must be made before CUDA starts in it. Correctness is judged elsewhere: what goes wrong here is a
reason for times to be only claimed, never the candidate's failure.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ...errors import HarnessError
from ...messages.candidate import BuildRequest, Built, Collect, Collected
from ...messages.judge import EvaluatePlan
from ...messages.launch_plan import ARENA_BASE
from ...messages.launches import Activity, CallTimes
from ...schema.evaluation import Status
from ..calls.judged_call import CallOptions, CallOutcome, JudgedCall
from ..checks.call_verdict import judge_call
from ..checks.time_budget import StageTimes
from ..operators.input_sets import InputSet
from ..operators.operator_adapter import Case
from ..processes.candidate_process import CandidateSession, request
from ..processes.context import JudgeContext
from ..processes.lost import ProcessLost
from ..replay.launched_work import (
    WatchedCall,
    other_launches,
    other_parameters,
    unseen_kernels,
)
from ..replay.recorded_call import (
    SCRATCH_SHARE,
    NotRecordedError,
    RecordedCall,
    begin_recording,
    finish_recording,
    watched_call,
)
from ..trial_parts import TrialParts

ORDINARY_CALLS = 3
WATCHED_CALLS = 2
"""One after another: what differs between them is no sign of another call."""

Spawn = Callable[[bool], tuple[CandidateSession, BuildRequest]]


@dataclass(frozen=True)
class RecordedProgram:
    """A recorded call, and what ordinary calls in the same process told.

    Args:
        called_ns: spans by the process's own clock, gaps between kernels in.
        host_ns: from the call to the visible result, by its host clock.
        activities: of the last ordinary call.
        watched: what ordinary calls passed to the program's kernels.
        whole: whether these are all of its activities.
    """

    recorded: RecordedCall
    called_ns: tuple[int, ...]
    host_ns: tuple[int, ...]
    activities: tuple[Activity, ...]
    watched: tuple[WatchedCall, ...]
    whole: bool = True

    def other_launches(self, seen: Collection[str]) -> str | None:
        """How the plan's launches differ from those of ordinary calls; None if they do not.

        Args:
            seen: names of the kernels launched by another process of the program; empty when
                nothing is known of one.

        Raises:
            NotRecordedError: when it is not known what an ordinary call launches.
        """
        if not self.whole:
            raise NotRecordedError("not all that an ordinary call launches was recorded")
        plan = self.recorded.checked.plan
        if words := other_launches(plan, self.activities):
            return words
        origins = {activity.name: activity.origin for activity in self.activities}
        other = other_parameters(plan, self.recorded.places, self.watched, origins)
        if other is not None and not other.certain:
            raise NotRecordedError(other.words)
        return other.words if other else unseen_kernels(plan, seen) if seen else None


class Recorders:
    """Starts the processes that record, and asks them for calls.

    Args:
        spawn: starts a process that records, of the baseline when its argument is true.
        restore: copies compiled kernels of earlier trials to a process before it builds.
    """

    def __init__(
        self,
        parts: TrialParts,
        spawn: Spawn,
        restore: Callable[[CandidateSession, bool], None],
    ) -> None:
        self._plan, self._context, self._operator = parts.plan, parts.context, parts.operator
        self._rng, self._spawn, self._restore = parts.rng, spawn, restore
        self._calls: dict[bool, JudgedCall] = {}
        self._built: dict[bool, str | None] = {}
        self._recorded_early: dict[str, dict[bool, RecordedCall] | NotRecordedError] = {}
        self._first_calls: threading.Thread | None = None
        self._ending = False
        self._timed: Collection[str] | None = None
        self.times = StageTimes()

    def start(self, cases: Sequence[Case], *, baseline: bool = True) -> None:
        """Starts both, has each build and map its arena, without waiting.

        Args:
            baseline: whether one is started for the plan's baseline, too.
        """
        both = baseline and self._plan.baseline is not None
        for baseline in (False, True) if both else (False,):
            session, request = self._spawn(baseline)
            self._restore(session, baseline)
            session.ask(request)
            judged_call = JudgedCall(
                session,
                self._operator.definition,
                self._context.device,
                random.Random(self._rng.randbytes(16)),
                by_destination=request.destination_passing_style,
                arena_address=ARENA_BASE,
            )
            judged_call.begin_map(list(cases))
            self._calls[baseline] = judged_call

    def record_early(self, input_sets: Sequence[tuple[InputSet, InputSet]]) -> None:
        """Records a call of some workloads in both, in a thread, while outputs are checked.

        Before it comes an ordinary one: then kernels are compiled or loaded, which takes longer
        than all that follows. `record` waits for the thread, and raises what was wrong there.

        Args:
            input_sets: of each workload, for the call before and for the one that is recorded.
        """
        pending = deque(input_sets)
        self._first_calls = threading.Thread(
            target=self._record_all, args=(pending,), name="first calls"
        )
        self._first_calls.start()

    def records(self, *, baseline: bool) -> bool:
        """Whether a process was started for the program."""
        return baseline in self._calls

    def arena_bytes(self, *, baseline: bool) -> int:
        """The arena that calls of the program are recorded in; 0 where none are."""
        return self._calls[baseline].arena_bytes if baseline in self._calls else 0

    def process(self, *, baseline: bool) -> JudgedCall:
        """The process, once it is up.

        Raises:
            NotRecordedError: when it did not come up.
        """
        judged_call = self._calls.get(baseline)
        if judged_call is None:
            raise NotRecordedError("no process that records was started", final=True)
        if baseline not in self._built:
            self._built[baseline] = self._fault(judged_call)
        fault = self._built[baseline]
        if fault is not None:
            words = f"the process that records did not come up: {fault[:300]}"
            raise NotRecordedError(words, final=True)
        return judged_call

    def only(self, cases: Sequence[Case]) -> None:
        """Says which workloads are timed: of no other a call is recorded from now on.

        In a plan that keeps time for timing, none is recorded ahead any more.
        """
        self._timed = [] if self._plan.timing_s else [case.uuid for case in cases]

    def record(self, case: Case, input_sets: Callable[[], InputSet]) -> dict[bool, RecordedProgram]:
        """Records one call of each program, and makes ordinary ones on other inputs.

        Both programs record side by side, on the same inputs; their ordinary calls, which tell
        times, are made one after another. The baseline has the key True.

        Raises:
            NotRecordedError: when a call is wrong here, or cannot be a plan.
        """
        with self.times.measured("recording_waits"):
            if self._first_calls is not None:
                self._first_calls.join()
        programs = self._programs()
        with self.times.measured("recording_plans"):
            recorded = self._recorded_early.pop(case.uuid, None)
            if isinstance(recorded, NotRecordedError):
                raise recorded
            recorded = recorded or self._recorded(programs, input_sets(), input_sets())
        with self.times.measured("recording_ordinary"):
            ordinary = [input_sets() for _ in range(ORDINARY_CALLS)]
            return {
                baseline: self._with_ordinary(recorded[baseline], program, ordinary)
                for baseline, program in programs.items()
            }

    def close(self) -> None:
        """Ends both."""
        self._ending = True
        for judged_call in self._calls.values():
            judged_call.session.close()
        if self._first_calls is not None:
            self._first_calls.join()  # it uses the arenas
        for judged_call in self._calls.values():
            judged_call.close()
        self._calls = {}

    def _programs(self) -> dict[bool, JudgedCall]:
        """The processes, once they are up.

        Raises:
            NotRecordedError: when one did not come up.
        """
        programs = {baseline: self.process(baseline=baseline) for baseline in self._calls}
        if not programs:
            raise NotRecordedError("no process that records was started", final=True)
        return programs

    def _record_all(self, pending: deque[tuple[InputSet, InputSet]]) -> None:
        while pending and not self._ending:
            first, recorded = pending.popleft()
            if self._timed is not None and first.case.uuid not in self._timed:
                continue
            try:
                found = self._recorded(self._programs(), first, recorded)
            except NotRecordedError as fault:
                found = fault
            except HarnessError:
                return  # as `record` will find in the thread that can say so
            self._recorded_early[first.case.uuid] = found

    def _recorded(
        self, programs: Mapping[bool, JudgedCall], first: InputSet, input_set: InputSet
    ) -> dict[bool, RecordedCall]:
        """The recorded call of each, after an ordinary one.

        Every answer is awaited before one of them is a reason.
        """
        self._ordinary(programs.values(), first, CallOptions(late=False))
        layouts = {b: begin_recording(program, input_set) for b, program in programs.items()}
        found: dict[bool, RecordedCall] = {}
        faults: list[NotRecordedError] = []
        for baseline, program in programs.items():
            try:
                found[baseline] = finish_recording(
                    program,
                    layouts[baseline],
                    architecture=f"sm_{(self._context.arch or '').rstrip('af')}",
                    scratch_bytes=int(SCRATCH_SHARE * (self._context.info.memory_bytes or 0)),
                    timeout_s=self._plan.call_timeout_s,
                )
            except NotRecordedError as error:
                faults.append(error)
        if faults:
            raise faults[0]
        return found

    def _with_ordinary(
        self, recorded: RecordedCall, program: JudgedCall, input_sets: Sequence[InputSet]
    ) -> RecordedProgram:
        """Makes ordinary calls: of some the times count, of others what is launched.

        Both are asked for alike, and which come first is drawn.
        """
        first = self._rng.randrange(len(input_sets) + 1)
        turns = [*range(len(input_sets))]
        turns[first:first] = [*range(WATCHED_CALLS)]
        watched: list[WatchedCall] = []
        for number, turn in enumerate(turns):
            watches = first <= number < first + WATCHED_CALLS
            defer = len(input_sets) + turn if watches else turn
            options = CallOptions(time="cold", late=False, defer=defer, watched=watches)
            (outcome,) = self._ordinary([program], input_sets[turn], options)
            if watches:
                watched.append(watched_call(program, outcome))
        return _with_times(recorded, program, len(input_sets), tuple(watched))

    def _ordinary(
        self, programs: Collection[JudgedCall], input_set: InputSet, options: CallOptions
    ) -> list[CallOutcome]:
        """One verified call of each of the processes, side by side.

        Raises:
            NotRecordedError: when one is wrong.
        """
        options = replace(options, timeout_s=self._plan.call_timeout_s)
        begun = [program.begin(input_set, options) for program in programs]
        outcomes = [p.finish(call) for p, call in zip(programs, begun, strict=True)]
        right: list[CallOutcome] = []
        for outcome in outcomes:
            verdict = judge_call(self._operator, input_set, outcome)
            if isinstance(outcome, ProcessLost) or verdict.status is not Status.PASSED:
                words = verdict.failure.message if verdict.failure else "it was lost"
                raise NotRecordedError(
                    f"the call fails in the process that records: {words[:300]}",
                    final=isinstance(outcome, ProcessLost),
                )
            right.append(outcome.claims)
        return right

    def _fault(self, judged_call: JudgedCall) -> str | None:
        built = judged_call.session.answer(Built, self._plan.build_timeout_s)
        lost = judged_call.mapped()
        if isinstance(built, ProcessLost):
            return built.detail
        if built.fault is not None:
            return built.fault.message
        log = judged_call.session.log().strip()
        return f"{lost.detail} {log[-200:]}" if lost else None


def sealing_fault(context: JudgeContext, plan: EvaluatePlan) -> str | None:
    """Why no time of this plan is sealed, before anything was tried; None if it may be."""
    if not plan.sealed_clock:
        return "the setting sealed_clock is off"
    return context.not_sealed


def launched_kernels(session: CandidateSession, timeout_s: float) -> frozenset[str]:
    """The names of all kernels that a process has launched; empty when it does not know them."""
    answer = request(session, Collect(), Collected, timeout_s)
    return frozenset() if isinstance(answer, ProcessLost) else frozenset(answer.kernels)


def holds_all(times: CallTimes) -> bool:
    """Whether the times of a call name all of its activities."""
    return times.timer == "cupti" and not times.dropped_activities


def _with_times(
    recorded: RecordedCall, program: JudgedCall, timed: int, watched: tuple[WatchedCall, ...]
) -> RecordedProgram:
    """The recorded call with what the ordinary calls before told.

    Args:
        timed: calls with lower numbers count.

    Raises:
        NotRecordedError: when the process was lost.
    """
    times = program.collect()
    if isinstance(times, ProcessLost):
        raise NotRecordedError(f"its process was lost: {times.detail}", final=True)
    called = [one for number, one in sorted(times.items()) if number < timed]
    return RecordedProgram(
        recorded,
        called_ns=tuple(one.span_ns or 0 for one in called),
        host_ns=tuple(one.host_ns or 0 for one in called),
        activities=tuple(called[-1].activities) if called else (),
        watched=watched,
        whole=bool(called) and holds_all(called[-1]),
    )
